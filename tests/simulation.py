"""Crashes and races at chosen boundaries, and what must hold of the books after every step.

A boundary is a place where a process can die or another can come between: before and after each
function of a repository, each question to a pool of sources, each transaction's begin and commit.
They are counted while a plan is armed, on the thread that armed it, so that a seed's number is the
same place in every run. What other threads do (blocks fetched ahead) holds no transaction.
"""

from __future__ import annotations

import importlib
import inspect
import random
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import ModuleType
from typing import Any

from sqlalchemy import text
from sqlmodel import Session

from tracker.chains.ethereum.pool import EthereumPool
from tracker.chains.pool import BitcoinPool, SourcePool
from tracker.db import Database
from tracker.db.lease import lease

REPOSITORIES = (
    "tracker.ledger.repository", "tracker.ledger.coins.repository",
    "tracker.ledger.postings.repository", "tracker.ledger.openings.repository",
    "tracker.registry.repository", "tracker.scanning.repository",
    "tracker.scanning.jobs.repository", "tracker.reconciliation.repository",
    "tracker.detection.repository", "tracker.detection.chain_sales", "tracker.detection.forks",
)  # fmt: skip
QUESTIONS = {
    SourcePool: ("tip", "block_hash", "ask", "serve"),
    BitcoinPool: ("block",),
    EthereumPool: ("block", "header", "traces", "settlement", "balances"),
}


class CrashError(BaseException):
    """The process is gone: nothing may catch it."""


@dataclass(slots=True)
class Plan:
    """What happens at the `left`-th boundary from now; `outside` counts none in a transaction."""

    left: int
    act: Callable[[str], None]
    outside: bool
    thread: int = field(default_factory=threading.get_ident)
    struck: str | None = None

    def __str__(self) -> str:
        return self.struck or "never reached"


