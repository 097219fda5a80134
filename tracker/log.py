"""Structured logs: one event name and fields a line, to stderr, secrets masked."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

# Bearer keys, webhook secrets and the password part of any URL.
_SECRET = re.compile(r"(ttk_|whsec_)[A-Za-z0-9_\-+/=]{6,}|(?<=://)([^/\s:@]*):[^/\s@]+@")


def mask(text: str) -> str:
    """`text` with bearer keys, webhook secrets and URL passwords replaced by `***`."""
    return _SECRET.sub(lambda m: f"{m.group(1)}***" if m.group(1) else f"{m.group(2)}:***@", text)


def _mask_event(
    _logger: Any, _name: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    for key, value in event.items():
        if isinstance(value, str):
            event[key] = mask(value)
    return event


def configure(level: str = "INFO", *, json: bool = False) -> None:
    """Route structlog to stderr; `json` gives one JSON object a line."""
    renderer: Any = (
        structlog.processors.JSONRenderer()
        if json
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _mask_event,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(
            logging.getLevelNamesMapping().get(level.upper(), logging.INFO)
        ),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )


def get_logger(name: str) -> Any:
    """A logger bound to `name`; call it with an event name and fields."""
    return structlog.get_logger(component=name)
