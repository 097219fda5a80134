"""The fold over clips, its severity and its gates."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from tracker.domain.alert import Belief, Severity, alert_id
from tracker.domain.entity import Kind, Tier
from tracker.domain.sell_off import Clip, belief_of, enabled_for, fold, joins

AT = datetime(2026, 5, 1, tzinfo=UTC)
COIN = 10**8


def clip(amount: int | None = COIN, **more: object) -> Clip:
    values = {
        "ref": "transfer:a",
        "kind": "transfer",
        "at": AT,
        "amount": amount,
        "value_usd": None,
        "probability": Decimal("0.8"),
        "belief": Belief.PROBABLE,
        "disclosed": 1000 * COIN,
        "first_in_year": False,
        "tiers": (Tier.ATTESTED, Tier.ATTESTED),
        "says": "sold",
    } | more
    return Clip(**values)


def severity(*clips: Clip) -> Severity:
    return fold("acme", "BTC", clips[0].ref, clips).severity


def test_size_is_judged_against_what_was_disclosed() -> None:
    assert severity(clip(COIN // 10)) is Severity.INFO
    assert severity(clip(COIN)) is Severity.WARNING
    assert severity(clip(50 * COIN)) is Severity.CRITICAL


def test_clips_add_up_so_that_a_slow_sale_grows_loud() -> None:
    small = [clip(COIN // 3, ref=f"transfer:{n}") for n in range(4)]
    assert severity(small[0]) is Severity.INFO
    assert severity(*small) is Severity.WARNING
    assert fold("acme", "BTC", "transfer:0", small).amount == 4 * (COIN // 3)


def test_a_first_sale_in_a_year_is_a_warning_at_almost_any_size() -> None:
    assert severity(clip(COIN // 10, first_in_year=True)) is Severity.WARNING
    assert severity(clip(100, first_in_year=True)) is Severity.INFO


@pytest.mark.parametrize("weak", [Tier.HEURISTIC, Tier.USER])
@pytest.mark.parametrize("end", [0, 1])
def test_a_guessed_label_at_either_end_caps_at_warning(weak: Tier, end: int) -> None:
    tiers = [Tier.PROVED, Tier.PROVED]
    tiers[end] = weak
    assert severity(clip(500 * COIN, tiers=tuple(tiers))) is Severity.WARNING


def test_what_is_only_suspected_is_never_critical() -> None:
    assert severity(clip(500 * COIN, belief=Belief.SUSPECTED)) is Severity.WARNING


def test_an_unknown_amount_is_unknown_not_zero() -> None:
    finding = fold("acme", "ETH", "disclosure:x", [clip(None, disclosed=None, first_in_year=True)])
    assert finding.amount is None
    assert finding.share_of_disclosed is None
    assert any(item.rule == "size_unknown" for item in finding.evidence)
    assert finding.severity is Severity.WARNING


def test_a_value_is_shown_only_where_every_clip_has_one() -> None:
    valued = clip(value_usd=Decimal(100))
    assert fold("acme", "BTC", "a", [valued, valued]).value_usd == 200
    assert fold("acme", "BTC", "a", [valued, clip()]).value_usd is None


def test_defaults_by_kind_and_their_override() -> None:
    assert enabled_for(Kind.DAT, {})
    assert enabled_for(Kind.SOVEREIGN, {})
    assert not enabled_for(Kind.MARKET_MAKER, {})
    assert not enabled_for(Kind.PRIVATE, {})
    assert enabled_for(Kind.PRIVATE, {"sell_off": True})
    assert not enabled_for(Kind.DAT, {"sell_off": False})


def test_identity_is_rule_entity_asset_and_first_ground() -> None:
    one = alert_id("sell_off", "acme", "BTC", "transfer:a")
    assert one == alert_id("sell_off", "acme", "BTC", "transfer:a")
    assert one != alert_id("sell_off", "acme", "BTC", "transfer:b")


def test_incidents_are_joined_within_sixty_days() -> None:
    assert joins(AT, AT + timedelta(days=59))
    assert not joins(AT, AT + timedelta(days=61))


def test_a_share_of_an_absurd_disclosure_is_bounded() -> None:
    finding = fold("acme", "BTC", "a", [clip(21_000_000 * COIN, disclosed=1)])
    assert finding.share_of_disclosed == 1_000_000


@pytest.mark.parametrize(
    ("agree", "asked", "belief"),
    [(1, 1, "confirmed"), (2, 3, "confirmed"), (1, 2, "probable"), (0, 1, "probable")],
)
def test_a_claim_is_confirmed_only_where_most_sources_have_its_block(
    agree: int, asked: int, belief: str
) -> None:
    assert belief_of(Decimal("0.95"), agree=agree, asked=asked) == belief
