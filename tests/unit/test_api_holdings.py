"""Holdings by each ground of truth: unknown is said, never counted as 0."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from tracker.api.reads.chains import Heads
from tracker.api.reads.holdings import NO_WALLET, Grounds, holdings, total_value
from tracker.api.reads.observed import Counting, Observed
from tracker.api.reads.past import Then
from tracker.db.chain import Cursor
from tracker.db.facts import Disclosure, Price
from tracker.facts.rates.repository import Rate

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
HEADS = Heads(
    {
        "bitcoin": Cursor(
            chain="bitcoin",
            height=900_200,
            hash=b"\x00" * 31 + b"\x07",
            final_height=900_101,
            safe_height=900_195,
            tip_advanced_at=NOW,
        ),
        "ethereum": Cursor(
            chain="ethereum",
            height=18_000_000,
            hash=b"\x00" * 31 + b"\x08",
            final_height=17_999_900,
            safe_height=17_999_950,
            tip_advanced_at=NOW,
        ),
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


def seen(amount=None, *, opening_known=True, changed_at=None, since=900_000, **more):
    """What the ledger counts in one wallet; None: nothing moved."""
    counting = Counting(
        wallets=1,
        partly=0 if opening_known else 1,
        since_height=None if opening_known else since,
        opened_at=since if opening_known else None,
    )
    if amount is not None and changed_at is None:
        changed_at = since
    buckets = {} if amount is None else {"liquid": amount}
    return Observed(buckets, counting, changed_at=changed_at, **more)


def waiting(wallets, of, amount=0):
    """Some wallets whose opening is not read yet, beside others."""
    return Observed({"liquid": amount}, Counting(wallets=of, waiting=wallets, opened_at=900_000))


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
    assert item.onchain.as_of_block.finality == "safe"  # above the final height, not the safe one
    assert item.value_usd is None  # a part of the coins is not the coins
    assert item.value_reason


def test_a_wallet_in_which_nothing_moved_yet_is_unknown_not_empty():
    item = only(observed={"BTC": seen(None, opening_known=False)})
    assert item.onchain.quantity is None
    assert "nothing has moved" in item.onchain.reason


def test_a_known_opening_makes_an_empty_wallet_a_true_0():
    item = only(observed={"BTC": seen(None)})
    assert (item.onchain.quantity, item.onchain.by_bucket) == ("0", {"liquid": "0"})
    assert (item.onchain.state, item.onchain.reason) == ("open", None)
    assert item.value_usd == "0.00"


def test_a_wallet_that_is_bootstrapping_shows_null_and_says_so():
    item = only(observed={"BTC": waiting(1, 1)})
    assert (item.onchain.quantity, item.onchain.amount) == (None, None)
    assert item.onchain.state == "bootstrapping"
    assert "still bootstrapping" in item.onchain.reason
    assert item.onchain.partial is None
    assert item.value_usd is None


def test_some_wallets_that_are_bootstrapping_are_counted_and_the_others_shown_as_a_part():
    item = only(observed={"BTC": waiting(2, 5, 700_000_000)})
    assert item.onchain.quantity is None
    assert item.onchain.reason.startswith("2 of 5 wallets are still bootstrapping")
    part = item.onchain.partial
    assert (part.quantity, part.wallets, part.of) == ("7", 3, 5)
    assert part.by_bucket == {"liquid": "7"}


def test_what_is_owed_is_negative_in_every_bucket_and_in_value():
    owed = Observed({"lent": 2 * 10**18}, Counting(wallets=1, opened_at=5), changed_at=5)
    ether = PRICE.model_copy(update={"subject": "ETH", "value": Decimal(3000)})
    item = only(observed={"variableDebtEthWETH": owed}, prices={"ETH": ether})
    assert (item.onchain.quantity, item.onchain.by_bucket) == ("-2", {"lent": "-2"})
    assert item.onchain.owed is True
    assert item.value_usd == "-6000.00"


def test_buckets_are_shown_apart_and_empty_ones_left_out():
    held = {"liquid": 10**18, "staked": 32 * 10**18, "pending_deposit": 0}
    item = only(observed={"ETH": Observed(held, Counting(wallets=1), changed_at=17_999_940)})
    assert item.onchain.by_bucket == {"liquid": "1", "staked": "32"}
    assert item.onchain.quantity == "33"
    assert item.onchain.as_of_block.finality == "safe"
    assert item.onchain.as_of_block.hash == "0x" + "00" * 31 + "08"


def test_a_token_at_par_is_valued_as_its_coin_and_one_with_a_rate_is_not():
    ether = PRICE.model_copy(update={"subject": "ETH", "value": Decimal(3000)})
    one = {asset: Observed({"liquid": 10**18}, Counting(wallets=1), changed_at=1)
           for asset in ("WETH", "wstETH")}  # fmt: skip
    items = holdings(Grounds({}, one, {"ETH": ether}, HEADS, NOW))
    assert [item.value_usd for item in items] == ["3000.00", None]
    assert "one stands for one ETH" in items[0].price_source
    assert "no recent rate of wstETH" in items[1].value_reason
    assert total_value(items) == (None, "the value of wstETH is unknown")


def test_a_token_with_a_rate_is_valued_by_it_as_of_the_older_of_rate_and_price():
    ether = PRICE.model_copy(update={"subject": "ETH", "value": Decimal(3000)})
    one = {"wstETH": Observed({"liquid_staked": 10**18}, Counting(wallets=1), changed_at=1)}
    old = NOW - timedelta(days=1)
    rate = Rate("wstETH", Decimal("1.2"), old, "its contract")
    [item] = holdings(Grounds({}, one, {"ETH": ether}, HEADS, NOW, rates={"wstETH": rate}))
    assert (item.value_usd, item.price_usd, item.price_as_of) == ("3600.00", "3600", old)
    assert "1.2 ETH each by its contract" in item.price_source


def test_tokens_of_a_disclosed_coin_are_within_its_total_and_debts_are_not():
    ether = PRICE.model_copy(update={"subject": "ETH", "value": Decimal(1000)})
    seen_tokens = {
        asset: Observed({"liquid": 10**18}, Counting(wallets=1), changed_at=1)
        for asset in ("WETH", "wstETH", "variableDebtEthWETH")
    }
    found = holdings(
        Grounds({"ETH": disclosed(10**19, "ETH")}, seen_tokens, {"ETH": ether}, HEADS, NOW)
    )
    assert total_value(found) == ("9000.00", None)


def test_coverage_is_of_the_day_of_the_disclosure():
    item = only(
        disclosed={"BTC": disclosed()},
        observed={"BTC": seen(25_000_000_000)},
        observed_then={"BTC": Then(50_000_000_000, ("BTC",))},
    )
    assert (item.coverage, item.coverage_assets) == ("0.500000", ["BTC"])
    missing = only(
        disclosed={"BTC": disclosed()},
        observed={"BTC": seen(25_000_000_000)},
        observed_then={"BTC": Then(None, reason="the ledger does not reach back")},
    )
    assert missing.coverage is None
    assert "does not reach back" in missing.coverage_reason


def test_coverage_above_1_is_a_finding_and_shown_as_it_is():
    item = only(
        disclosed={"BTC": disclosed()},
        observed={"BTC": seen(1)},
        observed_then={"BTC": Then(150_000_000_000, ("BTC", "WBTC"), ("a token",))},
    )
    assert item.coverage == "1.500000"
    assert (item.coverage_assets, item.coverage_leaves_out) == (["BTC", "WBTC"], ["a token"])


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
    alone = Heads({}, NOW, followed=("ethereum",))
    item = only(observed={"BTC": seen(5)}, heads=alone)
    assert "no source of bitcoin is configured" in item.onchain.reason
    assert [view.state for view in alone.views()] == ["not_configured", "not_started"]


def test_each_chain_lags_by_its_own_measure():
    def state(chain, minutes):
        cursor = Cursor(
            chain=chain, height=1, hash=b"\x01", tip_advanced_at=NOW - timedelta(minutes=minutes)
        )
        return next(v.state for v in Heads({chain: cursor}, NOW).views() if v.chain == chain)

    assert (state("ethereum", 9), state("ethereum", 11)) == ("ok", "lagging")
    assert (state("bitcoin", 11), state("bitcoin", 119), state("bitcoin", 121)) == (
        "ok", "ok", "lagging",
    )  # fmt: skip


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
