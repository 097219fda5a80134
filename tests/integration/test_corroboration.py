"""An alert says how many of the configured sources have its block."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.scene import Scene
from tracker.config import Settings


@pytest.fixture
def scene(postgres_url: str, tmp_path: Path) -> Iterator[Scene]:
    found = Scene(postgres_url, tmp_path)
    yield found
    found.database.dispose()


def second_source(scene: Scene, folder: Path) -> None:
    """Another folder beside the first; it stays as it is now."""
    scene.chain.write_folder(folder)
    scene.settings = Settings(
        **{
            **scene.settings.model_dump(),
            "bitcoin_sources": (*scene.settings.bitcoin_sources, f"files:{folder}"),
        }
    )
    scene.scan = scene.new_scan()


def test_with_one_source_it_is_one_of_one(scene: Scene) -> None:
    scene.tick()
    scene.chain.mine(1, txs=[scene.sell()])
    scene.tick()
    [alert] = scene.alerts()
    assert (alert.agree, alert.asked) == (1, 1)


def test_a_source_without_the_block_is_counted_against_it(scene: Scene, tmp_path: Path) -> None:
    scene.tick()
    second_source(scene, tmp_path / "second")
    scene.chain.mine(1, txs=[scene.sell()])
    scene.tick()
    [alert] = scene.alerts()
    assert (alert.agree, alert.asked) == (1, 2)


def test_a_source_with_the_block_agrees(scene: Scene, tmp_path: Path) -> None:
    scene.tick()
    scene.chain.mine(1, txs=[scene.sell()])
    second_source(scene, tmp_path / "second")
    scene.tick()
    [alert] = scene.alerts()
    assert (alert.agree, alert.asked) == (2, 2)
