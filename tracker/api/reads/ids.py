"""The id of a row that came from the database."""

from __future__ import annotations

from tracker.db.registry import Entity


def stored_id(entity: Entity) -> int:
    """The key of a stored entity, which only a row not yet written lacks."""
    if entity.id is None:
        raise AssertionError("a stored entity has an id")
    return entity.id
