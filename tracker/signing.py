"""Standard Webhooks signatures: HMAC-SHA256 over `id.timestamp.body`, version `v1`.

The scheme is that of https://www.standardwebhooks.com: the secret is base64 behind `whsec_`, the
header lists one `v1,<base64>` for each valid secret, the timestamp is in Unix seconds.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import secrets as entropy
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import ClassVar

from tracker.errors import AuthError, InputError

PREFIX = "whsec_"
HEADER_ID = "webhook-id"
HEADER_TIMESTAMP = "webhook-timestamp"
HEADER_SIGNATURE = "webhook-signature"

TOLERANCE_SECONDS = 300
_KEY_BYTES = 32  # the specification asks for 24 to 64
_SMALLEST_KEY, _LARGEST_KEY = 16, 128
_MOST_SIGNATURES = 16
_UNIX_SECONDS = re.compile(r"[0-9]{1,12}")


class SignatureError(AuthError):
    """A webhook is unsigned, wrongly signed, or too old or too new to be believed."""

    code: ClassVar[str] = "bad_signature"


def new_secret() -> str:
    """A fresh signing secret, `whsec_` and 32 random bytes in base64."""
    return PREFIX + base64.b64encode(entropy.token_bytes(_KEY_BYTES)).decode()


def sign(secrets: Iterable[str], message_id: str, timestamp: datetime, body: bytes) -> str:
    """The `webhook-signature` header value: one `v1,…` a secret, separated by spaces.

    `timestamp` is cut to whole seconds, as the header carries it. Raises `InputError` for a secret
    that is not base64 of 16 to 128 bytes, or when no secret is given.
    """
    signed = _signed(message_id, str(int(timestamp.timestamp())), body)
    header = " ".join(
        "v1," + base64.b64encode(_digest(_key(secret), signed)).decode() for secret in secrets
    )
    if not header:
        raise InputError("no signing secret", field="secret", mend="rotate the endpoint's secret")
    return header


def verify(
    secrets: Iterable[str],
    headers: Mapping[str, str],
    body: bytes,
    now: datetime,
    tolerance_seconds: int = TOLERANCE_SECONDS,
) -> str:
    """The `webhook-id` of a message that one of `secrets` signed within the tolerance of `now`.

    Header names are compared without regard to case; signatures in constant time. Raises
    `SignatureError` that says what is wrong, never what the right signature would have been.
    """
    lower = {name.lower(): value for name, value in headers.items()}
    message_id, stamp, passed = (
        _header(lower, name) for name in (HEADER_ID, HEADER_TIMESTAMP, HEADER_SIGNATURE)
    )
    if not _UNIX_SECONDS.fullmatch(stamp):
        raise SignatureError(
            "the timestamp is not in whole Unix seconds", field=HEADER_TIMESTAMP, value=stamp
        )
    age = now.timestamp() - int(stamp)
    if abs(age) > tolerance_seconds:
        raise SignatureError(
            f"the timestamp is {abs(age):.0f} s {'old' if age > 0 else 'ahead'}",
            field=HEADER_TIMESTAMP,
            value=stamp,
            mend=f"set the clocks; up to {tolerance_seconds} s are accepted",
        )
    signed = _signed(message_id, stamp, body)
    expected = [_digest(_key(secret), signed) for secret in secrets]
    found = False
    for signature in _signatures(passed):
        for digest in expected:
            # No early exit: the time must not tell which secret or signature matched.
            found |= hmac.compare_digest(digest, signature)
    if not found:
        raise SignatureError(
            "no signature matches",
            field=HEADER_SIGNATURE,
            mend="use the endpoint's secret and the body's bytes exactly as received",
        )
    return message_id


def check_secret(secret: str) -> str:
    """`secret` itself when it can sign; raises `InputError` (which does not show it) otherwise."""
    _key(secret)
    return secret


def _header(lower: Mapping[str, str], name: str) -> str:
    value = lower.get(name)
    if not value:
        raise SignatureError(
            "a signature header is missing", field=name, mend="send all three webhook-* headers"
        )
    return value


def _signed(message_id: str, stamp: str, body: bytes) -> bytes:
    return f"{message_id}.{stamp}.".encode() + body


def _digest(key: bytes, signed: bytes) -> bytes:
    return hmac.new(key, signed, hashlib.sha256).digest()


def _key(secret: str) -> bytes:
    text = secret.strip().removeprefix(PREFIX)
    try:
        key = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not _SMALLEST_KEY <= len(key) <= _LARGEST_KEY:
        raise InputError(
            "not a signing secret",
            field="secret",
            mend=f"give {PREFIX} and base64, as shown when the endpoint was added or rotated",
        )
    return key


def _signatures(header: str) -> list[bytes]:
    found = []
    for part in header.split(" ")[:_MOST_SIGNATURES]:
        version, _, text = part.partition(",")
        if version != "v1":
            continue
        try:
            found.append(base64.b64decode(text, validate=True))
        except (binascii.Error, ValueError):
            continue
    return found
