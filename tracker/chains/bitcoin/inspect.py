"""The movements of one recorded block for given addresses, without service or database."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tracker.chains.bitcoin.address import display, script_of
from tracker.chains.bitcoin.block import BlockScan, read_block, scan
from tracker.chains.bitcoin.pow import check_header, check_work
from tracker.domain.match import Coin, Match, ScannedTx, match, outpoint_of
from tracker.errors import AddressError, InputError, TrackerError

NO_SPENT = "coins made in earlier blocks are unknown without --spent"
NO_HEIGHT = "the coinbase states no height (block version 1); give --height"


@dataclass(frozen=True, slots=True)
class Total:
    """What one address received and spent, in satoshi; `spent` None is unknown."""

    address: str
    received: int
    spent: int | None

    @property
    def net(self) -> int | None:
        """Received less spent; None where spent is unknown."""
        return None if self.spent is None else self.received - self.spent


@dataclass(frozen=True, slots=True)
class Inspection:
    """A verified block, its movements on the watched scripts in block order, and their totals."""

    network: str
    height: int | None
    scan: BlockScan
    names: Mapping[bytes, str]
    movements: tuple[Match, ...]
    totals: tuple[Total, ...]

    def as_json(self) -> dict[str, Any]:
        """The shape of the public contract: amounts as strings of signed satoshi."""
        header = self.scan.header
        found: dict[str, Any] = {
            "chain": "bitcoin", "network": self.network, "height": self.height,
            "hash": header.hash.hex(), "time": f"{header.time:%Y-%m-%dT%H:%M:%SZ}",
            "movements": [
                {
                    "address": self.names[move.script], "asset": "BTC", "amount": str(move.amount),
                    "tx": move.txid.hex(), "ref": move.ref, "kind": move.kind,
                }
                for move in self.movements
            ],
            "totals": [_total_json(total) for total in self.totals],
        }
        if self.height is None:
            found["reason"] = NO_HEIGHT
        return found


def watch_scripts(
    addresses: Iterable[tuple[str, str]], network: str
) -> tuple[dict[bytes, str], list[TrackerError]]:
    """Scripts to match, each with its canonical address, and what is wrong with the rest.

    `addresses` are pairs of where an address stands (the field of its error) and the address. The
    same address twice is one. None at all is an error too.
    """
    names: dict[bytes, str] = {}
    errors: list[TrackerError] = []
    for where, address in addresses:
        try:
            script = script_of(address, network)
        except AddressError as error:
            error.field = where
            errors.append(error)
        else:
            names[script] = display(script, network)
    if not names and not errors:
        errors.append(
            InputError(
                "nothing to watch", field="--watch",
                mend="give at least one address with --watch or --watch-file",
            )
        )
    return names, errors


def inspect_block(
    raw: bytes, names: Mapping[bytes, str], *, network: str = "mainnet",
    spent: Sequence[Coin] | None = None, height: int | None = None,
) -> Inspection:
    """The movements of `raw` on the scripts that `names` maps to addresses.

    `spent` are the coins of all the block's inputs in order, the coinbase's left out; without them
    only coins made in the block itself are known as spent. `height` is needed for blocks of version
    1 only. Raises `InvalidBlockError` for a block that does not verify, and `InputError` where
    `spent` is not of this block.
    """
    coins = {} if spent is None else _watched_coins(read_block(raw).txs, spent, names)
    found = scan(raw, names, coins, verify=True)
    at = found.height if found.height is not None else height
    if at is None:
        check_work(found.header, network)
    else:
        found.ref(height)
        check_header(found.header, at, network)
    movements = match(found.txs, names, coins)
    return Inspection(
        network=network, height=at, scan=found, names=names, movements=movements,
        totals=_totals(movements, names, known=spent is not None),
    )


def _watched_coins(
    txs: Sequence[ScannedTx], spent: Sequence[Coin], names: Mapping[bytes, str]
) -> dict[bytes, Coin]:
    """Name each spent coin by the input that spends it, and keep the watched ones.

    Order is all that ties the list to the block, so it is tested: the count, the coins that the
    block itself makes, and that no transaction pays more than it spends.
    """
    inputs = sum(len(tx.inputs) for tx in txs if not tx.coinbase)
    if inputs != len(spent):
        raise InputError(
            "the spent coins are not of this block", field="--spent", value=f"{len(spent)} coins",
            mend=f"the block spends {inputs}; give one row for each input, the coinbase left out",
        )
    made: dict[bytes, Coin] = {}
    coins: dict[bytes, Coin] = {}
    rows = iter(enumerate(spent))
    for tx in txs:
        if not tx.coinbase:
            paid = 0
            for txin in tx.inputs:
                row, coin = next(rows)
                if made.get(txin.outpoint, coin) != coin:
                    raise _other_block(row, tx)
                paid += coin.amount
                if coin.script in names:
                    coins[txin.outpoint] = coin
            if paid < sum(out.amount for out in tx.outputs):
                raise _other_block(row, tx)
        for out in tx.outputs:
            made[outpoint_of(tx.txid, out.index)] = Coin(out.script, out.amount)
    return coins


def _other_block(row: int, tx: ScannedTx) -> InputError:
    return InputError(
        "the spent coins are not of this block, or not in its order", field=f"--spent row {row}",
        value=f"transaction {tx.txid.hex()}", mend="give the list that was recorded with the block",
    )


def _totals(
    movements: Sequence[Match], names: Mapping[bytes, str], *, known: bool
) -> tuple[Total, ...]:
    received = dict.fromkeys(names, 0)
    spent = dict.fromkeys(names, 0)
    for move in movements:
        if move.kind == "input":
            spent[move.script] -= move.amount
        else:
            received[move.script] += move.amount
    return tuple(
        Total(name, received[script], spent[script] if known else None)
        for script, name in names.items()
    )


def _total_json(total: Total) -> dict[str, Any]:
    found: dict[str, Any] = {
        "address": total.address, "asset": "BTC", "received": str(total.received),
        "spent": None if total.spent is None else str(total.spent),
        "net": None if total.net is None else str(total.net),
    }
    if total.spent is None:
        found["reason"] = NO_SPENT
    return found
