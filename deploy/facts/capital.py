"""Capital structures: one row a field, each share count with the split basis it stands on."""

from __future__ import annotations

from pathlib import Path

from deploy.facts.files import Cells, read_csv, table

FIELDS = ("basic_shares", "diluted_shares", "debt_usd", "preferred_usd", "cash_usd")

# Words of a note that say that a field is a part, or no count at a date.
_PARTIAL = {
    "basic_shares": ("Class A only",),
    "diluted_shares": ("diluted = weighted average",),
    "debt_usd": ("convertible notes only",),
}


def capital(data: Path) -> list[Cells]:
    """All capital fields, by entity, date and field. A blank cell makes no row, a 0 makes one."""
    corrections = {
        (row["entity"], row["as_of"], row["field"]): row for row in table("capital_corrections")
    }
    made: list[Cells] = []
    for row in read_csv(data / "registry" / "capital.csv"):
        for field in FIELDS:
            if row[field]:
                correction = corrections.pop((row["entity"], row["as_of"], field), None)
                made.append(_row(row, field, correction))
    made += [_added(row) for row in corrections.values()]
    return sorted(made, key=lambda row: (row["entity"], row["as_of"], row["field"], row["source"]))


def _row(row: Cells, field: str, correction: Cells | None) -> Cells:
    made = {
        "entity": row["entity"],
        "as_of": row["as_of"],
        "field": field,
        "value": row[field],
        "currency": "" if field.endswith("_shares") else "USD",
        "basis_date": row["as_of"] if field.endswith("_shares") else "",
        "complete": str(not any(w in row["note"] for w in _PARTIAL.get(field, ()))).lower(),
        "source": row["source"],
        "note": row["note"],
    }
    if correction is None:
        return _adjusted(made)
    as_of = correction["new_as_of"] or row["as_of"]
    return made | {
        "as_of": as_of,
        "basis_date": as_of if field.endswith("_shares") else "",
        "value": correction["new_value"] or row[field],
        "source": correction["source"] or row["source"],
        "note": correction["why"],
    }


def _adjusted(row: Cells) -> Cells:
    """A count that the source has brought to a later split basis says which."""
    for adjustment in table("adjusted_counts"):
        if (
            row["basis_date"]
            and row["entity"] == adjustment["entity"]
            and adjustment["words"] in row["note"]
        ):
            return row | {"basis_date": max(row["basis_date"], adjustment["basis_date"])}
    return row


def _added(correction: Cells) -> Cells:
    if not (correction["new_value"] and correction["source"]):
        message = f"capital_corrections.csv: nothing recorded for {correction}"
        raise SystemExit(message)
    return {
        "entity": correction["entity"],
        "as_of": correction["as_of"],
        "field": correction["field"],
        "value": correction["new_value"],
        "currency": "" if correction["field"].endswith("_shares") else "USD",
        "basis_date": correction["as_of"] if correction["field"].endswith("_shares") else "",
        "complete": "true",
        "source": correction["source"],
        "note": correction["why"],
    }
