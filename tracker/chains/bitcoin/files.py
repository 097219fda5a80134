"""A folder of raw blocks as a source: one block a file, as bytes or hex, gzipped or not."""

from __future__ import annotations

import os
import zlib
from pathlib import Path

from tracker.chains.bitcoin.block import MAX_BLOCK_BYTES
from tracker.chains.bitcoin.folder import BestChain, Entry, best_chain, read_bytes, read_entry
from tracker.chains.bitcoin.network import NETWORKS, network_of_genesis
from tracker.chains.bitcoin.pow import CHECKPOINTS
from tracker.chains.check import block_reply
from tracker.domain.chain import Tip
from tracker.errors import InvalidBlockError, NotFoundError, SourceUnavailableError
from tracker.log import get_logger

SUFFIXES = (".raw", ".bin", ".hex", ".blk")
_MAINNET = {bytes.fromhex(point.hash) for point in CHECKPOINTS}

log = get_logger(__name__)


class FilesSource:
    """Blocks in a folder, indexed by their headers; looked at anew when the folder changes.

    Heights come from the coinbase (BIP 34), from known blocks, or from links to either. A file that
    holds no block is left out, logged once and listed by `problems`; a block is best moved into
    the folder whole, by a rename.
    """

    kind = "files"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.name = f"files:{folder}"
        self._stamps: dict[Path, tuple[int, int, int]] = {}
        self._entries: dict[Path, Entry] = {}
        self._problems: dict[Path, str] = {}
        self._chain = BestChain({}, None)
        self._by_hash: dict[bytes, Entry] = {}
        self._seen = 0

    def tip(self) -> Tip:
        """The best chain's newest block; raises `SourceUnavailableError` where there is none."""
        self._refresh()
        if self._chain.tip is None:
            raise SourceUnavailableError(
                "the folder holds no block of known height", field="source", value=self.name,
                mend=f"put raw blocks there, named *{', *'.join(SUFFIXES)} or the same with .gz",
            )
        return Tip(*self._chain.tip)

    def block_hash(self, height: int) -> bytes | None:
        """The hash on the folder's best chain; None where no file has that height.

        The folder is read anew by `tip`, and here only for what is missing: a stat of every file
        at each question would cost more than the blocks.
        """
        if height not in self._chain.hashes:
            self._refresh()
        return self._chain.hashes.get(height)

    def first_height(self) -> int | None:
        """The lowest height from which the folder's chain is whole up to its tip."""
        self._refresh()
        if self._chain.tip is None:
            return None
        height, at = self._chain.tip
        while (parent := self._by_hash[at].parent) in self._by_hash:
            height, at = height - 1, parent
        return height

    def block(self, block_hash: bytes) -> bytes:
        """The file's bytes, read now; raises as the port says."""
        if block_hash not in self._by_hash:
            self._refresh()
        entry = self._by_hash.get(block_hash)
        if entry is None:
            raise NotFoundError(
                f"{self.name} does not have the block", field="block", value=block_hash.hex(),
                mend="put its file there",
            )
        try:
            raw = read_bytes(entry.path, MAX_BLOCK_BYTES + 1)
        except OSError as error:
            raise SourceUnavailableError(
                f"the file cannot be read ({type(error).__name__})", field="file",
                value=entry.path.name, mend="let this user read it",
            ) from None
        except (EOFError, ValueError, zlib.error) as error:
            raise InvalidBlockError(
                f"the file is damaged ({type(error).__name__})", field="file",
                value=entry.path.name, mend="write it again, whole",
            ) from None
        return block_reply(raw, block_hash, self.name)

    def network(self) -> str | None:
        """The network that block 0 or a well-known block names; None without one."""
        self._refresh()
        genesis = self._chain.hashes.get(0)
        if genesis is not None:
            return network_of_genesis(genesis)
        return NETWORKS["mainnet"].name if self._by_hash.keys() & _MAINNET else None

    def problems(self) -> dict[str, str]:
        """What is wrong with each file that was left out, by file name."""
        self._refresh()
        return {path.name: text for path, text in sorted(self._problems.items())}

    def _refresh(self) -> None:
        stamps = self._scan_folder()
        if stamps == self._stamps:
            return
        changed = [path for path, stamp in stamps.items() if self._stamps.get(path) != stamp]
        for path in self._stamps.keys() - stamps.keys():
            self._entries.pop(path, None)
            self._problems.pop(path, None)
        for path in sorted(changed, key=lambda item: (stamps[item][0], item.name)):
            self._read(path)
        self._stamps = stamps
        by_order = sorted(self._entries.values(), key=lambda entry: entry.order, reverse=True)
        self._by_hash = {entry.hash: entry for entry in by_order}
        self._chain = best_chain(self._by_hash.values())

    def _scan_folder(self) -> dict[Path, tuple[int, int, int]]:
        """Times and size of every block file: one rewritten or made readable shows too."""
        stamps: dict[Path, tuple[int, int, int]] = {}
        try:
            with os.scandir(self._folder) as items:
                for item in items:
                    if item.name.lower().removesuffix(".gz").endswith(SUFFIXES) and item.is_file():
                        stat = item.stat()
                        stamps[Path(item.path)] = (
                            stat.st_mtime_ns, stat.st_size, stat.st_ctime_ns,
                        )
        except OSError as error:
            raise SourceUnavailableError(
                f"the folder cannot be read ({type(error).__name__})", field="source",
                value=self.name, mend="make the folder, and let this user read it",
            ) from None
        return stamps

    def _read(self, path: Path) -> None:
        known = self._entries.pop(path, None)
        self._problems.pop(path, None)
        self._seen += 1
        try:
            entry = read_entry(path, self._seen)
            # A block that was only touched was not seen any later for that.
            self._entries[path] = known if known and known.hash == entry.hash else entry
        except InvalidBlockError as error:
            self._problems[path] = str(error)
            log.warning("block_file_left_out", file=path.name, error=str(error))
        except OSError as error:
            self._problems[path] = f"cannot be read ({type(error).__name__})"
            log.warning("block_file_left_out", file=path.name, error=self._problems[path])
