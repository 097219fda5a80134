"""Netting: one Bitcoin transaction becomes one transfer an entity, change outputs netted away."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from tracker.domain.chain import BlockRef
from tracker.domain.match import Coin, ScannedTx
from tracker.domain.transfer import Label, NetTransfer, Owner, Party

AddressOf = Callable[[bytes], str | None]


def keys_of(txs: Iterable[ScannedTx]) -> set[bytes]:
    """Every script that the transactions pay or, where revealed, spend from."""
    found: set[bytes] = set()
    for tx in txs:
        found.update(out.script for out in tx.outputs)
        found.update(txin.script for txin in tx.inputs if txin.script is not None)
    return found


def net(
    chain: str,
    tx: ScannedTx,
    block: BlockRef,
    *,
    coins: Mapping[bytes, Coin],
    owners: Mapping[bytes, Owner],
    labels: Mapping[bytes, Label],
    address_of: AddressOf,
) -> list[NetTransfer]:
    """One `NetTransfer` for each entity whose coins `tx` moves, ordered by entity id.

    `coins` are the known unspent outputs by outpoint. Amounts in satoshi. An entity that spends
    and receives gets both in gross and their difference in net.
    """
    spent: dict[int, int] = {}
    received: dict[int, int] = {}
    mine: dict[int, dict[int, Owner]] = {}

    def own(script: bytes | None) -> Owner | None:
        return owners.get(script) if script is not None else None

    known_in = 0
    all_known = not tx.coinbase
    for txin in tx.inputs:
        coin = coins.get(txin.outpoint)
        owner = own(coin.script) if coin is not None else None
        if coin is None or owner is None:  # somebody else's, or of a wallet that was removed
            all_known = False
        else:
            known_in += coin.amount
            spent[owner.entity_id] = spent.get(owner.entity_id, 0) + coin.amount
            mine.setdefault(owner.entity_id, {})[owner.wallet_id] = owner
    for out in tx.outputs:
        owner = own(out.script)
        if owner is not None:
            received[owner.entity_id] = received.get(owner.entity_id, 0) + out.amount
            mine.setdefault(owner.entity_id, {})[owner.wallet_id] = owner

    fee = known_in - sum(out.amount for out in tx.outputs) if all_known and len(spent) == 1 else 0
    transfers = []
    for entity_id in sorted(mine):
        gross_in, gross_out = received.get(entity_id, 0), spent.get(entity_id, 0)
        outflow = gross_out > gross_in
        parties = (
            _receivers(tx, entity_id, owners, labels, address_of)
            if outflow or not _foreign_inputs(tx, entity_id, coins, owners)
            else sending_parties(tx, entity_id, coins, owners, labels, address_of)
        )
        transfers.append(
            NetTransfer(
                chain=chain,
                tx=tx.txid,
                asset="BTC",
                height=block.height,
                time=block.time,
                gross_in=gross_in,
                gross_out=gross_out,
                fee=fee if gross_out else 0,
                coinbase=tx.coinbase,
                parties=parties,
                owners=tuple(mine[entity_id][key] for key in sorted(mine[entity_id])),
            )
        )
    return transfers


def _foreign_inputs(
    tx: ScannedTx, entity_id: int, coins: Mapping[bytes, Coin], owners: Mapping[bytes, Owner]
) -> bool:
    if tx.coinbase:
        return True
    for txin in tx.inputs:
        coin = coins.get(txin.outpoint)
        owner = owners.get(coin.script) if coin is not None else None
        if owner is None or owner.entity_id != entity_id:
            return True
    return False


def _holder(script: bytes, entity_id: int, owners: Mapping[bytes, Owner]) -> str | None:
    owner = owners.get(script)
    return owner.entity_slug if owner is not None and owner.entity_id != entity_id else None


def _receivers(
    tx: ScannedTx,
    entity_id: int,
    owners: Mapping[bytes, Owner],
    labels: Mapping[bytes, Label],
    address_of: AddressOf,
) -> tuple[Party, ...]:
    parties = []
    for out in tx.outputs:
        owner = owners.get(out.script)
        if out.amount == 0 or (owner is not None and owner.entity_id == entity_id):
            continue
        parties.append(
            Party(
                key=out.script,
                address=address_of(out.script),
                amount=out.amount,
                index=out.index,
                label=labels.get(out.script),
                holder=_holder(out.script, entity_id, owners),
            )
        )
    return tuple(parties)


def sending_parties(
    tx: ScannedTx,
    entity_id: int,
    coins: Mapping[bytes, Coin],
    owners: Mapping[bytes, Owner],
    labels: Mapping[bytes, Label],
    address_of: AddressOf,
) -> tuple[Party, ...]:
    """One party a sending script, in input order; its amount only if all its coins are known.

    The entity's own scripts are left out. Inputs that hide their script make one party without key.
    """
    if tx.coinbase:
        return ()
    amounts: dict[bytes | None, int | None] = {}
    for txin in tx.inputs:
        coin = coins.get(txin.outpoint)
        script = coin.script if coin is not None else txin.script
        if script is not None and script in owners and owners[script].entity_id == entity_id:
            continue
        before = amounts.get(script, 0)
        amounts[script] = None if coin is None or before is None else before + coin.amount
    return tuple(
        Party(
            key=script,
            address=None if script is None else address_of(script),
            amount=amount,
            label=None if script is None else labels.get(script),
            holder=None if script is None else _holder(script, entity_id, owners),
        )
        for script, amount in amounts.items()
    )
