"""A valuation in the public contract's shape: decimal strings, UTC times, null with a reason."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from tracker.domain.valuation import DefinitionValue, Input
from tracker.valuation.service import EntityValuation, Headline


def as_contract(valuation: EntityValuation) -> dict[str, Any]:
    """The JSON object of `/entities/{slug}/mnav`."""
    age = valuation.quote_age
    return {
        "entity": valuation.entity,
        "as_of": _time(valuation.as_of),
        "asked_at": _time(valuation.asked),
        "quote_state": valuation.quote_state,
        "quote_age_seconds": None if age is None else int(age.total_seconds()),
        "reason": valuation.reason,
        "basis": valuation.basis,
        "definitions": [_definition(found) for found in valuation.definitions],
    }


def headline_as_contract(headline: Headline) -> dict[str, Any]:
    """The `mnav` object of an item of `/entities`."""
    return {
        "id": headline.id,
        "value": decimal_text(headline.value),
        "as_of": _time(headline.as_of),
    }


def decimal_text(number: Decimal) -> str:
    """A decimal without exponent and without trailing zeros."""
    text = format(number, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def _definition(found: DefinitionValue) -> dict[str, Any]:
    return {
        "id": found.id,
        "value": None if found.value is None else decimal_text(found.value),
        "unit": found.unit,
        "inputs": [_input(given) for given in found.inputs],
        "missing": list(found.missing),
    }


def _input(given: Input) -> dict[str, Any]:
    return {
        "name": given.name,
        "value": decimal_text(given.value),
        "unit": given.unit,
        "as_of": _time(given.as_of),
        "source": given.source,
        "carried": given.carried,
        "carried_days": given.carried_days,
        "note": given.note,
    }


def _time(moment: date) -> str:
    """A day as `2026-02-05`, an instant as `2026-02-05T21:00:00Z`."""
    if isinstance(moment, datetime):
        return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return moment.isoformat()
