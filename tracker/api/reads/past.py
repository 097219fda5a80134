"""What the ledger counted for one entity at an earlier moment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time

from tracker.api.reads.chains import COIN, Heads, chain_of
from tracker.api.reads.observed import Observed, counting_at, observed_then
from tracker.db.facts import Disclosure
from tracker.db.registry import Wallet
from tracker.db.session import Session
from tracker.domain.asset import coin_of, stands_for
from tracker.domain.units import rescaled
from tracker.errors import InputError
from tracker.ledger import repository as blocks
from tracker.ledger.history import repository as history
from tracker.ledger.history.repository import Sums
from tracker.ledger.history.tenures import Moment, Tenure, tenures, without_opening
from tracker.registry import repository as registry


@dataclass(frozen=True, slots=True)
class Then:
    """The coins of one disclosure's day: base units, what was added up, what could not be."""

    amount: int | None
    assets: tuple[str, ...] = ()
    leaves_out: tuple[str, ...] = ()
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Past:
    """The tenures of one entity, to be asked for earlier moments."""

    session: Session
    entity_id: int
    tenures: Sequence[Tenure]
    today: date
    places: Sequence[tuple[str, str]]
    # What some tenures held at the end of a day: the next sum may start from there.
    _ends: dict[tuple[int, ...], tuple[date, Sums]] = field(default_factory=dict)

    @classmethod
    def of(
        cls, session: Session, entity_id: int, wallets: Sequence[Wallet], now: datetime
    ) -> Past:
        """From rows of the entity's wallets, the closed ones too where they are to count."""
        found = tenures(wallets, history.first_times(session, without_opening(wallets)))
        places = history.places_of(session, entity_id) if found else []
        return cls(session, entity_id, found, now.astimezone(UTC).date(), places)

    def at(self, moment: Moment) -> dict[str, Observed]:
        """What stood at `moment`, by asset."""
        counted = [tenure for tenure in self.tenures if tenure.counts_at(moment)]
        sums: Sums = {}
        for chain in COIN:
            sums |= self._sums([each for each in counted if each.chain == chain], moment)
        changes = history.newest_changes(
            self.session, counted, moment, places=self.places
        )
        if moment.chain is not None and moment.height is not None and moment.block_hash is not None:
            asked = (moment.height, moment.block_hash)
            changes = {
                asset: asked if chain_of(asset) == moment.chain else change
                for asset, change in changes.items()
            }
        return observed_then(
            counting_at(self.tenures, moment),
            sums,
            {**_openings(counted, moment), **changes},
        )

    def then(self, disclosed: Mapping[str, Disclosure], moment: Moment) -> dict[str, Then]:
        """By coin, what the wallets of `moment` held at the end of its disclosure's day."""
        own = [t for t in self.tenures if t.closed_at is None or t.closed_at > moment.at]
        found: dict[str, Then] = {}
        for coin, disclosure in disclosed.items():
            if coin not in COIN.values() or not any(t.chain == chain_of(coin) for t in own):
                continue
            end = datetime.combine(disclosure.as_of, time.max, tzinfo=UTC)
            found[coin] = self._coins(coin, own, Moment(min(end, moment.at)))
        return found

    def _coins(self, coin: str, own: Sequence[Tenure], moment: Moment) -> Then:
        here = [tenure for tenure in own if tenure.chain == chain_of(coin)]
        late = [tenure for tenure in here if not tenure.known_at(moment) or not tenure.exact]
        if late:
            return Then(None, reason=_unknown(late, len(here)))
        known = [tenure for tenure in own if tenure.known_at(moment) and tenure.exact]
        total, added, left = 0, {coin}, set()
        for chain in COIN:
            sums = self._sums([each for each in known if each.chain == chain], moment)
            for (asset, _), amount in sums.items():
                stands = stands_for(asset)
                if stands.coin != coin or stands.debt or not amount:
                    continue
                if coin_of(asset) == coin:
                    total += rescaled(amount, asset, coin)
                    added.add(asset)
                else:
                    left.add(asset)
        return Then(total, tuple(sorted(added)), tuple(sorted(left)))

    def _sums(self, counted: Sequence[Tenure], moment: Moment) -> Sums:
        ids = tuple(tenure.id for tenure in counted)
        found = history.standing(
            self.session,
            self.entity_id,
            counted,
            moment,
            today=self.today,
            places=[place for place in self.places if _lives_on(place[0], counted)],
            base=self._ends.get(ids),
        )
        at = moment.at.astimezone(UTC)
        if at.time() == time.max and moment.height is None:
            self._ends[ids] = (at.date(), found)
        return found


def _lives_on(asset: str, counted: Sequence[Tenure]) -> bool:
    return bool(counted) and chain_of(asset) == counted[0].chain


def moment_of(
    session: Session, heads: Heads, chain: str, height: int, entity_id: int | None = None
) -> Moment:
    """The state after a block: one that was scanned, or one of an entity's backfilled past.

    Of the latter only blocks that moved something are kept, so the time is that of the newest one
    up to `height`. Raises `InputError` for any other, naming what was scanned.
    """
    block = blocks.blocks_at(session, chain, [height]).get(height)
    if block is not None:
        return Moment(block.time, chain, height, block.hash)
    scanned = history.block_range(session, chain)
    if entity_id is not None and scanned is not None and height < scanned[0]:
        since = _last_change(session, entity_id, chain, height)
        if since is not None:
            return Moment(since, chain, height)
    mend = (
        heads.missing(chain)
        if scanned is None
        else f"give a height from {scanned[0]} to {scanned[1]}, or a time"
    )
    raise InputError(
        f"this block of {chain} was not scanned", field="at", value=height, mend=mend
    )


def _last_change(session: Session, entity_id: int, chain: str, height: int) -> datetime | None:
    """The time of an entity's newest movement or opening up to a height; None where none is."""
    wallets = [
        row
        for row in registry.wallets_of(session, entity_id, include_closed=True)
        if row.chain == chain
    ]
    found = [
        (row.opening_height, row.opening_time)
        for row in wallets
        if row.opening_height is not None and row.opening_height <= height and row.opening_time
    ]
    assets = {asset for asset, _ in history.places_of(session, entity_id)}
    moved = history.newest_at(
        session, {row.tenure_id or row.id or 0 for row in wallets}, assets, height
    )
    if moved is not None:
        found.append(moved)
    return max(found)[1] if found else None


def _openings(counted: Sequence[Tenure], moment: Moment) -> dict[str, tuple[int, bytes]]:
    """By the chains' own coins, the newest opening: the block of a balance that never moved."""
    found: dict[str, tuple[int, bytes]] = {}
    for tenure in counted:
        if tenure.height is None or tenure.block_hash is None:
            continue
        coin = COIN[tenure.chain]
        if coin not in found or found[coin][0] < tenure.height:
            found[coin] = (tenure.height, tenure.block_hash)
    if moment.chain is not None and moment.height is not None and moment.block_hash is not None:
        coin = COIN[moment.chain]
        if coin in found:
            found[coin] = (moment.height, moment.block_hash)
    return found


def _unknown(late: Sequence[Tenure], total: int) -> str:
    which = "its wallets" if len(late) == total else f"{len(late)} of {total} wallets"
    if any(tenure.since is None for tenure in late):
        return f"what {which} hold is not known yet"
    if any(not tenure.exact for tenure in late):
        return f"what {which} held before they were watched is not known"
    since = max(tenure.since for tenure in late if tenure.since is not None)
    return (
        f"the ledger does not reach back to the disclosure's date: {which} known from "
        f"{since:%Y-%m-%d} on"
    )
