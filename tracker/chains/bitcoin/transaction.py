"""One raw transaction outside its block, checked against the id that it was asked by.

Serialisation: Bitcoin Core, primitives/transaction.h, and BIP 144. The id is the hash of the bytes
without marker, flag and witness, so it vouches for every amount and script of the outputs.
"""

from __future__ import annotations

from dataclasses import dataclass

from tracker.chains.bitcoin.block import MAX_BLOCK_BYTES, MAX_MONEY, NULL_OUTPOINT
from tracker.chains.bitcoin.header import double_sha256
from tracker.domain.match import Coin
from tracker.errors import ReplyError

# Bytes that a merkle tree hashes for an inner node: a transaction of this size could be one.
_NODE_BYTES = 64


@dataclass(frozen=True, slots=True)
class Transaction:
    """A transaction's id (display order), the outpoints it spends, and what it pays, in order."""

    txid: bytes
    spends: tuple[bytes, ...]
    outputs: tuple[Coin, ...]

    @property
    def coinbase(self) -> bool:
        """Whether it is the first of its block, which makes coins instead of spending them."""
        return self.spends == (NULL_OUTPOINT,)


class WireReader:
    """Bytes in Bitcoin's wire format, read from the front; `ValueError` past their end."""

    def __init__(self, raw: bytes) -> None:
        self.raw = raw
        self.pos = 0

    def take(self, size: int) -> bytes:
        """The next `size` bytes."""
        end = self.pos + size
        if end > len(self.raw):
            raise ValueError(f"it ends {end - len(self.raw)} bytes too soon")
        data = self.raw[self.pos : end]
        self.pos = end
        return data

    def compact(self) -> int:
        """A compact size; `ValueError` for a longer form than the value needs."""
        first = self.take(1)[0]
        if first < 0xFD:
            return first
        width = 1 << first - 0xFC
        value = int.from_bytes(self.take(width), "little")
        if value < (0xFD if width == 2 else 1 << 4 * width):
            raise ValueError("a size in a longer form than it needs")
        return value

    def coin(self) -> Coin:
        """An output: amount and script; `ValueError` for more than 21 million BTC."""
        amount = int.from_bytes(self.take(8), "little")
        if amount > MAX_MONEY:
            raise ValueError("an output above 21 million BTC")
        return Coin(self.take(self.compact()), amount)

    @property
    def ended(self) -> bool:
        """Whether all bytes were read."""
        return self.pos == len(self.raw)


def parse_transaction(raw: bytes) -> Transaction:
    """Take `raw` apart; raises `ValueError`, saying why, where it is not just one transaction."""
    if len(raw) > MAX_BLOCK_BYTES:
        raise ValueError("it is larger than a block may be")
    reader = WireReader(raw)
    version = reader.take(4)
    segwit = raw[4:6] == b"\x00\x01"
    if segwit:
        reader.take(2)
    body = reader.pos
    spends: list[bytes] = []
    for _ in range(reader.compact()):
        spends.append(reader.take(36))
        reader.take(reader.compact() + 4)
    outputs = tuple(reader.coin() for _ in range(reader.compact()))
    if not spends or not outputs:
        raise ValueError("a transaction without inputs or outputs")
    end = reader.pos
    if segwit:
        for _ in spends:
            for _ in range(reader.compact()):
                reader.take(reader.compact())
    base = version + raw[body:end] + reader.take(4)
    if not reader.ended:
        raise ValueError("bytes after its end")
    if len(base) == _NODE_BYTES:
        raise ValueError("it has the size of two hashes, which a merkle proof cannot tell apart")
    return Transaction(double_sha256(base)[::-1], tuple(spends), outputs)


def transaction_reply(raw: bytes, txid: bytes, source: str) -> Transaction:
    """`raw`, once it is known to be the transaction `txid`; raises `ReplyError` for another."""
    try:
        found = parse_transaction(raw)
    except ValueError as error:
        raise ReplyError(
            f"{source} sent no transaction: {error}", field="transaction", value=txid.hex(),
            mend="take it from another source",
        ) from None
    if found.txid != txid:
        raise ReplyError(
            f"{source} sent another transaction than {txid.hex()}", field="transaction",
            value=found.txid.hex(), mend="take it from another source",
        )
    return found
