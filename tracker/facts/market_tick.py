"""One poll of the markets: ask the venues, believe what agrees, store prices and source states.

The venues are asked outside any transaction, each in a thread of its own, and all together no
longer than some seconds; one that is dead, slow or wrong is put aside with a growing pause and
changes nothing for the others.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

from sqlmodel import Session

from tracker.config import Settings
from tracker.db import Database
from tracker.db.operations import SourceStatus
from tracker.domain.quote import COIN_MAX_AGE, Quote, check, consensus
from tracker.domain.units import DECIMALS
from tracker.errors import ReplyError, SourceUnavailableError
from tracker.facts import listings
from tracker.facts.listings import Plan
from tracker.facts.prices.repository import record_price
from tracker.log import get_logger
from tracker.markets import coins, shares
from tracker.markets.venue import CoinVenue, Listing, ShareVenue
from tracker.operations.repository import list_sources, upsert_source

# The coins that venues quote; what stands for them is valued by them.
ASSETS = ("BTC", "ETH")
TOTAL_SECONDS = 9.0
MAX_PAUSE = timedelta(minutes=30)

State = Literal["ok", "lagging", "unreachable", "lying", "paused"]
Kind = Literal["coin_price", "share_price"]

_log = get_logger("market_tick")


@dataclass(slots=True)
class Answer:
    """What one venue said: quotes that passed its own checks, or what went wrong."""

    quotes: list[Quote] = field(default_factory=list)
    rates: list[Quote] = field(default_factory=list)
    state: State = "ok"
    error: str | None = None
    retry_after: float | None = None
    seconds: float = 0.0

    def fail(self, state: State, error: Exception) -> None:
        """Note an error; the first one stays."""
        if self.error is None:
            self.state, self.error = state, str(error)
            if isinstance(error, SourceUnavailableError):
                self.retry_after = error.retry_after


@dataclass(frozen=True, slots=True)
class TickReport:
    """What a poll did: prices stored, the state of each venue asked, prices refused and why."""

    stored: int
    states: Mapping[str, State]
    refused: tuple[str, ...]


def tick(
    database: Database,
    settings: Settings,
    now: datetime,
    *,
    coin_venues: Sequence[CoinVenue] | None = None,
    share_venues: Sequence[ShareVenue] | None = None,
) -> TickReport:
    """Poll every venue that is due and store what is believed; takes at most some ten seconds.

    Venues come from the settings unless given. Raises `ConfigError` for an unknown name there, and
    `SourceUnavailableError` only where the database cannot be reached.
    """
    agent = settings.user_agent
    coin_side = (
        coins.venues(settings.coin_quote_sources, user_agent=agent)
        if coin_venues is None
        else coin_venues
    )
    share_side = (
        shares.venues(settings.share_quote_sources, user_agent=agent)
        if share_venues is None
        else share_venues
    )
    kinds: dict[str, Kind] = {venue.name: "coin_price" for venue in coin_side}
    kinds |= {venue.name: "share_price" for venue in share_side}
    with database.transaction() as session:
        known = {row.name: row for row in list_sources(session)}
        if not settings.live_quotes:
            return _pause(session, kinds, now)
        plan = listings.plan(session, share_side, now, settings.market_poll_seconds)
        last = listings.last_known(session, plan, ASSETS, now)
    stop_at = time.monotonic() + TOTAL_SECONDS
    jobs: dict[str, Callable[[], Answer]] = {}
    for coin_venue in coin_side:
        if _due(known.get(coin_venue.name), now):
            jobs[coin_venue.name] = _coin_job(coin_venue, last, now)
    for share_venue in share_side:
        if _due(known.get(share_venue.name), now):
            jobs[share_venue.name] = _share_job(share_venue, plan, last, now, stop_at)
    answers = _ask(jobs)
    refused: list[str] = []
    agreed = _agree([answers[v.name] for v in coin_side if v.name in answers], answers, refused)
    with database.transaction() as session:
        stored = _store(session, agreed, answers, now)
        for name, answer in answers.items():
            _report(session, name, kinds[name], answer, known.get(name), settings, now)
    report = TickReport(
        stored, {name: answer.state for name, answer in answers.items()}, tuple(refused)
    )
    _log.info("market.tick", stored=stored, states=dict(report.states), refused=refused)
    return report


def _pause(session: Session, kinds: Mapping[str, Kind], now: datetime) -> TickReport:
    for name, kind in kinds.items():
        upsert_source(
            session,
            name=name,
            kind=kind,
            state="paused",
            now=now,
            last_error="live quotes are switched off (TRACKER_LIVE_QUOTES)",
        )
    return TickReport(0, dict.fromkeys(kinds, "paused"), ())


def _due(known: SourceStatus | None, now: datetime) -> bool:
    return known is None or known.next_try is None or known.next_try <= now


def _coin_job(venue: CoinVenue, last: Mapping[str, Quote], now: datetime) -> Callable[[], Answer]:
    def ask() -> Answer:
        answer = Answer()
        try:
            for quote in venue.quotes(ASSETS, now):
                check(quote, now=now, last=last.get(quote.subject))
                if now - quote.at > COIN_MAX_AGE:
                    answer.fail("lagging", ReplyError("the last trade is old", value=quote.at))
                else:
                    answer.quotes.append(quote)
        except SourceUnavailableError as error:
            answer.fail("unreachable", error)
        except ReplyError as error:
            answer.fail("lying", error)
        return answer

    return ask


def _share_job(
    venue: ShareVenue, plan: Plan, last: Mapping[str, Quote], now: datetime, stop_at: float
) -> Callable[[], Answer]:
    def ask() -> Answer:
        answer = Answer()
        wrong: ReplyError | None = None
        wanted: list[Listing | str] = [*plan.listings.get(venue.name, ()), *plan.currencies]
        for item in wanted:
            if time.monotonic() > stop_at - 1:
                break  # the rest has its turn at the next poll
            try:
                if isinstance(item, Listing):
                    quote, into = venue.quote(item, now), answer.quotes
                else:
                    quote, into = venue.rate(item, now), answer.rates
                if quote is not None:
                    into.append(check(quote, now=now, last=last.get(quote.subject)))
            except SourceUnavailableError as error:
                answer.fail("unreachable", error)
                break
            except ReplyError as error:
                wrong = wrong or error
        if wrong is not None:
            # One wrong symbol among many is the symbol's fault, all of them the source's.
            answer.fail("ok" if answer.quotes else "lying", wrong)
        return answer

    return ask


def _ask(jobs: Mapping[str, Callable[[], Answer]]) -> dict[str, Answer]:
    """Run the jobs side by side; one that does not come back in time counts as unreachable."""
    if not jobs:
        return {}
    executor = ThreadPoolExecutor(max_workers=len(jobs), thread_name_prefix="market")
    try:
        running: dict[str, Future[Answer]] = {
            name: executor.submit(_timed, job) for name, job in jobs.items()
        }
        wait(running.values(), timeout=TOTAL_SECONDS)
        answers: dict[str, Answer] = {}
        for name, future in running.items():
            if future.done():
                answers[name] = future.result()
            else:
                late = SourceUnavailableError(f"{name} gave no answer in {TOTAL_SECONDS:.0f} s")
                answers[name] = Answer(seconds=TOTAL_SECONDS)
                answers[name].fail("unreachable", late)
        return answers
    finally:
        executor.shutdown(wait=False, cancel_futures=True)


def _timed(job: Callable[[], Answer]) -> Answer:
    start = time.monotonic()
    answer = job()
    answer.seconds = time.monotonic() - start
    return answer


def _agree(
    coin_answers: Sequence[Answer], answers: Mapping[str, Answer], refused: list[str]
) -> list[Quote]:
    """One quote a coin; a venue that is an outlier is marked as lying."""
    by_asset: dict[str, list[Quote]] = defaultdict(list)
    for answer in coin_answers:
        for quote in answer.quotes:
            by_asset[quote.subject].append(quote)
    agreed: list[Quote] = []
    for asset, quotes in by_asset.items():
        try:
            found = consensus(quotes)
        except ReplyError as error:
            refused.append(str(error))
            continue
        agreed.append(found.quote)
        for name in found.rejected:
            answers[name].fail(
                "lying", ReplyError(f"its price of {asset} is far from the other venues'")
            )
    return agreed


def _store(
    session: Session, agreed: Sequence[Quote], answers: Mapping[str, Answer], now: datetime
) -> int:
    rows = [("live", quote) for quote in agreed]
    for answer in answers.values():
        rows += [("live", quote) for quote in answer.quotes if quote.subject not in DECIMALS]
        rows += [("fx", rate) for rate in answer.rates]
    return sum(record_price(session, kind, quote, now) for kind, quote in rows)


def _report(
    session: Session,
    name: str,
    kind: Kind,
    answer: Answer,
    known: SourceStatus | None,
    settings: Settings,
    now: datetime,
) -> None:
    ok = answer.state == "ok"
    upsert_source(
        session,
        name=name,
        kind=kind,
        state=answer.state,
        now=now,
        latency_ms=round(answer.seconds * 1000) if ok else None,
        last_ok=now if ok else None,
        last_error=answer.error,
        next_try=None if ok else now + _wait_for(answer, known, settings.market_poll_seconds),
    )


def _wait_for(answer: Answer, known: SourceStatus | None, poll_seconds: float) -> timedelta:
    """Twice the last pause, from one poll up to half an hour; longer where the source says so."""
    pause = timedelta(seconds=poll_seconds)
    if known is not None and known.state not in ("ok", "paused") and known.next_try is not None:
        pause = max(pause, 2 * (known.next_try - known.updated_at))
    pause = min(pause, MAX_PAUSE)
    asked = timedelta(seconds=answer.retry_after or 0)
    return max(pause, asked)
