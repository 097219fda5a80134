"""What a block changes of every watched address's balances. Pure, and fast where nothing matches.

Only what can match is decoded: the 20 bytes of an address first, its amount once it is watched.

Ether changes by the transaction's own value (if it succeeded), its fee (also if it failed), the fee
recipient's part of that fee, withdrawals of the beacon chain, transfers inside transactions, and
before the merge by what miners were issued. The sender pays `gasUsed * effectiveGasPrice` and, for
blobs, `blobGasUsed * blobGasPrice`; the recipient gets what exceeds the burnt base fee (EIP-1559,
EIP-4844). Of these, transfers inside transactions need traces: without `records.traces` they are
not in the result, and a self-destruct whose trace hides its amount never is.

A transfer of no ether is left out, a token's `Transfer` of nothing is not, since its log stands.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator

from tracker.chains.ethereum import traces
from tracker.chains.ethereum.assets import ETHER, AssetTable
from tracker.chains.ethereum.deposits import WEI_PER_GWEI
from tracker.chains.ethereum.logs import EVERYONE, log_moves
from tracker.chains.ethereum.reading import malformed, number, octets
from tracker.chains.ethereum.records import Block, BlockRecords, Log, Receipt, Transaction
from tracker.domain.account import AccountKind, AccountMove
from tracker.errors import ReplyError

# Place of a movement in its transaction: by what made it, then by order.
_VALUE, _INTERNAL, _LOG, _FEE = range(4)


def movements(
    records: BlockRecords, watched: Container[bytes] | None, assets: AssetTable
) -> tuple[AccountMove, ...]:
    """Every change of a watched address's balances, in the block's order; None watches everyone.

    Within a transaction: value, internal transfers, logs by index, fee. After the transactions come
    withdrawals and rewards. Logs are the block's, or the receipts' where the block's are not given
    or not all. Raises `ReplyError` for a field that is not what it should be, and where the receipt
    of a transaction is missing that a watched address sent, received or was paid the fee of. The
    contract that a transaction makes is known from its receipt alone.

    Whether a transaction succeeded is its receipt's status; before Byzantium receipts had none, and
    the trace's top frame tells, or, without traces, success is assumed.
    """
    keys = EVERYONE if watched is None else watched
    block = records.block
    found = _Found(block)
    outcomes = _Outcomes(records)
    _add_transactions(found, block, keys, outcomes)
    for move in log_moves(_logs(records), keys, assets):
        found.add(move, _LOG, int(move.ref.removeprefix("log:")))
    if records.traces:
        _add_internal(found, records, keys, outcomes)
    for move in withdrawal_moves(block, keys):
        found.add(move, _VALUE)
    for move in _rewards(records, keys):
        found.add(move, _VALUE)
    return found.in_order()


def withdrawal_moves(block: Block, watched: Container[bytes] | None) -> Iterator[AccountMove]:
    """What the beacon chain paid to watched addresses in `block`."""
    keys = EVERYONE if watched is None else watched
    for withdrawal in block.withdrawals:
        key = octets(withdrawal.address, 20, f"withdrawal {withdrawal.index}.address")
        if key in keys:
            gwei = number(withdrawal.amount, f"withdrawal {withdrawal.index}.amount")
            index = number(withdrawal.index, "withdrawal index")
            yield AccountMove(
                b"", f"withdrawal:{index}", AccountKind.WITHDRAWAL, key, ETHER, gwei * WEI_PER_GWEI
            )


def effective(moves: Iterable[AccountMove]) -> tuple[AccountMove, ...]:
    """Those of `moves` that change a balance: no zero amounts, nothing that an address paid itself.

    What one address pays and gets of one asset and bucket at one place (`tx` and `ref`) is dropped
    where it sums to nothing.
    """
    listed = [move for move in moves if move.amount]
    sums: dict[tuple[object, ...], int] = {}
    for move in listed:
        place = _place(move)
        sums[place] = sums.get(place, 0) + move.amount
    return tuple(move for move in listed if sums[_place(move)])


def _place(move: AccountMove) -> tuple[object, ...]:
    return move.tx, move.ref, move.kind, move.asset, move.bucket, move.key


class _Found:
    """Movements with their place in the block."""

    def __init__(self, block: Block) -> None:
        self._order = {tx.hash: place for place, tx in enumerate(block.transactions)}
        self._moves: list[tuple[tuple[int, int, int, int], AccountMove]] = []

    def add(self, move: AccountMove, stage: int, number: int = 0) -> None:
        """Note `move`; one without a transaction comes after all of them."""
        place = self._order.get(f"0x{move.tx.hex()}", len(self._order))
        self._moves.append(((place, stage, number, len(self._moves)), move))

    def in_order(self) -> tuple[AccountMove, ...]:
        """The movements by transaction, stage and number, else as they were added."""
        return tuple(move for _, move in sorted(self._moves, key=lambda found: found[0]))


class _Outcomes:
    """What became of each transaction: its receipt, and whether it succeeded."""

    def __init__(self, records: BlockRecords) -> None:
        self._records = records
        self._receipts = {receipt.transaction_hash: receipt for receipt in records.receipts or ()}
        self._failed: frozenset[str] | None = None

    def receipt(self, tx: str) -> Receipt:
        """The transaction's receipt; raises `ReplyError` where it was not given."""
        try:
            return self._receipts[tx]
        except KeyError:
            raise ReplyError(
                "a receipt is missing", field="receipts", value=tx,
                mend="fetch the receipt of every transaction of a watched address",
            ) from None

    def created(self, tx: str) -> bytes | None:
        """The contract that the transaction made, None where it failed or has no receipt."""
        receipt = self._receipts.get(tx)
        if receipt is None or not self.succeeded(tx):
            return None
        return octets(receipt.contract_address, 20, f"receipt {tx}.contractAddress")

    def succeeded(self, tx: str) -> bool:
        """Whether the transaction took effect; see `movements` for those before Byzantium."""
        receipt = self._receipts.get(tx)
        if receipt is not None and receipt.status is not None:
            return number(receipt.status, f"receipt {tx}.status") == 1
        if self._failed is None:
            given = self._records.traces
            self._failed = traces.failed(self._records.block, given) if given else frozenset()
        return tx not in self._failed


