"""Committing a task: shard, index and record, at once or not at all, whoever else is working on the same task.

Two copies of a task can be alive (a node cut off, its job requeued). Each writes under its own attempt's name; the
commit is a hard link to the task record, which fails if another attempt was first. The renames that follow can be
done by any process that finds the record.
"""

from __future__ import annotations

import contextlib
import hashlib
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from mmassist.core.errors import StageError
from mmassist.core.fingerprint import canonical_json
from mmassist.core.outcome import Outcome, Status
from mmassist.core.stage import Task
from mmassist.io import disk, faults, tar
from mmassist.io.atomic import open_temp, temp_path
from mmassist.io.fragment import GONE, REMADE, DamagedBytes, Fragment, copy_checked, load_fragment
from mmassist.io.layout import UnitLayout
from mmassist.io.records import find_damage, is_committed, load_records, load_tasks, roll_forward, save_tasks
from mmassist.io.retire import clean_dead_attempts, retire_task

__all__ = [
    "clean_dead_attempts",
    "commit_task",
    "find_damage",
    "load_records",
    "load_tasks",
    "retire_task",
    "roll_forward",
    "save_tasks",
]


class FragmentGone(StageError):
    """A finished item of an open task was removed: a twin has committed the task, or a later run has taken over."""


def commit_task(
    unit: UnitLayout,
    task: Task,
    fragments: Mapping[str, Fragment],
    outcomes: Mapping[str, Outcome],
    attempt: str,
    run_id: str,
    may_commit: Callable[[], None] | None = None,
) -> bool:
    """Make the task's shard from its items' fragments; False when another attempt has committed it.

    ``outcomes`` holds what became of the items without a fragment. A task of which nothing was made gets a record and
    no shard. ``may_commit`` is called right before the commit; what it raises ends the attempt without a trace.
    Raises DiskError, DamagedBytes, FragmentGone or TempRemoved, the last two only if nobody has committed the task.
    """
    writing = _Attempt(unit, task, f"{attempt}-{uuid.uuid4().hex[:8]}")  # process ids repeat, also between machines
    try:
        writing.prepare(fragments, outcomes, attempt, run_id)
        if may_commit is not None:
            may_commit()
    except (DamagedBytes, FragmentGone, disk.TempRemoved):
        writing.discard()
        if not is_committed(unit, task.name):
            raise
        won = False
    except BaseException:
        writing.discard()
        raise
    else:
        won = writing.commit()
    roll_forward(unit, task.name)
    return won


