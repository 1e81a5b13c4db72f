"""Assembly101's small files without header: steps of one task, and mistakes of one sequence."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Iterator
from typing import NamedTuple, TypeVar

from mmassist.core.errors import ConfigError
from mmassist.core.item import Drop
from mmassist.datasets.assembly101_fine import ANNOTATION_FPS
from mmassist.datasets.assembly101_mistake import LABELS, MistakeRow
from mmassist.datasets.json_file import replace_surrogates
from mmassist.datasets.source import Source
from mmassist.datasets.span import Span, fit_span, read_number
from mmassist.datasets.table import BadRow, Row, iter_rows

_NUM_COARSE_CELLS = 3
_NUM_MISTAKE_CELLS = 7
_NUM_CELLS_UNREMARKED = 6  # a few files lack the last column, the remark


class CoarseRow(NamedTuple):
    """A step as annotated, in seconds of the video; ``cells`` are the row as read."""

    start_s: float
    end_s: float
    text: str
    record: str
    cells: tuple[str, ...]


_Timed = TypeVar("_Timed", CoarseRow, MistakeRow)


class RowReader:
    """Read the files of one sequence. Rows that say nothing usable become drops, which ``take_drops`` hands over.

    ``longest_s`` bounds what is believed, since nothing here says how long the video is: of a longer row only the
    start counts, and coarse rows further than that from all others are left out. ``is_compat``: the reference, which
    believes everything and keeps the order of the file.
    """

    def __init__(self, source: Source, sequence: str, longest_s: float, is_compat: bool):
        self._source, self._sequence = source, sequence
        self._longest_s, self._is_compat = longest_s, is_compat
        self._drops: list[Drop] = []

    def take_drops(self) -> list[Drop]:
        """The drops since the last call."""
        drops, self._drops = self._drops, []
        return drops

    def read_coarse(self, path: str) -> list[CoarseRow] | None:
        """The steps of one task in time order; None without such a file."""
        text = self._read_text(path)
        if text is None:
            return None
        rows = []
        for row in iter_rows(io.StringIO(text, newline=""), "\t", _NUM_COARSE_CELLS):
            record = f"{_name(path)} line {row.line}"
            cells = self._cells(row, record)
            what = _clean(cells[2]) if cells else ""
            span = self._read_span(cells, record) if what else None
            if cells and not what:
                self._drop(record, "no text")
            if span:
                rows.append(CoarseRow(*span, what, record, cells))
        return rows if self._is_compat else self._without_strays(self._sorted(rows))

    def read_mistakes(self, path: str) -> list[MistakeRow] | None:
        """The rows of one sequence in time order; None without such a file."""
        text = self._read_text(path)
        if text is None:
            return None
        rows = []
        for row in _iter_mistake_rows(text):
            record = f"{_name(path)} line {row.line}"
            cells = self._cells(row, record)
            span = self._read_span(cells, record) if cells else None
            if span is None:
                continue
            verb, this, that, label, remark = (*(_clean(cell) for cell in cells[2:]), "")[:5]
            if label.lower() not in LABELS:
                self._drop(record, f"label {label!r} is none of {', '.join(LABELS)}")
                continue
            rows.append(MistakeRow(*span, verb, this, that, label.lower(), remark, record, cells))
        return rows if self._is_compat else self._sorted(rows)

    def _read_text(self, path: str) -> str | None:
        if not (self._source.root / path).is_file():
            return None
        try:
            text, remark = self._source.read_text(path)
        except ConfigError:  # one file among hundreds
            self._drop(_name(path), "cannot be read")
            return None
        if remark:
            self._drop(_name(path), remark)
        return text

    def _cells(self, row: Row | BadRow, record: str) -> tuple[str, ...]:
        if isinstance(row, BadRow):
            self._drop(record, row.reason)
        found = row.row if isinstance(row, BadRow) else row
        return tuple(found.cells) if found else ()

    def _read_span(self, cells: tuple[str, ...], record: str) -> Span | None:
        start, end = (read_number(cell) for cell in cells[:2])
        start_s = None if start is None else start / ANNOTATION_FPS
        end_s = None if end is None else end / ANNOTATION_FPS
        if self._is_compat and start_s is not None and end_s is not None:
            return start_s, end_s
        span, remark = fit_span(start_s, end_s, math.inf)
        if remark:
            self._drop(record, remark)
        if span and span[1] - span[0] > self._longest_s and not self._is_compat:
            self._drop(record, f"longer than {self._longest_s:g} s, made an instant")
            return span[0], span[0]
        return span

    def _sorted(self, rows: list[_Timed]) -> list[_Timed]:
        """In time order, each row once."""
        kept: dict[tuple[object, ...], _Timed] = {}
        for row in rows:
            if kept.setdefault(row[:-2], row) is not row:
                self._drop(row.record, "copy of another row")
        return [kept[values] for values in sorted(kept)]  # type: ignore[type-var]

    def _without_strays(self, rows: list[CoarseRow]) -> list[CoarseRow]:
        """The longest run of rows that follow each other within the bound; of equals the first."""
        runs: list[list[CoarseRow]] = []
        reached = -math.inf
        for row in rows:
            if row.start_s - reached > self._longest_s:
                runs.append([])
            runs[-1].append(row)
            reached = max(reached, row.end_s)
        kept = max(runs, key=len, default=[])
        for run in runs:
            for row in run if run is not kept else ():
                self._drop(row.record, f"more than {self._longest_s:g} s from the other steps")
        return kept

    def _drop(self, record: str, reason: str) -> None:
        self._drops.append(Drop(self._sequence, record, reason))


def _iter_mistake_rows(text: str) -> Iterator[Row | BadRow]:
    """Rows of seven cells, and those of six that lack the remark."""
    lines = re.split("\r\n|\r|\n", text)
    for row in iter_rows(io.StringIO(text, newline=""), ",", _NUM_MISTAKE_CELLS):
        if isinstance(row, BadRow) and row.row is None and row.line <= len(lines):
            again = next(iter_rows(io.StringIO(lines[row.line - 1], newline=""), ",", _NUM_CELLS_UNREMARKED), None)
            if isinstance(again, Row):
                yield Row(row.line, again.cells)
                continue
        yield row


def _name(path: str) -> str:
    return path.rsplit("/", 1)[-1]


def _clean(text: str) -> str:
    return " ".join(replace_surrogates(text).split())
