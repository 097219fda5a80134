"""Make the bundled facts from recorded data: `python -m deploy.carry_facts`.

For maintainers, from the repository root. Reads the folder of recorded data (beside the repository
by default) and the hand-kept tables in deploy/facts/tables; writes tracker/registry/bundled and
tracker/facts/bundled, leaving a file alone whose content is unchanged. docs/facts.md explains it.
"""

from __future__ import annotations

import argparse
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path

from deploy.facts import capital, disclosures, entities, files, labels, prices
from tracker.facts import bundled as facts
from tracker.registry import bundled as registry

ROOT = Path(__file__).resolve().parent.parent


def carry(data: Path, into: Path) -> list[Path]:
    """Write every table below `into` and read it back. Returns the files."""
    registry_folder = into / "tracker" / "registry" / "bundled"
    facts_folder = into / "tracker" / "facts" / "bundled"
    known = entities.entities(data)
    holders = entities.listed_venues(known)
    written = [
        files.write(registry_folder, "entities", registry.ENTITY_COLUMNS, known),
        files.write(registry_folder, "wallets", registry.WALLET_COLUMNS, labels.wallets(data)),
        files.write(
            registry_folder,
            "counterparties",
            registry.COUNTERPARTY_COLUMNS,
            labels.counterparties(data),
        ),
        files.write(
            facts_folder,
            "disclosures",
            facts.DISCLOSURE_COLUMNS,
            disclosures.disclosures(data, holders),
        ),
        files.write(facts_folder, "capital", facts.CAPITAL_COLUMNS, capital.capital(data)),
        files.write(
            facts_folder,
            "corporate_actions",
            facts.ACTION_COLUMNS,
            files.table("corporate_actions"),
        ),
        files.write(facts_folder, "closes", facts.CLOSE_COLUMNS, prices.closes(data)),
        files.write(facts_folder, "fx", facts.FX_COLUMNS, prices.fx(data)),
    ]
    _read_back(registry_folder, facts_folder)
    return written


def _read_back(registry_folder: Path, facts_folder: Path) -> None:
    """What the package cannot read must not be committed: raises `InputError`."""
    tables: tuple[Iterator[object], ...] = (
        registry.entities(registry_folder),
        registry.wallets(registry_folder),
        registry.counterparties(registry_folder),
        facts.disclosures(facts_folder),
        facts.capital(facts_folder),
        facts.corporate_actions(facts_folder),
        facts.closes(facts_folder),
        facts.fx_rates(facts_folder),
    )
    for rows in tables:
        deque(rows, maxlen=0)


def main(arguments: Sequence[str] | None = None) -> None:
    """Make the facts and say what was written."""
    parser = argparse.ArgumentParser(prog="python -m deploy.carry_facts", description=__doc__)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--into", type=Path, default=ROOT)
    options = parser.parse_args(arguments)
    if not (options.data / "registry").is_dir():
        parser.error(f"no recorded data in {options.data}: give its folder with --data")
    for path in carry(options.data, options.into):
        print(f"{path.stat().st_size:>9,}  {path.relative_to(options.into)}")


if __name__ == "__main__":
    main()
