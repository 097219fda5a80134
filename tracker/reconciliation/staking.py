"""Staked ether: the validators of watched addresses, and the buckets that follow them.

Deposits are read from final blocks, so no reorganisation meets them. They stay `pending_deposit`
until a Beacon API tells how their validators stand: its finalized state moves them to `staked`, to
`exiting` and out. Each posting makes the buckets what the consensus layer says, as movements of
kind `residual` at our newest final block: `probe` for what moved between buckets (it sums to
nothing, but for what was paid out meanwhile), `probe:rate` for rewards less penalties, and
`probe:attribution` for deposits of before the opening that backfill brought to light. At most one
of each a block, address and bucket, made anew if the block is read again, never added to.

Without a Beacon API only large withdrawals take anything out of these buckets, in their own block:
`tracker.scanning.ethereum_block`.

Not followed: validators whose credentials came to name the address later (`0x00` changed to `0x01`)
or whose deposits were never scanned; principal that a consolidation (EIP-7251) moves between
validators of different addresses, which shows as a penalty of one and a reward of the other; a
deposit that the consensus layer refuses, which stays pending. A top-up is told from its credit by
what is missing, so rewards of meanwhile show when it is credited.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlmodel import Session

from tracker.chains.ethereum.assets import ETHER, MAINNET, AssetTable
from tracker.chains.ethereum.beacon import BeaconClient
from tracker.chains.ethereum.beacon import Validator as Told
from tracker.chains.ethereum.deposits import DEPOSIT_EVENT, WEI_PER_GWEI, stake_deposit
from tracker.chains.ethereum.pool import EthereumPool
from tracker.db import Database
from tracker.db.chain import Block
from tracker.db.lease import lease
from tracker.db.staking import Validator
from tracker.domain.chain import BlockRef
from tracker.errors import SourceUnavailableError, TrackerError
from tracker.ledger import repository as ledger
from tracker.ledger.effects import LedgerMovement
from tracker.ledger.postings import repository as postings
from tracker.ledger.residual import KIND, REF
from tracker.log import get_logger
from tracker.operations import repository as operations
from tracker.reconciliation import repository as reconciliation
from tracker.reconciliation.validators import repository
from tracker.reconciliation.validators.buckets import BUCKETS, Stake, shifts, stand
from tracker.reconciliation.validators.repository import Staker
from tracker.registry import repository as registry

CHAIN = "ethereum"
LEASE_SPACE = 0x7376
# Balances change every epoch by a little; an hour is often enough.
POLL = timedelta(hours=1)
# A block whole is a megabyte, and a question to a Beacon API holds 30 keys: bounds of one tick.
BLOCKS = 20
KEYS = 3000
# Two epochs: our finalized block and that of the Beacon API may differ by as much.
APART = 64
BEHIND = "the ledger is not at the newest final block"

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class StakingReport:
    """What one tick did: blocks read for deposits, keys asked about, addresses posted."""

    height: int | None = None
    blocks: int = 0
    asked: int = 0
    posted: int = 0
    more: bool = False
    skipped: str | None = None


@dataclass(frozen=True, slots=True)
class _Read:
    """How many blocks were read for an address, and whether all its final deposits are known."""

    blocks: int
    whole: bool
    more: bool = False


class StakingTick:
    """Keeps the table of validators, and with a Beacon API the buckets."""

    def __init__(
        self,
        database: Database,
        pool: EthereumPool,
        beacon: BeaconClient | None,
        clock: Callable[[], datetime],
        assets: AssetTable = MAINNET,
        poll: timedelta = POLL,
    ) -> None:
        self._database = database
        self._pool = pool
        self._beacon = beacon
        self._clock = clock
        self._contract = f"0x{assets.deposit_contract.hex()}"
        self._poll = poll

    def tick(self) -> StakingReport:
        """Read new final deposits, then ask how validators stand; harmless to run twice.

        Raises `SourceUnavailableError` where no source answers and what the Beacon API raises; what
        was committed before stays.
        """
        with lease(self._database, LEASE_SPACE, CHAIN) as mine:
            if not mine:
                return StakingReport(skipped="another worker follows the validators")
            return self._tick()

    def _tick(self) -> StakingReport:
        with self._database.transaction(snapshot=True) as session:
            cursor = ledger.cursor_of(session, CHAIN)
            final = -1 if cursor is None else cursor.final_height
            block = repository.block_at(session, CHAIN, final)
            if block is None:
                return StakingReport(skipped="no final block was scanned yet")
            people = repository.stakers(session, CHAIN, final)
        report, complete = StakingReport(final), []
        for person in people:
            read = self._read_deposits(person, final, BLOCKS - report.blocks)
            report = replace(
                report, blocks=report.blocks + read.blocks, more=report.more or read.more
            )
            if read.whole:
                complete.append(person)
        if self._beacon is None or not complete:
            return report
        return self._follow(self._beacon, block, complete, report)

    # -- deposits ----------------------------------------------------------------------------------

    def _read_deposits(self, person: Staker, final: int, limit: int) -> _Read:
        mark = f"staking:{person.wallet_id}"
        with self._database.transaction(snapshot=True) as session:
            upto = int(operations.sync_mark(session, mark) or -1)
            known = repository.counted(session, person.wallet_id)
            # Backfill dates deposits below what was read: then all are read again.
            again = known != repository.deposited(session, person.wallet_id, upto)
            upto = -1 if again else upto
            due = repository.blocks_with_deposits(
                session, CHAIN, person.wallet_id, above=upto, upto=final, limit=limit + 1
            )
        some = due[:limit]
        rows: dict[bytes, dict[str, Any]] = {}
        for block in some:
            found = self._deposits_in(block.hash, person.key)
            if sum(amount for _, amount in found) != block.amount:
                # The ledger has what a checked block's logs said: a source errs.
                log.warning("deposits_differ", chain=CHAIN, height=block.height)
                return _Read(len(some), whole=False)
            for pubkey, amount in found:
                row = rows.setdefault(
                    pubkey,
                    {
                        "pubkey": pubkey, "wallet_id": person.wallet_id, "deposited": 0,
                        "first_deposit_at": block.time,
                    },
                )  # fmt: skip
                row["deposited"] += amount
        if some:
            with self._database.transaction() as session:
                reconciliation.hold(session, CHAIN)
                if repository.counted(session, person.wallet_id) != known:
                    return _Read(len(some), whole=False)  # another read them meanwhile
                if again:
                    repository.forget_deposits(session, person.wallet_id)
                repository.add_deposits(session, list(rows.values()))
                operations.set_sync_mark(session, mark, str(some[-1].height), self._clock())
        more = len(due) > len(some)
        return _Read(len(some), whole=not more, more=more)

    def _deposits_in(self, block_hash: bytes, key: bytes) -> list[tuple[bytes, int]]:
        """Public key and wei of every deposit of a block in an address's name."""
        found = []
        for each in self._pool.block(block_hash).logs or ():
            ours = each.address.lower() == self._contract and each.topics[:1] == [DEPOSIT_EVENT]
            if ours and not each.removed:
                deposit = stake_deposit(each)
                if deposit.owner == key:
                    found.append((deposit.pubkey, deposit.amount))
        return found

    # -- how they stand ----------------------------------------------------------------------------

    def _follow(
        self, beacon: BeaconClient, block: Block, people: Sequence[Staker], report: StakingReport
    ) -> StakingReport:
        with self._database.transaction(snapshot=True) as session:
            rows = {each: repository.validators_of(session, each.wallet_id) for each in people}
        due = [each for each in people if _due(rows[each], block.time - self._poll)]
        for person in due:
            if report.asked >= KEYS:
                return replace(report, more=True)
            # Before and after: what the Beacon API says is of the block that is final just then.
            if self._pool.settlement().final != block.height:
                return replace(report, skipped=BEHIND)
            told = self._told(beacon, [row.pubkey for row in rows[person]])
            report = replace(report, asked=report.asked + len(rows[person]))
            if self._pool.settlement().final != block.height:
                return replace(report, skipped=BEHIND)
            if self._stands(person, block, rows[person], told):
                report = replace(report, posted=report.posted + 1)
        return report

    def _told(self, beacon: BeaconClient, keys: Sequence[bytes]) -> dict[bytes, Told]:
        """What the Beacon API says; how it answers is written for `/v1/sources`."""
        try:
            found = beacon.validators(keys)
        except TrackerError as error:
            down = isinstance(error, SourceUnavailableError)
            self._note(beacon, "unreachable" if down else "lying", error)
            raise
        self._note(beacon, "ok")
        return found

    def _note(self, beacon: BeaconClient, state: str, error: TrackerError | None = None) -> None:
        now = self._clock()
        with self._database.transaction() as session:
            operations.upsert_source(
                session, name=beacon.name, kind=f"{CHAIN}_{beacon.kind}", state=state, now=now,
                last_ok=None if error else now, last_error=str(error) if error else None,
            )  # fmt: skip

    def _stands(
        self, person: Staker, block: Block, rows: Sequence[Validator], told: dict[bytes, Told]
    ) -> bool:
        """Post what changed for one address; False where this has to wait for a later block."""
        with self._database.transaction() as session:
            # No block is applied or backfilled between the sums and what is made of them.
            registry.lock_watch_set(session, CHAIN, to_bump=True)
            cursor = repository.hold_still(session, CHAIN)
            reconciliation.hold(session, CHAIN)
            if (
                cursor is None
                or cursor.final_height != block.height
                or person not in repository.stakers(session, CHAIN, block.height)
                or repository.principal_came_back(
                    session, person.wallet_id, block.height - APART, BUCKETS
                )
            ):
                return False
            self._post(session, person, block, rows, told)
        return True

    def _post(
        self, session: Session, person: Staker, block: Block, rows: Sequence[Validator],
        told: dict[bytes, Told],
    ) -> None:  # fmt: skip
        before = max((row.as_of for row in rows if row.as_of is not None), default=None)
        there = {row.pubkey: _stake(row, told.get(row.pubkey), person.key) for row in rows}
        foreign = sum(
            row.deposited for row in rows if row.as_of is None and not there[row.pubkey].ours
        )
        standing = [
            move
            for move in postings.movements_at(
                session, CHAIN, block.hash, [(person.wallet_id, ETHER)], kind=KIND
            )
            if move.bucket in BUCKETS
        ]
        left = -sum(move.amount for move in standing if move.cause == "movement")
        if before is not None:
            left += repository.withdrawn(session, person.wallet_id, before, block.height)
        postings.take_back(session, standing)
        sums = postings.sums_at(session, [person.wallet_id], block.height)
        found = shifts(
            {bucket: sums.get((person.wallet_id, ETHER, bucket), 0) for bucket in BUCKETS},
            stand(there.values()),
            withdrawn=left,
            hidden=repository.hidden(session, person.wallet_id, block.height, BUCKETS),
            foreign=foreign,
        )
        postings.post(
            session,
            CHAIN,
            BlockRef(block.height, block.hash, block.parent, block.time),
            [
                LedgerMovement(
                    tx=b"",
                    ref=REF if shift.cause == "movement" else f"{REF}:{shift.cause}",
                    key=person.key,
                    asset=ETHER,
                    kind=KIND,
                    amount=shift.amount,
                    entity_id=person.entity_id,
                    wallet_id=person.wallet_id,
                    bucket=str(shift.bucket),
                    cause=shift.cause,
                )
                for shift in found
            ],
        )
        for row in rows:
            said = told.get(row.pubkey)
            row.as_of = block.time
            if said is not None:
                row.index, row.status = said.index, said.status
                row.balance = said.balance * WEI_PER_GWEI
        repository.save_standing(session, rows)
        log.info(
            "staking_followed", chain=CHAIN, height=block.height, wallet=person.wallet_id,
            validators=len(rows), shifts=len(found),
        )


def _due(rows: Sequence[Validator], since: datetime) -> bool:
    return any(row.as_of is None or row.as_of <= since for row in rows)


def _stake(row: Validator, told: Told | None, key: bytes) -> Stake:
    if told is None:
        return Stake(row.deposited)
    credentials = told.withdrawal_credentials
    # Those of the first deposit hold, whatever a later one stated.
    ours = credentials[0] in (1, 2) and credentials[12:] == key
    return Stake(
        row.deposited, told.status, told.balance * WEI_PER_GWEI, told.slashed, ours
    )
