"""Parts of log files that may be huge: their ends, and what was logged between two moments. Reads are bounded."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO

from launchers.slurm.ends import parse_time
from mmassist.io.ledger import parse_row
from tools.records.file import text_of

BLOCK_BYTES = 1 << 16
MAX_BYTES = 4 << 20  # read of one log, from the moment of interest backwards
AFTER = timedelta(seconds=2)  # an attempt's last line is written after its end was noted


def tail_lines(path: Path, num_lines: int) -> list[str]:
    """The last lines of a text file, at most MAX_BYTES of it; none when it cannot be read."""
    try:
        with path.open("rb") as file:
            lines = list(_take(_iter_backwards(file, os.fstat(file.fileno()).st_size), num_lines))
    except OSError:
        return []
    return [line.decode(errors="replace") for line in reversed(lines)]


def read_moments(path: Path, begin: str, end: str, num_lines: int) -> list[dict[str, Any]]:
    """Rows of a worker's log between two times ("" = open), the last ``num_lines`` of them, in order."""
    since, until = parse_time(begin), parse_time(end)
    found: list[dict[str, Any]] = []
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            stop = _offset_after(file, size, until + AFTER) if until else size
            for line in _iter_backwards(file, stop):
                row = parse_row(line)
                moment = parse_time(text_of(row, "time"))
                if moment is None:
                    continue
                if len(found) >= num_lines or (since and moment < since):
                    break
                found.append(row)
    except OSError:
        return []
    return found[::-1]


def _take(lines: Iterator[bytes], number: int) -> Iterator[bytes]:
    for _, line in zip(range(number), lines, strict=False):
        yield line


def _iter_backwards(file: BinaryIO, stop: int) -> Iterator[bytes]:
    """Lines that end at or before ``stop``, last first; the first one reached may be cut when bytes run out."""
    at, rest = stop, b""
    is_first = True
    while at > max(0, stop - MAX_BYTES):
        size = min(BLOCK_BYTES, at)
        at -= size
        file.seek(at)
        block = file.read(size) + rest
        if is_first:
            block, is_first = block.removesuffix(b"\n"), False
        rest, *lines = block.split(b"\n")
        yield from reversed(lines)
    if stop > 0:
        yield rest


def _offset_after(file: BinaryIO, size: int, moment: datetime) -> int:
    """Where the lines later than ``moment`` begin. Lines are written in order of time."""
    low, high = 0, size
    while high - low > BLOCK_BYTES:
        middle = (low + high) // 2
        file.seek(middle)
        file.readline()
        time = None
        while time is None and file.tell() < high:  # torn lines have none
            time = parse_time(text_of(parse_row(file.readline()), "time"))
        if time is None or time > moment:
            high = middle
        else:
            low = file.tell()
    file.seek(low)
    while low < size:
        line = file.readline()
        time = parse_time(text_of(parse_row(line), "time"))
        if not line or (time is not None and time > moment):
            break
        low += len(line)
    return low
