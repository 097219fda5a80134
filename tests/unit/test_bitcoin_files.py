"""A folder of blocks: heights, forks, gaps, bad files."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import pytest

from tests.recorded_blocks import first_blocks, raw_block
from tests.regtest import RegtestChain
from tracker.chains.bitcoin.files import FilesSource
from tracker.chains.bitcoin.header import parse_header
from tracker.errors import InvalidBlockError, NotFoundError, SourceUnavailableError


def test_heights_of_version_1_blocks_come_from_links(tmp_path: Path) -> None:
    blocks = first_blocks()
    for height in (3, 1, 2, 0):
        (tmp_path / f"{height}.blk").write_bytes(blocks[height])
    source = FilesSource(tmp_path)
    assert source.tip().height == 3
    assert source.network() == "mainnet"
    # 174 and 173 hang below block 175, whose height is known; 100 hangs nowhere.
    for height in (173, 174, 175, 100):
        (tmp_path / f"{height}.hex").write_text(blocks[height].hex())
    assert source.tip().height == 175
    assert source.block_hash(173) == parse_header(blocks[173]).hash
    assert source.block_hash(2) == parse_header(blocks[2]).hash
    assert source.block_hash(100) is None
    assert source.block(parse_header(blocks[100]).hash) == blocks[100]


def test_one_real_block_is_a_chain_of_one(tmp_path: Path) -> None:
    (tmp_path / "a.raw.gz").write_bytes(gzip.compress(raw_block(866342), 1))
    source = FilesSource(tmp_path)
    tip = source.tip()
    assert tip.height == 866342
    assert source.network() == "mainnet"
    assert source.block(tip.hash) == raw_block(866342)
    assert source.block_hash(866341) is None
    assert source.block_hash(0) is None


def test_the_branch_of_most_work_wins_and_of_equals_the_first_seen(tmp_path: Path) -> None:
    chain = RegtestChain(mature=False)
    chain.mine(5)
    chain.write_folder(tmp_path)
    source = FilesSource(tmp_path)
    first = source.tip()
    chain.fork(3)
    rival = chain.mine(2)
    (tmp_path / "rival4.raw").write_bytes(rival[0].raw)
    (tmp_path / "rival5.raw").write_bytes(rival[1].raw)
    assert source.tip() == first
    chain.mine(1)
    chain.write_folder(tmp_path)
    assert source.tip().hash == chain.tip.hash
    assert source.block_hash(5) == rival[1].hash
    assert source.block(first.hash) != source.block(rival[1].hash)


def test_files_that_go_take_their_blocks_with_them(tmp_path: Path) -> None:
    chain = RegtestChain(mature=False)
    chain.mine(3)
    chain.write_folder(tmp_path)
    source = FilesSource(tmp_path)
    tip = source.tip()
    next(tmp_path.glob("000003-*")).unlink()
    assert source.tip().height == 2
    with pytest.raises(NotFoundError):
        source.block(tip.hash)


def test_a_bad_file_is_reported_and_the_others_are_served(tmp_path: Path) -> None:
    chain = RegtestChain(mature=False)
    chain.mine(2)
    chain.write_folder(tmp_path)
    (tmp_path / "empty.raw").touch()
    (tmp_path / "text.hex").write_text("no hex at all")
    (tmp_path / "odd.hex").write_text("abc")
    (tmp_path / "cut.raw.gz").write_bytes(gzip.compress(chain.at(1).raw)[:60])
    (tmp_path / "noise.raw.gz").write_bytes(b"\x00" * 300)
    (tmp_path / "zeros.bin").write_bytes(bytes(300))
    (tmp_path / "notes.txt").write_text("not a block file, and not looked at")
    source = FilesSource(tmp_path)
    assert source.tip().height == 2
    assert sorted(source.problems()) == [
        "cut.raw.gz", "empty.raw", "noise.raw.gz", "odd.hex", "text.hex", "zeros.bin",
    ]
    (tmp_path / "empty.raw").write_bytes(chain.mine(1)[0].raw)  # mended in place
    assert source.tip().height == 3
    assert "empty.raw" not in source.problems()


def test_a_file_replaced_by_another_block_is_not_served_for_the_old(tmp_path: Path) -> None:
    chain = RegtestChain(mature=False)
    chain.mine(2)
    path = tmp_path / "1.raw"
    path.write_bytes(chain.at(1).raw)
    source = FilesSource(tmp_path)
    tip = source.tip()
    path.write_bytes(chain.at(2).raw)
    with pytest.raises(InvalidBlockError, match="another block"):
        source.block(tip.hash)


def test_a_file_rewritten_within_one_tick_of_the_clock_is_read_again(tmp_path: Path) -> None:
    blocks = first_blocks()
    file = tmp_path / "block.raw"
    file.write_bytes(blocks[1])
    source = FilesSource(tmp_path)
    assert source.problems() == {}
    before = file.stat()
    file.write_bytes(b"<" * before.st_size)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert list(source.problems()) == ["block.raw"]
    file.write_bytes(blocks[1])
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert source.problems() == {}


def test_touching_a_block_does_not_make_its_rival_the_first_seen(tmp_path: Path) -> None:
    chain = RegtestChain(mature=False)
    chain.mine(3)
    chain.write_folder(tmp_path)
    source = FilesSource(tmp_path)
    first = source.tip()
    chain.fork(2)
    (tmp_path / "rival.raw").write_bytes(chain.mine(1)[0].raw)
    assert source.tip() == first
    for file in tmp_path.iterdir():
        if file.name != "rival.raw":
            file.touch()
    assert source.tip() == first


def test_an_empty_or_missing_folder_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(SourceUnavailableError, match="no block"):
        FilesSource(tmp_path).tip()
    with pytest.raises(SourceUnavailableError, match="cannot be read") as caught:
        FilesSource(tmp_path / "none").tip()
    assert caught.value.mend


def test_the_first_height_is_where_the_chain_of_the_tip_begins(tmp_path: Path) -> None:
    source = FilesSource(tmp_path)
    assert source.first_height() is None
    blocks = first_blocks()
    for height in (0, 1, 174, 175):
        (tmp_path / f"{height}.raw").write_bytes(blocks[height])
    assert source.first_height() == 174
    (tmp_path / "866342.raw").write_bytes(raw_block(866342))
    assert source.first_height() == 866342


def test_a_neighbour_in_height_that_does_not_link_is_no_part_of_the_chain(tmp_path: Path) -> None:
    one, other = RegtestChain(mature=False), RegtestChain(mature=False)
    other.mine(1, to=b"\x51")
    one.mine(3)
    other.mine(1)
    (tmp_path / "rival.raw").write_bytes(other.at(1).raw)
    one.write_folder(tmp_path, start=2)
    source = FilesSource(tmp_path)
    assert source.tip().hash == one.tip.hash
    assert source.first_height() == 2
