"""Netting on an account chain: the movements of one transaction become its transfers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import groupby

from tracker.domain.account import AccountKind, AccountMove
from tracker.domain.chain import BlockRef
from tracker.domain.transfer import Label, NetTransfer, Owner, Party

_FEES = (AccountKind.FEE, AccountKind.FEE_RECIPIENT)
AddressOf = Callable[[bytes], str | None]


def sides_of(moves: Iterable[AccountMove]) -> set[bytes]:
    """Every address that the movements touch, on either side."""
    found: set[bytes] = set()
    for move in moves:
        found.add(move.key)
        if move.other is not None:
            found.add(move.other)
    return found


def net_accounts(
    chain: str,
    block: BlockRef,
    moves: Iterable[AccountMove],
    *,
    owners: Mapping[bytes, Owner],
    labels: Mapping[bytes, Label],
    address_of: AddressOf,
) -> list[NetTransfer]:
    """The transfers that `moves`, of one block and in its order, make for the `owners`.

    Amounts in base units. What has no transaction (withdrawals, probes) is no transfer, nor is a
    fee alone. A deposit to validators counts as the payment to the contract, once.
    """
    counted = [
        move
        for move in moves
        if move.tx and move.kind is not AccountKind.STAKE_DEPOSIT and move.key in owners
    ]
    order = {tx: place for place, tx in enumerate(dict.fromkeys(move.tx for move in counted))}

    def place(move: AccountMove) -> tuple[int, int, str]:
        return order[move.tx], owners[move.key].entity_id, move.asset

    found = []
    for _, group in groupby(sorted(counted, key=place), key=place):
        transfer = _net(chain, block, list(group), owners, labels, address_of)
        if transfer is not None:
            found.append(transfer)
    return found


def _net(
    chain: str,
    block: BlockRef,
    moves: list[AccountMove],
    owners: Mapping[bytes, Owner],
    labels: Mapping[bytes, Label],
    address_of: AddressOf,
) -> NetTransfer | None:
    entity_id = owners[moves[0].key].entity_id
    if all(move.kind in _FEES or move.amount == 0 for move in moves):
        return None
    fee = -sum(move.amount for move in moves if move.kind is AccountKind.FEE)
    gross_in = sum(move.amount for move in moves if move.amount > 0)
    gross_out = -sum(move.amount for move in moves if move.amount < 0)
    outflow = gross_out - fee > gross_in
    sides: dict[bytes, int] = {}
    for move in moves:
        if move.other is None or move.kind in _FEES:
            continue
        if move.other in owners and owners[move.other].entity_id == entity_id:
            continue
        if (move.amount < 0) is outflow and move.amount:
            sides[move.other] = sides.get(move.other, 0) + abs(move.amount)
    parties = tuple(
        Party(
            key=key,
            address=address_of(key),
            amount=amount,
            label=labels.get(key),
            holder=owners[key].entity_slug if key in owners else None,
        )
        for key, amount in sides.items()
    )
    mine_here = {owners[move.key].wallet_id: owners[move.key] for move in moves}
    return NetTransfer(
        chain=chain,
        tx=moves[0].tx,
        asset=moves[0].asset,
        height=block.height,
        time=block.time,
        gross_in=gross_in,
        gross_out=gross_out,
        fee=fee,
        coinbase=False,
        parties=parties,
        owners=tuple(mine_here[key] for key in sorted(mine_here)),
    )
