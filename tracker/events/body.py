"""The one body of an event: bytes that every endpoint and every attempt gets unchanged."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from tracker.errors import InputError

MAX_BYTES = 20_000  # a body is smaller than this
_LONGEST_TEXT = 256  # characters that a text keeps when dropping list items was not enough


def event_body(event_type: str, timestamp: datetime, data: dict[str, Any]) -> bytes:
    """`{"type","timestamp","data"}` as compact UTF-8 JSON, under 20 kB, the same for equal input.

    A body that would be larger loses evidence from the end (one item stays), then ground from the
    end (one stays), then long texts are cut; `data.truncated` is then true and `data.links` has
    the whole. Raises `InputError` for data that is not JSON, or larger than that can mend.
    """
    whole = _body(event_type, timestamp, data)
    if len(whole) < MAX_BYTES:
        return whole
    kept = {**data, "truncated": True}
    for name in ("evidence", "ground"):
        if isinstance(kept.get(name), list):
            excess = len(_body(event_type, timestamp, kept)) - MAX_BYTES + 1
            kept[name] = _shortened(kept[name], excess)
    body = _body(event_type, timestamp, kept)
    if len(body) >= MAX_BYTES:
        body = _body(event_type, timestamp, _cut_texts(kept))
    if len(body) >= MAX_BYTES:
        raise InputError(
            f"the event's body has {len(body)} bytes",
            field="data",
            value=event_type,
            mend=f"keep it under {MAX_BYTES} bytes",
        )
    return body


def utc_text(moment: datetime) -> str:
    """`moment` as the contract writes times: `2026-10-04T12:00:00Z`, cut to whole seconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _body(event_type: str, timestamp: datetime, data: dict[str, Any]) -> bytes:
    head = f'{{"type":{_text(event_type)},"timestamp":{_text(utc_text(timestamp))},"data":'
    try:
        return (head + _text(data) + "}").encode()
    except (TypeError, ValueError) as error:
        raise InputError(
            f"the event's data is not JSON: {error}",
            field="data",
            value=event_type,
            mend="give texts, whole numbers, booleans, lists and objects; amounts as texts",
        ) from None


def _text(value: object) -> str:
    # Sorted keys: a dict that went through a JSONB column has another order, and the bytes are
    # what is signed.
    return json.dumps(
        value, ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":")
    )


def _shortened(items: list[Any], excess: int) -> list[Any]:
    """`items` without as many from the end as free `excess` bytes; the first always stays."""
    keep = len(items)
    while excess > 0 and keep > 1:
        keep -= 1
        excess -= len(_text(items[keep]).encode()) + 1
    return items[:keep]


def _cut_texts(value: Any) -> Any:
    if isinstance(value, str):
        return value if len(value) <= _LONGEST_TEXT else value[: _LONGEST_TEXT - 1] + "…"
    if isinstance(value, list):
        return [_cut_texts(item) for item in value]
    if isinstance(value, dict):
        return {key: _cut_texts(item) for key, item in value.items()}
    return value
