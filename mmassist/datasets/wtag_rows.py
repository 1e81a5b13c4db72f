"""WTaG's tick files: the clock of a video, and rows of start, end and text."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from mmassist.core.item import Drop
from mmassist.datasets.span import fit_span, read_number

TICKS_PER_SECOND = 10_000_000


class Row(NamedTuple):
    """A row of a tick file, in seconds since the video's first tick. ``role`` is None for a step."""

    start_s: float
    end_s: float
    text: str
    role: str | None
    record: str


class RowReader:
    """Read tick files of one recording; rows that say nothing usable become drops."""

    def __init__(self, recording: str, first_tick: int, duration_s: float, compat: bool, drops: list[Drop]):
        self.recording = recording
        self.first_tick = first_tick
        self.duration_s = duration_s
        self.compat = compat
        self.drops = drops

    def read(self, file: str, texts: Mapping[str, str], role: str | None) -> list[Row]:
        """Rows of one file. ``role`` None: steps with their span; else utterances, placed at their middle."""
        name = file.rsplit("/", 1)[-1]
        if file not in texts:
            self.drops.append(Drop(self.recording, name, "file missing"))
            return []
        rows: list[Row] = []
        seen = set()
        for number, line in iter_lines(texts[file]):
            record = f"{name}:{number}"
            row, remark = self._read_row(line, role, record)
            if row is not None and row[:3] in seen and not self.compat:
                row, remark = None, "copy of another row"
            if remark:
                self.drops.append(Drop(self.recording, record, remark))
            if row is not None:
                rows.append(row)
                seen.add(row[:3])
        return rows

    def _read_row(self, line: str, role: str | None, record: str) -> tuple[Row | None, str]:
        cells = line.split("\t")
        start_s, end_s = (self._read_tick(cell) for cell in (cells[0], cells[1] if len(cells) > 1 else ""))
        text = " ".join(cells[2].split()) if len(cells) > 2 else ""
        if not text:
            return None, "no text"
        if self.compat and start_s is not None and end_s is not None:
            span, remark = (start_s, end_s), ""
        else:
            span, remark = fit_span(start_s, end_s, self.duration_s)  # type: ignore[assignment]
        if span is None:
            return None, remark
        start_s, end_s = span
        return Row(start_s if role is None else (start_s + end_s) / 2, end_s, text, role, record), remark

    def _read_tick(self, cell: str) -> float | None:
        tick = _read_integer(cell)
        # ticks near 1.3e17 are 16 apart as floats: subtract as integers first
        return None if tick is None else (tick - self.first_tick) / TICKS_PER_SECOND


def iter_lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield number and text of each line with something on it.

    Not ``splitlines``, which cuts at characters that stand inside of a text, such as U+2028.
    """
    yield from ((number, line) for number, line in enumerate(re.split("\r\n|\r|\n", text), 1) if line.strip())


def list_facts(text: str) -> list[list[str]]:
    """What is read of a file's lines: the first three cells of each, with regular white space."""
    return [[" ".join(cell.split()) for cell in line.split("\t")[:3]] for _, line in iter_lines(text)]


def read_clock(text: str) -> tuple[int, int] | None:
    """First and last tick of a video, or None when the file does not say, or not sensibly."""
    ticks = [_read_integer(line) for line in text.split()]
    if len(ticks) < 2 or ticks[0] is None or ticks[1] is None or ticks[1] <= ticks[0]:
        return None
    return (ticks[0], ticks[1]) if read_number((ticks[1] - ticks[0]) / TICKS_PER_SECOND) is not None else None


def _read_integer(text: str) -> int | None:
    return int(text) if re.fullmatch(r"\s*-?\d{1,18}\s*", text, flags=re.ASCII) else None
