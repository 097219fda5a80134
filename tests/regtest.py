"""A real Bitcoin regtest chain in this process: Bitcoin Core's own consensus code, no node.

Every block goes through the kernel library, which validates scripts, signatures, amounts and proof
of work; `mine` then looks whether the block was taken, because a bad block raises nothing there.
"""

from __future__ import annotations

import ctypes
import gzip
import struct
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pbk
from embit import ec, script
from embit.transaction import SIGHASH, Transaction, TransactionInput, TransactionOutput
from pbk.capi import bindings as kernel

from tracker.chains.bitcoin.header import double_sha256
from tracker.chains.bitcoin.merkle import merkle_root

GENESIS_TIME = 1_296_688_602
REGTEST_BITS = 0x207FFFFF
BLOCK_SECONDS = 600
SUBSIDY = 50 * 100_000_000  # satoshi; halves every 150 blocks on regtest
MATURITY = 100


def key(number: int) -> ec.PrivateKey:
    """A private key for tests, the same each time for a number."""
    return ec.PrivateKey(number.to_bytes(32, "big"))


def p2wpkh(private: ec.PrivateKey) -> bytes:
    """The P2WPKH script of a key."""
    return bytes(script.p2wpkh(private.get_public_key()).data)


MINER = key(0xA11CE)


@dataclass(frozen=True, slots=True)
class Utxo:
    """An output that can be spent: its transaction (display order), index, amount and script."""

    txid: bytes
    index: int
    amount: int
    script: bytes


@dataclass(frozen=True, slots=True)
class MinedBlock:
    """A block that the kernel took."""

    height: int
    hash: bytes
    raw: bytes
    utxos: tuple[Utxo, ...]  # the outputs it made, commitments left out


