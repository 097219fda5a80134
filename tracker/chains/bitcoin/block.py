"""The block scan: raw bytes in, the transactions that touch the watch set out.

One pass over the bytes, with slices and inlined varints: a script or outpoint is cut out and looked
up in a set, and only a transaction that hits is taken apart. Serialisation: Bitcoin Core,
primitives/transaction.h; BIP 141 (marker, flag, witness, commitment); BIP 34 (height).
"""

from __future__ import annotations

import struct
from collections.abc import Container
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import pairwise
from struct import Struct

from tracker.chains.bitcoin.header import HEADER_BYTES, Header, double_sha256, parse_header
from tracker.chains.bitcoin.merkle import merkle_root
from tracker.chains.bitcoin.sender import sender_script
from tracker.domain.chain import BlockRef
from tracker.domain.match import ScannedTx, TxIn, TxOut, outpoint_of
from tracker.errors import InvalidBlockError

# A block's weight is at most 4,000,000 and a byte weighs at least 1 (BIP 141).
MAX_BLOCK_BYTES = 4_000_000
MAX_MONEY = 21_000_000 * 100_000_000  # satoshi
NULL_OUTPOINT = bytes(32) + b"\xff\xff\xff\xff"

# What opens a transaction, read by one call: version, marker and flag of BIP 141 as one number, how
# many inputs, the outpoint of the first and the size of its scriptSig. Without witnesses marker and
# flag are missing. No transaction is so short that this reads past its end.
_SEGWIT_HEAD = Struct(">4sHB36sB").unpack_from
_LEGACY_HEAD = Struct(">4xB36sB").unpack_from
# To go round n times: a tuple is looked up faster than a `range` is made.
_TURNS = tuple((None,) * number for number in range(0xFD))
_U16 = Struct("<H").unpack_from
_U32 = Struct("<I").unpack_from
_U64 = Struct("<Q").unpack_from
# BIP 141: OP_RETURN, a push of 36 bytes, the four magic bytes, then the commitment.
_COMMITMENT = b"\x6a\x24\xaa\x21\xa9\xed"


@dataclass(frozen=True, slots=True)
class BlockScan:
    """What a scan found. `height` is what the coinbase claims (BIP 34), None before version 2."""

    header: Header
    height: int | None
    tx_count: int
    txs: tuple[ScannedTx, ...]

    def ref(self, height: int | None = None) -> BlockRef:
        """The block as a link of the chain, at its claimed height or, where none, at `height`.

        Raises `InvalidBlockError` where the two differ or both are unknown.
        """
        known = self.height if self.height is not None else height
        if known is None or (height is not None and known != height):
            raise InvalidBlockError(
                "the height asked for is not the one that the coinbase states",
                field="height", value=f"asked {height}, stated {self.height}",
                mend="ask the source again for the hash at this height",
            )
        return BlockRef(known, self.header.hash, self.header.parent, self.header.time)


def scan(
    raw: bytes, scripts: Container[bytes], outpoints: Container[bytes], *, verify: bool = False
) -> BlockScan:
    """Find the transactions of `raw` that pay a script of `scripts` or spend one of `outpoints`.

    Coins made and spent inside the block are found too. With `verify`, all transaction ids and the
    merkle root are computed, and the witness commitment where a transaction found has a witness:
    the merkle root does not cover it, and senders are read from it.
    Raises `InvalidBlockError`, saying where, for bytes that are not exactly one valid block.
    """
    if len(raw) > MAX_BLOCK_BYTES:
        raise _invalid("the block is larger than consensus allows", f"{len(raw)} bytes")
    header = parse_header(raw)
    walk = _walk(raw, scripts, outpoints, verify=verify)
    if verify:
        _check_root(header, walk.ids)
        if walk.witnessed:
            _check_witness(raw, walk)
    height = claimed_height(raw, header.version)
    return BlockScan(header, height, walk.count, tuple(walk.hits))


def read_block(raw: bytes) -> BlockScan:
    """Take every transaction of `raw` apart, and verify it; for tools, ten times a scan's time.

    Raises `InvalidBlockError` as `scan` does.
    """
    return scan(raw, _Everything(), (), verify=True)


class _Everything:
    """A container that holds all: every transaction hits."""

    def __contains__(self, item: object) -> bool:
        return True


@dataclass(slots=True)
class _Walk:
    """What a walk gathers: the hits and, to verify, every txid and where each one starts."""

    count: int = 0
    hits: list[ScannedTx] = field(default_factory=list)
    ids: list[bytes] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)
    witnessed: bool = False  # a hit other than the coinbase has a witness


