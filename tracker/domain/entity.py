"""Who is followed: kinds, roles, label tiers, observability."""

from __future__ import annotations

from enum import StrEnum


class Kind(StrEnum):
    """What an entity is."""

    DAT = "dat"
    ETF = "etf"
    SOVEREIGN = "sovereign"
    FOUNDATION = "foundation"
    DAO = "dao"
    ESTATE = "estate"
    PRIVATE = "private"
    MARKET_MAKER = "market_maker"
    EXCHANGE = "exchange"
    CUSTODIAN = "custodian"
    MINING_POOL = "mining_pool"


class Role(StrEnum):
    """A holder is a subject of rules; a venue is a destination."""

    HOLDER = "holder"
    VENUE = "venue"


VENUE_KINDS = frozenset({Kind.EXCHANGE, Kind.CUSTODIAN, Kind.MINING_POOL})

# Sale rules are on for these kinds by default; off for the rest (design section 8).
SALE_RULE_KINDS = frozenset({Kind.DAT, Kind.SOVEREIGN, Kind.FOUNDATION, Kind.ETF, Kind.ESTATE})


def role_of(kind: Kind) -> Role:
    """The role that a kind has."""
    return Role.VENUE if kind in VENUE_KINDS else Role.HOLDER


class Tier(StrEnum):
    """How we know that an address is somebody's, best first."""

    PROVED = "proved"
    ATTESTED = "attested"
    FILING = "filing"
    OPERATOR_VERIFIED = "operator_verified"
    VENDOR = "vendor"
    HEURISTIC = "heuristic"
    USER = "user"

    @property
    def rank(self) -> int:
        """0 for the best tier, growing with doubt."""
        return _TIERS.index(self)


_TIERS = list(Tier)


class Category(StrEnum):
    """What kind of counterparty a label names."""

    EXCHANGE = "exchange"
    EXCHANGE_DEPOSIT = "exchange_deposit"
    CUSTODIAN = "custodian"
    MARKET_MAKER = "market_maker"
    MINING_POOL = "mining_pool"
    LENDING = "lending"
    BRIDGE = "bridge"
    STAKING = "staking"
    DEX = "dex"
    MIXER = "mixer"
    BURN = "burn"
    OTHER = "other"


class Observability(StrEnum):
    """What can be seen of an entity."""

    ATTESTED = "attested"
    PARTIAL = "partial"
    DISCLOSURE_ONLY = "disclosure_only"
    NONE = "none"


def observability(tiers: frozenset[Tier], *, discloses: bool) -> Observability:
    """What the chain and the filings can show of an entity with wallets of these tiers.

    `attested` needs every known wallet to be attested or proved; any other wallet gives `partial`.
    """
    if tiers and all(tier in (Tier.PROVED, Tier.ATTESTED) for tier in tiers):
        return Observability.ATTESTED
    if tiers:
        return Observability.PARTIAL
    return Observability.DISCLOSURE_ONLY if discloses else Observability.NONE
