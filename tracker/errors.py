"""Every error that the tracker raises on purpose: one root, one sentence each.

The root split is *can trying again help*: `RetryableError` (a source is down, a lock is taken)
against everything else. Each error carries the name of the field, the offending value and the
mend, so that the command line, the API (`application/problem+json`) and the log say the same.
"""

from __future__ import annotations

from typing import ClassVar


class TrackerError(Exception):
    """Root of the tree. `code` is stable and machine-readable; the message is for people."""

    code: ClassVar[str] = "tracker_error"
    status: ClassVar[int] = 500

    def __init__(
        self,
        message: str,
        *,
        field: str | None = None,
        value: object = None,
        mend: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.field = field
        self.value = None if value is None else _short(value)
        self.mend = mend

    def __str__(self) -> str:
        parts = [self.message]
        if self.field is not None:
            parts.append(f"field: {self.field}")
        if self.value is not None:
            parts.append(f"value: {self.value}")
        if self.mend is not None:
            parts.append(f"mend: {self.mend}")
        return "; ".join(parts)


def _short(value: object, limit: int = 120) -> str:
    text = str(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"


# -- the caller's fault: trying again unchanged cannot help ----------------------------------------


class InputError(TrackerError):
    """A value that crossed the boundary is not acceptable."""

    code = "invalid_input"
    status = 422


class AddressError(InputError):
    """An address has a bad checksum, an unknown form or belongs to another network."""

    code = "invalid_address"


class NotFoundError(TrackerError):
    """The named thing does not exist."""

    code = "not_found"
    status = 404


class ConflictError(TrackerError):
    """The thing exists already, or its state forbids the change."""

    code = "conflict"
    status = 409


class AuthError(TrackerError):
    """The bearer key is missing or wrong."""

    code = "unauthorized"
    status = 401


class ConfigError(TrackerError):
    """The settings cannot be used as they are."""

    code = "bad_config"


# -- what a source said ----------------------------------------------------------------------------


class InvalidBlockError(TrackerError):
    """A block is truncated, forged or does not link: put the source aside, never apply it."""

    code = "invalid_block"
    status = 502


class ReplyError(TrackerError):
    """A source answered, but not with what was asked for (an HTML page, another chain)."""

    code = "bad_reply"
    status = 502


class PrunedStateError(NotFoundError):
    """The node no longer keeps the state of that block: an archive node may."""

    code = "pruned_state"


class MethodMissingError(NotFoundError):
    """The source does not offer this call at all."""

    code = "method_missing"


class TooManyOutputsError(TrackerError):
    """A source refuses to list so many unspent outputs, or so many cannot be checked one by one."""

    code = "too_many_outputs"


class LongHistoryError(TrackerError):
    """A script has more transactions than may be read."""

    code = "long_history"


class DeepForkError(TrackerError):
    """The chain forked below the final height: this needs a person."""

    code = "deep_fork"


# -- trying again can help -------------------------------------------------------------------------


class RetryableError(TrackerError):
    """Something outside failed for now; the next tick tries again."""

    code = "try_again"
    status = 503


class SourceUnavailableError(RetryableError):
    """A source cannot be reached, timed out or asked us to slow down."""

    code = "source_unavailable"

    def __init__(
        self,
        message: str,
        *,
        retry_after: float | None = None,
        field: str | None = None,
        value: object = None,
        mend: str | None = None,
    ) -> None:
        super().__init__(message, field=field, value=value, mend=mend)
        self.retry_after = retry_after


class QuotaError(SourceUnavailableError):
    """The source's allowance is used up: it answers again when the provider's period ends."""

    code = "quota_exhausted"


class StaleWatchSetError(RetryableError):
    """The watch set changed while a block was scanned; scan it again."""

    code = "stale_watch_set"


class CursorMovedError(RetryableError):
    """Another worker moved the cursor first; start again from where it is now."""

    code = "cursor_moved"


# -- the embedded servers --------------------------------------------------------------------------


class EmbeddedError(TrackerError):
    """An embedded server or the supervisor cannot start or go on."""

    code = "embedded"