def _walk(  # noqa: C901 - one inlined pass: calls would double its time
    raw: bytes, scripts: Container[bytes], outpoints: Container[bytes], *, verify: bool
) -> _Walk:
    """Walk all transactions of a block.

    A read past the end raises IndexError or leaves `pos` past the end, which is looked at before
    bytes are used: checking every read would cost as much as the reads.
    """
    walk = _Walk()
    made: set[bytes] = set()
    end_of_block = len(raw)
    segwit_head, legacy_head, turns = _SEGWIT_HEAD, _LEGACY_HEAD, _TURNS
    ids, starts = walk.ids, walk.starts
    position = start = 0
    try:
        walk.count, pos = _varint(raw, HEADER_BYTES)
        for position in range(walk.count):
            start = pos
            version, marker, inputs, outpoint, size = segwit_head(raw, pos)
            segwit = marker == 1
            if segwit:
                body = pos + 6
            else:
                if marker < 0x100:
                    raise _invalid("unknown transaction flag or no inputs", _at(position, pos + 4))
                body = pos + 4
                inputs, outpoint, size = legacy_head(raw, pos)
            hit = False
            if inputs == 1 and size < 0xFD:
                if outpoint in outpoints or (made and outpoint in made):
                    hit = True
                pos = body + 42 + size
            else:
                inputs, pos = _varint(raw, body)
                for _ in range(inputs):
                    outpoint = raw[pos : pos + 36]
                    if outpoint in outpoints or (made and outpoint in made):
                        hit = True
                    size = raw[pos + 36]
                    if size < 0xFD:
                        pos += 41 + size
                    else:
                        size, pos = _varint(raw, pos + 36)
                        pos += size + 4
            outputs = raw[pos]
            if outputs < 0xFD:
                pos += 1
            else:
                outputs, pos = _varint(raw, pos)
            for _ in turns[outputs] if outputs < 0xFD else range(outputs):
                size = raw[pos + 8]
                if size < 0xFD:
                    at = pos + 9
                else:
                    size, at = _varint(raw, pos + 8)
                pos = at + size
                if raw[at:pos] in scripts:
                    hit = True
            witness = pos
            if segwit:
                for _ in turns[inputs] if inputs < 0xFD else range(inputs):
                    items = raw[pos]
                    size = raw[pos + 1]
                    # The usual key spends, P2WPKH's two items and P2TR's one, unrolled.
                    if size < 0xFD:
                        if items == 1:
                            pos += size + 2
                            continue
                        if items == 2:
                            at = pos + size + 2
                            size = raw[at]
                            if size < 0xFD:
                                pos = at + size + 1
                                continue
                    items, pos = _varint(raw, pos)
                    for _ in range(items):
                        size = raw[pos]
                        pos += 1
                        if size >= 0xFD:
                            size, pos = _varint(raw, pos - 1)
                        pos += size
                if pos == witness + inputs:
                    raise _invalid("a witness flag without a witness", _at(position, witness))
            pos += 4
            if not outputs:
                raise _invalid("a transaction without outputs", _at(position, start))
            if position and not hit and not verify:
                continue
            if pos > end_of_block:
                raise _truncated(position, start, end_of_block)
            if (inputs == 1 and outpoint == NULL_OUTPOINT) != (position == 0):
                raise _invalid("only the first transaction is a coinbase", _at(position, body))
            if not (hit or verify):
                continue
            tail = raw[pos - 4 : pos]  # the lock time; the txid leaves marker, flag and witness out
            base = version + raw[body:witness] + tail if segwit else raw[start:pos]
            txid = sha256(sha256(base).digest()).digest()
            if verify:
                ids.append(txid)
                starts.append(start)
            if hit:
                if segwit and position:
                    walk.witnessed = True
                tx = _transaction(raw, position, txid[::-1], body, witness if segwit else 0)
                walk.hits.append(tx)
                for out in tx.outputs:
                    if out.script in scripts:
                        made.add(outpoint_of(tx.txid, out.index))
        if pos > end_of_block:
            raise _truncated(position, start, end_of_block)
    except (IndexError, struct.error, OverflowError):
        raise _truncated(position, start, end_of_block) from None
    if walk.count == 0:
        raise _invalid("the block has no transaction", "0")
    if pos < end_of_block:
        raise _invalid("bytes after the last transaction", f"{end_of_block - pos} from byte {pos}")
    return walk


