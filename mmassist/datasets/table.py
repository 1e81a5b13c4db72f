"""Delimited text files: one bad row costs itself and nothing else, however large the file is."""

from __future__ import annotations

import csv
import re
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TextIO

MAX_ROW_LINES = 64  # a quoted field may hold line ends; more of them than this is a quote that was never closed
_FIELD_LIMIT = 16 << 20  # characters of one field
_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")  # as readline() of a file opened with newline="" cuts


@dataclass(frozen=True, slots=True)
class Row:
    """One row. ``line`` counts from 1; ``cells`` are as written, white space included."""

    line: int
    cells: list[str]


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that could not be taken as it is; ``reason`` says what is wrong, or what was mended (``row`` then).

    ``cells`` are what it seems to hold, and ``owner`` the cell that says whose row it is, where there is such a column.
    """

    line: int
    reason: str
    row: Row | None = None
    cells: tuple[str, ...] = ()
    owner: str = ""


def iter_rows(file: TextIO, delimiter: str = ",", num_cells: int | None = None) -> Iterator[Row | BadRow]:
    """Yield the rows of a table; blank lines are passed over.

    ``file`` must be opened with ``newline=""``. Quoting is that of RFC 4180. ``num_cells`` None: the first row says how
    many cells a row has. A row with another number of cells, or whose quote is never closed, is a BadRow; the line
    after it is read as a new row. A row that is whole when its quotes are taken for text is mended.
    """
    lines = _Lines(file)
    while (first := lines.take()) is not None:
        number = lines.number
        if not first.strip("\r\n\ufeff"):
            continue
        if '"' not in first:
            cells: list[str] | None = first.rstrip("\r\n").split(delimiter)
            text = first
        else:
            text = _join_quoted(first, lines)
            cells = _split(text, delimiter)
        if num_cells is None and cells is not None:
            num_cells = len(cells)
        if cells is not None and len(cells) == num_cells:
            yield Row(number, cells)
            continue
        if text is not first:  # what was joined is given back: only the first line is bad
            lines.give_back(text[len(first) :])
        plain = first.rstrip("\r\n").split(delimiter)
        if cells is None and len(plain) == num_cells:
            yield BadRow(number, "a quote that does not belong there, taken as text", Row(number, plain))
        elif cells is None:
            yield BadRow(number, "a quote that is never closed", cells=tuple(plain))
        else:
            yield BadRow(number, f"{len(cells)} columns instead of {num_cells}", cells=tuple(cells))


def iter_records(
    file: TextIO,
    columns: Sequence[str],
    aliases: Mapping[str, str] | None = None,
    delimiter: str = ",",
    owner: str = "",
) -> Iterator[tuple[int, dict[str, str]] | BadRow]:
    """Yield ``(line, {column: stripped cell})`` of a table with a header, for the named columns.

    ``aliases`` maps other spellings of a header to the name in ``columns``. Of a column that occurs twice the first
    counts. ``owner`` is the column that says whose row it is, for rows that are bad otherwise. Raises KeyError with the
    missing names when the header lacks a column.
    """
    places: list[tuple[str, int]] | None = None
    for row in iter_rows(file, delimiter):
        if isinstance(row, BadRow):
            yield replace(row, owner=_cell(row, dict(places or ()).get(owner)))
            if row.row is None:
                continue
            row = row.row
        if places is None:
            header = [name.strip().lstrip("\ufeff") for name in row.cells]
            header = [(aliases or {}).get(name, name) for name in header]
            missing = [name for name in columns if name not in header]
            if missing:
                raise KeyError(", ".join(missing))
            places = [(name, header.index(name)) for name in columns]
            continue
        yield row.line, {name: row.cells[place].strip() for name, place in places}
    if places is None and columns:
        raise KeyError(", ".join(columns))


def _cell(row: BadRow, place: int | None) -> str:
    cells = row.row.cells if row.row else row.cells
    return cells[place].strip().strip('"') if place is not None and place < len(cells) else ""


class _Lines:
    """Lines of a file with their numbers, and a way to give some back."""

    def __init__(self, file: TextIO):
        self._file = file
        self._waiting: deque[str] = deque()
        self.number = 0

    def take(self) -> str | None:
        line = self._waiting.popleft() if self._waiting else self._file.readline()
        if not line:
            return None
        self.number += 1
        return line

    def give_back(self, text: str) -> None:
        lines = _LINE.findall(text)
        self.number -= len(lines)
        self._waiting.extendleft(reversed(lines))


def _join_quoted(first: str, lines: _Lines) -> str:
    """The line with as many behind it as its open quote needs; just the line when that quote is never closed."""
    text, num_quotes, taken = first, first.count('"'), 1
    while num_quotes % 2:
        line = lines.take() if taken < MAX_ROW_LINES else None
        if line is None:
            return text
        text, num_quotes, taken = text + line, num_quotes + line.count('"'), taken + 1
    return text


def _split(text: str, delimiter: str) -> list[str] | None:
    """Cells of one row, None when its quotes do not fit."""
    if text.count('"') % 2:
        return None
    before = csv.field_size_limit(_FIELD_LIMIT)  # the limit is one for the whole process
    try:
        rows = list(csv.reader([text], delimiter=delimiter, strict=True))
    except csv.Error:
        return None
    finally:
        csv.field_size_limit(before)
    return rows[0] if len(rows) == 1 else None
