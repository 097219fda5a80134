"""Judge a stored transfer anew, with the labels that are known now."""

from __future__ import annotations

from dataclasses import dataclass

from sqlmodel import Session

from tracker.db.chain import Transfer
from tracker.domain.intent import Classification, classify
from tracker.domain.transfer import NetTransfer, Party
from tracker.ledger.holdings import repository as holdings
from tracker.ledger.rows import keys_in, party_json
from tracker.registry import repository as registry
from tracker.registry.owners import owners_for


@dataclass(frozen=True, slots=True)
class Reclassified:
    """A transfer and what it is believed to be now; `belief` None where its wallets are gone."""

    row: Transfer
    belief: Classification | None


def reclassify(session: Session, transfer_id: str) -> Reclassified | None:
    """Classify again and store the result; None where there is no such transfer."""
    row = holdings.transfer_by_id(session, transfer_id)
    if row is None:
        return None
    owners = tuple(
        owner
        for owner in owners_for(session, row.chain, holdings.keys_moved(session, row)).values()
        if owner.entity_id == row.entity_id
    )
    if not owners:
        return Reclassified(row, None)
    keys = keys_in(row)
    holders = registry.holders_for(session, row.chain, keys)
    labels = registry.labels_for(session, row.chain, keys - holders.keys())
    parties = []
    others = []
    for stored in row.counterparties:
        key = bytes.fromhex(stored["key"]) if stored.get("key") else None
        holder = holders.get(key) if key is not None else None
        party = Party(
            key=key,
            address=stored["address"],
            amount=None if stored["amount"] is None else int(stored["amount"]),
            label=labels.get(key) if key is not None else None,
            holder=None if holder is None else holder.entity_slug,
        )
        parties.append(party)
        if holder is None or holder.entity_id != row.entity_id:
            others.append(party)  # an address that was adopted since is no other side
    belief = classify(
        NetTransfer(
            chain=row.chain,
            tx=row.tx,
            asset=row.asset,
            height=row.height,
            time=row.time,
            gross_in=row.gross_in,
            gross_out=row.gross_out,
            fee=row.fee,
            coinbase=row.intent == "mining",
            parties=tuple(others),
            owners=owners,
        )
    )
    row.intent = str(belief.intent)
    row.probability = belief.probability
    row.evidence = [item.as_dict() for item in belief.evidence]
    row.counterparties = [party_json(party) for party in parties]
    session.add(row)
    session.flush()
    return Reclassified(row, belief)
