"""How values are written on the page: unknown is said, times are UTC, amounts are grouped."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any
from urllib.parse import urlsplit

UNKNOWN = "unknown"

OBSERVABILITY = {
    "attested": ("attested", "Every known wallet is attested by the entity itself."),
    "partial": ("partly seen", "Some wallets are known; there may be others."),
    "disclosure_only": ("filings only", "No wallet is known: followed by its disclosures."),
    "none": ("nothing known", "No wallet and no disclosure is known."),
}
VENUE = ("venue", "A destination: its coins are not summed into a balance.")

_WORDS = {
    "dat": "treasury company",
    "etf": "ETF",
    "dao": "DAO",
    "market_maker": "market maker",
    "mining_pool": "mining pool",
    "sell_off": "sell-off",
}


def number(value: str | None, places: int = 4) -> str:
    """A decimal string with thousands parted; at most `places` decimals."""
    if value is None:
        return UNKNOWN
    try:
        shown = f"{Decimal(value):,.{places}f}"
    except InvalidOperation:
        return value
    return shown.rstrip("0").rstrip(".") if "." in shown else shown


def dollars(value: str | None) -> str:
    """US dollars, short."""
    if value is None:
        return UNKNOWN
    amount = Decimal(value)
    sign = "-" if amount < 0 else ""
    for size, name in ((Decimal(10**9), "bn"), (Decimal(10**6), "m")):
        if abs(amount) >= size:
            return f"{sign}${abs(amount) / size:,.2f} {name}"
    return f"{sign}${abs(amount):,.0f}"


def percent(value: str | None) -> str:
    """A ratio as per cent."""
    return UNKNOWN if value is None else f"{Decimal(value) * 100:.2f} %"


def moment(value: datetime | date | str | None) -> str:
    """A UTC time to the minute, or a date."""
    if value is None:
        return UNKNOWN
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%MZ")
    if isinstance(value, date):
        return value.isoformat()
    return value[:16] + "Z" if "T" in value else value


def day(value: datetime | date | str | None) -> str:
    """The day of a time."""
    return UNKNOWN if value is None else str(value)[:10]


def words(value: str | None) -> str:
    """A machine's name as words: `sell_off` as `sell off`."""
    return UNKNOWN if value is None else _WORDS.get(value, value.replace("_", " "))


def observability(item: Any) -> tuple[str, str]:
    """The badge of an entity and what it means."""
    if item.role == "venue":
        return VENUE
    return OBSERVABILITY.get(item.observability, (item.observability, ""))


def web_link(value: str | None) -> str | None:
    """`value` where it is a web address that a reader may follow, else None."""
    if value is None:
        return None
    try:
        parts = urlsplit(value)
    except ValueError:
        return None
    return value if parts.scheme in ("http", "https") and parts.netloc else None


def host(value: str) -> str:
    """The site of a web address."""
    return urlsplit(value).hostname or value


def short(value: str, keep: int = 10) -> str:
    """The two ends of a hash or an address."""
    return value if len(value) <= 2 * keep + 1 else f"{value[:keep]}…{value[-keep:]}"


FILTERS: dict[str, Callable[..., Any]] = {
    "number": number,
    "dollars": dollars,
    "percent": percent,
    "moment": moment,
    "day": day,
    "words": words,
    "observability": observability,
    "web_link": web_link,
    "host": host,
    "short": short,
}
