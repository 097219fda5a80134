"""A label pack: what it says of itself, and its row."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

from sqlmodel import Session

from tracker.db.registry import LabelPack
from tracker.errors import ConflictError, InputError
from tracker.registry.packs import repository

_NAME = re.compile(r"[a-z0-9]+([.-][a-z0-9]+)*", re.ASCII)
_LONGEST_NAME = 64


@dataclass(frozen=True, slots=True)
class PackInfo:
    """Who made a pack and on which terms it may be handed on."""

    name: str
    title: str
    creator: str | None = None
    licence: str | None = None
    redistributable: bool = False
    source: str | None = None


def checked_name(name: str) -> str:
    """`name` where it can name a pack. Raises `InputError`."""
    if not _NAME.fullmatch(name) or len(name) > _LONGEST_NAME:
        raise InputError(
            "not a name for a pack",
            field="pack",
            value=name,
            mend=f"small letters, digits, hyphens and dots, at most {_LONGEST_NAME}",
        )
    return name


def name_from(title: str) -> str:
    """The name of a pack made from its title; "" where the title has no plain letter or digit."""
    words = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")
    return words[:_LONGEST_NAME].strip("-")


def save_pack(session: Session, info: PackInfo, now: datetime) -> int:
    """Write the pack's row, new or changed, and return its id.

    Raises `ConflictError` where another creator's pack has the name.
    """
    pack = repository.find_pack(session, info.name)
    if pack is None:
        pack = LabelPack(name=info.name, title=info.title, recorded_at=now)
    elif pack.creator != info.creator and _has_rows(session, pack):
        raise ConflictError(
            f"the pack {pack.name} is by {pack.creator or 'an unnamed creator'}",
            field="pack",
            value=info.name,
            mend="give this one another name, or remove the other first",
        )
    for name in ("title", "creator", "licence", "redistributable", "source"):
        setattr(pack, name, getattr(info, name))
    repository.save_pack(session, pack)
    if pack.id is None:
        raise AssertionError("a saved pack has an id")
    return pack.id


def _has_rows(session: Session, pack: LabelPack) -> bool:
    return any(each.pack.id == pack.id for each in repository.list_packs(session))
