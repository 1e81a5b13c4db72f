"""The ledger: one JSON line per attempt at an item that did not simply succeed. Appended, never rewritten."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmassist.core.fingerprint import canonical_json
from mmassist.core.outcome import Outcome
from mmassist.io import faults
from mmassist.io.atomic import disk_errors


def append_row(path: Path, row: dict[str, Any], sync: bool = True) -> None:
    """Append one JSON line so that it is on disk when the call returns (``sync=False``: safe from kills only).

    One ``write`` to a file opened for appending: a killed process leaves at most a torn last line.
    """
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        _append(path, canonical_json(row).encode() + b"\n", sync)
    faults.reached("ledger:appended")


def _append(path: Path, line: bytes, sync: bool) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        # A torn line of a killed process is closed first, so that it spoils nothing but itself.
        torn = os.fstat(handle).st_size and not _ends_with_newline(path)
        os.write(handle, (b"\n" if torn else b"") + line)
        if sync:
            os.fsync(handle)
    finally:
        os.close(handle)


def iter_rows(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the whole lines of a JSON-lines file; a torn line is one that was never written."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return
    with file:
        for line in file:
            if line.endswith(b"\n"):
                try:
                    yield json.loads(line)
                except json.JSONDecodeError:
                    continue


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


def _ends_with_newline(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"
