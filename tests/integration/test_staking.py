"""Staked ether: deposits of real blocks, statuses of a Beacon API, withdrawals that come back."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from datetime import timedelta

import pytest
from sqlmodel import select

from tests.account_scene import ETHER, AccountScene, key_of
from tests.anvil import DEPOSIT_CONTRACT, GWEI, Anvil, run
from tests.beacon_node import BeaconNode, beacon_node
from tests.withdrawals import RpcProxy, proxying
from tracker.chains.ethereum.sources import open_beacon
from tracker.config import Settings
from tracker.db.chain import Balance, DayFlow, Movement
from tracker.db.staking import Validator
from tracker.errors import ReplyError
from tracker.operations import repository as operations
from tracker.reconciliation.ethereum import EthereumReconcile
from tracker.reconciliation.late_traces import LateTraces
from tracker.reconciliation.staking import APART, StakingReport, StakingTick
from tracker.reconciliation.validators.buckets import BUCKETS
from tracker.scanning.ethereum_backfill import EthereumBackfill
from tracker.scanning.jobs import repository as jobs

FINALITY = 4  # blocks: epochs of one slot, and `finalized` lags its tip by two of them
AN_HOUR = 3600
K1, K2, K3 = (bytes([number]) * 48 for number in (0xA1, 0xB2, 0xC3))


@pytest.fixture
def node() -> Iterator[Anvil]:
    with run(options=("--slots-in-an-epoch", "1")) as anvil:
        anvil.place_canonical()
        yield anvil


@pytest.fixture
def proxy(node: Anvil) -> Iterator[RpcProxy]:
    with proxying(node) as found:
        yield found


@pytest.fixture
def beacon() -> Iterator[BeaconNode]:
    with beacon_node() as found:
        yield found


class Staking(AccountScene):
    """The scene, its deposits and what its buckets hold."""

    def start(self, proxy: RpcProxy, beacon: BeaconNode) -> None:
        self.proxy, self.beacon = proxy, beacon
        self.client = open_beacon(Settings(beacon_url=beacon.url, http_timeout_seconds=5))
        self.tick()
        self.open()

    def deposit(
        self, pubkey: bytes, ethers: int, owner: str | None = None, payer: str | None = None
    ) -> None:
        credentials = b"\x01" + bytes(11) + key_of(owner or self.treasury)
        self.node.at("DepositContract", DEPOSIT_CONTRACT).send(
            "deposit", pubkey, credentials, bytes(96), bytes(32), value=ethers * ETHER,
            sender=payer or self.treasury,
        )

    def withdraw(self, gwei: int, owner: str | None = None) -> None:
        self.proxy.withdraw(self.node, (owner or self.treasury, gwei, 7))

    def on(self, blocks: int = FINALITY) -> None:
        """Time goes on, and the scan with it."""
        self.node.mine(blocks)
        self.tick()

    def an_hour_on(self) -> None:
        """As `on`, after an hour without a block."""
        self.node.set_next_time(int(self.node.block()["timestamp"], 16) + AN_HOUR)
        self.on()

    def follow(self, *, with_beacon: bool = True) -> StakingReport:
        client = self.client if with_beacon else None
        report = StakingTick(self.database, self.pool, client, self.now).tick()
        self.check()
        return report

    def buckets(self, owner: str | None = None) -> dict[str, int]:
        """Wei by bucket of staked ether, empty ones left out."""
        found = {b.value: self.balance(owner or self.treasury, bucket=b) or 0 for b in BUCKETS}
        return {bucket: amount for bucket, amount in found.items() if amount}

    def posted(self, cause: str, owner: str | None = None) -> int:
        """What residuals of one cause add up to, over all buckets."""
        moves = self.movements(owner or self.treasury, "ETH")
        return sum(m.amount for m in moves if m.kind == "residual" and m.cause == cause)

    def validators(self) -> dict[bytes, Validator]:
        with self.database.transaction() as session:
            return {row.pubkey: row for row in session.exec(select(Validator))}

    def check(self) -> None:
        """Balances and days are the sums of canonical movements, and no bucket is overdrawn."""
        sums: dict[tuple[object, ...], int] = defaultdict(int)
        days: dict[tuple[object, ...], int] = defaultdict(int)
        with self.database.transaction() as session:
            for move in session.exec(select(Movement).where(Movement.canonical)):
                sums[move.wallet_id, move.asset, move.bucket] += move.amount
                place = move.wallet_id, move.asset, move.bucket, move.cause, move.time.date()
                days[place] += move.amount
            for row in session.exec(select(Balance)):
                assert row.amount == sums[row.wallet_id, row.asset, row.bucket], row
                assert row.amount >= 0, row
            for flow in session.exec(select(DayFlow)):
                place = flow.wallet_id, flow.asset, flow.bucket, flow.cause, flow.day
                assert flow.amount == days[place], flow


@pytest.fixture
def scene(
    postgres_url: str, node: Anvil, proxy: RpcProxy, beacon: BeaconNode
) -> Iterator[Staking]:
    found = Staking(
        postgres_url, node, rpc_urls=[proxy.url], options={"ethereum_checks": "trusted"}
    )
    found.start(proxy, beacon)
    yield found
    found.database.dispose()


def test_final_deposits_become_validators_and_those_to_one_key_add_up(scene: Staking) -> None:
    with scene.node.one_block():
        scene.deposit(K1, 32)
        scene.deposit(K2, 1)
        scene.deposit(K3, 32, owner=scene.stranger)  # paid by us, another's
    first = scene.node.block()
    scene.deposit(K2, 31, payer=scene.stranger)  # another pays, ours
    scene.tick()
    assert scene.follow(with_beacon=False).blocks == 0  # none of them is final yet
    assert scene.validators() == {}
    scene.on()
    report = scene.follow(with_beacon=False)
    assert (report.blocks, report.more) == (2, False)
    found = scene.validators()
    assert {key: row.deposited for key, row in found.items()} == {K1: 32 * ETHER, K2: 32 * ETHER}
    assert int(found[K2].first_deposit_at.timestamp()) == int(first["timestamp"], 16)
    assert found[K1].status is None
    assert scene.buckets() == {"pending_deposit": 64 * ETHER}
    assert scene.follow(with_beacon=False).blocks == 0


def test_later_deposits_are_read_alone_and_lost_count_is_made_good(scene: Staking) -> None:
    scene.deposit(K1, 32)
    scene.on()
    scene.follow(with_beacon=False)
    scene.deposit(K1, 2)
    scene.deposit(K2, 32)
    scene.on()
    assert scene.follow(with_beacon=False).blocks == 2
    with scene.database.transaction() as session:
        row = session.get(Validator, (K1, scene.wallet(scene.treasury).id))
        assert row is not None
        row.deposited = 7 * ETHER  # as where backfill dated deposits below those that were read
    assert scene.follow(with_beacon=False).blocks == 3
    assert {key: row.deposited for key, row in scene.validators().items()} == {
        K1: 34 * ETHER, K2: 32 * ETHER,
    }


def test_validators_are_followed_from_deposit_to_withdrawal(scene: Staking) -> None:
    scene.deposit(K1, 32)
    scene.deposit(K2, 32)
    scene.on()
    scene.beacon.say(K1, "pending_queued", 32 * GWEI, scene.treasury)
    report = scene.follow()
    assert (report.asked, report.posted) == (2, 1)
    assert scene.buckets() == {"pending_deposit": 64 * ETHER}  # K2 is not known there yet
    assert (scene.validators()[K1].status, scene.validators()[K2].status) == (
        "pending_queued", None,
    )

    reward = 12_345_678
    scene.an_hour_on()
    scene.beacon.say(K1, "active_ongoing", 32 * GWEI + reward, scene.treasury)
    scene.beacon.say(K2, "pending_initialized", 32 * GWEI, scene.treasury)
    scene.follow()
    assert scene.buckets() == {
        "pending_deposit": 32 * ETHER, "staked": 32 * ETHER + reward * GWEI,
    }
    assert (scene.posted("movement"), scene.posted("rate")) == (0, reward * GWEI)

    scene.withdraw(reward)  # swept: from `staked` to liquid, and a second reward meanwhile
    scene.an_hour_on()
    scene.beacon.say(K1, "active_ongoing", 32 * GWEI + 5, scene.treasury)
    scene.beacon.say(K2, "active_ongoing", 32 * GWEI, scene.treasury)
    scene.follow()
    assert scene.buckets() == {"staked": 64 * ETHER + 5 * GWEI}
    assert scene.posted("movement") == -reward * GWEI
    assert scene.posted("rate") == (reward + 5) * GWEI

    scene.an_hour_on()
    scene.beacon.say(K1, "active_exiting", 32 * GWEI + 5, scene.treasury)
    scene.follow()
    assert scene.buckets() == {"staked": 32 * ETHER, "exiting": 32 * ETHER + 5 * GWEI}

    scene.withdraw(32 * GWEI + 8)  # it earned on until it left
    scene.tick()
    # What it earned since it was asked about is taken from its neighbour until the next time.
    assert scene.buckets() == {"staked": 32 * ETHER - 3 * GWEI}
    scene.on(APART + FINALITY)
    scene.an_hour_on()
    scene.beacon.say(K1, "withdrawal_done", 0, scene.treasury)
    scene.follow()
    assert scene.buckets() == {"staked": 32 * ETHER}
    assert scene.posted("rate") == (reward + 8) * GWEI
    assert scene.balance(scene.treasury, bucket="liquid") == scene.node.balance(scene.treasury)


def test_penalties_lower_what_is_staked_by_a_rate(scene: Staking) -> None:
    scene.deposit(K1, 32)
    scene.on()
    scene.beacon.say(K1, "active_ongoing", 32 * GWEI, scene.treasury)
    scene.follow()
    scene.an_hour_on()
    scene.beacon.say(K1, "exited_slashed", 30 * GWEI, scene.treasury, slashed=True)
    scene.follow()
    assert scene.buckets() == {"exiting": 30 * ETHER}
    assert (scene.posted("movement"), scene.posted("rate")) == (0, -2 * ETHER)


def test_a_small_last_payment_is_taken_out_once_the_beacon_api_tells(scene: Staking) -> None:
    scene.deposit(K1, 32)
    scene.on()
    scene.beacon.say(K1, "withdrawal_possible", 15 * GWEI, scene.treasury, slashed=True)
    scene.follow()
    scene.withdraw(15 * GWEI)
    scene.an_hour_on()
    assert scene.buckets() == {"exiting": 15 * ETHER}  # too small to be told from rewards
    scene.beacon.say(K1, "withdrawal_done", 0, scene.treasury, slashed=True)
    scene.follow()
    assert scene.buckets() == {}
    assert (scene.posted("movement"), scene.posted("rate")) == (-15 * ETHER, -17 * ETHER)


def test_a_deposit_to_anothers_validator_is_not_ours(scene: Staking) -> None:
    scene.deposit(K1, 32)
    scene.on()
    scene.beacon.say(K1, "active_ongoing", 64 * GWEI, scene.stranger)
    scene.follow()
    assert scene.buckets() == {}
    assert (scene.posted("movement"), scene.posted("rate")) == (-32 * ETHER, 0)
    scene.an_hour_on()
    scene.follow()
    assert (scene.posted("movement"), scene.posted("rate")) == (-32 * ETHER, 0)


def test_one_block_is_posted_once_and_made_anew(scene: Staking) -> None:
    scene.deposit(K1, 32)
    scene.deposit(K2, 32)
    scene.on()
    for key in (K1, K2):
        scene.beacon.say(key, "active_ongoing", 32 * GWEI + 3, scene.treasury)
    scene.follow()
    told = scene.buckets()
    assert scene.follow().asked == 0  # within the hour
    with scene.database.transaction() as session:
        row = session.get(Validator, (K2, scene.wallet(scene.treasury).id))
        assert row is not None
        row.as_of = None  # as of a deposit that is found late: the same block is read again
    scene.beacon.say(K2, "active_exiting", 32 * GWEI + 4, scene.treasury)
    assert scene.follow().posted == 1
    assert told == {"staked": 64 * ETHER + 6 * GWEI}
    assert scene.buckets() == {"staked": 32 * ETHER + 3 * GWEI, "exiting": 32 * ETHER + 4 * GWEI}
    moves = [m for m in scene.movements(scene.treasury) if m.kind == "residual"]
    assert len({(m.ref, m.bucket) for m in moves}) == len(moves)
    assert {m.ref for m in moves} == {"probe", "probe:rate"}
    assert (scene.posted("movement"), scene.posted("rate")) == (0, 7 * GWEI)


def test_a_ledger_behind_finality_waits(scene: Staking) -> None:
    scene.deposit(K1, 32)
    scene.on()
    scene.beacon.say(K1, "active_ongoing", 32 * GWEI, scene.treasury)
    scene.node.mine(2)
    report = scene.follow()
    assert (report.posted, report.skipped) == (0, "the ledger is not at the newest final block")
    assert scene.beacon.asked == []
    scene.tick()
    assert scene.follow().posted == 1


def test_principal_on_its_way_is_waited_for(scene: Staking) -> None:
    scene.deposit(K1, 32)
    scene.on()
    scene.beacon.say(K1, "active_exiting", 32 * GWEI, scene.treasury)
    scene.follow()
    scene.an_hour_on()
    scene.withdraw(32 * GWEI)
    scene.tick()
    assert scene.buckets() == {}
    # The Beacon API's final block may be before the payment or after it: which, nobody says.
    scene.beacon.say(K1, "withdrawal_done", 0, scene.treasury)
    report = scene.follow()
    assert (report.asked, report.posted) == (1, 0)
    assert scene.buckets() == {}
    scene.on(APART + FINALITY)
    assert scene.follow().posted == 1
    assert scene.buckets() == {}
    assert (scene.posted("movement"), scene.posted("rate")) == (0, 0)


def test_an_answer_that_cannot_be_used_changes_nothing(scene: Staking) -> None:
    scene.deposit(K1, 32)
    scene.on()
    scene.beacon.say(K1, "active_dreaming", 32 * GWEI, scene.treasury)
    with pytest.raises(ReplyError, match="active_dreaming"):
        scene.follow()
    scene.check()
    assert scene.buckets() == {"pending_deposit": 32 * ETHER}
    assert scene.validators()[K1].as_of is None


def test_how_the_beacon_api_answers_is_shown_among_the_sources(scene: Staking) -> None:
    def shown() -> tuple[str, bool, bool]:
        with scene.database.transaction() as session:
            [row] = operations.list_sources(session)
            assert (row.kind, row.name.startswith("beacon+")) == ("ethereum_beacon", True)
            return row.state, row.last_ok is not None, row.last_error is not None

    scene.deposit(K1, 32)
    scene.on()
    scene.beacon.say(K1, "active_ongoing", 32 * GWEI, scene.treasury)
    scene.follow()
    assert shown() == ("ok", True, False)
    scene.beacon.say(K1, "active_ongoing", -1, scene.treasury)
    scene.an_hour_on()
    with pytest.raises(ReplyError, match="unreadable"):
        scene.follow()
    assert shown() == ("lying", True, True)


def test_without_a_beacon_api_large_withdrawals_take_principal_back(scene: Staking) -> None:
    scene.deposit(K1, 32)
    scene.deposit(K2, 32)
    scene.on()
    scene.follow(with_beacon=False)
    before = scene.balance(scene.treasury) or 0
    scene.withdraw(15_999_999_999)  # a reward, however large
    scene.tick()
    assert scene.balance(scene.treasury) == before + 15_999_999_999 * GWEI
    assert scene.buckets() == {"pending_deposit": 64 * ETHER}
    before = scene.balance(scene.treasury) or 0
    scene.withdraw(40 * GWEI)
    scene.tick()
    assert scene.balance(scene.treasury) == before
    assert scene.buckets() == {"pending_deposit": 24 * ETHER}
    # Two in one block share what is left; what exceeds it was never counted before.
    scene.proxy.withdraw(
        scene.node, (scene.treasury, 20 * GWEI, 1), (scene.treasury, 20 * GWEI, 2)
    )
    scene.withdraw(32 * GWEI, owner=scene.second)  # deposited before anybody looked
    scene.tick()
    assert scene.balance(scene.treasury) == before + 16 * ETHER
    assert scene.buckets() == {}
    assert scene.buckets(scene.second) == {}
    scene.check()
    refs = [
        (m.ref, m.bucket, m.amount)
        for m in scene.movements(scene.treasury)
        if m.kind == "withdrawal" and m.bucket != "liquid"
    ]
    assert refs == [
        ("withdrawal:1", "pending_deposit", -40 * ETHER),
        ("withdrawal:2", "pending_deposit", -20 * ETHER),
        ("withdrawal:3", "pending_deposit", -4 * ETHER),
    ]


def test_principal_that_came_back_in_an_orphaned_block_is_staked_again(scene: Staking) -> None:
    scene.deposit(K1, 32)
    scene.on()
    scene.withdraw(32 * GWEI)
    scene.tick()
    assert scene.buckets() == {}
    scene.node.reorg(1)
    scene.node.mine()
    assert scene.tick().orphaned == 1
    assert scene.buckets() == {"pending_deposit": 32 * ETHER}
    scene.check()


def test_deposits_that_backfill_finds_come_to_light_as_an_attribution(scene: Staking) -> None:
    late = scene.node.accounts[5]
    first = scene.node.height + 1
    scene.deposit(K1, 32, owner=late, payer=late)
    scene.deposit(K2, 32, owner=late, payer=late)
    scene.withdraw(32 * GWEI + 1, owner=late)  # all of K1 came back before anybody watched
    scene.tick()
    scene.watch(late)
    scene.open()
    scene.on()
    with scene.database.transaction() as session:
        job = jobs.add(
            session, chain="ethereum", wallets=[scene.wallet(late)], from_height=first,
            now=scene.now(),
        )
        session.expunge(job)
    worker = EthereumBackfill(scene.database, scene.pool, scene.settings, scene.now)
    while worker.slice(5).more:
        pass
    assert scene.deltas(late) == scene.true_deltas(late, first)
    assert scene.buckets(late) == {}
    back = [m for m in scene.movements(late) if m.kind == "withdrawal" and m.bucket != "liquid"]
    assert [(m.height, m.amount) for m in back] == [(first + 2, -32 * ETHER - GWEI)]

    scene.beacon.say(K1, "withdrawal_done", 0, late)
    scene.beacon.say(K2, "active_ongoing", 33 * GWEI, late)
    scene.on(APART)
    scene.follow()
    assert scene.buckets(late) == {"staked": 33 * ETHER}
    assert scene.posted("movement", late) == 0
    assert scene.posted("attribution", late) == 32 * ETHER - GWEI
    assert scene.posted("rate", late) == ETHER + GWEI
    scene.an_hour_on()
    scene.follow()
    assert scene.posted("attribution", late) == 32 * ETHER - GWEI


def test_probes_and_late_traces_leave_staked_ether_alone(
    scene: Staking, proxy: RpcProxy
) -> None:
    scene.deposit(K1, 32)
    scene.on()
    scene.beacon.say(K1, "active_ongoing", 32 * GWEI + 9, scene.treasury)
    scene.follow()
    told = scene.buckets()
    # As where no source had traces: the block of the posting still waits for its own.
    with scene.database.transaction() as session:
        for move in scene.movements(scene.treasury):
            if move.kind == "residual":
                block = scene.block_row(move.height)
                block.traced = False
                session.merge(block)
    assert LateTraces(scene.database, scene.pool, scene.now).tick() == 0
    report = EthereumReconcile(scene.database, scene.pool, scene.now, scene.assets, 1).tick()
    assert (report.residuals, report.unresolved) == (0, 0)
    assert scene.buckets() == told
    scene.check()


def test_a_removed_wallet_is_not_asked_about(scene: Staking) -> None:
    scene.deposit(K1, 32)
    scene.on()
    scene.follow(with_beacon=False)
    wallet = scene.wallet(scene.treasury)
    with scene.database.transaction() as session:
        wallet.closed_at = scene.now() - timedelta(seconds=1)
        session.merge(wallet)
    scene.beacon.say(K1, "active_ongoing", 32 * GWEI, scene.treasury)
    report = scene.follow()
    assert (report.blocks, report.asked, report.posted) == (0, 0, 0)
    assert scene.beacon.asked == []
