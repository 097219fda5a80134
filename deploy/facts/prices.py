"""Prices: daily closes of coins and shares, and the USD value of the currencies they trade in."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Context, Decimal
from pathlib import Path

from deploy.facts.files import Cells, read_csv, table

_BTC = "Yahoo Finance BTC-USD, by github.com/ceciliamyeong/bm@427ac785"
_ETH = "github.com/Sashamine/dat-tracker-next@c0c17e00 data/crypto-prices.json"
_SHARES = "github.com/Sashamine/dat-tracker-next@c0c17e00 data/stock-prices"
_ECB = "European Central Bank, euro foreign exchange reference rates"

_CENT = Decimal("0.01")
# Far beyond the five or six digits of the rates themselves.
_FX = Context(prec=12, rounding=ROUND_HALF_EVEN)

CURRENCIES = ("JPY", "GBP", "CAD", "HKD", "AUD", "SEK", "BRL")


def closes(data: Path) -> list[Cells]:
    """All daily closes, by symbol and date."""
    prices = data / "prices"
    made = [
        # The series is binary fractions of prices that were quoted in cents.
        _close("BTC", row["date"], str(Decimal(row["close"]).quantize(_CENT)), _BTC)
        for row in read_csv(prices / "crypto" / "btc_usd_daily_close_yahoo_2018-01_2026-02.csv")
    ]
    made += [
        _close("ETH", row["date"], row["ETH"], _ETH)
        for row in read_csv(prices / "crypto" / "crypto_daily_usd_2024-02_2026-02.csv")
        if row["ETH"]
    ]
    for share in table("shares"):
        series = read_csv(prices / "stocks" / share["file"])
        basis_date = max(row["date"] for row in series)
        for row in series:
            listed = row["date"] >= share["listed_from"]
            made.append(
                _close(share["symbol"], row["date"], row["close"], _SHARES)
                | {"currency": share["currency"], "basis_date": basis_date}
                | ({"entity": share["entity"]} if listed else {"symbol": share["before"]})
            )
    return sorted(made, key=lambda row: (row["symbol"], row["date"]))


def fx(data: Path) -> list[Cells]:
    """USD for one unit of each currency, by date, from the euro's rates."""
    made: list[Cells] = []
    for row in read_csv(data / "prices" / "fx" / "ecb_reference_rates_2020_on.csv"):
        dollars = Decimal(row["EURUSD"])
        made.append(_rate(row["date"], "EUR", dollars))
        for currency in CURRENCIES:
            if row[f"EUR{currency}"]:
                rate = _FX.divide(dollars, Decimal(row[f"EUR{currency}"]))
                made.append(_rate(row["date"], currency, rate))
    return sorted(made, key=lambda row: (row["date"], row["currency"]))


def _close(symbol: str, day: str, close: str, source: str) -> Cells:
    return {
        "symbol": symbol,
        "entity": "",
        "date": day,
        "close": close,
        "currency": "USD",
        "basis_date": "",
        "source": source,
    }


def _rate(day: str, currency: str, usd: Decimal) -> Cells:
    return {
        "date": day,
        "currency": currency,
        "usd_per_unit": format(usd.normalize(), "f"),
        "source": _ECB,
    }
