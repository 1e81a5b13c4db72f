"""Committing a task: shard, index and record, at once or not at all, whoever else is working on the same task.

Two copies of a task can be alive (a node cut off, its job requeued). Each writes under its own attempt's name; the
commit is ``os.link`` of the task record, which fails if another attempt was first. The renames that follow can be
done by any process that finds the record.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmassist.core.fingerprint import canonical_json
from mmassist.core.outcome import Outcome, Status
from mmassist.core.stage import Task
from mmassist.io import faults, tar
from mmassist.io.atomic import TEMP_SUFFIX, open_temp, read_json, sync_folder, temp_path, write_json
from mmassist.io.fragment import DamagedBytes, Fragment, copy_checked, copy_fragment
from mmassist.io.layout import UnitLayout

log = logging.getLogger(__name__)


def commit_task(
    unit: UnitLayout,
    task: Task,
    fragments: Mapping[str, Fragment],
    outcomes: Mapping[str, Outcome],
    attempt: str,
    run_id: str,
) -> bool:
    """Make the task's shard from its items' fragments; False when another attempt had committed it before.

    ``outcomes`` holds what became of the items without a fragment. A task of which nothing was made gets a record and
    no shard.
    """
    record: dict[str, Any] = {
        "task": task.name,
        "items": list(task.items),
        "run_id": run_id,
        "attempt": attempt,
        "outcomes": {key: _outcome_row(key, fragments, outcomes) for key in task.items},
        "stats": _sum_stats(fragments.values()),
        "files": {},
    }
    made = [fragments[key] for key in task.items if key in fragments]
    if made:
        record["files"] = _write_files(unit, task, made, attempt)
    temp = temp_path(unit.record(task.name), attempt)
    with open_temp(temp, "record") as file:
        file.write(canonical_json(record).encode() + b"\n")
    try:
        os.link(temp, unit.record(task.name))
    except FileExistsError:
        won = False
    else:
        won = True
        sync_folder(unit.record_dir)
        faults.reached("record:linked")
    temp.unlink()
    if not won:
        for entry in record["files"].values():
            (unit.root / entry["temp"]).unlink(missing_ok=True)
    roll_forward(unit, task.name)
    return won


def roll_forward(unit: UnitLayout, task: str) -> dict[str, Any]:
    """Finish the renames of a committed task and clear its journal; returns its record. Safe to repeat and to race."""
    record: dict[str, Any] = read_json(unit.record(task))
    for entry in record["files"].values():
        temp, final = unit.root / entry["temp"], unit.root / entry["path"]
        if not final.exists() or temp.exists():
            try:
                temp.replace(final)
            except FileNotFoundError:
                pass  # another process was faster
            else:
                sync_folder(final.parent)
                faults.reached("commit:renamed")
    shutil.rmtree(unit.fragment_dir(task), ignore_errors=True)
    return record


def retire_task(unit: UnitLayout, task: str, redo: Sequence[str], run_id: str) -> None:
    """Open a committed task again because ``redo`` must be made anew or left out.

    The other items' bytes go back into fragments first, so only ``redo`` is done again; the old files are kept under
    ``retired/``. Items whose bytes are damaged are not taken over, and so are done again too.
    """
    record = roll_forward(unit, task)
    if record["files"] and not find_damage(unit, record):
        _take_over(unit, task, record, redo)
    aside = unit.retired(run_id)
    for path in (unit.record(task), unit.index(task), unit.shard(task)):
        target = aside / path.parent.name / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.exists():
            path.replace(target)
            sync_folder(path.parent)
            faults.reached("retire:moved")


def _take_over(unit: UnitLayout, task: str, record: Mapping[str, Any], redo: Sequence[str]) -> None:
    index = read_json(unit.index(task))
    with unit.shard(task).open("rb") as shard:
        for key, entry in index["items"].items():
            if key in redo:
                continue
            members = [(name, offset - entry["start"], size) for name, offset, size in entry["members"]]
            outcome = record["outcomes"][key]
            path = unit.fragment(task, key)
            was = (entry["digest"], entry["size"], members, outcome["stats"])
            try:
                copy_fragment(path, Fragment(path, key, outcome["inputs"], *was), shard, entry["start"])
            except DamagedBytes as damage:
                log.warning("%s: %s; it is made again", unit.shard(task), damage)


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


def clean_dead_attempts(unit: UnitLayout) -> None:
    """Remove temporary files that no record names. Only the holder of the folder's lock may call this."""
    kept: set[Path] = set()
    for path in unit.record_dir.glob("*.json"):
        kept.update(unit.root / e["temp"] for e in read_json(path)["files"].values())
        roll_forward(unit, path.stem)
    for path in unit.root.rglob(f".*{TEMP_SUFFIX}"):
        if path not in kept:
            path.unlink(missing_ok=True)


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
    return {path.stem: read_json(path) for path in sorted(unit.record_dir.glob("*.json"))}


def _outcome_row(key: str, fragments: Mapping[str, Fragment], outcomes: Mapping[str, Outcome]) -> dict[str, Any]:
    if key in fragments:
        done = fragments[key]
        return {"status": Status.DONE, "inputs": done.inputs, "digest": done.digest, "stats": done.stats}
    outcome = outcomes[key]
    return {"status": outcome.status, "inputs": outcome.inputs, "reason": outcome.reason, "message": outcome.message}


def _sum_stats(fragments: Any) -> dict[str, float]:
    total: dict[str, float] = {}
    for fragment in fragments:
        for name, value in fragment.stats.items():
            total[name] = total.get(name, 0) + value
    return total


def _write_files(unit: UnitLayout, task: Task, made: Sequence[Fragment], attempt: str) -> dict[str, Any]:
    """Write shard and index under this attempt's names; returns their entries for the record."""
    shard_temp = temp_path(unit.shard(task.name), attempt)
    sha, offset = hashlib.sha256(), 0
    items: dict[str, Any] = {}
    with open_temp(shard_temp, "shard") as shard:
        for part in made:
            with part.path.open("rb") as source:
                try:
                    copy_checked(source, shard, part, sha)
                except DamagedBytes:
                    part.path.unlink()  # or every later run would stop here as well; the item is made again
                    raise
            members = [[name, offset + at, size] for name, at, size in part.members]
            items[part.item] = {"start": offset, "size": part.size, "digest": part.digest, "members": members}
            offset += part.size
        shard.write(tar.END)
        sha.update(tar.END)
    index_temp = temp_path(unit.index(task.name), attempt)
    index = (
        canonical_json({"shard": unit.shard(task.name).name, "size": offset + len(tar.END), "items": items}).encode()
        + b"\n"
    )
    with open_temp(index_temp, "index") as file:
        file.write(index)
    entries = {
        "shard": (unit.shard(task.name), shard_temp, sha.hexdigest(), offset + len(tar.END)),
        "index": (unit.index(task.name), index_temp, hashlib.sha256(index).hexdigest(), len(index)),
    }
    return {
        name: {"path": _below(unit, path), "temp": _below(unit, temp), "sha256": sha256, "size": size}
        for name, (path, temp, sha256, size) in entries.items()
    }


def _below(unit: UnitLayout, path: Path) -> str:
    return path.relative_to(unit.root).as_posix()
