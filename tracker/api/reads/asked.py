"""The moment that a caller asks for: a time, a date, or a block height of a chain."""

from __future__ import annotations

import re

from tracker.api.paging import instant
from tracker.api.reads.chains import COIN, Heads
from tracker.api.reads.past import moment_of
from tracker.db.session import Session
from tracker.errors import InputError
from tracker.ledger.history.tenures import Moment

_HEIGHT = re.compile(r"[0-9]{1,10}", re.ASCII)
# `20261004` is a date in ISO 8601's short form.
_SHORT_DATE = 8


def moment(
    session: Session, heads: Heads, at: str | None, chain: str | None, entity_id: int | None = None
) -> Moment | None:
    """None for now. `at` is a time, a date, `ethereum:18000000`, or a height beside its `chain`.

    A height may also lie in the backfilled past of `entity_id`. Raises `InputError` for anything
    else, and for a block that was not scanned.
    """
    if at is None:
        if chain is not None:
            raise InputError(
                "a chain without a height", field="chain", value=chain,
                mend="send at=HEIGHT beside it, or leave it out",
            )
        return None
    named, colon, rest = at.strip().partition(":")
    if colon and named in COIN:
        if chain not in (None, named):
            raise InputError(
                "two chains", field="chain", value=chain, mend=f"leave it out: `at` says {named}"
            )
        chain, at = named, rest
    if chain is None:
        if _HEIGHT.fullmatch(at.strip()) and len(at.strip()) != _SHORT_DATE:
            raise InputError(
                "a block height needs its chain", field="at", value=at,
                mend=f"write ethereum:{at.strip()} or bitcoin:{at.strip()}",
            )
        found = instant(at, now=heads.now)
        return None if found is None else Moment(found)
    if chain not in COIN:
        raise InputError(
            "no such chain", field="chain", value=chain, mend=f"use {' or '.join(sorted(COIN))}"
        )
    if not _HEIGHT.fullmatch(at.strip()):
        raise InputError(
            "not a block height", field="at", value=at, mend=f"write {chain}:18000000, or a time"
        )
    return moment_of(session, heads, chain, int(at), entity_id)
