"""Which URLs and addresses a webhook may go to."""

from __future__ import annotations

import pytest

from tracker.errors import InputError
from tracker.webhooks.address import refusal
from tracker.webhooks.target import Policy, check_allow_host, parse_target

STRICT = Policy(ports=(443, 8443), allow_http=False)


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0",
        "10.1.2.3",
        "100.64.0.1",
        "127.0.0.1",
        "127.9.9.9",
        "169.254.169.254",
        "172.16.0.1",
        "192.0.0.9",
        "192.0.2.1",
        "192.88.99.1",
        "192.168.1.1",
        "198.18.0.1",
        "224.0.0.251",
        "232.1.1.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::ffff:127.0.0.1",
        "::ffff:8.8.8.8",
        "::7f00:1",
        "64:ff9b::7f00:1",
        "64:ff9b::808:808",
        "64:ff9b:1::1",
        "100::1",
        "2001::1",
        "2001:db8::1",
        "2002:7f00:1::",
        "3fff::1",
        "5f00::1",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "fe80::1%eth0",
        "fec0::1",
        "ff02::1",
        "ff0e::1",
        "example.org",
        "",
    ],
)
def test_what_is_not_global_is_refused(address: str) -> None:
    assert refusal(address) is not None


@pytest.mark.parametrize("address", ["8.8.8.8", "1.1.1.1", "2606:4700:4700::1111", "2a00:1450::1"])
def test_what_is_global_is_not(address: str) -> None:
    assert refusal(address) is None


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("ftp://example.org/", "not an http"),
        ("https:///hook", "not an http"),
        ("example.org/hook", "not an http"),
        ("javascript:alert(1)", "not an http"),
        ("http://example.org/", "plain http"),
        ("https://example.org:22/", "port 22"),
        ("https://example.org:0/", "port 0"),
        ("https://example.org:99999/", "not a URL"),
        ("https://example.org/a#b", "fragment"),
        ("https://example.org\\@evil.example/", "not a URL"),
        ("https://exa mple.org/", "not a URL"),
        ("https://example.org/\r\nX: y", "not a URL"),
        ("https://exämple.org/", "not a URL"),
        ("https://-example.org/", "not a host"),
        ("https://[fe80::1%25eth0]/", "not a"),
        ("https://" + "a" * 3000, "not a URL"),
        ("https://127.0.0.1/", "loopback"),
        ("https://localhost/", "this machine"),
        ("https://api.localhost./", "this machine"),
        ("https://169.254.169.254/latest/meta-data", "not a global"),
        ("https://[::ffff:10.0.0.1]/", "IPv4-mapped"),
        ("https://[::1]/", "not a global"),
    ],
)
def test_a_url_that_is_refused_says_why_and_how_to_mend_it(url: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as refused:
        parse_target(url, (), STRICT)
    assert refused.value.field == "url"
    assert refused.value.mend


def test_credentials_in_a_url_are_refused_without_repeating_them() -> None:
    with pytest.raises(InputError, match="credentials") as refused:
        parse_target("https://me:hunter2@example.org/", (), STRICT)
    assert "hunter2" not in str(refused.value)


def test_a_good_url_is_taken_apart() -> None:
    target = parse_target("https://Hooks.Example.org./a/b?c=d", (), STRICT)
    assert (target.scheme, target.host, target.port, target.path, target.allowed) == (
        "https",
        "hooks.example.org",
        443,
        "/a/b?c=d",
        False,
    )
    assert parse_target("https://[2606:4700::1111]:8443", (), STRICT).path == "/"


def test_a_host_named_with_its_port_may_be_private_plain_and_on_any_port() -> None:
    assert parse_target("http://127.0.0.1:9/x", ("127.0.0.1:9",), STRICT).allowed
    assert parse_target("http://[::1]:9/x", ("[::1]:9",), STRICT).allowed
    with pytest.raises(InputError):
        parse_target("http://127.0.0.1:10/x", ("127.0.0.1:9",), STRICT)


def test_a_host_named_without_a_port_keeps_to_the_list_of_ports() -> None:
    assert parse_target("http://hooks.internal:8443/", ("hooks.internal",), STRICT).allowed
    with pytest.raises(InputError, match="port 9"):
        parse_target("http://hooks.internal:9/", ("hooks.internal",), STRICT)
    with pytest.raises(InputError, match="plain http"):
        parse_target("http://sub.hooks.internal:8443/", ("hooks.internal",), STRICT)


def test_http_where_the_settings_allow_it() -> None:
    assert parse_target("http://example.org/", (), Policy((80,), allow_http=True)).port == 80
    with pytest.raises(InputError, match="loopback"):
        parse_target("http://127.0.0.1/", (), Policy((80,), allow_http=True))


@pytest.mark.parametrize(
    ("entry", "plain"),
    [
        ("Hooks.Internal", "hooks.internal"),
        ("hooks.internal.:9000", "hooks.internal:9000"),
        ("127.0.0.1:9000", "127.0.0.1:9000"),
        ("::1", "::1"),
        ("[::1]", "::1"),
        ("[::1]:9000", "[::1]:9000"),
    ],
)
def test_an_allowed_host_in_its_plain_form(entry: str, plain: str) -> None:
    assert check_allow_host(entry) == plain


@pytest.mark.parametrize(
    "entry", ["", "http://a", "a/b", "a:0", "a:99999", "a:b", "*.internal", "a b", ":80"]
)
def test_an_allowed_host_that_is_none(entry: str) -> None:
    with pytest.raises(InputError, match="not a host"):
        check_allow_host(entry)