def _transaction(raw: bytes, position: int, txid: bytes, body: int, witness: int) -> ScannedTx:
    """Take one transaction apart: `body` is where its inputs start, `witness` 0 without one."""
    count, pos = _varint(raw, body)
    spends: list[tuple[bytes, bytes]] = []
    for _ in range(count):
        outpoint = raw[pos : pos + 36]
        size, pos = _varint(raw, pos + 36)
        spends.append((outpoint, raw[pos : pos + size]))
        pos += size + 4
    count, pos = _varint(raw, pos)
    outputs: list[TxOut] = []
    for index in range(count):
        amount = _U64(raw, pos)[0]
        if amount > MAX_MONEY:
            raise _invalid("an output above 21 million BTC", f"{_at(position, pos)}: {amount}")
        size, pos = _varint(raw, pos + 8)
        outputs.append(TxOut(index, amount, raw[pos : pos + size]))
        pos += size
    inputs: list[TxIn] = []
    pos = witness
    for index, (outpoint, script_sig) in enumerate(spends):
        stack: list[bytes] = []
        if witness:
            items, pos = _varint(raw, pos)
            for _ in range(items):
                size, pos = _varint(raw, pos)
                stack.append(raw[pos : pos + size])
                pos += size
        sender = None if position == 0 else sender_script(script_sig, stack)
        inputs.append(TxIn(index, outpoint, sender))
    return ScannedTx(position, txid, position == 0, tuple(inputs), tuple(outputs))


def _varint(raw: bytes, pos: int) -> tuple[int, int]:
    """The compact size at `pos` and the place after it; refuses a longer form than needed."""
    value = raw[pos]
    if value < 0xFD:
        return value, pos + 1
    if value == 0xFD:
        value, least, end = _U16(raw, pos + 1)[0], 0xFD, pos + 3
    elif value == 0xFE:
        value, least, end = _U32(raw, pos + 1)[0], 0x1_0000, pos + 5
    else:
        value, least, end = _U64(raw, pos + 1)[0], 0x1_0000_0000, pos + 9
    if value < least:
        raise _invalid("a size in a longer form than it needs", f"byte {pos}")
    return value, end


def _check_root(header: Header, ids: list[bytes]) -> None:
    root, mutated = merkle_root(ids)
    if mutated:
        raise _invalid("the transaction list repeats its tail (CVE-2012-2459)", header.hash.hex())
    if root[::-1] != header.merkle_root:
        raise _invalid(
            "the transactions do not hash to the header's merkle root",
            f"computed {root[::-1].hex()}, header {header.merkle_root.hex()}",
        )


def _check_witness(raw: bytes, walk: _Walk) -> None:
    """Check BIP 141's commitment to the witnesses, so that a source cannot forge a sender."""
    ends = [*walk.starts[1:], len(raw)]
    start, end = walk.starts[0], ends[0]
    body = start + (6 if raw[start + 4] == 0 else 4)
    coinbase = _transaction(raw, 0, walk.ids[0][::-1], body, 0)
    committed = [
        out.script[6:38] for out in coinbase.outputs
        if len(out.script) >= 38 and out.script.startswith(_COMMITMENT)
    ]
    reserved = raw[end - 36 : end - 4]  # the coinbase's own witness: one item of 32 bytes
    root, _ = merkle_root([bytes(32), *(double_sha256(raw[a:b]) for a, b in pairwise(ends))])
    if not committed or double_sha256(root + reserved) != committed[-1]:
        raise _invalid(
            "the witnesses do not hash to the coinbase's commitment",
            committed[-1].hex() if committed else "no commitment",
        )


def claimed_height(raw: bytes, version: int) -> int | None:
    """The height that opens the coinbase's scriptSig (BIP 34); None where there is none to read.

    The first 300 bytes of a block are enough. Raises `IndexError` where `raw` ends too soon.
    """
    if version < 2:
        return None
    _, pos = _varint(raw, HEADER_BYTES)
    pos += 4
    pos += 2 if raw[pos] == 0 else 0
    size, pos = _varint(raw, pos + 1 + 36)
    script = raw[pos : pos + size]
    if not script:
        return None
    if 0x51 <= script[0] <= 0x60:  # OP_1 to OP_16, on young test chains
        return script[0] - 0x50
    width = script[0]
    if not 1 <= width <= 5 or len(script) <= width:
        return None
    height = int.from_bytes(script[1 : 1 + width], "little")
    return height if height < 1 << (8 * width - 1) else None  # the top bit is the sign


def _at(position: int, pos: int) -> str:
    return f"transaction {position}, byte {pos}"


def _truncated(position: int, start: int, size: int) -> InvalidBlockError:
    return _invalid(
        "the block ends inside a transaction",
        f"transaction {position}, which starts at byte {start} of {size}",
    )


def _invalid(message: str, value: str) -> InvalidBlockError:
    return InvalidBlockError(
        message, field="block", value=value, mend="fetch the block again, or from another source"
    )
