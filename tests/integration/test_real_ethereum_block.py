"""Block 18,000,000 of mainnet through scan and probe: just what its records miss."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from sqlmodel import select

from tests.account_scene import key_of
from tests.rpc_replies import BLOCK, Replay, recorded, serve
from tracker.chains.ethereum.address import checksummed
from tracker.chains.ethereum.assets import AssetTable
from tracker.chains.ethereum.pool import EthereumPool, open_pool
from tracker.config import Settings
from tracker.db import Database
from tracker.db.chain import Balance, Movement
from tracker.db.reconciliation import Discrepancy
from tracker.db.registry import Entity, Wallet
from tracker.domain.chain import BlockRef
from tracker.doorbell import Silent
from tracker.ledger import repository as ledger
from tracker.ledger.apply import apply_block
from tracker.ledger.effects import BlockEffects
from tracker.reconciliation.ethereum import EthereumReconcile
from tracker.scanning.ethereum import EthereumScan
from tracker.scanning.ethereum_openings import EthereumOpenings

CHAIN = "ethereum"
# Paid by contracts inside transactions, which receipts do not show.
MISSED = {
    "0xe4edb277e41dc89ab076a1f049f4a3efa700bce8": 71_200_000_000_009_004,
    "0xc02aaa39b223fe8d0a0e5c4f27ead9083c756cc2": 569_397_503_442_901_182,  # WETH
    "0x3999d2c5207c06bbc5cf8a6bea52966cabb76d41": 4_790_106_534_524_386,
}
ETHER_ONLY = AssetTable(())  # the records tell balances of ether and of nothing else
AT = datetime.fromtimestamp(0x64EA268F, UTC)  # the block's own time

@pytest.fixture
def node() -> Replay:
    return Replay(before=dict(recorded("erigon_getBalanceChangesInBlock__test_01.json")))


@pytest.fixture
def settings(node: Replay) -> Iterator[Settings]:
    with serve(node.answer) as server:
        yield Settings(ethereum_rpc_urls=(server.url,), ethereum_checks="full")


@pytest.fixture
def pool(settings: Settings) -> EthereumPool:
    return open_pool(settings)


@pytest.fixture
def database(postgres_url: str, node: Replay) -> Iterator[Database]:
    """A ledger that stands on the block below, with a wallet at each account known before."""
    found = Database(postgres_url)
    block = node.block
    parent = BlockRef(BLOCK - 1, key_of(block["parentHash"]), bytes(32), AT - timedelta(seconds=12))
    with found.transaction() as session:
        holder = Entity(slug="acme", name="Acme", kind="dat", role="holder", recorded_at=AT)
        session.add(holder)
        session.flush()
        for address in accounts(node):
            session.add(
                Wallet(
                    entity_id=holder.id, chain=CHAIN, address=checksummed(key_of(address)),
                    key=key_of(address), role="treasury", tier="attested",
                    active_from_height=BLOCK, recorded_at=AT,
                )
            )  # fmt: skip
        ledger.start_cursor(session, CHAIN, BLOCK - 2, parent.parent, AT)
        apply_block(session, CHAIN, BlockEffects(parent, "records", 0, (), ()), AT)
    yield found
    found.dispose()


def accounts(node: Replay) -> list[str]:
    return sorted(set(node.before) & set(node.balances))


def test_the_probe_finds_exactly_what_the_records_of_a_real_block_miss(
    node: Replay, settings: Settings, pool: EthereumPool, database: Database
) -> None:
    opened = EthereumOpenings(database, pool, ETHER_ONLY).tick()
    assert opened.opened == len(accounts(node)) == 15
    assert balances(database) == {
        address: int(node.before[address], 16) for address in accounts(node)
    }

    scan = EthereumScan(database, pool, settings, Silent(), lambda: AT, ETHER_ONLY)
    report = scan.tick()
    assert (report.applied, report.height) == (1, BLOCK)
    right = {
        address: int(node.balances[address], 16)
        for address in accounts(node)
        if address not in MISSED
    }
    assert len(right) == 12
    assert {at: amount for at, amount in balances(database).items() if at in right} == right

    found = EthereumReconcile(database, pool, lambda: AT, ETHER_ONLY, probe_gap=1).tick()
    assert (found.height, found.probed, found.agreed, found.residuals) == (BLOCK, 15, 12, 3)
    assert found.unresolved == 0
    assert balances(database) == {
        address: int(node.balances[address], 16) for address in accounts(node)
    }
    with database.transaction() as session:
        residuals = list(session.exec(select(Movement).where(Movement.kind == "residual")))
        assert {f"0x{each.key.hex()}": each.amount for each in residuals} == MISSED
        assert {(each.height, each.ref) for each in residuals} == {(BLOCK, "probe")}
        rows = list(session.exec(select(Discrepancy)))
        assert {f"0x{each.key.hex()}": each.amount for each in rows} == MISSED
        assert {(each.state, each.explanation) for each in rows} == {("explained", "internal")}


def balances(database: Database) -> dict[str, int]:
    """Ether of each account that the ledger knows."""
    with database.transaction() as session:
        rows = session.exec(select(Balance).where(Balance.asset == "ETH"))
        return {f"0x{row.key.hex()}": row.amount for row in rows}
