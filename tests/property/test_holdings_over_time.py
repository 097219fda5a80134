"""Holdings at any moment, day by day and by cause, against a plain sum over every movement."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal

import pytest

from tests import servers as running
from tests.holdings_world import START, HoldingsWorld, later
from tracker.api.reads.chains import Heads, heads
from tracker.api.reads.entities import show_holdings
from tracker.api.reads.history import show_changes, show_history
from tracker.api.reads.past import moment_of
from tracker.api.schemas.holdings import Holding
from tracker.config import Settings
from tracker.db import Database
from tracker.db.session import Session
from tracker.domain.units import to_base_units
from tracker.embedded.servers import ServerUrls
from tracker.ledger.history.tenures import Moment
from tracker.registry import repository as registry

DAYS = 12
NOW = later(days=DAYS, hours=3)
ASSETS = {"bitcoin": ["BTC"], "ethereum": ["ETH", "WETH", "variableDebtEthWETH"]}
DEBT = "variableDebtEthWETH"


@dataclass
class Fact:
    """One movement as the oracle remembers it."""

    wallet: int
    chain: str
    height: int
    at: datetime
    asset: str
    bucket: str
    amount: int


@dataclass
class Story:
    """A random ledger of many wallets, and everything that went into it."""

    world: HoldingsWorld
    facts: list[Fact]
    opened: dict[int, tuple[str, int, datetime]]
    ended: dict[int, datetime]

    def counted(self, asset: str, at: datetime, chain: str | None = None, height: int = 0) -> int:
        """The plain sum: wallets opened by then and not closed by then, all that moved by then."""
        total = 0
        for fact in self.facts:
            where, opening, opened_at = self.opened[fact.wallet]
            by_height = where == chain
            known = opening <= height if by_height else opened_at <= at
            moved = fact.height <= height if by_height else fact.at <= at
            standing = fact.wallet not in self.ended or self.ended[fact.wallet] > at
            if fact.asset == asset and known and standing and moved:
                total += fact.amount
        return -total if asset == DEBT else total

    def known(self, chain: str, at: datetime) -> bool:
        own = [w for w, (where, _, _) in self.opened.items() if where == chain]
        return all(self.opened[w][2] <= at for w in own if w not in self.ended)


def write(world: HoldingsWorld, rng: random.Random) -> Story:
    story = Story(world, [], {}, {})
    for chain, assets in ASSETS.items():
        heights = 60
        seconds = sorted(rng.sample(range(DAYS * 86_400), heights))
        for height, passed in enumerate(seconds, start=1):
            at = START + timedelta(seconds=passed)
            # A Bitcoin block may be dated two hours before or after its neighbours.
            jitter = timedelta(minutes=rng.randint(-119, 119) if chain == "bitcoin" else 0)
            world.block(chain, height, max(START, at + jitter))
        for _ in range(4):
            opening = rng.randint(1, heights // 2)
            wallet = world.wallet(chain, opening=opening)
            story.opened[wallet] = (chain, opening, world.times[chain, opening])
            # Some blocks were matched before the opening was taken.
            for height in range(max(1, opening - 3), heights + 1):
                moves = []
                for asset in assets:
                    for bucket in ("liquid", "staked"):
                        amount = rng.randint(-10**20, 10**20) if rng.random() < 0.3 else 0
                        cause = "attribution" if height == opening else "movement"
                        if rng.random() < 0.2 and height != opening:
                            cause = "rate"
                        if amount:
                            moves.append(
                                world.move(
                                    wallet, amount, asset=asset, bucket=bucket, cause=cause,
                                    ref=f"log:{wallet}",
                                )
                            )
                            stamp = world.times[chain, height]
                            story.facts.append(
                                Fact(wallet, chain, height, stamp, asset, bucket, amount)
                            )
                world.post(chain, height, moves)
            if rng.random() < 0.5:
                end = story.opened[wallet][2] + timedelta(hours=rng.uniform(1, 24 * DAYS / 2))
                story.ended[wallet] = min(end, NOW)
                world.close(wallet, story.ended[wallet])
    return story


# Once a module: the tests only read.
@pytest.fixture(scope="module", params=[1, 2, 3, 4, 5], ids=lambda seed: f"seed{seed}")
def story(request: pytest.FixtureRequest, servers: ServerUrls) -> Iterator[Story]:
    name = f"holdings_{running.worker_number()}_{request.param}"
    with running.fresh_database(servers, name) as url:
        database = Database(url)
        yield write(HoldingsWorld(database), random.Random(request.param))
        database.dispose()


def shown(story: Story, at: Moment | None) -> dict[str, Holding]:
    with story.world.database.transaction(snapshot=True) as session:
        entity = registry.get_entity(session, "acme")
        found = show_holdings(session, entity, tops(session), at=at)
    return {item.asset: item for item in found.assets}


def tops(session: Session) -> Heads:
    return heads(session, NOW, Settings())


def amount(item: Holding | None) -> int | None:
    """What is counted: in whole, or of those wallets that are known."""
    if item is None:
        return None
    onchain = item.onchain
    if onchain.amount is not None:
        return int(onchain.amount)
    return None if onchain.partial is None else int(onchain.partial.amount)


def test_a_moment_shows_the_sum_of_all_that_moved_by_then(story: Story) -> None:
    rng = random.Random(99)
    for _ in range(25):
        at = START + (NOW - START) * rng.random()
        found = shown(story, Moment(at))
        for chain, assets in ASSETS.items():
            for asset in assets:
                item = found.get(asset)
                assert (amount(item) or 0) == story.counted(asset, at), (asset, at)
                whole = item is not None and item.onchain.amount is not None
                if item is not None:
                    assert whole == story.known(chain, at)


def test_a_height_shows_what_stood_after_that_block_however_blocks_are_dated(story: Story) -> None:
    for chain, assets in ASSETS.items():
        for height in range(1, 61, 1 if chain == "bitcoin" else 7):
            with story.world.database.transaction(snapshot=True) as session:
                moment = moment_of(session, tops(session), chain, height)
            found = shown(story, moment)
            for asset in assets:
                expected = story.counted(asset, moment.at, chain, height)
                assert (amount(found.get(asset)) or 0) == expected, (asset, height)


def test_buckets_add_up_and_debts_are_negative(story: Story) -> None:
    for at in (None, Moment(later(days=DAYS - 1))):
        for item in shown(story, at).values():
            if item.onchain.amount is None:
                continue
            assert item.onchain.owed == (item.asset == DEBT)
            parts = [
                to_base_units(Decimal(part), item.asset)
                for part in (item.onchain.by_bucket or {}).values()
            ]
            assert sum(parts) == int(item.onchain.amount)


def ends(day: date) -> Moment:
    return Moment(datetime.combine(day, time.max, tzinfo=UTC))


def test_the_changes_of_a_period_are_the_difference_of_the_holdings_at_its_ends(
    story: Story,
) -> None:
    for first, last in ((0, DAYS - 1), (1, 4), (3, 3), (5, DAYS - 2)):
        start, end = (START + timedelta(days=first)).date(), (START + timedelta(days=last)).date()
        with story.world.database.transaction(snapshot=True) as session:
            entity = registry.get_entity(session, "acme")
            found = show_changes(session, entity, tops(session), None, start, end, limit=500)
        before, after = shown(story, ends(start - timedelta(days=1))), shown(story, ends(end))
        items: dict[str, int] = {}
        for item in found.items:
            items[item.asset] = items.get(item.asset, 0) + int(item.amount)
        for asset in {name for names in ASSETS.values() for name in names}:
            difference = (amount(after.get(asset)) or 0) - (amount(before.get(asset)) or 0)
            assert items.get(asset, 0) == difference, (asset, start, end)
        for total in found.totals:
            causes = sum(int(value) for value in total.by_cause.values())
            assert int(total.counted_end) - int(total.counted_start) == causes
            assert causes == items.get(total.asset, 0)
            if total.end is not None:
                assert int(total.end) == story.counted(total.asset, ends(end).at)


def test_the_history_is_the_holdings_at_the_end_of_each_day(story: Story) -> None:
    for asset in ("BTC", "ETH", DEBT):
        with story.world.database.transaction(snapshot=True) as session:
            entity = registry.get_entity(session, "acme")
            found = show_history(
                session, entity, tops(session), asset, START.date(), NOW.date()
            )
        chain = "bitcoin" if asset == "BTC" else "ethereum"
        for point in found.items[:-1]:
            at = ends(point.date).at
            if story.known(chain, at) and found.known_from is not None:
                assert int(point.amount or "x") == story.counted(asset, at)
            else:
                assert point.amount is None
                assert point.reason