class Boundaries:
    """The boundaries of this process, as long as `installed`; without a plan they do nothing."""

    def __init__(self) -> None:
        self._plan: Plan | None = None
        self._depth = 0

    @contextmanager
    def installed(self) -> Iterator[Boundaries]:
        """Wrap every function of the repositories, every question and every transaction."""
        with ExitStack() as stack:
            for name in REPOSITORIES:
                module = importlib.import_module(name)
                for function, real in _functions(module):
                    stack.enter_context(_replaced(real, self._wrapped(function, real)))
            for owner, names in QUESTIONS.items():
                for question in names:
                    real = owner.__dict__[question]
                    stack.enter_context(_set(owner, question, self._wrapped(question, real)))
            stack.enter_context(_set(Database, "transaction", self._transaction()))
            yield self

    @contextmanager
    def crashing(self, rng: random.Random) -> Iterator[Plan]:
        """The process dies at a boundary of `rng`'s choice, if it gets so far."""

        def die(place: str) -> None:
            raise CrashError(place)

        with self._armed(Plan(_far(rng), die, outside=False)) as plan:
            yield plan

    @contextmanager
    def meanwhile(self, rng: random.Random, act: Callable[[], object]) -> Iterator[Plan]:
        """At a boundary of `rng`'s choice outside of any transaction, `act` happens, once."""
        with self._armed(Plan(_far(rng) // 8, lambda _: _done(act), outside=True)) as plan:
            yield plan

    @contextmanager
    def _armed(self, plan: Plan) -> Iterator[Plan]:
        self._plan, self._depth = plan, 0
        try:
            yield plan
        finally:
            self._plan, self._depth = None, 0

    def _cross(self, place: str) -> None:
        plan = self._plan
        if plan is None or plan.thread != threading.get_ident() or plan.struck is not None:
            return
        if plan.outside and self._depth:
            return
        plan.left -= 1
        if plan.left <= 0:
            plan.struck = place
            plan.act(place)

    def _wrapped(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def crossed(*args: Any, **kwargs: Any) -> Any:
            self._cross(f"before {name}")
            found = real(*args, **kwargs)
            self._cross(f"after {name}")
            return found

        return crossed

    def _transaction(self) -> Callable[..., Any]:
        real = Database.transaction

        @contextmanager
        def transaction(database: Database, *, snapshot: bool = False) -> Iterator[Session]:
            self._cross("before a transaction")
            ours = threading.get_ident() == (self._plan and self._plan.thread)
            with real(database, snapshot=snapshot) as session:
                self._depth += ours
                try:
                    yield session
                    self._cross("before a commit")
                finally:
                    self._depth = max(0, self._depth - ours)
            self._cross("after a commit")

        return transaction


@contextmanager
def leases_lost() -> Iterator[None]:
    """Every process holds every lease: as after its connection broke, or behind a pooler.

    A lease only saves work; what it guards must stay true without it.
    """

    @contextmanager
    def granted(database: Database, space: int, name: str) -> Iterator[bool]:
        yield True

    with _replaced(lease, granted):
        yield


@dataclass(slots=True)
class Clock:
    """A pool's clock: it stands still between questions, and who sleeps moves it."""

    at: datetime = datetime(2025, 1, 1, tzinfo=UTC)

    def now(self) -> datetime:
        """The time, aware UTC."""
        return self.at

    def timer(self) -> float:
        """Seconds, for latencies."""
        return self.at.timestamp()

    def sleep(self, seconds: float) -> None:
        """Let the time pass."""
        self.at += timedelta(seconds=seconds)


# Each returns rows that must not be: invariants 2 and 3, and no ground on an orphan.
_BROKEN = {
    "a balance is not the sum of its canonical movements": """
        select coalesce(b.wallet_id, m.wallet_id), coalesce(b.asset, m.asset),
               coalesce(b.bucket, m.bucket), b.amount, m.total
        from (select wallet_id, asset, bucket, amount from balance where chain = :chain) b
        full join (select wallet_id, asset, bucket, sum(amount) as total from movement
                   where chain = :chain and canonical group by 1, 2, 3) m
             using (wallet_id, asset, bucket)
        where coalesce(b.amount, 0) <> coalesce(m.total, 0)""",
    "a day is not the sum of its canonical movements": """
        select coalesce(d.wallet_id, m.wallet_id), coalesce(d.asset, m.asset),
               coalesce(d.bucket, m.bucket), coalesce(d.cause, m.cause), coalesce(d.day, m.day),
               d.amount, m.total
        from (select f.* from day_flow f join wallet w on w.id = f.wallet_id
              where w.chain = :chain) d
        full join (select wallet_id, asset, bucket, cause,
                          (time at time zone 'UTC')::date as day, sum(amount) as total
                   from movement where chain = :chain and canonical group by 1, 2, 3, 4, 5) m
             using (wallet_id, asset, bucket, cause, day)
        where coalesce(d.amount, 0) <> coalesce(m.total, 0)""",
    "a canonical movement lies in a block that is none": """
        select m.height, encode(m.block_hash, 'hex'), m.ref, m.kind from movement m
        join block b on b.chain = m.chain and b.hash = m.block_hash
        where m.chain = :chain and m.canonical and not b.canonical""",
    "a canonical block does not stand on the one below it": """
        select above.height from block above join block below
             on below.chain = above.chain and below.canonical and below.height = above.height - 1
        where above.chain = :chain and above.canonical and above.parent <> below.hash""",
    "the cursor does not stand on the newest canonical block": """
        select c.height, top.height from cursor c
        join (select max(height) as height from block where chain = :chain and canonical) top
             on true
        left join block b on b.chain = c.chain and b.hash = c.hash
        where c.chain = :chain and top.height is not null
              and (b.hash is null or not b.canonical or top.height <> c.height)""",
    "a canonical transfer lies in a block that is none": """
        select t.id from transfer t join block b on b.chain = t.chain and b.hash = t.block_hash
        where t.chain = :chain and t.canonical and not b.canonical""",
    "an opening stands on a block that is none": """
        select w.id from wallet w join block b on b.chain = w.chain and b.hash = w.opening_hash
        where w.chain = :chain and w.closed_at is null and w.opening_known and not b.canonical""",
    "an amount has a fraction": """
        select wallet_id from movement where chain = :chain and amount <> trunc(amount)""",
}  # fmt: skip


def assert_books(database: Database, chain: str, said: str) -> None:
    """Invariants 2, 3 and 8 and the canonical flags, in the state that is committed now."""
    with database.transaction(snapshot=True) as session:
        for fault, query in _BROKEN.items():
            rows = session.execute(text(query), {"chain": chain}).all()
            assert not rows, f"{said}: {fault}: {[tuple(row) for row in rows[:5]]}"


def _far(rng: random.Random) -> int:
    """Which boundary: as likely one of the first ten as of the next hundred, or of the rest."""
    return int(10 ** rng.uniform(0, 2.8))


def _done(act: Callable[[], object]) -> None:
    act()


def _functions(module: ModuleType) -> list[tuple[str, Callable[..., Any]]]:
    return [
        (name, found)
        for name, found in sorted(vars(module).items())
        if inspect.isfunction(found)
        and found.__module__ == module.__name__
        and not name.startswith("_")
    ]


@contextmanager
def _replaced(real: Callable[..., Any], other: Callable[..., Any]) -> Iterator[None]:
    """`other` for `real` wherever a module of the tracker names it."""
    places = [
        (module, name)
        for path, module in list(sys.modules.items())
        if path.startswith("tracker.")
        for name, found in list(vars(module).items())
        if found is real
    ]
    for module, name in places:
        setattr(module, name, other)
    try:
        yield
    finally:
        for module, name in places:
            setattr(module, name, real)


@contextmanager
def _set(owner: type, name: str, other: Callable[..., Any]) -> Iterator[None]:
    real = owner.__dict__[name]
    setattr(owner, name, other)
    try:
        yield
    finally:
        setattr(owner, name, real)
