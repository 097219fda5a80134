"""Rows in bulk by COPY: ten thousand cost what a hundred cost as statements."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import psycopg
from psycopg import Connection, sql
from sqlalchemy import inspect
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import DBAPIError
from sqlmodel import Session, SQLModel

from tracker.db.types import Amount, UtcTime

_CHUNK_ROWS = 2_000


def copy_rows(session: Session, table: type[SQLModel], rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert `rows` into `table` inside the session's transaction; all give the same columns.

    Columns that are not given get the database's default. A row that breaks a constraint fails the
    transaction, as with any INSERT. Raises `TypeError` for a value that its column does not take.
    """
    if not rows:
        return
    session.flush()
    columns = inspect(table).columns
    names = list(rows[0])
    checks = [_check(columns[name].type) for name in names]
    into = sql.SQL("COPY {} ({}) FROM STDIN").format(
        sql.Identifier(str(table.__tablename__)),
        sql.SQL(", ").join(sql.Identifier(columns[name].name) for name in names),
    )
    connection = session.connection().connection.driver_connection
    if not isinstance(connection, Connection):
        raise TypeError("COPY needs a psycopg connection")
    try:
        with connection.cursor() as cursor, cursor.copy(into) as copy:
            for start in range(0, len(rows), _CHUNK_ROWS):
                copy.write(_lines(rows[start : start + _CHUNK_ROWS], names, checks))
    except psycopg.Error as error:
        # As SQLAlchemy would have raised it, had the rows gone through a statement of its own.
        raise DBAPIError.instance(into.as_string(), None, error, psycopg.Error) from error


def _lines(
    rows: Sequence[Mapping[str, Any]], names: list[str], checks: list[Callable[[Any], Any]]
) -> str:
    return "".join(
        "\t".join([_text(check(row[name])) for name, check in zip(names, checks, strict=True)])
        + "\n"
        for row in rows
    )


def _check(kind: Any) -> Callable[[Any], Any]:
    """What guards a column of this type elsewhere (exact amounts, aware times) guards it here."""
    if not isinstance(kind, Amount | UtcTime):
        return _as_it_is
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    return lambda value: kind.process_bind_param(value, dialect)


def _as_it_is(value: Any) -> Any:
    return value


def _text(value: Any) -> str:
    """One value in COPY's text form (PostgreSQL manual, COPY, "Text Format")."""
    form = _FORMS.get(type(value))
    if form is not None:
        return form(value)
    if isinstance(value, str):  # an enumeration of texts
        return _escaped(str(value))
    raise TypeError(f"COPY does not know how to write a {type(value).__name__}")


def _escaped(value: str) -> str:
    if "\\" in value:
        value = value.replace("\\", "\\\\")
    if value.isprintable():
        return value
    return value.replace("\t", "\\t").replace("\n", "\\n").replace("\r", "\\r")


_FORMS: dict[type, Callable[[Any], str]] = {
    type(None): lambda _: "\\N",
    bool: lambda value: "t" if value else "f",
    str: _escaped,
    int: str,
    Decimal: str,
    bytes: lambda value: "\\\\x" + value.hex(),
    datetime: datetime.isoformat,
    date: date.isoformat,
}
