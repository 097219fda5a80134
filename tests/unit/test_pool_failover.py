"""The pool over real servers: slow, broken, foreign, stale, limited ones, and tips that flap."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from tests.block_servers import BlockServer, esplora, serve
from tests.regtest import RegtestChain
from tracker.chains.bitcoin.sources import open_source
from tracker.chains.head import RIVAL_SECONDS
from tracker.chains.health import RECOVERY_SECONDS
from tracker.chains.limits import UNLIMITED, Rate
from tracker.chains.pool import LOOK_SECONDS, PROVE_LOOK_SECONDS, Agreement, BitcoinPool
from tracker.config import Settings
from tracker.domain.chain import BlockRef, Tip
from tracker.errors import ConfigError, InvalidBlockError, NotFoundError, SourceUnavailableError

START = datetime(2026, 1, 1, tzinfo=UTC)
SETTINGS = Settings(bitcoin_network="regtest", http_timeout_seconds=0.3)
MAINNET_GENESIS = "000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f"
OURS, OTHER = b"\x11" * 32, b"\x22" * 32


@dataclass
class Clock:
    now: datetime = field(default=START)
    slept: list[float] = field(default_factory=list)

    def __call__(self) -> datetime:
        return self.now

    def timer(self) -> float:
        return (self.now - START).total_seconds()

    def forward(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.forward(seconds)


@dataclass
class World:
    """Servers over one chain of five blocks, the pool over them, and its clock."""

    chain: RegtestChain
    servers: list[BlockServer]
    pool: BitcoinPool
    clock: Clock

    def shows(self, index: int, height: int, block_hash: bytes) -> None:
        """Let a server's tip be this one."""
        canned = self.servers[index].canned
        canned["/blocks/tip/height"] = (200, {}, str(height).encode())
        canned[f"/block-height/{height}"] = (200, {}, block_hash.hex().encode())

    def lacks(self, index: int, height: int) -> None:
        self.servers[index].canned[f"/block-height/{height}"] = (404, {}, b"Block not found")

    def states(self) -> list[str]:
        return [state.state for state in self.pool.states()]

    def asked(self, index: int) -> int:
        return len(self.servers[index].asked)


@pytest.fixture(scope="module")
def chain() -> RegtestChain:
    made = RegtestChain(mature=False)
    made.mine(5)
    return made


Open = Callable[..., World]


@contextmanager
def _opened(chain: RegtestChain) -> Iterator[Open]:
    with ExitStack() as stack:

        def open_world(
            sources: int = 2, *, rate: Callable[[str], Rate] = lambda _: UNLIMITED
        ) -> World:
            servers = [stack.enter_context(serve(chain, esplora)) for _ in range(sources)]
            clock = Clock()
            pool = BitcoinPool(
                [open_source(f"esplora+{server.url}", SETTINGS) for server in servers],
                network="regtest", now=clock, timer=clock.timer, sleep=clock.sleep, rate=rate,
            )
            return World(chain, servers, pool, clock)

        yield open_world


@pytest.fixture
def world(chain: RegtestChain) -> Iterator[Open]:
    with _opened(chain) as opener:
        yield opener


# -- failing ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("retry_after", "low", "high"),
    [
        ({}, 5, 5),
        ({"Retry-After": "soon"}, 5, 5),
        ({"Retry-After": "45"}, 45, 45),
        ({"Retry-After": "999999"}, 3600, 3600),
        ({"Retry-After": "date"}, 100, 120),
    ],
    ids=["unsaid", "nonsense", "seconds", "too long", "date"],
)
def test_one_that_asks_to_slow_down_is_paused_and_the_next_answers(
    world: Open, retry_after: dict[str, str], low: float, high: float
) -> None:
    if retry_after.get("Retry-After") == "date":
        soon = datetime.now(UTC) + timedelta(seconds=120)
        retry_after = {"Retry-After": format_datetime(soon, usegmt=True)}
    here = world()
    here.servers[0].canned["/blocks/tip/height"] = (429, retry_after, b"")
    assert here.pool.tip().height == 5
    assert here.states() == ["paused", "ok"]
    next_try = here.pool.states()[0].next_try
    assert next_try is not None
    assert low <= (next_try - here.clock.now).total_seconds() <= high


def test_half_a_reply_and_a_web_page_cost_their_source_its_turn(world: Open) -> None:
    here = world(3)
    here.servers[0].canned["/blocks/tip/height"] = (200, {"Content-Length": "50"}, b"5")
    here.servers[1].canned["/blocks/tip/height"] = (200, {}, b"<html>please wait</html>")
    assert here.pool.tip() == Tip(5, here.chain.tip.hash)
    assert here.states() == ["unreachable", "lying", "ok"]


