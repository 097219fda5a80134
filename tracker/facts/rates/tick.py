"""The hourly reading of protocol rates, at the newest final block."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal

from sqlmodel import Session

from tracker.chains.ethereum.pool import EthereumPool
from tracker.chains.ethereum.rates import MAINNET, RateCall, read_rates
from tracker.db import Database
from tracker.db.lease import lease
from tracker.errors import PrunedStateError
from tracker.facts.rates import repository
from tracker.facts.rates.judge import RateState, judge
from tracker.facts.rates.repository import Rate, Standing
from tracker.log import get_logger

PERIOD = timedelta(hours=1)
LEASE_SPACE = 0x7274
# What the column of prices keeps.
_KEPT = Decimal("1e-12")

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class RatesReport:
    """What one tick did: rates believed and refused by asset, ether for one token."""

    height: int | None = None
    believed: Mapping[str, Decimal] = field(default_factory=dict)
    refused: Mapping[str, Decimal] = field(default_factory=dict)
    skipped: str | None = None


class RatesTick:
    """Reads the rates of tokens that are not at par."""

    def __init__(
        self,
        database: Database,
        pool: EthereumPool,
        clock: Callable[[], datetime],
        calls: Sequence[RateCall] = MAINNET,
    ) -> None:
        self._database = database
        self._pool = pool
        self._clock = clock
        self._calls = calls

    def tick(self) -> RatesReport:
        """Read what was not read for an hour; cheap where nothing is due, harmless twice.

        Raises `SourceUnavailableError` where no source answers.
        """
        with lease(self._database, LEASE_SPACE, "rates") as mine:
            if not mine:
                return RatesReport(skipped="another worker reads the rates")
            return self._tick()

    def _tick(self) -> RatesReport:
        now = self._clock()
        with self._database.transaction() as session:
            known = repository.standing(session, [call.asset for call in self._calls])
        due = [call for call in self._calls if _due(known[call.asset], now)]
        if not due:
            return RatesReport(skipped="every rate was read within the hour")
        height = self._pool.settlement().final
        if height is None:
            return RatesReport(skipped="the sources name no final block")
        header = self._pool.header(height)
        at = datetime.fromtimestamp(int(header.timestamp, 16), UTC)
        # The same block read again would be no second witness.
        due = [call for call in due if _newer(at, known[call.asset])]
        try:
            told = read_rates(self._pool, bytes.fromhex(header.hash[2:]), due)
        except PrunedStateError as error:
            return RatesReport(height, skipped=str(error))
        found: dict[RateState, dict[str, Decimal]] = {state: {} for state in RateState}
        with self._database.transaction() as session:
            for call in due:
                if call.asset not in told:
                    continue
                exact = Decimal(told[call.asset]).scaleb(-18)
                rate = Rate(call.asset, exact.quantize(_KEPT, ROUND_HALF_EVEN), at, call.source)
                found[_store(session, rate, known[call.asset], now)][call.asset] = rate.value
        return RatesReport(height, found[RateState.BELIEVED], found[RateState.REFUSED])


def _due(known: Standing, now: datetime) -> bool:
    return known.newest is None or known.newest.recorded_at <= now - PERIOD


def _newer(at: datetime, known: Standing) -> bool:
    return known.newest is None or at > known.newest.at


def _store(session: Session, rate: Rate, known: Standing, now: datetime) -> RateState:
    believed = None if known.believed is None else known.believed.value
    refused = None if known.refused is None else known.refused.value
    state = judge(rate.value, believed, refused)
    if state is RateState.REFUSED:
        log.warning(
            "rate_refused", asset=rate.asset, rate=str(rate.value), believed=str(believed),
            source=rate.source,
        )
    repository.record_rate(session, rate, state, now)
    return state
