"""The gap rule watches enough and no more; any text is a descriptor or is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.chains.bitcoin.descriptor import GAP_LIMIT, Descriptor, gap
from tracker.chains.bitcoin.extended_key import HARDENED
from tracker.errors import InputError

PLACES = st.sets(st.tuples(st.integers(0, 1), st.integers(0, 300)), max_size=30)
LIMITS = st.integers(1, 40)


@given(PLACES, LIMITS)
def test_each_branch_is_watched_whole_up_to_its_limit(
    used: set[tuple[int, int]], limit: int
) -> None:
    window = gap(used, limit)
    assert used <= set(window)
    assert len(set(window)) == len(window)
    for branch in (0, 1):
        watched = [index for at, index in window if at == branch]
        last = max((index for at, index in used if at == branch), default=-1)
        assert watched == list(range(last + limit + 1))


@given(PLACES, PLACES, LIMITS)
def test_more_uses_never_narrow_it(
    some: set[tuple[int, int]], more: set[tuple[int, int]], limit: int
) -> None:
    assert set(gap(some, limit)) <= set(gap(some | more, limit))


@given(st.lists(st.integers(0, GAP_LIMIT - 1), max_size=20))
def test_a_wallet_that_skips_less_than_the_limit_is_found_whole(skips: list[int]) -> None:
    """As a scan does it: look, take what is used into account, look again."""
    places, index = set(), -1
    for skip in skips:
        index += skip + 1
        places.add((0, index))
    found: set[tuple[int, int]] = set()
    while True:
        seen = places & set(gap(found))
        if seen == found:
            break
        found = seen
    assert found == places


def test_places_that_no_branch_has_are_refused() -> None:
    with pytest.raises(ValueError, match="no such place"):
        gap({(0, HARDENED)})
    with pytest.raises(ValueError, match="no such place"):
        gap({(2, 0)})
    with pytest.raises(ValueError, match="nothing"):
        gap((), 0)


XPUB = (
    "xpub6ERApfZwUNrhLCkDtcHTcxd75RbzS1ed54G1LkBUHQVHQKqhMkhgbmJbZRkrgZw4koxb5JaHWkY4ALHY2grBGRjaDMz"
    "QLcgJvLJuZZvRcEL"
)
PIECES = st.sampled_from([
    "wpkh(", "sh(", "wsh(", "tr(", "pk(", "multi(2,", "sortedmulti(1,", ")", ",", "[deadbeef/1h]",
    XPUB, XPUB[:-1], "03" + "a3" * 32, "a3" * 32, "/0", "/<0;1>", "/<", ">", "/*", "/*h", "/1h",
    "#89f8spxm", "#", "xprv", "x", "", " ", "é", "\0", "0",
])


def parsed(text: str) -> Descriptor | InputError:
    try:
        return Descriptor.parse(text, "mainnet")
    except InputError as error:
        return error


@given(st.lists(PIECES, max_size=12).map("".join))
def test_any_text_parses_or_is_refused_with_a_mend(text: str) -> None:
    found = parsed(text)
    if isinstance(found, InputError):
        assert found.mend
        assert XPUB not in str(found)
    else:
        assert all(found.script(*place) for place in found.window((), 2))
        assert parsed(found.text) == found
