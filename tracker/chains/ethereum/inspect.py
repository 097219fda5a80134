"""The movements of one recorded block for given addresses, without service or database."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from tracker.chains.ethereum.address import checksummed, parse
from tracker.chains.ethereum.assets import ETHER, MAINNET, AssetTable
from tracker.chains.ethereum.deposits import DEPOSIT_EVENT, StakeDeposit, stake_deposit
from tracker.chains.ethereum.logs import log_moves
from tracker.chains.ethereum.movements import movements, withdrawal_moves
from tracker.chains.ethereum.reading import number, octets
from tracker.chains.ethereum.records import Block, BlockRecords, Log, Receipt
from tracker.chains.ethereum.same_block import check_logs, check_receipts, check_traces, logs_at
from tracker.chains.ethereum.traces import Traces, silent_destructs
from tracker.domain.account import AccountMove, Bucket
from tracker.errors import AddressError, InputError, TrackerError

NO_TRACES = "transfers inside transactions are unknown without --traces"
NO_BLOCK = "the time, values and withdrawals are unknown without --block"
NO_RECEIPTS = (
    "values and fees are unknown: --receipts gives logs, and only receipts tell what succeeded"
)
NO_ETHER = "a balance of ether is unknown without the block and its receipts"


@dataclass(frozen=True, slots=True)
class Total:
    """What one address received and spent of an asset in a bucket; None is unknown."""

    address: str
    asset: str
    bucket: Bucket
    received: int | None
    spent: int | None

    @property
    def net(self) -> int | None:
        """Received less spent; None where they are unknown."""
        if self.received is None or self.spent is None:
            return None
        return self.received - self.spent


@dataclass(frozen=True, slots=True)
class Inspection:
    """One block's movements on the watched addresses in block order, and their totals.

    `internal` tells whether transfers inside transactions are known. `reasons` say what is unknown
    and why. `nameless` are the block's deposits whose credentials name no address, with their log.
    """

    height: int
    hash: bytes
    time: datetime | None
    movements: tuple[AccountMove, ...]
    totals: tuple[Total, ...]
    internal: bool
    reasons: tuple[str, ...]
    nameless: tuple[tuple[Log, StakeDeposit], ...]

    def as_json(self) -> dict[str, Any]:
        """The shape of the public contract: amounts as strings of signed base units."""
        found: dict[str, Any] = {
            "chain": "ethereum", "network": "mainnet", "height": self.height,
            "hash": f"0x{self.hash.hex()}",
            "time": None if self.time is None else f"{self.time:%Y-%m-%dT%H:%M:%SZ}",
            "internal": "traces" if self.internal else None,
            "movements": [_move_json(move) for move in self.movements],
            "totals": [_total_json(total) for total in self.totals],
        }
        if self.reasons:
            found["reason"] = "; ".join(self.reasons)
        if self.nameless:
            found["deposits_without_address"] = [
                {
                    "tx": log.transaction_hash, "ref": f"log:{number(log.log_index, 'logIndex')}",
                    "pubkey": f"0x{deposit.pubkey.hex()}", "amount": str(deposit.amount),
                    "withdrawal_credentials": f"0x{deposit.credentials.hex()}",
                }
                for log, deposit in self.nameless
            ]
        return found


def watch_keys(
    addresses: Iterable[tuple[str, str]],
) -> tuple[dict[bytes, str], list[TrackerError]]:
    """Keys to match, each with its EIP-55 address, and what is wrong with the rest.

    `addresses` are pairs of where an address stands (the field of its error) and the address. The
    same address twice is one. None at all is an error too.
    """
    names: dict[bytes, str] = {}
    errors: list[TrackerError] = []
    for where, address in addresses:
        try:
            key, text = parse(address.strip())
        except AddressError as error:
            error.field = where
            errors.append(error)
        else:
            names[key] = text
    if not names and not errors:
        errors.append(
            InputError(
                "nothing to watch", field="--watch",
                mend="give at least one address with --watch or --watch-file",
            )
        )
    return names, errors


def inspect_block(
    names: Mapping[bytes, str], *, block: Block | None, receipts: list[Receipt] | None,
    logs: list[Log] | None = None, traces: Traces | None = None, height: int | None = None,
    assets: AssetTable = MAINNET,
) -> Inspection:
    """The movements of a block on the addresses that are the keys of `names`.

    `receipts` are those of all its transactions; without them only `logs` and withdrawals tell, and
    without `block` only `logs`, of which those at `height` are taken. Everything is read, also what
    no watched address touches, so that a broken file is not half believed. Raises `InputError`
    where the files are not of one block, `ReplyError` for what is malformed in them.
    """
    if block is None:
        return _of_logs(names, receipts, logs, height, assets)
    at = number(block.number, "block.number")
    if height is not None and height != at:
        raise InputError(
            "the block has another height", field="--height", value=height,
            mend=f"leave --height out, or give {at}",
        )
    if receipts is not None:
        check_receipts(block, receipts)
    if logs is not None:
        check_logs(block, logs, receipts)
    if traces is not None:
        check_traces(block, traces)
    # The receipts' logs are numbered as the block is; logs beside them only confirm them.
    given = [log for receipt in receipts or () for log in receipt.logs] or logs or []
    reasons = []
    if receipts is None:
        reasons.append(NO_RECEIPTS)
        found = (*log_moves(given, None, assets), *withdrawal_moves(block, None))
    else:
        records = BlockRecords(block, receipts, given)
        if traces is not None:
            records.traces = list(traces)  # type: ignore[assignment]
        found = movements(records, None, assets)
    silent = () if traces is None else silent_destructs(block, traces)
    if traces is None:
        reasons.append(NO_TRACES)
    elif silent:
        reasons.append(
            f"the traces hide what the contracts paid that destroyed themselves in {silent[0]}"
        )
    return _inspection(
        names, found, given, assets, height=at, block_hash=block.hash,
        time=datetime.fromtimestamp(number(block.timestamp, "block.timestamp"), UTC),
        internal=receipts is not None and traces is not None and not silent,
        reasons=reasons, ether=receipts is not None,
    )


def _of_logs(
    names: Mapping[bytes, str], receipts: list[Receipt] | None, logs: list[Log] | None,
    height: int | None, assets: AssetTable,
) -> Inspection:
    """What logs alone tell, of the one block that they or `height` name."""
    if receipts is not None or logs is None:
        raise InputError(
            "no block", field="--block", mend="give the full block that the receipts belong to"
        )
    at, block_hash, chosen = logs_at(logs, height)
    return _inspection(
        names, log_moves(chosen, None, assets), chosen, assets, height=at, block_hash=block_hash,
        time=None, internal=False, reasons=[NO_BLOCK, NO_TRACES], ether=False,
    )


def _inspection(
    names: Mapping[bytes, str], moves: Iterable[AccountMove], logs: Iterable[Log],
    assets: AssetTable, *, height: int, block_hash: str, time: datetime | None, internal: bool,
    reasons: Sequence[str], ether: bool,
) -> Inspection:
    ours = tuple(move for move in moves if move.key in names)
    contract = f"0x{assets.deposit_contract.hex()}"
    deposits = [
        (log, stake_deposit(log)) for log in logs
        if log.address.lower() == contract and log.topics[:1] == [DEPOSIT_EVENT]
    ]
    return Inspection(
        height=height, hash=octets(block_hash, 32, "block.hash"), time=time, movements=ours,
        totals=_totals(ours, names, ether=ether), internal=internal, reasons=tuple(reasons),
        nameless=tuple((log, deposit) for log, deposit in deposits if deposit.owner is None),
    )


def _totals(
    moves: Sequence[AccountMove], names: Mapping[bytes, str], *, ether: bool
) -> tuple[Total, ...]:
    """A total of liquid ether for every address, then one for whatever else it moved."""
    sums: dict[tuple[bytes, str, Bucket], list[int]] = {}
    for move in moves:
        pair = sums.setdefault((move.key, move.asset, move.bucket), [0, 0])
        pair[move.amount < 0] += abs(move.amount)
    totals = []
    for key, name in names.items():
        liquid = sums.pop((key, ETHER, Bucket.LIQUID), [0, 0])
        received, spent = liquid if ether else (None, None)
        totals.append(Total(name, ETHER, Bucket.LIQUID, received, spent))
        totals += [
            Total(name, asset, bucket, *pair)
            for (owner, asset, bucket), pair in sums.items() if owner == key
        ]
    return tuple(totals)


def _move_json(move: AccountMove) -> dict[str, Any]:
    return {
        "address": checksummed(move.key), "asset": move.asset, "amount": str(move.amount),
        "tx": f"0x{move.tx.hex()}" if move.tx else None, "ref": move.ref, "kind": move.kind,
        "bucket": move.bucket,
        "counterparty": None if move.other is None else checksummed(move.other),
    }


def _total_json(total: Total) -> dict[str, Any]:
    found: dict[str, Any] = {
        "address": total.address, "asset": total.asset, "bucket": total.bucket,
        "received": None if total.received is None else str(total.received),
        "spent": None if total.spent is None else str(total.spent),
        "net": None if total.net is None else str(total.net),
    }
    if total.net is None:
        found["reason"] = NO_ETHER
    return found
