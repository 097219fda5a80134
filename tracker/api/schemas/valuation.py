"""Schemas of valuations: every definition with its inputs."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from tracker.api.schemas.common import Shown, Utc


class Input(Shown):
    """One input of a definition."""

    name: str
    value: str | None
    unit: str | None
    as_of: str | None
    source: str | None


class Definition(Shown):
    """One definition of mNAV: its value, or what it lacks."""

    id: str
    value: str | None
    unit: str
    inputs: list[Input]
    missing: list[str] = Field(description="What is unknown, each with the reason")


class Valuation(Shown):
    """Every definition at one instant."""

    entity: str
    as_of: Utc
    quote_state: Any = Field(description="State and age of the share quote")
    basis: str = Field(description="disclosed or onchain")
    definitions: list[Definition]