class _Attempt:
    """One attempt's files of a task under their temporary names."""

    def __init__(self, unit: UnitLayout, task: Task, token: str):
        self._unit, self._task = unit, task
        self._final = unit.record(task.name)
        self._record, self._shard, self._index = (
            temp_path(path, token) for path in (self._final, unit.shard(task.name), unit.index(task.name))
        )
        self._files: dict[str, Any] = {}
        self._content = b""

    def prepare(
        self, fragments: Mapping[str, Fragment], outcomes: Mapping[str, Outcome], attempt: str, run_id: str
    ) -> None:
        """Write shard, index and record."""
        made: dict[str, Fragment] = {}
        if fragments:
            made = self._write_files([fragments[key] for key in self._task.items if key in fragments])
        record = {
            "task": self._task.name,
            "items": list(self._task.items),
            "run_id": run_id,
            "attempt": attempt,
            "outcomes": {key: _outcome_row(key, made, outcomes) for key in self._task.items},
            "stats": _sum_stats(made.values()),
            "files": self._files,
        }
        self._content = canonical_json(record).encode() + b"\n"
        with open_temp(self._record, "record", self._final) as file:
            file.write(self._content)

    def commit(self) -> bool:
        """Put the record in place; False when another attempt's is there."""
        try:
            won = disk.link(self._record, self._final, "record") or self._is_ours()
        except disk.TempRemoved:
            self.discard()
            if not is_committed(self._unit, self._task.name):
                raise
            return False
        except disk.DiskError as error:
            if error.is_certain:
                self.discard()
            raise
        if won:
            disk.sync_folder(self._final.parent)
            faults.reached("record:linked")
            self._check_complete()
            disk.discard(self._record)
        else:
            self.discard()
        return won

    def discard(self) -> None:
        for path in (self._record, self._shard, self._index):
            disk.discard(path)

    def _is_ours(self) -> bool:
        """Not every file system gives a file the same number twice, so the record found there is read."""
        with contextlib.suppress(OSError):
            return self._final.read_bytes() == self._content
        return False

    def _check_complete(self) -> None:
        """Take the commit back if a later run's cleaning removed shard or index before it saw the record."""
        for entry in self._files.values():
            temp, final = self._unit.root / entry["temp"], self._unit.root / entry["path"]
            if not disk.is_there(temp) and not disk.is_there(final):
                disk.discard(self._final)
                self.discard()
                raise disk.TempRemoved(final)

    def _write_files(self, parts: Sequence[Fragment]) -> dict[str, Fragment]:
        """Write shard and index; returns the fragments as they were found."""
        final = self._unit.shard(self._task.name)
        sha, offset = hashlib.sha256(), 0
        made: dict[str, Fragment] = {}
        items: dict[str, Any] = {}
        with open_temp(self._shard, "shard", final) as shard:
            for known in parts:
                part = made[known.item] = _copy_part(known, shard, sha)
                members = [[name, offset + at, size] for name, at, size in part.members]
                items[part.item] = {"start": offset, "size": part.size, "digest": part.digest, "members": members}
                offset += part.size
            shard.write(tar.END)
            sha.update(tar.END)
        size = offset + len(tar.END)
        self._files["shard"] = self._entry(final, self._shard, sha.hexdigest(), size)
        index = canonical_json({"shard": final.name, "size": size, "items": items}).encode() + b"\n"
        with open_temp(self._index, "index", self._unit.index(self._task.name)) as file:
            file.write(index)
        digest = hashlib.sha256(index).hexdigest()
        self._files["index"] = self._entry(self._unit.index(self._task.name), self._index, digest, len(index))
        return made

    def _entry(self, path: Path, temp: Path, sha256: str, size: int) -> dict[str, Any]:
        below = {"path": path.relative_to(self._unit.root), "temp": temp.relative_to(self._unit.root)}
        return {name: value.as_posix() for name, value in below.items()} | {"sha256": sha256, "size": size}


def _copy_part(known: Fragment, shard: BinaryIO, sha: Any) -> Fragment:
    """Copy an item's bytes as they lie there now: a twin may have written them anew since they were looked at."""
    try:
        with known.path.open("rb") as source:
            part = load_fragment(known.path, source)
            if part is None or part.item != known.item or part.inputs != known.inputs:
                raise DamagedBytes(f"{known.path} has changed since it was written: {REMADE}")
            faults.reached("shard:part")
            source.seek(0)
            copy_checked(source, shard, part, sha)
    except DamagedBytes:
        disk.discard(known.path)  # or every later run would stop here as well; the item is made again
        raise
    except OSError as error:
        if error.errno in GONE:
            raise FragmentGone(f"{known.path} was removed meanwhile; run again: {REMADE}") from error
        raise StageError(f"cannot read {known.path} ({error.strerror}); if it stays so, remove it: {REMADE}") from error
    return part


def _outcome_row(key: str, made: Mapping[str, Fragment], outcomes: Mapping[str, Outcome]) -> dict[str, Any]:
    if key in made:
        done = made[key]
        return {"status": Status.DONE, "inputs": done.inputs, "digest": done.digest, "stats": done.stats}
    outcome = outcomes[key]
    return {"status": outcome.status, "inputs": outcome.inputs, "reason": outcome.reason, "message": outcome.message}


def _sum_stats(fragments: Iterable[Fragment]) -> dict[str, float]:
    total: dict[str, float] = {}
    for fragment in fragments:
        for name, value in fragment.stats.items():
            total[name] = total.get(name, 0) + value
    return total
