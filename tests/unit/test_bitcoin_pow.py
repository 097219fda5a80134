"""Proof of work: targets, retargets, checkpoints, and forged headers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime

import pytest

from tests.recorded_blocks import first_blocks, raw_block
from tests.regtest import RegtestChain
from tracker.chains.bitcoin.header import Header, parse_header
from tracker.chains.bitcoin.pow import (
    CHECKPOINTS,
    bits_of,
    check_header,
    check_work,
    retarget,
    target_of,
    work_of,
)
from tracker.errors import ConfigError, InvalidBlockError


@dataclass(frozen=True)
class Earlier:
    """An earlier header as a database row keeps it."""

    time: datetime
    bits: int
    hash: bytes = bytes(32)


def at(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


@pytest.mark.parametrize(
    ("bits", "target"),
    [
        (0x1D00FFFF, 0xFFFF << 208), (0x01003456, 0), (0x01123456, 0x12), (0x02123456, 0x1234),
        (0x03123456, 0x123456), (0x04123456, 0x12345600), (0x04923456, 0),
        (0x20123456, 0x123456 << 232),
        (0xFF123456, 0), (0, 0),
    ],
)
def test_compact_targets(bits: int, target: int) -> None:
    assert target_of(bits) == target


@pytest.mark.parametrize("bits", [point.bits for point in CHECKPOINTS] + [0x207FFFFF, 0x1E0377AE])
def test_compact_form_and_back(bits: int) -> None:
    assert bits_of(target_of(bits)) == bits
    assert work_of(bits) == (1 << 256) // (target_of(bits) + 1)


# Bitcoin Core's own cases: blocks 32256, 2016, 68544 and 46368 or their limits.
@pytest.mark.parametrize(
    ("first", "last", "bits", "expected"),
    [
        (1261130161, 1262152739, 0x1D00FFFF, 0x1D00D86A),
        (1231006505, 1233061996, 0x1D00FFFF, 0x1D00FFFF),
        (1279008237, 1279297671, 0x1C05A3F4, 0x1C0168FD),
        (1263163443, 1269211443, 0x1C387F6F, 0x1D00E1FD),
    ],
)
def test_retargets(first: int, last: int, bits: int, expected: int) -> None:
    found = retarget(Earlier(at(first), bits), Earlier(at(last), bits), 0x1D00FFFF)
    assert found == expected


def test_the_checkpoints_are_the_recorded_blocks() -> None:
    for point in CHECKPOINTS:
        raw = first_blocks()[point.height] if point.height < 176 else raw_block(point.height)
        header = parse_header(raw)
        assert (header.hash.hex(), header.bits) == (point.hash, point.bits)
        check_header(header, point.height, "mainnet")


def test_the_first_blocks_pass_with_all_that_is_known() -> None:
    headers = [parse_header(raw) for raw in first_blocks()]
    for height, header in enumerate(headers):
        check_header(
            header, height, "mainnet", previous=headers[height - 1] if height else None
        )


def test_too_little_work_is_refused_on_every_network() -> None:
    header = parse_header(raw_block(866342))
    weak = replace(header, hash=b"\x00" * 7 + b"\x01" + header.hash[8:])
    with pytest.raises(InvalidBlockError, match="above the target"):
        check_header(weak, 866342, "mainnet")
    for network in ("testnet", "signet", "regtest"):
        with pytest.raises(InvalidBlockError, match=r"work|limit"):
            check_work(replace(weak, bits=0x1903FFFF, hash=b"\xff" * 32), network)


def forged(bits: int) -> Header:
    """A header that meets `bits`, far easier than the real chain's, at a claimed height."""
    real = parse_header(raw_block(866342))
    return replace(real, bits=bits, hash=(target_of(bits) - 1).to_bytes(32, "big"))


@pytest.mark.parametrize("height", [866_343, 866_800, 900_000, 951_000, 974_000])
def test_a_forged_easy_block_is_refused_at_any_height_near_a_checkpoint(height: int) -> None:
    with pytest.raises(InvalidBlockError, match=r"too little work|real chain's epoch"):
        check_header(forged(0x1D00FFFF), height, "mainnet")


def test_the_bound_grows_by_four_an_epoch() -> None:
    base = next(point for point in CHECKPOINTS if point.height == 951658)
    next_epoch = (base.height // 2016 + 1) * 2016
    allowed = bits_of(target_of(base.bits) * 4)
    check_header(forged(allowed), next_epoch + 5, "mainnet")
    with pytest.raises(InvalidBlockError, match="1 retargets from block 951658"):
        check_header(forged(allowed + 1), next_epoch + 5, "mainnet")
    with pytest.raises(InvalidBlockError, match="another target"):
        check_header(forged(allowed), next_epoch - 1, "mainnet")


def test_another_block_at_a_checkpoint_is_refused() -> None:
    real = parse_header(raw_block(866342))
    with pytest.raises(InvalidBlockError, match="another block"):
        check_header(replace(real, hash=bytes(31) + b"\x07"), 866342, "mainnet")


def test_bits_follow_the_block_below_and_the_retarget() -> None:
    first = Earlier(at(1279008237), 0x1C05A3F4)
    last = Earlier(at(1279297671), 0x1C05A3F4, hash=b"\x01" * 32)
    good = replace(forged(0x1C0168FD), parent=last.hash)
    check_header(good, 68544, "mainnet", previous=last, epoch_start=first)
    with pytest.raises(InvalidBlockError, match="retarget demands"):
        check_header(
            replace(forged(0x1C0168FE), parent=last.hash), 68544, "mainnet", previous=last,
            epoch_start=first,
        )
    with pytest.raises(InvalidBlockError, match="inside an epoch"):
        check_header(good, 68545, "mainnet", previous=last)
    easier = replace(forged(bits_of(target_of(last.bits) * 5)), parent=last.hash)
    with pytest.raises(InvalidBlockError, match="more than 4"):
        check_header(easier, 68544, "mainnet", previous=last)
    with pytest.raises(InvalidBlockError, match="does not link"):
        check_header(good, 68544, "mainnet", previous=replace(last, hash=b"\x02" * 32))


def test_regtest_needs_only_its_easy_target() -> None:
    chain = RegtestChain(mature=False)
    chain.mine(3)
    for number in range(1, 4):
        header = parse_header(chain.at(number).raw)
        check_header(
            header, number, "regtest", previous=parse_header(chain.at(number - 1).raw)
        )
        with pytest.raises(InvalidBlockError, match="limit"):
            check_header(header, number, "mainnet")


def test_an_unknown_network_is_a_config_error() -> None:
    with pytest.raises(ConfigError, match="unknown Bitcoin network"):
        check_work(parse_header(raw_block(866342)), "litecoin")
