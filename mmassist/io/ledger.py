"""The ledger: one JSON line per attempt at an item that did not simply succeed. Appended, never rewritten."""

from __future__ import annotations

import contextlib
import errno
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmassist.core.fingerprint import canonical_json
from mmassist.core.outcome import Outcome
from mmassist.io import faults
from mmassist.io.disk import sync_folder, writing

MAX_WRITES = 3  # a file system that takes half a line again and again


def append_row(path: Path, row: dict[str, Any], sync: bool = True) -> None:
    """Append one JSON line so that it is on disk when the call returns (``sync=False``: safe from kills only).

    One ``write`` to a file opened for appending: a killed process leaves at most a torn last line, a full disk none.
    Raises DiskError.
    """
    line = canonical_json(row).encode() + b"\n"
    with writing(path):
        handle = _open(path)
        try:
            is_new = os.fstat(handle).st_size == 0
            _write_line(handle, line)
            if sync:
                faults.reached("ledger:fsync")
                os.fsync(handle)
        finally:
            os.close(handle)
    if sync and is_new:
        sync_folder(path.parent)
    faults.reached("ledger:appended")


def _open(path: Path) -> int:
    for is_last in (False, False, True):
        try:
            faults.reached("ledger:mkdir")
            path.parent.mkdir(parents=True, exist_ok=True)
            faults.reached("ledger:open")
            return os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
        except FileNotFoundError:  # a twin that has committed the task clears its journal just then
            if is_last:
                raise
    raise AssertionError("not reached")


def _write_line(handle: int, line: bytes) -> None:
    """Write the line in one piece, or nothing of it."""
    size = os.fstat(handle).st_size
    # A torn line of a killed process is closed first, so that it spoils nothing but itself.
    is_torn = size > 0 and os.pread(handle, 1, size - 1) != b"\n"
    data, halves = (b"\n" if is_torn else b"") + line, 0
    try:
        for _ in range(MAX_WRITES):
            faults.reached("ledger:write")
            written = os.write(handle, data)
            if written == len(data):
                return
            # Others may append meanwhile: the rest alone could end up behind their line, so the whole is said again.
            halves, data = halves + written, b"\n" + line
        raise OSError(errno.EIO, "only a part of each line could be written")
    except OSError:
        _take_back(handle, halves)
        raise


def _take_back(handle: int, num_bytes: int) -> None:
    """Cut off what was just written, unless another process has appended since."""
    with contextlib.suppress(OSError):
        end = os.lseek(handle, 0, os.SEEK_CUR)
        if num_bytes and os.fstat(handle).st_size == end:
            os.ftruncate(handle, end - num_bytes)


def iter_rows(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the whole lines of a JSON-lines file; a torn line is one that was never written."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return
    with file:
        for line in file:
            row = parse_row(line) if line.endswith(b"\n") else None
            if row:
                yield row


def iter_rows_of(folder: Path, value: str, field: str = "item") -> Iterator[tuple[str, dict[str, Any]]]:
    """Rows of a folder's JSON-lines files whose ``field`` is ``value``, with the file's stem; torn ones left out.

    Only lines that name the value are parsed. Files that cannot be read are passed over.
    """
    needle = f'"{value}"'.encode()
    for path in sorted(folder.glob("*.jsonl")):
        try:
            data = path.read_bytes()
        except OSError:
            continue
        at = data.find(needle)
        while at >= 0:
            begin, end = data.rfind(b"\n", 0, at) + 1, data.find(b"\n", at)
            if end < 0:
                break  # torn: it was never written
            row = parse_row(data[begin:end])
            if row.get(field) == value:
                yield path.stem, row
            at = data.find(needle, end)


def parse_row(line: bytes) -> dict[str, Any]:
    """A JSON object, empty when the line is torn or holds something else."""
    try:
        row = json.loads(line)
    except ValueError:
        return {}
    return row if isinstance(row, dict) else {}  # the end of a torn line may be a value by itself


def load_outcomes(folder: Path, run_id: str = "") -> dict[str, Outcome]:
    """The latest outcome per item over all ledger files of a folder, or over those of one run."""
    latest: dict[str, Outcome] = {}
    for path in sorted(folder.glob(f"{run_id}*.jsonl")):
        for row in iter_rows(path):
            outcome = Outcome.from_row(row)
            known = latest.get(outcome.item)
            if known is None or (known.attempt, known.time) <= (outcome.attempt, outcome.time):
                latest[outcome.item] = outcome
    return latest
