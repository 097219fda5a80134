"""Holdings and transfers from a ledger with blocks in it, now and at earlier times."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

from tests.api_service import NOW, Api, running_api, services_for
from tracker.db.chain import Balance, Block, Cursor, DayFlow, Movement, Transfer
from tracker.db.facts import Disclosure, Price
from tracker.db.registry import Entity, Wallet

FIRST = 900_000
STEP = timedelta(minutes=10)
START = datetime(2026, 11, 20, tzinfo=UTC)
# Height above FIRST -> satoshi that came or went in that block.
MOVED = {1: 500_000_000, 5: 250_000_000, 130: -100_000_000}
TIP = 150


def block_hash(height: int) -> bytes:
    return height.to_bytes(32, "big")


def time_of(height: int) -> datetime:
    return START + STEP * (height - FIRST)


@pytest.fixture(params=[False, True], ids=["opening-unknown", "opening-known"])
def api(request, postgres_url: str, tmp_path) -> Iterator[Api]:
    services = services_for(postgres_url, tmp_path)
    with services.database.transaction() as session:
        entity = Entity(slug="holder", name="Holder", kind="dat", role="holder", recorded_at=START)
        session.add(entity)
        session.flush()
        wallet = Wallet(
            entity_id=entity.id,
            chain="bitcoin",
            address="an address",
            key=b"\x51",
            role="treasury",
            tier="attested",
            active_from_height=FIRST,
            opening_known=request.param,
            opening_height=FIRST if request.param else None,
            opening_hash=block_hash(FIRST) if request.param else None,
            opening_time=START if request.param else None,
            opening_note=None if request.param else "no source lists its outputs",
            recorded_at=START,
        )
        session.add(wallet)
        session.flush()
        days: dict[date, int] = {}
        for above, amount in MOVED.items():
            height = FIRST + above
            session.add(
                Block(
                    chain="bitcoin",
                    hash=block_hash(height),
                    height=height,
                    time=time_of(height),
                    parent=block_hash(height - 1),
                    source="a test",
                    watch_version=1,
                    applied_at=NOW,
                )
            )
            session.add(
                Movement(
                    chain="bitcoin",
                    block_hash=block_hash(height),
                    tx=block_hash(above),
                    ref="vout:0",
                    key=b"\x51",
                    asset="BTC",
                    kind="output",
                    amount=amount,
                    height=height,
                    time=time_of(height),
                    entity_id=entity.id,
                    wallet_id=wallet.id,
                )
            )
            days[time_of(height).date()] = days.get(time_of(height).date(), 0) + amount
            session.add(
                Transfer(
                    id=f"tr_{above}",
                    chain="bitcoin",
                    tx=block_hash(above),
                    block_hash=block_hash(height),
                    height=height,
                    time=time_of(height),
                    entity_id=entity.id,
                    asset="BTC",
                    gross_in=max(amount, 0),
                    gross_out=max(-amount, 0),
                    fee=0,
                    net=amount,
                    counterparties=[{"address": None, "name": None, "amount": "1", "key": "51"}],
                    intent="unknown_out" if amount < 0 else "unknown_in",
                    probability=Decimal("0.5"),
                )
            )
        for day, amount in days.items():
            session.add(
                DayFlow(
                    wallet_id=wallet.id, asset="BTC", bucket="liquid", cause="movement", day=day,
                    amount=amount,
                )
            )
        last = FIRST + max(MOVED)
        session.add(
            Balance(
                chain="bitcoin",
                key=b"\x51",
                asset="BTC",
                entity_id=entity.id,
                wallet_id=wallet.id,
                amount=sum(MOVED.values()),
                as_of_height=last,
                as_of_hash=block_hash(last),
            )
        )
        session.add(
            Cursor(
                chain="bitcoin",
                height=FIRST + TIP,
                hash=block_hash(FIRST + TIP),
                final_height=FIRST + TIP - 99,
                safe_height=FIRST + TIP - 5,
                tip_advanced_at=NOW - timedelta(minutes=5),
            )
        )
        session.add(
            Disclosure(
                entity_id=entity.id,
                as_of=date(2026, 11, 20),
                asset="BTC",
                kind="total",
                amount=1_500_000_000,
                evidence="primary",
                source="https://example.org/8-k",
                first_seen=START,
                recorded_at=START,
            )
        )
        session.add(
            Price(
                kind="close",
                subject="BTC",
                at=NOW - timedelta(hours=12),
                value=Decimal(100_000),
                currency="USD",
                state="closed",
                source="a venue",
                recorded_at=NOW,
            )
        )
    with running_api(services) as api:
        api.known = request.param
        yield api


def test_what_stands_now_with_its_block_and_finality(api):
    found = api.get("/v1/entities/holder/holdings")
    (asset,) = found["assets"]
    onchain = asset["onchain"]
    assert (onchain["quantity"], onchain["amount"]) == ("6.5", "650000000")
    assert onchain["by_bucket"] == {"liquid": "6.5"}
    assert onchain["as_of_block"] == {
        "chain": "bitcoin",
        "height": FIRST + TIP,
        "hash": block_hash(FIRST + TIP).hex(),
        "finality": "safe",  # the last change is 21 blocks deep
    }
    assert onchain["opening_known"] is api.known
    assert (onchain["reason"] is None) is api.known
    (bitcoin,) = [chain for chain in found["chains"] if chain["chain"] == "bitcoin"]
    assert (bitcoin["state"], bitcoin["lag_seconds"]) == ("ok", 300)
    assert found["observability"] == "attested"


def test_coverage_is_told_only_where_the_opening_is_known(api):
    (asset,) = api.get("/v1/entities/holder/holdings")["assets"]
    assert asset["coverage_assets"] == (["BTC"] if api.known else None)
    if api.known:
        # 6.5 BTC stood at the end of the day as of which 15 were disclosed.
        assert asset["coverage"] == "0.433333"
    else:
        assert asset["coverage"] is None
        assert "not known" in asset["coverage_reason"]
    assert asset["value_usd"] == "1500000.00"  # the disclosed 15, in either case


@pytest.mark.parametrize(
    ("above", "quantity", "finality"),
    [(2, "5", "final"), (129, "7.5", "final"), (131, "6.5", "safe")],
)
def test_what_stood_earlier_is_told_with_the_block_it_stood_in(api, above, quantity, finality):
    at = time_of(FIRST + above).strftime("%Y-%m-%dT%H:%M:%SZ")
    (asset,) = api.get("/v1/entities/holder/holdings", params={"at": at})["assets"]
    assert asset["onchain"]["quantity"] == quantity
    changed = max(FIRST + moved for moved in MOVED if moved <= above)
    assert asset["onchain"]["as_of_block"]["height"] == changed
    assert asset["onchain"]["as_of_block"]["finality"] == finality


def test_before_the_wallets_were_watched_nothing_is_told(api):
    at = (START - timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    (asset,) = api.get("/v1/entities/holder/holdings", params={"at": at})["assets"]
    assert asset["onchain"]["quantity"] is None
    assert "not watched yet" in asset["onchain"]["reason"]
    assert asset["disclosed"]["quantity"] is None


def test_the_list_shows_the_same_balance(api):
    (item,) = api.get("/v1/entities")["items"]
    (asset,) = item["holdings"]
    assert asset["onchain"]["quantity"] == "6.5"
    assert asset["onchain"]["opening_known"] is api.known


def test_transfers_come_newest_first_by_pages(api):
    first = api.get("/v1/entities/holder/transfers", params={"limit": 2})
    rest = api.get("/v1/entities/holder/transfers", params={"limit": 2, "cursor": first["next"]})
    items = first["items"] + rest["items"]
    assert [item["id"] for item in items] == ["tr_130", "tr_5", "tr_1"]
    assert rest["next"] is None
    out = items[0]
    assert (out["net"], out["quantity"], out["gross_out"]) == ("-100000000", "-1", "100000000")
    assert (out["finality"], items[2]["finality"]) == ("safe", "final")
    assert out["explorer_url"] == f"https://mempool.space/tx/{block_hash(130).hex()}"
    assert out["value_usd"] is None
    assert out["value_reason"]
    assert "key" not in out["counterparties"][0]


def test_the_page_shows_balance_and_transfers(api):
    page = api.request("GET", "/entities/holder").text
    assert "6.5 BTC" in page
    assert "unknown out" in page
    assert f"https://mempool.space/tx/{block_hash(130).hex()}" in page
