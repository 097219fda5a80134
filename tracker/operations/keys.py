"""Bearer keys: made once, shown once, kept as a SHA-256, compared in constant time.

A key is `ttk_` and 32 random bytes in URL-safe base64. Its digest needs no salt and no slow hash:
256 random bits cannot be guessed.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import tempfile
from collections.abc import Collection, Sequence
from datetime import datetime
from pathlib import Path

from tracker.config import Settings
from tracker.db.operations import ApiKey
from tracker.db.session import Session
from tracker.errors import AuthError, ConfigError, ConflictError, InputError, NotFoundError
from tracker.operations import repository

PREFIX = "ttk_"
SCOPES = ("read", "write")
ADMIN = "local command line"
# How much of a key is kept in the clear, to find its row and to name it to people.
_SHOWN = len(PREFIX) + 6
_MEND = "send `Authorization: Bearer ttk_…` with a key made by `tracker keys add`"


def digest(key: str) -> str:
    """The SHA-256 of `key` in hex, the only form that is stored."""
    return hashlib.sha256(key.encode()).hexdigest()


def create(session: Session, name: str, scopes: Collection[str], now: datetime) -> str:
    """Make a key and return it; it cannot be shown again.

    Raises `InputError` for an empty or overlong name, or a scope that is not in `SCOPES`.
    """
    if not 1 <= len(name.strip()) <= 100:
        raise InputError(
            "a key needs a name", field="name", value=name, mend="give 1 to 100 characters"
        )
    unknown = sorted(set(scopes) - set(SCOPES))
    if unknown or not scopes:
        raise InputError(
            "unknown scope" if unknown else "a key needs a scope",
            field="scopes",
            value=", ".join(unknown),
            mend=f"use {' or '.join(SCOPES)}",
        )
    key = PREFIX + secrets.token_urlsafe(32)
    repository.add_key(
        session,
        ApiKey(
            name=name.strip(),
            prefix=key[:_SHOWN],
            digest=digest(key),
            scopes=sorted(set(scopes)),
            created_at=now,
        ),
    )
    return key


def revoke(session: Session, key_id: int, now: datetime) -> ApiKey:
    """End a key at once and return it; one that was revoked before keeps its first time.

    Raises `NotFoundError`, and `ConflictError` for the last key that may write: without it nobody
    could make another.
    """
    key = repository.lock_key(session, key_id)
    if key is None:
        raise NotFoundError(
            "no such key", field="id", value=key_id, mend="list them with `tracker keys`"
        )
    if key.revoked_at is not None:
        return key
    writers = [row.id for row in repository.usable_keys(session) if "write" in row.scopes]
    if writers == [key_id]:
        raise ConflictError(
            "this is the last key that may write",
            field="id",
            value=key_id,
            mend="make another with `tracker keys add NAME --scope write` first",
        )
    key.revoked_at = now
    session.add(key)
    return key


def list_all(session: Session) -> Sequence[ApiKey]:
    """Every key, oldest first; none carries the secret."""
    return repository.list_keys(session)


def authenticate(session: Session, bearer: str | None) -> ApiKey:
    """The usable key that `bearer` is. Raises `AuthError`, which never repeats what was sent."""
    if not bearer:
        raise AuthError("a bearer key is needed", field="Authorization", mend=_MEND)
    offered = digest(bearer)
    found: ApiKey | None = None
    if bearer.isascii() and bearer.isprintable():  # whatever else it is, it is not a key
        for row in repository.usable_keys(session, bearer[:_SHOWN]):
            if hmac.compare_digest(row.digest, offered):
                found = row
    if found is None:
        raise AuthError(
            "the bearer key is not known or was revoked", field="Authorization", mend=_MEND
        )
    return found


def ensure_admin_key(settings: Settings, session: Session, now: datetime) -> bool:
    """Leave a usable writing key in `settings.key_file` (mode 0600); True if one was made.

    A key that is there and works is left alone. The file is replaced whole, never half-written;
    it lands before the transaction commits, so that a crash in between costs a new key, not access.
    """
    if _works(session, settings.key_file):
        return False
    key = create(session, ADMIN, SCOPES, now)
    _write_private(settings.key_file, key + "\n")
    return True


def _works(session: Session, path: Path) -> bool:
    try:
        held = path.read_text(encoding="ascii").strip()
        return "write" in authenticate(session, held).scopes
    except FileNotFoundError:
        return False
    except (AuthError, UnicodeDecodeError):
        return False  # of another database, revoked or garbled: a new key replaces it
    except OSError as error:
        raise _unusable(path, error) from error


def _write_private(path: Path, content: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, draft = tempfile.mkstemp(dir=path.parent, prefix=path.name)  # made with 0600
        try:
            with os.fdopen(descriptor, "w", encoding="ascii") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            Path(draft).replace(path)
        except OSError:
            Path(draft).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise _unusable(path, error) from error


def _unusable(path: Path, error: OSError) -> ConfigError:
    return ConfigError(
        f"the key file cannot be used: {error.strerror}",
        field="TRACKER_DATA_DIR",
        value=path,
        mend="make the data folder readable and writable for this user, or choose another",
    )
