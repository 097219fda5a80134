"""Transfers as table rows and back: the form in which counterparties and evidence are stored."""

from __future__ import annotations

from typing import Any

from tracker.db.chain import Transfer
from tracker.domain.transfer import NetTransfer, Party
from tracker.ledger.effects import ClassifiedTransfer

MAX_PARTIES = 50  # a payout may have thousands of outputs
DUE = "due"  # `Transfer.senders`: to be asked for
# An account names itself in all that it sends; only here a block may hide who paid.
BITCOIN = "bitcoin"


def party_json(party: Party) -> dict[str, Any]:
    """A counterparty as the contract shows it, and with the key by which labels are found again."""
    label = party.label
    return {
        "address": party.address,
        "name": label.name if label else party.holder,
        "category": label.category if label else ("holder" if party.holder else None),
        "tier": str(label.tier) if label else None,
        "amount": None if party.amount is None else str(party.amount),
        "key": None if party.key is None else party.key.hex(),
    }


def transfer_row(item: ClassifiedTransfer, block_hash: bytes) -> dict[str, Any]:
    """The columns of `Transfer` for a classified transfer."""
    net, belief = item.transfer, item.belief
    return {
        "id": net.id,
        "chain": net.chain,
        "tx": net.tx,
        "block_hash": block_hash,
        "height": net.height,
        "time": net.time,
        "entity_id": net.owners[0].entity_id,
        "asset": net.asset,
        "gross_in": net.gross_in,
        "gross_out": net.gross_out,
        "fee": net.fee,
        "net": net.net,
        "counterparties": parties_json(net.parties),
        "intent": str(belief.intent),
        "probability": belief.probability,
        "evidence": [piece.as_dict() for piece in belief.evidence],
        "value_usd": item.value_usd,
        "price_as_of": item.price_as_of,
        "canonical": True,
        "senders": DUE if _hides_senders(net) else None,
    }


def parties_json(parties: tuple[Party, ...]) -> list[dict[str, Any]]:
    """The counterparties to store: `MAX_PARTIES` at most."""
    return [party_json(party) for party in _kept(parties)]


def _hides_senders(net: NetTransfer) -> bool:
    """Whether it is an inflow of coins of which the block does not say whose they were."""
    inflow = net.net > 0 and not net.coinbase
    return net.chain == BITCOIN and inflow and any(party.key is None for party in net.parties)


def _kept(parties: tuple[Party, ...]) -> tuple[Party, ...]:
    """At most `MAX_PARTIES`, in order: those that are known, then the largest."""
    if len(parties) <= MAX_PARTIES:
        return parties

    def weight(party: Party) -> tuple[bool, int]:
        return party.label is None and party.holder is None, -(party.amount or 0)

    kept = sorted(range(len(parties)), key=lambda place: weight(parties[place]))[:MAX_PARTIES]
    return tuple(parties[place] for place in sorted(kept))


def keys_in(row: Transfer) -> set[bytes]:
    """The counterparty keys that a stored transfer names."""
    return {bytes.fromhex(party["key"]) for party in row.counterparties if party.get("key")}
