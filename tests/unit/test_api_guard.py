"""Which Host names are this service."""

import pytest

from tracker.api.guard import host_allowed


@pytest.mark.parametrize(
    ("header", "bound"),
    [
        ("127.0.0.1:8321", "127.0.0.1"),
        ("localhost", "127.0.0.1"),
        ("LOCALHOST:1", "127.0.0.1"),
        ("[::1]:8321", "::1"),
        ("127.0.0.2", "127.0.0.1"),
        ("tracker.example:8321", "tracker.example"),
        ("192.0.2.7:80", "192.0.2.7"),
        ("anything.example", "0.0.0.0"),
        ("anything.example", "::"),
    ],
)
def test_our_names_pass(header, bound):
    assert host_allowed(header, bound)


@pytest.mark.parametrize(
    ("header", "bound"),
    [
        ("rebound.example:8321", "127.0.0.1"),
        ("localhost.example", "127.0.0.1"),
        ("127.0.0.1.example", "127.0.0.1"),
        ("localhost@rebound.example", "127.0.0.1"),
        ("192.0.2.7", "127.0.0.1"),
        ("", "127.0.0.1"),
        ("[::1", "127.0.0.1"),
        ("", "0.0.0.0"),
        ("other.example", "192.0.2.7"),
    ],
)
def test_foreign_names_do_not(header, bound):
    assert not host_allowed(header, bound)
