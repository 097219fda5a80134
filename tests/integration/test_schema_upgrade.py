"""A database of the first schema, with a ledger in it, brought to the newest one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import text

from tests.servers import empty_database, worker_number
from tests.simulation import assert_books
from tracker.db import Database, migrate
from tracker.embedded.servers import ServerUrls

# Wallet 1 was described anew as 2; removed; added again as 3. One balance carried all of them.
_ROWS = """
    insert into entity (id, slug, name, kind, role, enabled, owner, rules, recorded_at)
    values (1, 'acme', 'Acme', 'dat', 'holder', true, 'operator', '{}', now());
    insert into watch_set (chain, version) values ('bitcoin', 3);
    insert into cursor (chain, height, hash, final_height, tip_advanced_at)
    values ('bitcoin', 12, '\\x0c', -1, now());
    insert into block (chain, hash, height, parent, time, canonical, source, watch_version,
                       applied_at)
    select 'bitcoin', decode(lpad(to_hex(h), 2, '0'), 'hex'), h,
           decode(lpad(to_hex(h - 1), 2, '0'), 'hex'), now(), true, 'files', 1, now()
    from generate_series(10, 12) h;
    insert into block (chain, hash, height, parent, time, canonical, source, watch_version,
                       applied_at)
    values ('bitcoin', '\\xff', 12, '\\x0b', now(), false, 'files', 1, now());
    insert into wallet (id, entity_id, chain, address, key, role, tier, owner, active_from_height,
                        opening_known, recorded_at, closed_at)
    values (1, 1, 'bitcoin', 'a', '\\x01', 'cold', 'user', 'operator', 10, false, now(), now()),
           (2, 1, 'bitcoin', 'a', '\\x01', 'hot', 'user', 'operator', 10, false, now(), now()),
           (3, 1, 'bitcoin', 'a', '\\x01', 'hot', 'user', 'operator', 12, false, now(), null);
    insert into movement (wallet_id, block_hash, height, tx, ref, kind, amount, canonical, chain,
                          key, asset, entity_id, time)
    select m.*, 'bitcoin', '\\x01', 'BTC', 1, now() from (
        values (1, '\\x0a'::bytea, 10, '\\x77'::bytea, 'vout:0', 'output', 70, true),
               (2, '\\x0b', 11, '\\x78', 'vin:0', 'input', -20, true),
               (3, '\\x0c', 12, '\\x79', 'vin:0', 'input', -5, true),
               (3, '\\xff', 12, '\\x80', 'vin:0', 'input', -1, false)
    ) m;
    insert into balance (chain, key, asset, entity_id, wallet_id, amount, as_of_height, as_of_hash)
    values ('bitcoin', '\\x01', 'BTC', 1, 3, 45, 12, '\\x0c');
"""


@pytest.fixture
def old(servers: ServerUrls) -> Iterator[str]:
    with empty_database(servers, f"upgrade_{worker_number()}") as url:
        migrate.upgrade(url, "0001")
        yield url


def test_a_ledger_of_the_first_schema_has_a_balance_for_each_tenure_after_the_upgrade(
    old: str,
) -> None:
    database = Database(old)
    with database.transaction() as session:
        for statement in _ROWS.strip().split(";\n"):
            session.connection().exec_driver_sql(statement)
    migrate.upgrade(old)
    assert_books(database, "bitcoin", "the upgrade")
    with database.transaction() as session:
        balances = session.execute(
            text("select wallet_id, bucket, amount, as_of_height, as_of_hash from balance"
                 " order by wallet_id")
        ).all()
        tenures = session.execute(text("select id, tenure_id from wallet order by id")).all()
        cursor = session.execute(text("select highest, safe_height from cursor")).one()
    assert [tuple(row) for row in balances] == [
        (1, "liquid", 50, 11, b"\x0b"), (3, "liquid", -5, 12, b"\x0c"),
    ]
    assert [tuple(row) for row in tenures] == [(1, None), (2, 1), (3, None)]
    assert tuple(cursor) == (12, -1)
    database.dispose()
