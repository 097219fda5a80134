"""Holdings by each ground of truth: unknown is said, never counted as 0."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from tracker.api.reads.chains import Heads
from tracker.api.reads.holdings import NO_WALLET, Grounds, Observed, holdings, total_value
from tracker.db.chain import Cursor
from tracker.db.facts import Disclosure, Price

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
HEADS = Heads(
    {
        "bitcoin": Cursor(
            chain="bitcoin", height=900_200, hash=b"\x00" * 31 + b"\x07", tip_advanced_at=NOW
        )
    },
    NOW,
)
PRICE = Price(
    kind="close",
    subject="BTC",
    at=NOW - timedelta(days=1),
    value=Decimal("64525.94"),
    currency="USD",
    state="closed",
    source="a venue",
    recorded_at=NOW,
)


def disclosed(amount=100_000_000_000, asset="BTC"):
    return Disclosure(
        entity_id=1,
        as_of=date(2026, 10, 4),
        asset=asset,
        kind="total",
        amount=amount,
        evidence="primary",
        source="https://example.org/8-k",
        first_seen=NOW,
        recorded_at=NOW,
    )


def seen(amount=None, *, opening_known=True, changed_at=None, since=900_000):
    return Observed(
        amount=amount, opening_known=opening_known, since_height=since, changed_at=changed_at
    )


def only(**given):
    grounds = {"disclosed": {}, "observed": {}, "prices": {"BTC": PRICE}, "heads": HEADS, "at": NOW}
    (item,) = holdings(Grounds(**{**grounds, **given}))
    return item


def test_a_holder_known_by_filings_only_shows_nothing_on_chain():
    item = only(disclosed={"BTC": disclosed()})
    assert item.onchain.quantity is None
    assert item.onchain.amount is None
    assert item.onchain.by_bucket is None
    assert item.onchain.reason == NO_WALLET
    assert (item.coverage, item.coverage_reason) == (None, NO_WALLET)
    assert item.disclosed.quantity == "1000"
    assert (item.value_usd, item.value_basis) == ("64525940.00", "disclosed")
    assert item.nowcast.quantity is None
    assert item.nowcast.reason


def test_a_wallet_whose_opening_is_unknown_counts_since_it_was_watched():
    item = only(observed={"BTC": seen(317_526_183, opening_known=False, changed_at=900_150)})
    assert item.onchain.quantity == "3.17526183"
    assert item.onchain.opening_known is False
    assert "since block 900000" in item.onchain.reason
    assert item.onchain.as_of_block.height == 900_200
    assert item.onchain.as_of_block.finality == "safe"  # 51 blocks deep
    assert item.value_usd is None  # a part of the coins is not the coins
    assert item.value_reason


def test_a_wallet_in_which_nothing_moved_yet_is_unknown_not_empty():
    item = only(observed={"BTC": seen(None, opening_known=False)})
    assert item.onchain.quantity is None
    assert "nothing has moved" in item.onchain.reason


def test_a_known_opening_makes_an_empty_wallet_a_true_0():
    item = only(observed={"BTC": seen(None)})
    assert item.onchain.quantity == "0"
    assert item.onchain.reason is None


def test_coverage_is_of_the_day_of_the_disclosure():
    item = only(
        disclosed={"BTC": disclosed()},
        observed={"BTC": seen(25_000_000_000)},
        observed_then={"BTC": 50_000_000_000},
    )
    assert item.coverage == "0.500000"
    missing = only(disclosed={"BTC": disclosed()}, observed={"BTC": seen(25_000_000_000)})
    assert missing.coverage is None
    assert "does not reach back" in missing.coverage_reason


def test_an_old_price_still_values_and_says_that_it_is_old():
    old = PRICE.model_copy(update={"at": NOW - timedelta(days=270)})
    item = only(disclosed={"BTC": disclosed()}, prices={"BTC": old})
    assert item.value_usd == "64525940.00"
    assert item.price_as_of == old.at
    assert "older than 3 days" in item.price_reason


def test_without_a_price_there_is_no_value():
    item = only(disclosed={"BTC": disclosed()}, prices={})
    assert (item.value_usd, item.price_usd) == (None, None)
    assert item.value_reason == "no price of BTC is known"


def test_a_chain_that_was_never_scanned_shows_no_balance():
    item = only(observed={"BTC": seen(5)}, heads=Heads({}, NOW))
    assert item.onchain.quantity is None
    assert "no block of bitcoin" in item.onchain.reason


def test_a_sum_with_an_unknown_part_is_unknown():
    both = Grounds(
        disclosed={"BTC": disclosed(), "ETH": disclosed(10**18, "ETH")},
        observed={},
        prices={"BTC": PRICE},
        heads=HEADS,
        at=NOW,
    )
    assert total_value(holdings(both)) == (None, "the value of ETH is unknown")
    known = Grounds({"BTC": disclosed()}, {}, {"BTC": PRICE}, HEADS, NOW)
    assert total_value(holdings(known)) == ("64525940.00", None)
    assert total_value([])[0] is None
