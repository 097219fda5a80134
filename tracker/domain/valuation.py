"""Definitions of mNAV as data, and their values from given inputs. Pure.

Nothing here chooses among definitions: every one that has its inputs is given, side by side, and
the others say what they lack. Formulas and their users: docs/methodology.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Context, Decimal, localcontext

from tracker.domain.capital import Unknown
from tracker.domain.money import FxRate, Money, to_usd
from tracker.domain.units import decimals

# Exact enough for any sum here, and what a shown value is rounded to.
_WORKING_DIGITS = 50
_SHOWN = Context(prec=18)

_BASE_UNIT = {"BTC": "satoshi", "ETH": "wei"}


@dataclass(frozen=True, slots=True)
class Input:
    """One number that went into a valuation.

    `as_of` is a day (filings) or an instant (quotes); `carried_days` is how many days before the
    valuation that was; `note` says what was done to it (a split applied).
    """

    name: str
    value: Decimal
    unit: str
    as_of: date
    source: str
    carried_days: int = 0
    note: str | None = None

    @property
    def carried(self) -> bool:
        """Whether the number is of an earlier day than the valuation."""
        return self.carried_days > 0


Inputs = Mapping[str, Input | Unknown]


@dataclass(frozen=True, slots=True)
class DefinitionValue:
    """The value of one definition, with what went in; None with the reasons in `missing`."""

    id: str
    value: Decimal | None
    unit: str
    inputs: tuple[Input, ...]
    missing: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Definition:
    """One way to compare a price with a treasury.

    `requires` names inputs; `market_cap` stands for the given one, else price times shares,
    `holdings` for every coin held and `coin_prices` for the price of each.
    """

    id: str
    title: str
    formula: str
    unit: str
    requires: tuple[str, ...]
    compute: Callable[[Terms], Decimal | Unknown]


@dataclass(frozen=True, slots=True)
class Terms:
    """The sums that formulas are made of, over inputs already known to be there. Money in USD."""

    inputs: Mapping[str, Input]

    def number(self, name: str) -> Decimal:
        """The value of one input."""
        return self.inputs[name].value

    @property
    def coins(self) -> dict[str, Decimal]:
        """Whole coins held, by asset."""
        return {
            name.partition(".")[2]: given.value
            for name, given in self.inputs.items()
            if name.startswith("holdings.")
        }

    @property
    def nav(self) -> Decimal:
        """N: every coin held at its price."""
        return sum(
            (
                count * self.number(f"coin_prices.{asset}")
                for asset, count in self.coins.items()
                if count
            ),
            Decimal(0),
        )

    @property
    def share_price(self) -> Decimal:
        """P in dollars, converted here and nowhere else."""
        price, fx = self.inputs["price"], self.inputs.get("fx")
        currency = price.unit
        rate = None if fx is None else FxRate(currency, fx.value, fx.as_of, fx.source)
        return to_usd(Money(price.value, currency), rate).amount

    @property
    def market_cap(self) -> Decimal:
        """The market capitalisation as given (USD), else price times basic shares."""
        if "market_cap" in self.inputs:
            return self.number("market_cap")
        return self.share_price * self.number("basic_shares")

    @property
    def claims(self) -> Decimal:
        """Debt and preferred stock less cash."""
        return self.number("debt") + self.number("preferred") - self.number("cash")


def _over_nav(amount: Decimal, terms: Terms) -> Decimal | Unknown:
    return amount / terms.nav if terms.nav > 0 else Unknown("holdings: no coins are held")


def _net(terms: Terms) -> Decimal | Unknown:
    net = terms.nav - terms.claims
    if net <= 0:
        return Unknown(f"claims exceed the coins: net assets are {net:.0f} USD")
    return terms.market_cap / net


def _premium(terms: Terms) -> Decimal | Unknown:
    if terms.nav <= 0:
        return Unknown("holdings: no coins are held")
    nav_per_share = terms.nav / terms.number("basic_shares")
    return (terms.share_price - nav_per_share) / nav_per_share


def _base_units(terms: Terms) -> Decimal | Unknown:
    held = {asset: count for asset, count in terms.coins.items() if count}
    if not held:
        return Unknown("holdings: no coins are held")
    if len(held) > 1:
        return Unknown(f"holdings: more than one coin is held ({', '.join(sorted(held))})")
    asset, count = next(iter(held.items()))
    return count.scaleb(decimals(asset)) / terms.number("basic_shares")


DEFINITIONS: tuple[Definition, ...] = (
    Definition(
        "basic",
        "Market capitalisation over the coins' value",
        "P x S / N",
        "ratio",
        ("market_cap", "holdings", "coin_prices"),
        lambda terms: _over_nav(terms.market_cap, terms),
    ),
    Definition(
        "ev",
        "Enterprise value over the coins' value",
        "(P x S + D + Pf - C) / N",
        "ratio",
        ("market_cap", "debt", "preferred", "cash", "holdings", "coin_prices"),
        lambda terms: _over_nav(terms.market_cap + terms.claims, terms),
    ),
    Definition(
        "net",
        "Market capitalisation over what the coins leave after claims",
        "P x S / (N - D - Pf + C)",
        "ratio",
        ("market_cap", "debt", "preferred", "cash", "holdings", "coin_prices"),
        _net,
    ),
    Definition(
        "premium_per_share",
        "Share price over coins per share, less one",
        "(P - N / S) / (N / S)",
        "ratio",
        ("price", "basic_shares", "holdings", "coin_prices"),
        _premium,
    ),
    Definition(
        "base_units_per_share",
        "Coins per basic share, in the coin's base unit",
        "H x 10^decimals / S",
        "{base_unit} per share",
        ("basic_shares", "holdings"),
        _base_units,
    ),
)


def value(definitions: Iterable[Definition], inputs: Inputs) -> list[DefinitionValue]:
    """Every definition's value from `inputs`, in the order given.

    A definition without a needed input has no value and names each one it lacks, with the reason.
    """
    with localcontext() as context:
        context.prec = _WORKING_DIGITS
        return [_value(definition, inputs) for definition in definitions]


def _value(definition: Definition, inputs: Inputs) -> DefinitionValue:
    given: dict[str, Input] = {}
    missing: list[str] = []
    for name in _names(definition, inputs):
        found = inputs.get(name, Unknown("unknown"))
        if isinstance(found, Input):
            given[name] = found
        else:
            missing.append(f"{name}: {found.reason}")
    result: Decimal | None = None
    if not missing:
        computed = _refuse_no_shares(given) or definition.compute(Terms(given))
        if isinstance(computed, Unknown):
            missing.append(computed.reason)
        else:
            result = _SHOWN.plus(computed)
    return DefinitionValue(
        definition.id, result, _unit(definition, inputs), tuple(given.values()), tuple(missing)
    )


def _refuse_no_shares(given: Mapping[str, Input]) -> Unknown | None:
    shares = given.get("basic_shares")
    return Unknown("basic_shares: not above 0") if shares and shares.value <= 0 else None


def _names(definition: Definition, inputs: Inputs) -> list[str]:
    """The inputs that a definition needs, with its two collective names spelled out."""
    names: list[str] = []
    for name in definition.requires:
        if name == "market_cap":
            given = isinstance(inputs.get("market_cap"), Input)
            names += ["market_cap"] if given else [*_price_names(inputs), "basic_shares"]
        elif name == "price":
            names += _price_names(inputs)
        elif name == "holdings":
            names += sorted(key for key in inputs if key.startswith("holdings.")) or ["holdings"]
        elif name == "coin_prices":
            names += [f"coin_prices.{asset}" for asset in _held(inputs)]
        else:
            names.append(name)
    return names


def _price_names(inputs: Inputs) -> list[str]:
    price = inputs.get("price")
    foreign = isinstance(price, Input) and price.unit != "USD"
    return ["price", "fx"] if foreign else ["price"]


def _held(inputs: Inputs) -> list[str]:
    """The assets held: all but those of which 0 is stated."""
    return sorted(
        name.partition(".")[2]
        for name, given in inputs.items()
        if name.startswith("holdings.") and not (isinstance(given, Input) and given.value == 0)
    )


def _unit(definition: Definition, inputs: Inputs) -> str:
    held = _held(inputs)
    base_unit = _BASE_UNIT.get(held[0]) if len(held) == 1 else None
    return definition.unit.format(base_unit=base_unit or "base units")
