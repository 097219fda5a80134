"""Structured logs: one event name and fields a line, to stderr, secrets masked."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

# Bearer keys, webhook secrets, and the password part of any URL: up to the last @, since a
# password that holds one (or a slash) is sometimes written as it is.
_SECRET = re.compile(r"(ttk_|whsec_)[A-Za-z0-9_\-+/=]{6,}|(?<=://)([^/\s:@]*):[^\s\"'<>]+@")


def mask(text: str) -> str:
    """`text` with bearer keys, webhook secrets and URL passwords replaced by `***`."""
    return _SECRET.sub(lambda m: f"{m.group(1)}***" if m.group(1) else f"{m.group(2)}:***@", text)


def _masked(value: Any) -> Any:
    """`value` with every text in it masked; what is neither text nor number is shown as text."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, dict):
        return {key: _masked(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_masked(item) for item in value]
    return mask(str(value))


def _mask_event(
    _logger: Any, _name: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    for key, value in event.items():
        if not key.startswith("_"):  # the formatter's own
            event[key] = _masked(value)
    return event


def configure(level: str = "INFO", *, json: bool = False) -> None:
    """Route structlog, and the warnings and errors of libraries, to stderr.

    `json` gives one JSON object a line. A library that logged to nobody (a task's traceback, a
    lost broker) would fail in silence.
    """
    renderer: Any = (
        structlog.processors.JSONRenderer()
        if json
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    common: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[*common, _mask_event, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(
            logging.getLevelNamesMapping().get(level.upper(), logging.INFO)
        ),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*common, structlog.stdlib.add_logger_name],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta, _mask_event, renderer,
            ],
        )
    )
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)


def get_logger(name: str) -> Any:
    """A logger bound to `name`; call it with an event name and fields."""
    return structlog.get_logger(component=name)
