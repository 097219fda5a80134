"""One holder's ledger on both chains, posted as the scan posts, at times that a test chooses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from sqlmodel import select

from tracker.db import Database
from tracker.db.chain import Block, Cursor
from tracker.db.registry import Entity, Wallet
from tracker.domain.chain import BlockRef
from tracker.ledger.effects import LedgerMovement
from tracker.ledger.postings import repository as postings

START = datetime(2026, 3, 1, tzinfo=UTC)
SOURCE = "a test"


def block_hash(chain: str, height: int) -> bytes:
    """A hash that no other block has."""
    return chain.encode().ljust(24, b"\x00") + height.to_bytes(8, "big")


@dataclass
class HoldingsWorld:
    """The holder `acme`; heights start at 1 and each block has the time that it is given."""

    database: Database
    times: dict[tuple[str, int], datetime] = field(default_factory=dict)

    def __post_init__(self) -> None:
        with self.database.transaction() as session:
            row = Entity(slug="acme", name="Acme", kind="dat", role="holder", recorded_at=START)
            session.add(row)
            session.flush()
            self.entity_id = row.id or 0
        self._number = 0

    def wallet(self, chain: str, *, state: str = "open", opening: int | None = None) -> int:
        """A wallet in that state; `opening` is the height of a block that `block` made."""
        self._number += 1
        address = f"{chain}-{self._number}"
        opened = state == "open" and opening is not None
        with self.database.transaction() as session:
            row = Wallet(
                entity_id=self.entity_id,
                chain=chain,
                address=address,
                key=address.encode().ljust(20, b"\x00"),
                role="treasury",
                tier="attested",
                recorded_at=START,
                active_from_height=1 if opening is None else opening + 1,
                opening_known=opened,
                opening_height=opening if opened else None,
                opening_hash=block_hash(chain, opening) if opened and opening else None,
                opening_time=self.times[chain, opening] if opened and opening else None,
                opening_note="no source can list it" if state == "counted_from" else None,
                history_from=opening + 1 if opened and opening else None,
            )
            session.add(row)
            session.flush()
            return row.id or 0

    def close(self, wallet_id: int, at: datetime) -> None:
        """Stop believing in a wallet."""
        with self.database.transaction() as session:
            row = session.get(Wallet, wallet_id)
            assert row is not None
            row.closed_at = at
            session.add(row)

    def block(self, chain: str, height: int, at: datetime) -> BlockRef:
        """A canonical block, and the cursor on the highest one, 10 blocks final, 5 safe."""
        self.times[chain, height] = at
        found = block_hash(chain, height)
        ref = BlockRef(height, found, block_hash(chain, height - 1), at)
        with self.database.transaction() as session:
            session.add(
                Block(
                    chain=chain, hash=found, height=height, parent=ref.parent, time=at,
                    source=SOURCE, watch_version=1, applied_at=at,
                )
            )
            cursor = session.exec(select(Cursor).where(Cursor.chain == chain)).first()
            cursor = cursor or Cursor(chain=chain, height=0, hash=found, tip_advanced_at=at)
            if height >= cursor.height:
                cursor.height, cursor.hash, cursor.tip_advanced_at = height, found, at
                cursor.final_height, cursor.safe_height = height - 10, height - 5
            session.add(cursor)
        return ref

    def post(self, chain: str, height: int, moves: Sequence[LedgerMovement]) -> None:
        """Movements of one block."""
        ref = BlockRef(height, block_hash(chain, height), b"", self.times[chain, height])
        with self.database.transaction() as session:
            postings.post(session, chain, ref, moves)

    def move(
        self,
        wallet_id: int,
        amount: int,
        *,
        asset: str = "BTC",
        bucket: str = "liquid",
        cause: str = "movement",
        ref: str = "vout:0",
    ) -> LedgerMovement:
        """One movement of a wallet; `ref` tells several of one block apart."""
        return LedgerMovement(
            tx=b"" if cause != "movement" else b"\x01" * 32,
            ref=ref,
            key=b"key %d" % wallet_id,
            asset=asset,
            kind="opening" if cause == "attribution" else "output",
            amount=amount,
            entity_id=self.entity_id,
            wallet_id=wallet_id,
            bucket=bucket,
            cause=cause,
        )


def later(**time: float) -> datetime:
    """A moment of the world, counted from its start."""
    return START + timedelta(**time)
