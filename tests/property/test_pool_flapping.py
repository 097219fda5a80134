"""Whatever the sources of a pool show, a scan goes from one branch to another only for a longer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from tracker.chains.head import RIVAL_SECONDS
from tracker.chains.pool import BitcoinPool
from tracker.domain.chain import Behind, BlockRef, Same, Tip, fork_point, reconcile
from tracker.errors import InvalidBlockError, NotFoundError, SourceUnavailableError

START = datetime(2026, 1, 1, tzinfo=UTC)
ROOT, TOP = 4, 12  # the branches part above the one, and end at the other


def block_hash(branch: str, height: int) -> bytes:
    return f"{branch if height > ROOT else 'a'}{height}".encode().rjust(32, b"\0")


BLOCKS = {
    block_hash(branch, height): BlockRef(
        height, block_hash(branch, height), block_hash(branch, height - 1), START
    )
    for branch in "abc" for height in range(TOP + 1)
}


@dataclass
class View:
    """A source that shows one branch up to a height, or is down."""

    name: str
    kind: str = "memory"
    branch: str = "a"
    height: int = ROOT + 1
    down: bool = False

    def tip(self) -> Tip:
        self._answer()
        return Tip(self.height, block_hash(self.branch, self.height))

    def block_hash(self, height: int) -> bytes | None:
        self._answer()
        return block_hash(self.branch, height) if height <= self.height else None

    def block(self, wanted: bytes) -> bytes:
        self._answer()
        found = BLOCKS[wanted]
        if found.height > self.height or block_hash(self.branch, found.height) != wanted:
            raise NotFoundError("another branch's")
        return wanted

    def network(self) -> str | None:
        self._answer()
        return "regtest"

    def _answer(self) -> None:
        if self.down:
            raise SourceUnavailableError("down")


@dataclass
class NaiveScan:
    """Follows whatever the pool shows: any other block at a height is a fork to roll back to."""

    pool: BitcoinPool
    local: list[BlockRef] = field(
        default_factory=lambda: [BLOCKS[block_hash("a", height)] for height in range(ROOT + 1)]
    )

    def tick(self) -> None:
        verdict = reconcile(self.local, tip := self.pool.tip())
        if isinstance(verdict, Same | Behind):
            return
        if tip.height <= self.local[-1].height:
            self._roll_back()
        for _ in range(30):
            wanted = self.pool.block_hash(self.local[-1].height + 1)
            if wanted is None or self.local[-1].height >= tip.height:
                return
            block = BLOCKS[self.pool.block(wanted)]
            if block.parent == self.local[-1].hash:
                self.local.append(block)
            elif not self._roll_back():
                self.pool.accuse(wanted, InvalidBlockError("it does not link"))
        raise AssertionError("the scan runs in a circle")

    def _roll_back(self) -> bool:
        shared = fork_point(self.local, self.pool.block_hash)
        assert shared is not None
        before = len(self.local)
        self.local = self.local[: shared.height + 1]
        return len(self.local) < before


EVENTS = st.lists(
    st.tuples(
        st.integers(0, 2), st.sampled_from("abc"), st.integers(ROOT, TOP),
        st.sampled_from([False, False, False, True]), st.sampled_from([0.0, 0.1, 1.0, 5.0]),
    ),
    min_size=1, max_size=int(RIVAL_SECONDS / 5.0) - 1,
)


@settings(max_examples=300, deadline=None)
@given(EVENTS, st.integers(1, 3))
def test_no_flapping_makes_a_scan_leave_its_branch_for_one_that_is_not_longer(
    events: Sequence[tuple[int, str, int, bool, float]], sources: int
) -> None:
    now = [START]
    views = [View(f"source {index}") for index in range(sources)]
    pool = BitcoinPool(views, network="regtest", now=lambda: now[0], timer=lambda: 0.0)
    scan = NaiveScan(pool)
    for index, branch, height, down, seconds in events:
        view = views[index % sources]
        view.branch, view.height, view.down = branch, height, down
        now[0] += timedelta(seconds=seconds)
        before = scan.local[-1]
        try:
            scan.tick()
        except SourceUnavailableError:
            continue
        after = scan.local[-1]
        assert after.height >= before.height
        if before not in scan.local:
            assert after.height > before.height
