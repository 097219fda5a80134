"""`tracker listen`: what it refuses before it listens."""

from __future__ import annotations

import socket

import pytest

from tracker import signing
from tracker.cli.listen import listen
from tracker.errors import ConfigError, InputError
from tracker.webhooks.inbox import Inbox, check_forward


def test_two_ways_to_a_secret_are_refused() -> None:
    with pytest.raises(InputError, match="two ways"):
        listen(secret=signing.new_secret(), register=True)


def test_a_bad_secret_is_refused_and_not_shown() -> None:
    with pytest.raises(InputError, match="not a signing secret") as refused:
        listen(secret="whsec_!!secret!!")
    assert "!!secret!!" not in str(refused.value)


@pytest.mark.parametrize(
    "url", ["127.0.0.1:80", "ftp://a/", "http://", "http://me:pw@host/", "http://[::1/"]
)
def test_a_bad_url_to_forward_to_is_refused(url: str) -> None:
    with pytest.raises(InputError, match="forward"):
        check_forward(url)


def test_a_taken_port_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        with pytest.raises(ConfigError, match="cannot listen") as refused:
            Inbox(taken.getsockname()[1], [], show=print)
        assert refused.value.field == "--port"