def test_a_silent_source_is_left_after_the_timeout(chain: RegtestChain, world: Open) -> None:
    here = world(1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        pool = BitcoinPool(
            [open_source(f"esplora+{u}", SETTINGS) for u in (url, here.servers[0].url)],
            network="regtest", now=here.clock,
        )
        assert pool.tip().hash == chain.tip.hash
    assert pool.states()[0].state == "unreachable"
    assert "took longer than 0.3 seconds" in str(pool.states()[0].last_error)


def test_when_all_are_down_each_is_quoted_with_its_next_try(world: Open) -> None:
    here = world()
    here.servers[0].canned["/blocks/tip/height"] = (429, {"Retry-After": "30"}, b"")
    here.servers[1].canned["/blocks/tip/height"] = (503, {}, b"")
    with pytest.raises(SourceUnavailableError) as caught:
        here.pool.tip()
    assert caught.value.retry_after == 5
    text = caught.value.message
    assert f"{here.servers[0].url} (paused, next try 2026-01-01 00:00:30Z)" in text
    assert f"{here.servers[1].url} (unreachable, next try 2026-01-01 00:00:05Z)" in text
    assert "asks to slow down" in text
    assert "is out of order" in text


def test_one_that_came_back_has_to_prove_itself_before_it_is_preferred(world: Open) -> None:
    here = world()
    here.servers[0].canned["/blocks/tip/height"] = (503, {}, b"")
    here.pool.tip()
    del here.servers[0].canned["/blocks/tip/height"]
    here.clock.forward(5)
    here.pool.tip()
    assert here.states() == ["ok", "ok"]
    waited = 0.0
    while here.pool.ask(lambda source: source.name) == here.pool.states()[1].name:
        here.clock.forward(PROVE_LOOK_SECONDS)
        waited += PROVE_LOOK_SECONDS
        here.pool.tip()
    assert waited == RECOVERY_SECONDS
    assert here.pool.ask(lambda source: source.name) == here.pool.states()[0].name


def test_an_error_that_is_no_matter_of_the_source_goes_through_and_ends_the_trial(
    world: Open,
) -> None:
    here = world(1)
    here.servers[0].canned["/blocks/tip/height"] = (503, {}, b"")
    with pytest.raises(SourceUnavailableError):
        here.pool.tip()
    here.clock.forward(5)

    def wrong(_: object) -> int:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        here.pool.ask(wrong)
    del here.servers[0].canned["/blocks/tip/height"]
    assert here.pool.tip().height == 5


# -- another chain ---------------------------------------------------------------------------------


def test_one_of_another_chain_is_asked_for_its_first_block_and_nothing_else(world: Open) -> None:
    here = world()
    here.servers[0].canned["/block-height/0"] = (200, {}, MAINNET_GENESIS.encode())
    for _ in range(20):
        assert here.pool.tip().hash == here.chain.tip.hash
        here.pool.block(here.chain.tip.hash)
        here.clock.forward(300)
    assert here.states() == ["lying", "ok"]
    assert "wrong chain" in str(here.pool.states()[0].last_error)
    assert set(here.servers[0].asked) == {"/block-height/0"}


def test_what_comes_back_after_an_outage_is_looked_at_anew(world: Open) -> None:
    here = world()
    here.pool.tip()
    here.servers[0].canned["/blocks/tip/height"] = (503, {}, b"")
    here.pool.tip()
    del here.servers[0].canned["/blocks/tip/height"]
    here.servers[0].canned["/block-height/0"] = (200, {}, MAINNET_GENESIS.encode())
    here.clock.forward(5)
    asked = here.asked(0)
    here.pool.tip()
    assert here.states() == ["lying", "ok"]
    assert here.servers[0].asked[asked:] == ["/block-height/0"]


# -- lag -------------------------------------------------------------------------------------------


def test_a_tip_that_stands_still_is_noticed_though_its_source_answers_well(world: Open) -> None:
    here = world()
    here.shows(0, 2, here.chain.at(2).hash)
    assert here.pool.tip().height == 2
    here.clock.forward(LOOK_SECONDS)
    here.pool.tip()  # the other one is looked at, after the answer
    assert here.pool.tip().height == 5
    assert here.states() == ["lagging", "ok"]
    here.servers[0].canned.clear()
    here.clock.forward(PROVE_LOOK_SECONDS)
    here.pool.tip()
    assert here.states() == ["ok", "ok"]
    assert here.pool.ask(lambda source: source.name) == here.pool.states()[1].name


def test_one_source_alone_cannot_make_two_others_look_late(world: Open) -> None:
    here = world(3)
    here.shows(2, 900, OTHER)
    here.pool.tip()
    for _ in range(4):
        here.clock.forward(LOOK_SECONDS)
        assert here.pool.tip() == Tip(5, here.chain.tip.hash)
    assert [state.height for state in here.pool.states()] == [5, 5, 900]
    assert here.states() == ["ok", "ok", "ok"]


def test_one_that_names_a_block_which_nobody_has_is_not_believed_for_long(world: Open) -> None:
    here = world()
    here.shows(0, 9, OTHER)
    assert here.pool.tip() == Tip(9, OTHER)
    for _ in range(3):
        assert here.states()[0] == "ok"  # nodes behind a balancer are out of step at times
        assert here.pool.block_hash(9) == OTHER
        with pytest.raises(SourceUnavailableError):
            here.pool.block(OTHER)
    assert here.states() == ["unreachable", "ok"]
    assert "names a block that no source has" in str(here.pool.states()[0].last_error)
    assert here.pool.states()[0].height is None


# -- tips that flap --------------------------------------------------------------------------------


def test_two_tips_of_one_height_by_turns_are_one_tip(world: Open) -> None:
    here = world(1)
    here.shows(0, 6, OURS)
    assert here.pool.tip() == Tip(6, OURS)
    for turn in range(60):
        here.shows(0, 6, OTHER if turn % 2 == 0 else OURS)
        here.clock.forward(10)
        assert here.pool.tip() == Tip(6, OURS)


def test_a_balancer_of_which_one_node_is_a_block_behind_changes_no_source(world: Open) -> None:
    here = world()
    heights = set()
    for turn in range(20):
        if turn % 2 == 1:
            here.servers[0].canned.clear()
        else:
            here.shows(0, 4, here.chain.at(4).hash)
        tip = here.pool.tip()
        assert here.pool.block_hash(tip.height) == here.chain.at(tip.height).hash
        here.pool.block(tip.hash)  # as a scan does
        heights.add(tip.height)
        here.clock.forward(1)
    assert heights == {4, 5}
    assert here.asked(1) == 0
    assert here.states() == ["ok", "ok"]


def test_the_source_on_our_branch_is_taken_when_the_preferred_one_is_on_another(
    world: Open,
) -> None:
    here = world()
    here.shows(0, 6, OURS)
    here.shows(1, 6, OURS)
    assert here.pool.tip() == Tip(6, OURS)
    here.shows(0, 6, OTHER)
    for _ in range(30):
        here.clock.forward(10)
        assert here.pool.tip() == Tip(6, OURS)
        assert here.pool.ask(lambda source: source.name) == here.pool.states()[1].name


def test_a_longer_branch_is_followed_at_once(world: Open) -> None:
    here = world()
    here.shows(0, 6, OURS)
    assert here.pool.tip() == Tip(6, OURS)
    here.shows(0, 7, OTHER)
    assert here.pool.tip() == Tip(7, OTHER)
    here.shows(0, 6, OURS)
    assert here.pool.tip() == Tip(7, OTHER)  # whether that is its parent nobody knows


def test_an_equal_branch_is_followed_once_most_have_stood_on_it_for_a_while(world: Open) -> None:
    here = world(3)
    for index in range(3):
        here.shows(index, 6, OURS)
    assert here.pool.tip() == Tip(6, OURS)
    for index in range(3):
        here.shows(index, 6, OTHER)
    told = []
    while not told or told[-1] == Tip(6, OURS):
        told.append(here.pool.tip())
        here.clock.forward(10)
    assert len(told) == RIVAL_SECONDS / 10 + 1
    assert told[-1] == Tip(6, OTHER)


def test_an_equal_branch_without_a_majority_is_never_followed(world: Open) -> None:
    here = world(2)
    here.shows(0, 6, OURS)
    here.lacks(1, 6)
    assert here.pool.tip() == Tip(6, OURS)
    here.shows(0, 6, OTHER)
    here.shows(1, 5, OTHER)  # on yet another branch; it has no block at height 6
    for _ in range(60):
        here.clock.forward(10)
        assert here.pool.tip() == Tip(6, OURS)


def test_one_look_at_our_branch_starts_the_rivals_time_anew(world: Open) -> None:
    here = world(1)
    here.shows(0, 6, OURS)
    here.pool.tip()
    for shown in (OTHER, OURS, OTHER):
        here.shows(0, 6, shown)
        here.clock.forward(RIVAL_SECONDS * 0.9)
        assert here.pool.tip() == Tip(6, OURS)


def test_the_ledgers_branch_counts_for_more_than_what_this_process_told(world: Open) -> None:
    here = world(1)
    here.shows(0, 6, OTHER)
    here.pool.stand_on([BlockRef(5, here.chain.at(5).hash, b"", START),
                        BlockRef(6, OURS, here.chain.at(5).hash, START)])
    assert here.pool.tip() == Tip(6, OURS)
    here.shows(0, 5, here.chain.at(5).hash)
    assert here.pool.tip() == Tip(5, here.chain.at(5).hash)


def test_a_refused_block_is_not_our_branch(world: Open) -> None:
    here = world(1)
    forged = here.chain.at(5)
    assert here.pool.tip().hash == forged.hash
    assert here.pool.block_hash(5) == forged.hash
    here.pool.block(forged.hash)
    here.pool.accuse(forged.hash, InvalidBlockError("no work"))
    here.clock.forward(5)
    here.shows(0, 5, OTHER)
    assert here.pool.tip() == Tip(5, OTHER)


# -- how many agree --------------------------------------------------------------------------------


def test_agreement_counts_those_that_answer_once_each(world: Open) -> None:
    here = world(4)
    here.shows(1, 5, OTHER)
    here.lacks(2, 5)
    here.servers[3].canned["/block-height/5"] = (503, {}, b"")
    ours = here.chain.tip.hash
    found = here.pool.agreement(5, ours)
    assert found == Agreement(1, 3)
    assert not found.most
    assert [server.asked.count("/block-height/5") for server in here.servers] == [1, 1, 1, 1]
    assert here.states()[3] == "unreachable"
    here.pool.agreement(5, ours)
    assert here.servers[3].asked.count("/block-height/5") == 1  # it is put aside: not asked


def test_with_one_source_it_is_one_of_one(world: Open) -> None:
    here = world(1)
    assert here.pool.agreement(3, here.chain.at(3).hash) == Agreement(1, 1)
    assert here.pool.agreement(3, OTHER) == Agreement(0, 1)


# -- limits and latency ----------------------------------------------------------------------------


def test_one_that_is_asked_too_often_is_waited_for_a_little_and_then_passed_over(
    world: Open,
) -> None:
    here = world(2, rate=lambda _: Rate(1, 1))
    first, second = (state.name for state in here.pool.states())
    names = [here.pool.ask(lambda source: source.name) for _ in range(2)]
    assert names == [first, first]
    assert here.clock.slept == [1.0]
    frozen = Clock(here.clock.now)
    pool = BitcoinPool(
        [open_source(f"esplora+{server.url}", SETTINGS) for server in here.servers],
        network="regtest", now=frozen, timer=lambda: 0.0, sleep=frozen.slept.append,
        rate=lambda _: Rate(1, 1),
    )
    names = [pool.ask(lambda source: source.name) for _ in range(6)]
    assert names == [first] * 3 + [second] * 3  # now, in 1 s, in 2 s; never in 3 s
    assert frozen.slept == [1.0, 2.0, 1.0, 2.0]
    with pytest.raises(SourceUnavailableError) as caught:
        pool.ask(lambda source: source.name)
    assert caught.value.retry_after == 3.0
    assert [state.state for state in pool.states()] == ["ok", "ok"]  # that is no fault of theirs


class Metronome:
    """A source in memory whose tip takes as long as it is told, by the pool's clock."""

    kind = "memory"

    def __init__(self, name: str, clock: Clock, seconds: float) -> None:
        self.name, self.clock, self.seconds = name, clock, seconds

    def tip(self) -> Tip:
        self.clock.forward(self.seconds)
        return Tip(5, OURS)

    def block_hash(self, height: int) -> bytes | None:
        return OURS if height == 5 else None

    def block(self, block_hash: bytes) -> bytes:
        raise NotFoundError("none here")

    def network(self) -> str | None:
        return "regtest"


def test_a_clearly_slower_source_is_left_for_a_faster_one_and_not_taken_back_at_once() -> None:
    clock = Clock()
    slow, fast = Metronome("slow", clock, 1.0), Metronome("fast", clock, 0.1)
    pool = BitcoinPool([slow, fast], network="regtest", now=clock, timer=clock.timer)
    first_asked = []
    for _ in range(120):
        first_asked.append(pool.ask(lambda source: source.name))
        pool.tip()
        clock.forward(10)
    assert first_asked[0] == "slow"
    assert first_asked == sorted(first_asked, reverse=True)  # one change, and no way back
    assert first_asked.count("slow") < 30
    slow.seconds = 0.1
    for _ in range(60):
        pool.tip()
        clock.forward(10)
    assert pool.ask(lambda source: source.name) == "slow"  # as fast as the other: its place again
    assert [state.latency_ms for state in pool.states()] == [100, 100]


def test_no_source_is_a_config_error() -> None:
    with pytest.raises(ConfigError, match="no Bitcoin source is configured"):
        BitcoinPool([], network="regtest")
