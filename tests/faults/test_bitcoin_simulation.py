"""Seeded lives of the Bitcoin side, crashes, races, forks and lies included, against the chain."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import pytest

from tests.servers import fresh_database, worker_number
from tests.simulation import leases_lost
from tests.simulation_bitcoin import bitcoin_world, play
from tracker.embedded.servers import ServerUrls


def live(
    servers: ServerUrls, folder: Path, seed: int, steps: int, *, leases: bool = True,
    final: int = 0, deepest: int = 8,
) -> None:  # fmt: skip
    with (
        fresh_database(servers, f"btc_{worker_number()}_{seed}_{leases}".lower()) as url,
        nullcontext() if leases else leases_lost(),
        bitcoin_world(url, folder, seed, deepest=deepest) as world,
    ):
        play(world, steps, final)


@pytest.mark.parametrize("seed", range(10))
def test_the_ledger_ends_as_the_chain_has_it(
    seed: int, servers: ServerUrls, tmp_path: Path
) -> None:
    live(servers, tmp_path, seed, steps=25, final=100 * (seed == 0), leases=bool(seed % 2))


@pytest.mark.faults
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", range(1000, 1070))
def test_the_same_over_many_seeds(seed: int, servers: ServerUrls, tmp_path: Path) -> None:
    live(
        servers, tmp_path, seed, steps=40, final=100 * (seed % 2 == 0), leases=bool(seed % 3),
        deepest=8 if seed % 5 else 40,
    )  # fmt: skip