def _add_transactions(
    found: _Found, block: Block, keys: Container[bytes], outcomes: _Outcomes
) -> None:
    miner = octets(block.miner, 20, "block.miner")
    mined = miner in keys
    for place, tx in enumerate(block.transactions):
        try:
            sender = bytes.fromhex(tx.from_[2:])
            sent = sender in keys
            to = tx.to
            receiver = outcomes.created(tx.hash) if to is None else bytes.fromhex(to[2:])
            got = receiver is not None and receiver in keys
        except ValueError:
            raise malformed(f"transactions[{place}]", f"{tx.from_} to {tx.to}") from None
        if sent or mined or got:
            receipt = outcomes.receipt(tx.hash)
            key = octets(tx.hash, 32, f"transactions[{place}].hash")
            value = number(tx.value, f"transactions[{place}].value")
            if value and (sent or got) and outcomes.succeeded(tx.hash):
                for move in _pair(key, "tx", AccountKind.VALUE, sender, receiver, value):
                    if move.key in keys:
                        found.add(move, _VALUE)
            if sent or mined:
                for move in _fees(block, tx, receipt, key, sender, miner):
                    if move.key in keys:
                        found.add(move, _FEE)


def _fees(
    block: Block, tx: Transaction, receipt: Receipt, key: bytes, sender: bytes, miner: bytes
) -> Iterator[AccountMove]:
    field = f"receipt {tx.hash}"
    gas = number(receipt.gas_used, f"{field}.gasUsed")
    # Receipts of old nodes lack the price; before London it was the transaction's own.
    price = number(receipt.effective_gas_price or tx.gas_price, f"{field}.effectiveGasPrice")
    base = block.base_fee_per_gas
    burnt = 0 if base is None else number(base, "block.baseFeePerGas")
    paid, earned = gas * price, gas * (price - burnt)
    if earned < 0:
        raise ReplyError(
            "a price below the base fee", field=f"{field}.effectiveGasPrice", value=price,
            mend="fetch the receipts again, or from another source",
        )
    if receipt.blob_gas_used is not None and receipt.blob_gas_price is not None:
        paid += number(receipt.blob_gas_used, f"{field}.blobGasUsed") * number(
            receipt.blob_gas_price, f"{field}.blobGasPrice"
        )
    if paid:
        yield AccountMove(key, "fee", AccountKind.FEE, sender, ETHER, -paid)
    if earned:
        yield AccountMove(key, "fee", AccountKind.FEE_RECIPIENT, miner, ETHER, earned, sender)


def _add_internal(
    found: _Found, records: BlockRecords, keys: Container[bytes], outcomes: _Outcomes
) -> None:
    for order, hop in enumerate(traces.hops(records.block, records.traces or [], keys)):
        if not outcomes.succeeded(hop.tx):
            continue
        key = octets(hop.tx, 32, "trace transactionHash")
        ref = f"trace:{'.'.join(map(str, hop.path))}"
        for move in _pair(key, ref, AccountKind.INTERNAL, hop.sender, hop.receiver, hop.value):
            if move.key in keys:
                found.add(move, _INTERNAL, order)


def _rewards(records: BlockRecords, keys: Container[bytes]) -> Iterator[AccountMove]:
    uncles = 0
    for reward in traces.rewards(records.traces or []):
        ref = f"reward:{reward.kind}"
        if reward.kind == "uncle":
            ref, uncles = f"{ref}:{uncles}", uncles + 1
        if reward.value and reward.author in keys:
            yield AccountMove(
                b"", ref, AccountKind.FEE_RECIPIENT, reward.author, ETHER, reward.value
            )


def _pair(
    tx: bytes, ref: str, kind: AccountKind, sender: bytes, receiver: bytes | None, value: int
) -> Iterator[AccountMove]:
    yield AccountMove(tx, ref, kind, sender, ETHER, -value, receiver)
    if receiver is not None:
        yield AccountMove(tx, ref, kind, receiver, ETHER, value, sender)


def _logs(records: BlockRecords) -> Iterable[Log]:
    ours = [log for receipt in records.receipts or () for log in receipt.logs]
    if not records.logs or not ours:
        return records.logs or ours
    if records.logs_complete:
        return records.logs
    return {log.log_index: log for logs in (ours, records.logs) for log in logs}.values()
