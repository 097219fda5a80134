"""The base of all schemas, and what a caller sends or gets in many places."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, PlainSerializer, field_validator


def iso(at: datetime) -> str:
    """`at` as the contract writes it: UTC, whole seconds, `Z`."""
    # Not strftime, which writes the year 1 as `1`.
    return at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="seconds") + "Z"


Utc = Annotated[datetime, PlainSerializer(iso, return_type=str, when_used="json")]

# A time that a caller sends must say its zone.
SentTime = AwareDatetime


class Shown(BaseModel):
    """A model that is shown; it may carry more fields than it declares."""

    model_config = ConfigDict(extra="allow", from_attributes=True)


class Sent(BaseModel):
    """A model that a caller sends: an unknown field is an error, since it would do nothing."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    @field_validator("*")
    @classmethod
    def _no_nul(cls, value: Any) -> Any:
        """PostgreSQL has no NUL in texts, and no name or address needs one."""
        for text in value if isinstance(value, list) else [value]:
            if isinstance(text, str) and "\x00" in text:
                raise ValueError("a NUL character")
        return value


class Money(Shown):
    """An amount of one currency."""

    amount: str
    currency: str


class RowProblem(Shown):
    """Why one row of an imported file was left out."""

    row: int = Field(description="Row of the file, a CSV header being row 1")
    field: str | None
    value: str | None
    message: str
    mend: str | None


class ImportResult(Shown):
    """What became of an imported file: good rows land, bad ones are told one by one."""

    accepted: int = Field(description="Rows that landed")
    unchanged: int = Field(description="Rows that say what is known already")
    rejected: list[RowProblem]
    dry_run: bool


class Source(Shown):
    """The last known state of one source."""

    name: str
    kind: str
    state: str = Field(description="ok, lagging, unreachable, lying or paused")
    height: int | None
    latency_ms: int | None
    last_ok: Utc | None
    last_error: str | None
    next_try: Utc | None


class Chain(Shown):
    """Where the scan of a chain stands."""

    chain: str
    height: int | None
    hash: str | None
    final_height: int | None = Field(description="Up to here nothing can be undone")
    safe_height: int | None
    tip_advanced_at: Utc | None = Field(description="When the scan last reached a new height")
    lag_seconds: int | None = Field(description="Since then")
    state: str = Field(description="ok, lagging, halted, not_started or not_configured")
    reason: str | None = None
