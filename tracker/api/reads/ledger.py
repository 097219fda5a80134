"""What the ledger counts for one entity, now or at an earlier time, and its transfers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time

from tracker.api.paging import Page, encode_moment
from tracker.api.reads.chains import Heads, explorer_url
from tracker.api.reads.holdings import Observed, observed_assets
from tracker.api.reads.ids import stored_id
from tracker.api.schemas.holdings import Counterparty, TransferItem
from tracker.db.chain import Balance, Movement, Transfer
from tracker.db.facts import Disclosure
from tracker.db.registry import Entity, Wallet
from tracker.db.session import Session
from tracker.domain.units import quantity_text
from tracker.ledger.holdings import repository as ledger

# How many movements are undone at most to tell an earlier balance.
_REACH = 20_000


@dataclass(frozen=True, slots=True)
class Count:
    """The ledger of one entity: balances now, and the movements that lead back from them."""

    wallets: Sequence[Wallet]
    balances: Sequence[Balance]
    movements: Sequence[Movement]

    @classmethod
    def of(cls, session: Session, entity_id: int, wallets: Sequence[Wallet]) -> Count:
        """Read it; movements of wallets that are no longer the entity's are left out."""
        if not wallets:
            return cls((), (), ())
        own = {(wallet.chain, wallet.key) for wallet in wallets}
        moved = ledger.movements_of(session, entity_id, limit=_REACH)
        return cls(
            wallets,
            ledger.balances_of(session, entity_id),
            [movement for movement in moved if (movement.chain, movement.key) in own],
        )

    def now(self) -> dict[str, Observed]:
        """What stands at the newest block, by asset."""
        return observed_assets(self.wallets, self._sums())

    def at(self, moment: datetime) -> dict[str, Observed]:
        """What stood at `moment`, by asset: what moved later is taken back."""
        sums = self._sums()
        newest: dict[str, Movement] = {}
        for movement in self.movements:  # newest first
            if movement.time > moment:
                amount, changed_at = sums.get(movement.asset, (0, None))
                sums[movement.asset] = (amount - movement.amount, changed_at)
            else:
                newest.setdefault(movement.asset, movement)
        found = observed_assets(self.wallets, sums)
        for asset, seen in found.items():
            last = newest.get(asset)
            if last is not None:
                block = (last.height, last.block_hash)
                found[asset] = replace(seen, changed_at=last.height, stood_in=block)
            elif len(self.movements) >= _REACH:
                why = f"more than {_REACH} movements lie between then and now"
                found[asset] = replace(seen, unobservable=why)
            else:
                why = "the wallets were not watched yet at that time"
                found[asset] = replace(seen, unobservable=why)
        return found

    def then(self, disclosed: dict[str, Disclosure]) -> dict[str, int]:
        """By asset, the base units that stood at the end of the day of its disclosure."""
        found: dict[str, int] = {}
        for asset, disclosure in disclosed.items():
            seen = self.at(datetime.combine(disclosure.as_of, time.max, tzinfo=UTC)).get(asset)
            if seen is not None and seen.unobservable is None and seen.opening_known:
                found[asset] = seen.amount or 0
        return found

    def _sums(self) -> dict[str, tuple[int, int | None]]:
        sums: dict[str, tuple[int, int | None]] = {}
        for balance in self.balances:
            amount, changed = sums.get(balance.asset, (0, None))
            newest = balance.as_of_height if changed is None else max(changed, balance.as_of_height)
            sums[balance.asset] = (amount + balance.amount, newest)
        return sums


def transfers(
    session: Session,
    entity: Entity,
    heads: Heads,
    *,
    network: str,
    before: tuple[datetime, str] | None,
    limit: int,
) -> Page[TransferItem]:
    """A page of an entity's canonical transfers, newest first."""
    rows = ledger.transfers_of(session, stored_id(entity), before=before, limit=limit + 1)
    shown = rows[:limit]
    return Page(
        items=[_item(row, heads, network) for row in shown],
        next=encode_moment(shown[-1].time, shown[-1].id) if len(rows) > limit else None,
    )


def _item(row: Transfer, heads: Heads, network: str) -> TransferItem:
    tx = row.tx.hex() if row.chain == "bitcoin" else f"0x{row.tx.hex()}"
    return TransferItem(
        id=row.id,
        chain=row.chain,
        tx=tx,
        height=row.height,
        hash=row.block_hash.hex(),
        time=row.time,
        finality=heads.finality_at(row.chain, row.height),
        asset=row.asset,
        gross_in=str(row.gross_in),
        gross_out=str(row.gross_out),
        fee=str(row.fee),
        net=str(row.net),
        quantity=quantity_text(row.net, row.asset),
        counterparties=[
            Counterparty(**{name: party.get(name) for name in Counterparty.model_fields})
            for party in row.counterparties
        ],
        intent=row.intent,
        probability=format(row.probability, "f"),
        evidence=row.evidence,
        value_usd=None if row.value_usd is None else format(row.value_usd, "f"),
        value_reason="no price of that time is known" if row.value_usd is None else None,
        explorer_url=explorer_url(row.chain, network, tx),
    )
