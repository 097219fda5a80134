"""Ethereum reconciled: balances probed at a final block, misses found and dated by halving."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlmodel import Session

from tracker.chains.ethereum.assets import ETHER, MAINNET, AssetTable
from tracker.chains.ethereum.pool import EthereumPool
from tracker.chains.port import Probe
from tracker.db import Database
from tracker.db.chain import Block
from tracker.db.lease import lease
from tracker.db.registry import Wallet
from tracker.domain.chain import BlockRef
from tracker.domain.reconcile import Apart, Jump, explain, jumps
from tracker.errors import PrunedStateError
from tracker.ledger import repository as ledger
from tracker.ledger.postings import repository as postings
from tracker.ledger.residual import Place, residual_at, set_residual
from tracker.log import get_logger
from tracker.reconciliation import repository

CHAIN = "ethereum"
LEASE_SPACE = 0x7265
# Design section 7: a probe at least every 100 blocks; half of that leaves room for a tick lost.
PROBE_GAP = 50
BATCH = 100

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ReconcileReport:
    """What one tick did, in (wallet, asset) places."""

    height: int | None = None
    probed: int = 0
    agreed: int = 0
    residuals: int = 0
    unresolved: int = 0
    more: bool = False
    skipped: str | None = None


@dataclass(frozen=True, slots=True)
class _Round:
    """The places of one batch of wallets at one final block."""

    block: Block
    places: Mapping[tuple[int, str], Place]
    since: Mapping[tuple[int, str], int]
    observed: Mapping[tuple[int, str], int]
    expected: Mapping[tuple[int, str], int]

    def difference(self, subject: tuple[int, str]) -> int:
        return self.observed[subject] - self.expected[subject]


class EthereumReconcile:
    """Compares the ledger with the chain's own balances, and dates what is missed."""

    def __init__(
        self,
        database: Database,
        pool: EthereumPool,
        clock: Callable[[], datetime],
        assets: AssetTable = MAINNET,
        probe_gap: int = PROBE_GAP,
    ) -> None:
        self._probe_gap = probe_gap
        self._database = database
        self._pool = pool
        self._clock = clock
        self._assets = assets
        self._tokens = {token.symbol: token for token in assets.tokens}

    def tick(self, wallets: Sequence[Wallet] | None = None) -> ReconcileReport:
        """Probe what is due, or `wallets`, at the newest final block whose state is kept.

        Raises `SourceUnavailableError` where no source answers. Harmless to run twice.
        """
        with lease(self._database, LEASE_SPACE, CHAIN) as mine:
            if not mine:
                return ReconcileReport(skipped="another worker reconciles this chain")
            return self._tick(wallets)

    def _tick(self, wallets: Sequence[Wallet] | None) -> ReconcileReport:
        with self._database.transaction(snapshot=True) as session:
            cursor = ledger.cursor_of(session, CHAIN)
            if cursor is None or cursor.final_height < 0:
                return ReconcileReport(skipped="no block is final yet")
            block = ledger.blocks_at(session, CHAIN, [cursor.final_height]).get(cursor.final_height)
            if block is None:
                return ReconcileReport(skipped="the final block was not scanned")
            due = wallets
            if due is None:
                due = repository.due(session, CHAIN, block.height, gap=self._probe_gap, limit=BATCH)
        due = [each for each in due if (each.opening_height or 0) < block.height]
        if not due:
            return ReconcileReport(block.height)
        try:
            found = self._probe(block, due)
        except PrunedStateError as error:
            return ReconcileReport(block.height, skipped=str(error))
        apart = [
            Apart(
                subject,
                found.since[subject],
                block.height,
                0,
                found.difference(subject),
                drifts=self._rebases(place.asset),
            )
            for subject, place in found.places.items()
            if found.difference(subject)
        ]
        missed = jumps(apart, lambda height, subjects: self._differences(found, height, subjects))
        unresolved = sum(
            not jump.resolved and not self._rebases(jump.subject[1]) for jump in missed
        )
        if not self._record(found, missed):
            return ReconcileReport(block.height, skipped="the ledger changed under the probe")
        report = ReconcileReport(
            height=block.height,
            probed=len(found.places),
            agreed=len(found.places) - len(apart),
            residuals=len(missed),
            unresolved=unresolved,
            more=wallets is None and len(due) == BATCH,
        )
        if missed:
            log.info("balances_differed", chain=CHAIN, height=block.height, residuals=len(missed))
        return report

    # -- looking -----------------------------------------------------------------------------------

    def _probe(self, block: Block, wallets: Sequence[Wallet]) -> _Round:
        observed = self._pool.balances(
            [wallet.key for wallet in wallets],
            [token.address for token in self._assets.tokens],
            block.hash,
        )
        places: dict[tuple[int, str], Place] = {}
        seen: dict[tuple[int, str], int] = {}
        for wallet in wallets:
            tenure = wallet.tenure_id or wallet.id or 0
            for asset, address, bucket in self._assets_probed():
                amount = observed.get(Probe(wallet.key, address))
                if amount is not None:
                    places[tenure, asset] = Place(
                        tenure, wallet.entity_id, wallet.key, asset, bucket
                    )
                    seen[tenure, asset] = amount
        ids = {tenure for tenure, _ in places}
        opened = {w.tenure_id or w.id or 0: w.opening_height or 0 for w in wallets}
        with self._database.transaction(snapshot=True) as session:
            before = repository.probed_at(session, ids)
            sums = postings.sums_at(session, ids, block.height)
        since = {
            subject: min(before.get(subject, opened[subject[0]]), block.height - 1)
            for subject in places
        }
        return _Round(block, places, since, seen, _at_places(places, sums))

    def _rebases(self, asset: str) -> bool:
        return asset in self._tokens and self._tokens[asset].rebasing

    def _assets_probed(self) -> list[tuple[str, bytes | None, str]]:
        tokens = [(token.symbol, token.address, str(token.bucket)) for token in self._assets.tokens]
        return [(ETHER, None, "liquid"), *tokens]

    def _differences(
        self, found: _Round, height: int, subjects: list[tuple[int, str]]
    ) -> dict[tuple[int, str], int | None]:
        """Observed less ledger after the block at `height`; None where its state is gone."""
        unknown: dict[tuple[int, str], int | None] = dict.fromkeys(subjects)
        with self._database.transaction(snapshot=True) as session:
            block = ledger.blocks_at(session, CHAIN, [height]).get(height)
            sums = postings.sums_at(session, {wallet_id for wallet_id, _ in subjects}, height)
        if block is None:
            return unknown
        keys = sorted({found.places[subject].key for subject in subjects})
        tokens = sorted({self._tokens[asset].address for _, asset in subjects if asset != ETHER})
        try:
            observed = self._pool.balances(keys, tokens, block.hash)
        except PrunedStateError:
            return unknown
        expected = _at_places({subject: found.places[subject] for subject in subjects}, sums)
        for subject in subjects:
            place = found.places[subject]
            address = None if place.asset == ETHER else self._tokens[place.asset].address
            amount = observed.get(Probe(place.key, address))
            unknown[subject] = None if amount is None else amount - expected[subject]
        return unknown

    # -- writing -----------------------------------------------------------------------------------

    def _record(self, found: _Round, missed: Sequence[Jump[tuple[int, str]]]) -> bool:
        """Write residuals and probes; False, and nothing, where another did so meanwhile."""
        now = self._clock()
        apart = {jump.subject for jump in missed}
        ids = {wallet_id for wallet_id, _ in found.places}
        with self._database.transaction() as session:
            # Held still: a block that is applied meanwhile locks the same balances.
            ledger.lock_head(session, CHAIN)
            repository.hold(session, CHAIN)
            sums = postings.sums_at(session, ids, found.block.height)
            if _at_places(found.places, sums) != found.expected:
                return False
            blocks = ledger.blocks_at(session, CHAIN, {jump.height for jump in missed})
            for jump in missed:
                self._set(session, found, jump, blocks[jump.height], now)
            repository.save_probes(
                session,
                [
                    {
                        "wallet_id": wallet_id,
                        "asset": asset,
                        "height": found.block.height,
                        "hash": found.block.hash,
                        "observed": found.observed[wallet_id, asset],
                        "agreed": (wallet_id, asset) not in apart,
                        "source": self._pool.name,
                        "probed_at": now,
                    }
                    for wallet_id, asset in sorted(found.places)
                ],
            )
        return True

    def _set(
        self,
        session: Session,
        found: _Round,
        jump: Jump[tuple[int, str]],
        block: Block,
        now: datetime,
    ) -> None:
        place = found.places[jump.subject]
        amount = residual_at(session, CHAIN, block.hash, place) + jump.amount
        token = self._tokens.get(place.asset)
        moved = postings.movements_at(session, CHAIN, block.hash, [jump.subject])
        why = explain(
            native=token is None,
            rebasing=self._rebases(place.asset),
            traced=block.traced,
            transferred=any(move.kind == "erc20_transfer" for move in moved),
            resolved=jump.resolved,
        )
        cause = "rate" if why.kind == "rebase" else "movement"
        ref = BlockRef(block.height, block.hash, block.parent, block.time)
        set_residual(session, CHAIN, ref, place, amount, cause=cause)
        if token is None and block.traced:
            # Its traces were itemised for those of whom something was missing by then.
            repository.mark_traced(session, CHAIN, block.hash, traced=False)
        if not amount:
            repository.close_discrepancy(
                session, place.wallet_id, place.asset, block.hash,
                says="the records of the block explain it now", now=now,
            )  # fmt: skip
            return
        after = postings.sums_at(session, [place.wallet_id], block.height)
        observed = after.get((place.wallet_id, place.asset, place.bucket), 0)
        repository.save_discrepancy(
            session,
            {
                "chain": CHAIN,
                "height": block.height,
                "block_hash": block.hash,
                "from_height": None if jump.resolved else jump.after,
                "key": place.key,
                "asset": place.asset,
                "entity_id": place.entity_id,
                "wallet_id": place.wallet_id,
                "observed": observed,
                "expected": observed - amount,
                "amount": amount,
                "state": why.state,
                "explanation": why.kind,
                "says": why.says,
                "source": self._pool.name,
                "canonical": True,
                "opened_at": now,
                "closed_at": None,
            },
        )


def _at_places(
    places: Mapping[tuple[int, str], Place], sums: Mapping[tuple[int, str, str], int]
) -> dict[tuple[int, str], int]:
    return {
        subject: sums.get((place.wallet_id, place.asset, place.bucket), 0)
        for subject, place in places.items()
    }
