"""Tasks of an output folder: what each was cut with, and its record once it is committed."""

from __future__ import annotations

import json
from typing import Any

from mmassist.io.layout import UnitLayout
from mmassist.io.ledger import iter_rows_of
from tools.records.file import Reader, number_of, text_of


def load_task_rows(unit: UnitLayout, reader: Reader | None = None, needle: bytes = b"") -> list[dict[str, Any]]:
    """``name``, ``items`` and ``weight`` of every task that was cut, oldest first; none when ``needle`` is not there.

    Searching the bytes first is much quicker than parsing them.
    """
    reader = reader or Reader()
    data = reader.read_bytes(unit.tasks)
    if data is None or needle not in data:
        return []
    try:
        found = json.loads(data)
    except ValueError as error:
        reader.note(f"{unit.tasks} cannot be read: it is damaged ({error})")
        return []
    rows = found.get("tasks") if isinstance(found, dict) else None
    return [
        {"name": row["name"], "items": list(filter(_is_text, row["items"])), "weight": float(number_of(row, "weight"))}
        for row in (rows if isinstance(rows, list) else ())
        if isinstance(row, dict) and _is_text(row.get("name")) and isinstance(row.get("items"), list)
    ]


def tasks_with(unit: UnitLayout, key: str) -> list[str]:
    """Names of the tasks that were cut with the item, oldest first."""
    return [row["name"] for row in load_task_rows(unit, needle=f'"{key}"'.encode()) if key in row["items"]]


def load_record(unit: UnitLayout, task: str) -> dict[str, Any]:
    """The record of a task with ``items``, ``outcomes``, ``run_id`` and ``attempt``; empty when it is open."""
    record = Reader().read_object(unit.record(task))
    if record is None:
        return {}
    outcomes = record.get("outcomes")
    texts = ("status", "reason", "message", "inputs", "digest")
    rows = {
        key: {name: text_of(row, name) for name in texts}
        for key, row in (outcomes.items() if isinstance(outcomes, dict) else ())
        if isinstance(row, dict)
    }
    items = record.get("items")
    keys = list(filter(_is_text, items)) if isinstance(items, list) else list(rows)
    who = {name: text_of(record, name) for name in ("run_id", "attempt")}
    return {"task": task, "items": keys, "outcomes": rows, **who}


def latest_commit(unit: UnitLayout, task: str) -> dict[str, Any]:
    """The newest line about a committed task, empty when no writer left one."""
    rows = [row for _, row in iter_rows_of(unit.commit_log_dir, task, "task")]
    return max(rows, key=lambda row: text_of(row, "time"), default={})


def _is_text(value: Any) -> bool:
    return isinstance(value, str)
