"""A folder's tasks and what is known of the committed ones."""

from __future__ import annotations

import contextlib
import shutil
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from mmassist.core.errors import StageError
from mmassist.core.stage import Task
from mmassist.io import disk, faults
from mmassist.io.atomic import open_temp, read_json, temp_path, write_json
from mmassist.io.layout import UnitLayout


class RecordGone(StageError):
    """A task is not committed, or not any more: a later run has opened it again."""


def roll_forward(unit: UnitLayout, task: str) -> dict[str, Any]:
    """Finish the renames of a committed task and clear its journal; returns its record. Safe to repeat and to race.

    Raises RecordGone without a record, DiskError when a rename fails.
    """
    try:
        record: dict[str, Any] = read_json(unit.record(task))
    except FileNotFoundError:
        raise RecordGone(f"{unit.record(task)} is gone: a later run has opened the task again") from None
    for entry in record["files"].values():
        temp, final = unit.root / entry["temp"], unit.root / entry["path"]
        if disk.is_there(final) and not disk.is_there(temp):
            continue
        try:
            disk.replace(temp, final, "commit")
        except disk.TempRemoved:
            continue  # another process was faster
        disk.sync_folder(final.parent)
        faults.reached("commit:renamed")
    faults.reached("commit:clearing")
    # A later run that opens the task again puts what it takes over into this folder.
    if disk.is_there(unit.fragment_dir(task)) and disk.is_there(unit.record(task)):
        shutil.rmtree(
            unit.fragment_dir(task), ignore_errors=True
        )  # a twin may still write; a later run clears the rest
    return record


def is_committed(unit: UnitLayout, task: str) -> bool:
    """Whether the task's record is there, asked of the file server itself.

    A client remembers for up to a minute that a name did not exist; a change of its own to the folder makes it look.
    """
    record = unit.record(task)
    if not disk.is_there(record):
        probe = temp_path(record, f"look-{uuid.uuid4().hex[:12]}")
        with contextlib.suppress(StageError), open_temp(probe, "look", record):
            pass
        disk.discard(probe)
    return disk.is_there(record)


def find_damage(unit: UnitLayout, record: Mapping[str, Any]) -> str:
    """What is wrong with a committed task's files (missing, another size), empty if nothing can be seen so far."""
    for entry in record["files"].values():
        path, temp = unit.root / entry["path"], unit.root / entry["temp"]
        found = path if path.exists() else temp  # the rename may still be due
        if not found.exists():
            return f"{entry['path']} is missing"
        if found.stat().st_size != entry["size"]:
            return f"{entry['path']} has {found.stat().st_size} bytes instead of {entry['size']}"
    return ""


def save_tasks(unit: UnitLayout, tasks: Sequence[Task]) -> None:
    """Write the folder's list of tasks; it only ever grows."""
    rows = [{"name": t.name, "items": list(t.items), "weight": t.weight} for t in tasks]
    write_json(unit.tasks, {"tasks": rows}, "tasks")


def load_tasks(unit: UnitLayout) -> list[Task]:
    if not unit.tasks.exists():
        return []
    rows = read_json(unit.tasks)["tasks"]
    return [Task(row["name"], tuple(row["items"]), row["weight"]) for row in rows]


def load_records(unit: UnitLayout) -> dict[str, dict[str, Any]]:
    """The records of all committed tasks by task name."""
    found = {}
    for path in sorted(unit.record_dir.glob("*.json")):
        with contextlib.suppress(FileNotFoundError):  # a task that is just opened again
            found[path.stem] = read_json(path)
    return found
