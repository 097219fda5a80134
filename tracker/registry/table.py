"""One bundled table: a CSV file, plain or gzipped, read row by row into typed cells.

The tables ship inside the package, yet they are read like any other input: a header that is not
the expected one, a missing cell or a value of the wrong form is an `InputError` that names the
file, the line and the field.
"""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from fractions import Fraction
from importlib.resources.abc import Traversable
from typing import NoReturn, TypeVar

from tracker.errors import InputError

E = TypeVar("E", bound=StrEnum)

_MEND = "install the package again, or make the bundled facts again (docs/facts.md)"


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a bundled table. Every method raises `InputError` for a cell of another form."""

    file: str
    line: int
    cells: dict[str, str]

    def fail(self, field: str, why: str) -> NoReturn:
        """Raise the error that names this row's file and line."""
        raise InputError(
            f"{self.file}, line {self.line}: {why}",
            field=field,
            value=self.cells[field],
            mend=_MEND,
        )

    def text(self, field: str) -> str:
        """A cell that must not be empty."""
        value = self.cells[field]
        if not value:
            self.fail(field, "an empty cell")
        return value

    def optional(self, field: str) -> str | None:
        """A cell, or None where it is empty: unknown."""
        return self.cells[field] or None

    def choice(self, field: str, allowed: Collection[str]) -> str:
        """A cell that is one of `allowed`."""
        value = self.cells[field]
        if value not in allowed:
            self.fail(field, f"not one of {', '.join(sorted(allowed))}")
        return value

    def member(self, field: str, kind: type[E]) -> E:
        """A cell that is a value of the enumeration `kind`."""
        try:
            return kind(self.cells[field])
        except ValueError:
            self.fail(field, f"not one of {', '.join(sorted(kind))}")

    def flag(self, field: str) -> bool:
        """`true` or `false`."""
        return self.choice(field, ("true", "false")) == "true"

    def day(self, field: str) -> date:
        """A date, YYYY-MM-DD."""
        try:
            return date.fromisoformat(self.text(field))
        except ValueError:
            self.fail(field, "not a date of the form YYYY-MM-DD")

    def optional_day(self, field: str) -> date | None:
        """A date, or None where the cell is empty."""
        return self.day(field) if self.cells[field] else None

    def optional_instant(self, field: str) -> datetime | None:
        """A UTC instant, YYYY-MM-DDTHH:MM:SSZ, or None where the cell is empty."""
        value = self.cells[field]
        if not value:
            return None
        try:
            return datetime.strptime(value, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
        except ValueError:
            self.fail(field, "not a UTC time of the form YYYY-MM-DDTHH:MM:SSZ")

    def decimal(self, field: str) -> Decimal:
        """A finite decimal number that is not negative."""
        try:
            value = Decimal(self.text(field))
        except InvalidOperation:
            self.fail(field, "not a decimal number")
        if not value.is_finite() or value.is_signed():
            self.fail(field, "not a finite number of 0 or more")
        return value

    def optional_decimal(self, field: str) -> Decimal | None:
        """A decimal number, or None where the cell is empty: unknown, which is not 0."""
        return self.decimal(field) if self.cells[field] else None

    def positive(self, field: str) -> Decimal:
        """A decimal number above 0."""
        value = self.decimal(field)
        if value == 0:
            self.fail(field, "not above 0")
        return value

    def hexadecimal(self, field: str, prefix: str = "") -> bytes:
        """Bytes in hexadecimal, after `prefix`."""
        value = self.text(field)
        if not value.startswith(prefix):
            self.fail(field, f"it does not begin with {prefix}")
        try:
            return bytes.fromhex(value[len(prefix) :])
        except ValueError:
            self.fail(field, "not hexadecimal")

    def ratio(self, field: str) -> Fraction:
        """A fraction above 0 written `10/1`."""
        numerator, slash, denominator = self.text(field).partition("/")
        if not (slash and numerator.isdecimal() and denominator.isdecimal()):
            self.fail(field, "not a fraction of the form 10/1")
        if int(numerator) == 0 or int(denominator) == 0:
            self.fail(field, "a fraction with a 0")
        return Fraction(int(numerator), int(denominator))


def rows(folder: Traversable, name: str, columns: tuple[str, ...]) -> Iterator[Row]:
    """The rows of table `name` in `folder`: `NAME.csv`, or `NAME.csv.gz` where it is large.

    Raises `InputError` when there is no such table, when it is not UTF-8 CSV, when its header is
    not exactly `columns`, or when a row has more or fewer cells.
    """
    file, text = _text(folder, name)
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = next(reader, [])
        if tuple(header) != columns:
            raise InputError(
                f"{file}: not the expected columns",
                field="header",
                value=",".join(header),
                mend=f"the columns are {','.join(columns)}",
            )
        for cells in reader:
            if len(cells) != len(columns):
                raise InputError(
                    f"{file}, line {reader.line_num}: {len(cells)} cells, not {len(columns)}",
                    field="row",
                    value=",".join(cells),
                    mend=_MEND,
                )
            yield Row(file, reader.line_num, dict(zip(columns, cells, strict=True)))
    except csv.Error as error:
        raise InputError(
            f"{file}, line {reader.line_num}: not CSV ({error})", field="row", mend=_MEND
        ) from error


def _text(folder: Traversable, name: str) -> tuple[str, str]:
    for file in (f"{name}.csv", f"{name}.csv.gz"):
        entry = folder / file
        if not entry.is_file():
            continue
        content = entry.read_bytes()
        try:
            if file.endswith(".gz"):
                content = gzip.decompress(content)
            return file, content.decode("utf-8")
        except (OSError, EOFError, UnicodeDecodeError) as error:
            raise InputError(
                f"{file}: cannot be read ({error})", field="file", value=file, mend=_MEND
            ) from error
    raise InputError("a bundled table is missing", field="file", value=f"{name}.csv", mend=_MEND)
