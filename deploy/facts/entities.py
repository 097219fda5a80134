"""Entities: role by kind, treasury class by a hand-kept table, listed venues split in two."""

from __future__ import annotations

from pathlib import Path

from deploy.facts.files import Cells, read_json, table
from tracker.domain.entity import Kind, Role, role_of

# Followed only when the operator asks for them.
SWITCHED_OFF = frozenset({Kind.PRIVATE, Kind.DAO})

_COPIED = ("slug", "name", "country", "ticker", "exchange_mic", "currency", "cik", "website")


def corporate_slug(venue: str) -> str:
    """The slug of the holder that a listed venue also is."""
    return f"{venue}-corporate"


def entities(data: Path) -> list[Cells]:
    """All entities by slug: a venue with a ticker becomes a venue and a holder."""
    classes = {row["slug"]: row["treasury_class"] for row in table("treasury_class")}
    made: list[Cells] = []
    for found in read_json(data / "registry" / "entities.json"):
        entity = {name: " ".join(found[name].split()) for name in (*_COPIED, "source", "note")}
        kind = Kind(found["kind"])
        if role_of(kind) is Role.VENUE and entity["ticker"]:
            made += _venue_and_holder(entity, kind, classes)
        else:
            made.append(_row(entity, kind, classes))
    unknown = classes.keys() - {row["slug"] for row in made}
    if unknown:
        message = f"treasury_class.csv names no entity: {', '.join(sorted(unknown))}"
        raise SystemExit(message)
    return sorted(made, key=lambda row: row["slug"])


def listed_venues(rows: list[Cells]) -> dict[str, str]:
    """Venue slug to holder slug, for the firms that are both."""
    slugs = {row["slug"] for row in rows}
    return {slug: corporate_slug(slug) for slug in slugs if corporate_slug(slug) in slugs}


def _venue_and_holder(entity: Cells, kind: Kind, classes: dict[str, str]) -> list[Cells]:
    holder = entity | {
        "slug": corporate_slug(entity["slug"]),
        "name": f"{entity['name']} (corporate treasury)",
        "note": f"coins of the listed firm itself; its venue is {entity['slug']}",
    }
    venue = entity | {
        "ticker": "",
        "exchange_mic": "",
        "currency": "",
        "cik": "",
        "note": f"customer assets; the listed firm's own coins are {holder['slug']}",
    }
    return [_row(venue, kind, classes), _row(holder, Kind.DAT, classes)]


def _row(entity: Cells, kind: Kind, classes: dict[str, str]) -> Cells:
    treasury_class = classes.get(entity["slug"], "")
    if kind is Kind.DAT and not treasury_class and entity["note"] == "miner":
        treasury_class = "miner"
    return entity | {
        "kind": kind,
        "role": role_of(kind),
        "treasury_class": treasury_class,
        "enabled": "false" if kind in SWITCHED_OFF else "true",
    }
