"""Wallets with what each holds, from which block on it is counted, and when it was last probed."""

from __future__ import annotations

from collections.abc import Sequence

from tracker.api.reads.chains import hash_text
from tracker.api.reads.observed import by_bucket, sign_of
from tracker.api.schemas.entities import LastProbe, Opening, WalletBalance, WalletItem
from tracker.db.chain import Balance
from tracker.db.reconciliation import Probe
from tracker.db.registry import Wallet
from tracker.db.session import Session
from tracker.domain.asset import stands_for
from tracker.domain.units import quantity_text
from tracker.ledger.history.tenures import state_of
from tracker.ledger.holdings import repository as ledger
from tracker.reconciliation.asked import repository as reconciliation
from tracker.registry import repository as registry

_REASONS = {
    "bootstrapping": "what it holds is not read from the chain yet",
    "counted_from": "counted from its first scanned block only",
    "closed": "it is no longer believed to be a wallet of this entity",
}


def show_wallets(session: Session, rows: Sequence[Wallet]) -> list[WalletItem]:
    """The wallets in the order given, in a fixed number of queries."""
    owners = {row.entity_id for row in rows}
    entities = registry.entities_by_id(session, owners)
    tenures = {_tenure(row) for row in rows}
    balances: dict[int, list[Balance]] = {}
    for balance in ledger.balances_of_wallets(session, owners, tenures):
        balances.setdefault(balance.wallet_id, []).append(balance)
    probes: dict[int, list[Probe]] = {}
    for probe in reconciliation.newest_probes(session, tenures):
        probes.setdefault(probe.wallet_id, []).append(probe)
    return [
        _item(
            row,
            entities[row.entity_id].slug,
            balances.get(_tenure(row), []),
            probes.get(_tenure(row), []),
        )
        for row in rows
    ]


def _item(
    row: Wallet, slug: str, balances: Sequence[Balance], probes: Sequence[Probe]
) -> WalletItem:
    state = state_of(row)
    told = state in ("open", "counted_from")
    return WalletItem(
        id=row.id or 0,
        entity=slug,
        chain=row.chain,
        address=row.address,
        role=row.role,
        tier=row.tier,
        source=row.source,
        note=row.note,
        owner=row.owner,
        valid_from=row.valid_from,
        valid_to=row.valid_to,
        active_from_height=row.active_from_height,
        opening_known=row.opening_known,
        state=state,
        balances=_balances(balances) if told else None,
        reason=row.opening_note if state == "counted_from" else _REASONS.get(state),
        opening=_opening(row),
        history_from=row.history_from,
        opening_note=row.opening_note,
        descriptor_id=row.descriptor_id,
        branch=row.branch,
        child_index=row.child_index,
        last_probe=_last_probe(row.chain, probes),
        recorded_at=row.recorded_at,
        closed_at=row.closed_at,
    )


def _balances(rows: Sequence[Balance]) -> list[WalletBalance]:
    buckets: dict[str, dict[str, int]] = {}
    heights: dict[str, int] = {}
    for row in rows:
        buckets.setdefault(row.asset, {})[row.bucket] = row.amount
        heights[row.asset] = max(heights.get(row.asset, 0), row.as_of_height)
    return [
        WalletBalance(
            asset=asset,
            amount=str(sign_of(asset) * sum(found.values())),
            quantity=quantity_text(sign_of(asset) * sum(found.values()), asset),
            by_bucket=by_bucket(asset, found),
            owed=stands_for(asset).debt,
            changed_at_height=heights[asset],
        )
        for asset, found in sorted(buckets.items())
    ]


def _opening(row: Wallet) -> Opening | None:
    if not row.opening_known or row.opening_height is None:
        return None
    return Opening(
        height=row.opening_height,
        hash=None if row.opening_hash is None else hash_text(row.chain, row.opening_hash),
        time=row.opening_time,
    )


def _last_probe(chain: str, probes: Sequence[Probe]) -> LastProbe | None:
    if not probes:
        return None
    newest = max(probes, key=lambda probe: (probe.height, probe.asset))
    together = [probe for probe in probes if probe.height == newest.height]
    return LastProbe(
        height=newest.height,
        hash=hash_text(chain, newest.hash),
        agreed=all(probe.agreed for probe in together),
        differed=sorted(probe.asset for probe in together if not probe.agreed),
        probed_at=max(probe.probed_at for probe in together),
        source=newest.source,
    )


def _tenure(row: Wallet) -> int:
    return row.tenure_id or row.id or 0