class RegtestChain:
    """A chain from the regtest genesis block; blocks pay `MINER` unless told otherwise."""

    def __init__(self, *, mature: bool = True) -> None:
        """With `mature`, mines 101 blocks, so that the first coinbase can be spent."""
        folder = tempfile.TemporaryDirectory(prefix="regtest-")
        options = pbk.ContextOptions()
        options.set_chainparams(pbk.ChainParameters(pbk.ChainType.REGTEST))
        self._context = pbk.Context(options)
        manager = pbk.ChainstateManagerOptions(
            self._context, folder.name, f"{folder.name}/blocks"
        )
        manager.update_block_tree_db_in_memory(True)
        manager.update_chainstate_db_in_memory(True)
        manager.set_worker_threads_num(0)
        self._kernel = pbk.ChainstateManager(manager)
        # After the kernel: attributes go in this order, and the kernel writes as it goes.
        self._folder = folder
        genesis = self._kernel.get_active_chain().block_tree_entries[0]
        raw = bytes(self._kernel.blocks[genesis])
        first = MinedBlock(0, double_sha256(raw[:80])[::-1], raw, ())
        self._blocks: dict[bytes, MinedBlock] = {first.hash: first}
        self._branch: list[MinedBlock] = [first]
        self._keys: dict[bytes, ec.PrivateKey] = {p2wpkh(MINER): MINER}
        self._salt = 0
        if mature:
            self.mine(MATURITY + 1)

    # -- reading -----------------------------------------------------------------------------------

    @property
    def tip(self) -> MinedBlock:
        """The newest block of the kernel's active chain."""
        entry = self._kernel.get_active_chain().block_tree_entries[-1]
        return self._blocks[bytes(entry.block_hash)[::-1]]

    @property
    def height(self) -> int:
        """The height of the active chain."""
        return self.tip.height

    def block_hash(self, height: int) -> bytes | None:
        """The active chain's hash at `height`, None above its tip."""
        if not 0 <= height <= self.height:
            return None
        entry = self._kernel.get_active_chain().block_tree_entries[height]
        return bytes(entry.block_hash)[::-1]

    def raw(self, block_hash: bytes) -> bytes:
        """The bytes of any block that was mined, orphans too; `KeyError` for others."""
        return self._blocks[block_hash].raw

    def at(self, height: int) -> MinedBlock:
        """The active chain's block at `height`."""
        found = self.block_hash(height)
        if found is None:
            raise IndexError(height)
        return self._blocks[found]

    def spent(self, height: int) -> list[tuple[int, bytes]]:
        """Amount and script of every coin that the active block at `height` spends, in order."""
        entry = self._kernel.get_active_chain().block_tree_entries[height]
        return [
            (coin.output.amount, bytes(coin.output.script_pubkey))
            for tx in self._kernel.block_spent_outputs[entry].transactions
            for coin in tx.coins
        ]

    def write_folder(self, folder: Path, *, form: str = "raw", start: int = 0) -> Path:
        """Write the active chain from `start` into `folder`, a file a block, as a files source.

        `form`: raw, hex or raw.gz. A file is moved into place whole; those there already stay.
        """
        folder.mkdir(parents=True, exist_ok=True)
        for height in range(start, self.height + 1):
            block = self.at(height)
            path = folder / f"{height:06}-{block.hash.hex()[:16]}.{form}"
            if path.exists():
                continue
            data = block.raw
            if form == "hex":
                data = data.hex().encode()
            elif form == "raw.gz":
                data = gzip.compress(data, 1)
            part = path.with_suffix(".part")
            part.write_bytes(data)
            part.rename(path)
        return folder

    # -- writing -----------------------------------------------------------------------------------

    def add_key(self, private: ec.PrivateKey) -> bytes:
        """Remember a key, so that `spend` can sign for it; returns its P2WPKH script."""
        locked = p2wpkh(private)
        self._keys[locked] = private
        return locked

    def fork(self, height: int) -> None:
        """Mine on top of the block at `height` from now on; its branch wins once it is longer."""
        self._branch = [self.at(number) for number in range(height + 1)]

    def mine(
        self, n: int = 1, to: bytes | None = None, txs: Sequence[Transaction] = ()
    ) -> list[MinedBlock]:
        """Mine `n` blocks paying `to`; `txs` go into the first. Fees go to the miner.

        Raises `AssertionError` where the kernel refuses a block.
        """
        mined = []
        for number in range(n):
            block = self._assemble(to or p2wpkh(MINER), txs if number == 0 else ())
            self._submit(block)
            mined.append(block)
        return mined

    def coinbase(self, height: int) -> Utxo:
        """The reward of the active block at `height`."""
        return self.at(height).utxos[0]

    def spend(
        self, utxos: Utxo | Iterable[Utxo], outputs: Sequence[tuple[bytes, int]],
        *, change: bytes | None = None, fee: int = 1_000,
    ) -> Transaction:
        """A signed transaction from P2WPKH `utxos` to `outputs` of (script, satoshi).

        With `change`, what is left after `fee` goes there as the last output.
        """
        coins = [utxos] if isinstance(utxos, Utxo) else list(utxos)
        paid = list(outputs)
        if change is not None:
            left = sum(coin.amount for coin in coins) - sum(out[1] for out in outputs) - fee
            paid.append((change, left))
        tx = Transaction(
            2,
            [TransactionInput(coin.txid, coin.index) for coin in coins],
            [TransactionOutput(amount, script.Script(locked)) for locked, amount in paid],
            0,
        )
        for index, coin in enumerate(coins):
            private = self._keys[coin.script]
            code = script.p2pkh_from_p2wpkh(script.Script(coin.script))
            digest = tx.sighash_segwit(index, code, coin.amount, SIGHASH.ALL)
            tx.vin[index].witness = script.witness_p2wpkh(
                private.sign(digest), private.get_public_key()
            )
        return tx

    def _assemble(self, to: bytes, txs: Sequence[Transaction]) -> MinedBlock:
        parent = self._branch[-1]
        height = parent.height + 1
        reward = (SUBSIDY >> height // 150) + self._fees(txs)
        commitment = double_sha256(
            merkle_root([bytes(32), *(double_sha256(tx.serialize()) for tx in txs)])[0] + bytes(32)
        )
        self._salt += 1
        coinbase = Transaction(
            2,
            [TransactionInput(
                bytes(32), 0xFFFFFFFF,
                script.Script(_height_push(height) + b"\x08" + self._salt.to_bytes(8, "little")),
                witness=script.Witness([bytes(32)]),
            )],
            [
                TransactionOutput(reward, script.Script(to)),
                TransactionOutput(0, script.Script(b"\x6a\x24\xaa\x21\xa9\xed" + commitment)),
            ],
            0,
        )
        body = [coinbase, *txs]
        root, _ = merkle_root([tx.txid()[::-1] for tx in body])
        seconds = GENESIS_TIME + BLOCK_SECONDS * height
        header = _solve(parent.hash[::-1], root, seconds)
        raw = header + _compact(len(body)) + b"".join(tx.serialize() for tx in body)
        utxos = tuple(
            Utxo(tx.txid(), index, out.value, bytes(out.script_pubkey.data))
            for tx in body for index, out in enumerate(tx.vout) if out.value
        )
        return MinedBlock(height, double_sha256(header)[::-1], raw, utxos)

    def _fees(self, txs: Sequence[Transaction]) -> int:
        known = {
            (utxo.txid, utxo.index): utxo.amount for block in self._branch for utxo in block.utxos
        }
        fees = 0
        for tx in txs:
            fees += sum(known[bytes(txin.txid), txin.vout] for txin in tx.vin)
            fees -= sum(out.value for out in tx.vout)
            known |= {(tx.txid(), index): out.value for index, out in enumerate(tx.vout)}
        return fees

    def _submit(self, block: MinedBlock) -> None:
        # The library's own constructor copies byte by byte; this one copies at once.
        buffer = (ctypes.c_ubyte * len(block.raw)).from_buffer_copy(block.raw)
        parsed = pbk.Block._from_handle(kernel.btck_block_create(buffer, len(block.raw)))
        before = self.height
        expected = block.hash if block.height > before else self.block_hash(before)
        self._kernel.process_block(parsed)
        newest = self._kernel.get_active_chain().block_tree_entries[-1]
        known = pbk.BlockHash(block.hash[::-1]) in self._kernel.block_tree_entries
        if not known or bytes(newest.block_hash)[::-1] != expected:
            raise AssertionError(f"the kernel refused block {block.height} {block.hash.hex()}")
        self._blocks[block.hash] = block
        self._branch.append(block)


def _solve(parent: bytes, root: bytes, seconds: int) -> bytes:
    limit = 0x7FFFFF << 8 * (0x20 - 3)
    for nonce in range(1 << 32):
        header = struct.pack("<i32s32sIII", 0x20000000, parent, root, seconds, REGTEST_BITS, nonce)
        if int.from_bytes(double_sha256(header), "little") <= limit:
            return header
    raise AssertionError("no nonce solves the block")


def _height_push(height: int) -> bytes:
    if height <= 16:
        return bytes([0x50 + height])
    data = height.to_bytes((height.bit_length() + 8) // 8, "little")
    return bytes([len(data)]) + data


def _compact(value: int) -> bytes:
    if value < 0xFD:
        return bytes([value])
    return b"\xfd" + value.to_bytes(2, "little")
