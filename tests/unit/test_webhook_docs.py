"""docs/webhooks.md: its receiver works, and what it lists is what there is."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.data import ROOT
from tracker import signing
from tracker.config import Settings
from tracker.domain.alert import EVENT_TYPES
from tracker.domain.subscription import COHORTS

PAGE = (ROOT / "docs" / "webhooks.md").read_text(encoding="utf-8")
SECRET = signing.new_secret()
BODY = b'{"type":"test.ping"}'


@pytest.fixture
def verify() -> Callable[[str, dict[str, str], bytes], None]:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    found: dict[str, Any] = {}
    exec(code, found)  # noqa: S102 - the page's own sample
    made: Callable[[str, dict[str, str], bytes], None] = found["verify"]
    return made


def headers(*secrets: str, age: int = 0) -> dict[str, str]:
    at = datetime.now(UTC) - timedelta(seconds=age)
    return {
        "webhook-id": "evt_1",
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": signing.sign(secrets, "evt_1", at, BODY),
    }


def test_the_sample_accepts_what_we_sign(
    verify: Callable[[str, dict[str, str], bytes], None],
) -> None:
    # It answers by not raising, as the refusals below show.
    assert verify(SECRET, headers(SECRET), BODY) is None
    assert verify(SECRET, headers(signing.new_secret(), SECRET), BODY) is None


def test_the_sample_refuses_the_rest(verify: Callable[[str, dict[str, str], bytes], None]) -> None:
    for sent, body in (
        (headers(SECRET), BODY + b" "),
        (headers(signing.new_secret()), BODY),
        (headers(SECRET, age=400), BODY),
    ):
        with pytest.raises(ValueError, match=r"too old|no signature"):
            verify(SECRET, sent, body)


def test_what_the_page_lists_is_what_there_is() -> None:
    for name in (*EVENT_TYPES, *COHORTS):
        assert f"`{name}`" in PAGE
    ports = ", ".join(str(port) for port in Settings().webhook_ports)
    assert ports in PAGE
    assert f"{Settings().webhook_timeout_seconds:g} seconds" in PAGE
