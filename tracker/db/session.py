"""The session type, for layers that pass one on but hold no SQL of their own."""

from __future__ import annotations

from sqlmodel import Session

__all__ = ["Session"]
