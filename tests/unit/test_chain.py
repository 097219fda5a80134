"""The local chain against a tip: the four cases, the fork point, finality."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.domain.chain import (
    Behind,
    BlockRef,
    Fork,
    Gap,
    Next,
    Same,
    Tip,
    check_links,
    finality,
    fork_point,
    links,
    reconcile,
)

START = datetime(2026, 1, 1, tzinfo=UTC)


def block_hash(height: int, branch: str = "a") -> bytes:
    return f"{branch}{height}".encode().rjust(32, b"\0")


def chain(first: int, last: int, *, fork: int | None = None) -> list[BlockRef]:
    """Blocks `first` to `last`; those above `fork` are of another branch."""
    refs = []
    for height in range(first, last + 1):
        branch = "b" if fork is not None and height > fork else "a"
        parent = "b" if fork is not None and height - 1 > fork else "a"
        refs.append(
            BlockRef(
                height, block_hash(height, branch), block_hash(height - 1, parent),
                START + timedelta(minutes=10 * height),
            )
        )
    return refs


LOCAL = chain(100, 110)


@pytest.mark.parametrize(
    ("tip", "verdict"),
    [
        (Tip(110, block_hash(110)), Same()),
        (Tip(110, block_hash(110, "b")), Fork(110)),
        (Tip(111, block_hash(111)), Next(111)),
        (Tip(112, block_hash(112)), Gap(111, 112)),
        (Tip(500, block_hash(500, "b")), Gap(111, 500)),
        (Tip(105, block_hash(105)), Behind(105, agrees=True)),
        (Tip(105, block_hash(105, "b")), Fork(105)),
        (Tip(100, block_hash(100)), Behind(100, agrees=True)),
        (Tip(99, block_hash(99)), Behind(99, agrees=None)),
    ],
)
def test_a_tip_is_same_next_gap_behind_or_fork(tip: Tip, verdict: object) -> None:
    assert reconcile(LOCAL, tip) == verdict


def test_a_local_chain_that_does_not_link_is_refused() -> None:
    broken = [*LOCAL[:5], *LOCAL[6:]]
    with pytest.raises(ValueError, match="is not the child"):
        reconcile(broken, Tip(111, block_hash(111)))
    with pytest.raises(ValueError, match="empty"):
        check_links([])


def test_a_block_links_by_parent_and_height() -> None:
    below, above = LOCAL[0], LOCAL[1]
    assert links(below, above)
    assert not links(below, LOCAL[2])
    stranger = BlockRef(101, block_hash(101), block_hash(100, "b"), START)
    assert not links(below, stranger)


@given(
    length=st.integers(1, 120), shared=st.integers(0, 120), remote_extra=st.integers(-120, 60)
)
def test_the_fork_point_is_the_newest_shared_block(
    length: int, shared: int, remote_extra: int
) -> None:
    shared = min(shared, length)
    local = chain(1000, 999 + length)
    top = 999 + length + remote_extra
    asked: list[int] = []

    def hash_at(height: int) -> bytes | None:
        asked.append(height)
        if height > top:
            return None
        return block_hash(height, "a" if height < 1000 + shared else "b")

    expected = [ref for ref in local if ref.height < 1000 + shared and ref.height <= top]
    assert fork_point(local, hash_at) == (expected[-1] if expected else None)
    assert len(asked) <= 2 * length.bit_length() + 2


def test_a_one_block_reorganisation_asks_two_questions() -> None:
    asked: list[int] = []

    def hash_at(height: int) -> bytes:
        asked.append(height)
        return block_hash(height, "b" if height > 109 else "a")

    assert fork_point(LOCAL, hash_at) == LOCAL[-2]
    assert asked == [110, 109]


@pytest.mark.parametrize(
    ("depth", "expected"), [(1, "latest"), (5, "latest"), (6, "safe"), (99, "safe"), (100, "final")]
)
def test_finality_follows_depth(depth: int, expected: str) -> None:
    assert finality(1000, 1000 + depth - 1) == expected
