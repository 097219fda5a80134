"""News or history: what was found too late to be news is stored, never delivered."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from tracker.config import Settings


@dataclass(frozen=True, slots=True)
class NewsPolicy:
    """Ground older than `max_age` is history; older than `late` it says that it was found late."""

    max_age: timedelta
    late: timedelta
    base_url: str

    @classmethod
    def of(cls, settings: Settings) -> NewsPolicy:
        """The policy of an installation."""
        return cls(
            max_age=timedelta(hours=settings.news_max_age_hours),
            late=timedelta(minutes=settings.detected_late_minutes),
            base_url=f"http://{settings.host}:{settings.port}",
        )

    def historical(self, at: datetime, now: datetime) -> bool:
        """Whether ground of time `at` is history by `now`."""
        return now - at > self.max_age

    def detected_late(self, at: datetime, now: datetime) -> bool:
        """Whether ground of time `at` was found late."""
        return now - at > self.late
