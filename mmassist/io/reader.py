"""Random access to a finished output folder: item -> members, reading only the bytes asked for."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mmassist.core.errors import Blocked, ItemError, Kind, Skip
from mmassist.core.outcome import Outcome, Status
from mmassist.core.stage import title_of, words_of
from mmassist.io.atomic import read_json
from mmassist.io.disk import DiskError
from mmassist.io.layout import UnitLayout
from mmassist.io.ledger import load_outcomes
from mmassist.io.records import RecordGone, load_records, load_tasks, roll_forward

log = logging.getLogger(__name__)

VERIFIED_AT_ONCE = 16 << 20  # bytes up to which an item is checked whenever it is opened


class ShardItem:
    """One item's members inside a shard."""

    def __init__(self, path: Path, handle: int, key: str, entry: dict[str, Any], read: str):
        self._path, self._handle, self._key, self._entry, self._read = path, handle, key, entry, read
        skip = len(key) + 1
        self._members = {name[skip:]: (offset, size) for name, offset, size in entry["members"]}
        self.names: Sequence[str] = list(self._members)
        self.digest: str = entry["digest"]

    def read(self, name: str) -> bytes:
        """The content of one member. Raises KeyError for an unknown name, ItemError for a shard cut short."""
        offset, size = self._members[name]
        data = os.pread(self._handle, size, offset)
        if len(data) != size:
            raise self._damaged(f"ends inside member {name!r}")
        return data

    def verify(self) -> None:
        """Compare the item's bytes with the digest taken when they were written. Raises ItemError."""
        sha, offset, end = hashlib.sha256(), self._entry["start"], self._entry["start"] + self._entry["size"]
        while offset < end:
            chunk = os.pread(self._handle, min(1 << 20, end - offset), offset)
            if not chunk:
                raise self._damaged("is cut short")
            sha.update(chunk)
            offset += len(chunk)
        if sha.hexdigest()[:32] != self.digest:
            raise self._damaged("holds other bytes than were written")

    def _damaged(self, what: str) -> ItemError:
        remedy = f"make it again with {words_of(self._read)} retry=all 'items=[{self._key}]'"
        return ItemError(Kind.PERMANENT, f"{self._path} {what} for {self._key}; {remedy}")


class UnitReader:
    """A snapshot of an output folder's committed items, and why the others are not there.

    ``read`` names the folder in reasons, as an entry of ``Stage.reads`` does. Indices are loaded when an item of theirs
    is first read. With ``is_listing_late`` an item that is not among the listed records is looked for by its task's
    name, because a file server's client may show a listing that is a minute old.
    """

    def __init__(self, unit: UnitLayout, read: str, is_listing_late: bool = False):
        self._unit, self._read = unit, read
        self._task_of: dict[str, str] = {}
        self._digests: dict[str, str] = {}
        self._outcomes: dict[str, Outcome] = load_outcomes(unit.ledger_dir)
        records = load_records(unit)
        for name, record in records.items():
            self._add(name, record)
        self._unlisted: dict[str, str] | None = None if is_listing_late else {}  # item key -> task
        self._listed = set(records)
        self._indices: dict[str, tuple[int, dict[str, Any]]] = {}

    def digest(self, key: str) -> str | None:
        """Digest of an item's bytes, or None when it is not committed."""
        self._look_for(key)
        return self._digests.get(key)

    def is_skipped(self, key: str) -> bool:
        """Whether the stage decided not to make the item, as far as its last attempt tells."""
        outcome = self._outcomes.get(key)
        return outcome is not None and outcome.status is Status.SKIPPED

    def keys(self) -> Iterator[str]:
        """The committed items' keys, sorted."""
        return iter(sorted(self._task_of))

    def read(self, key: str) -> ShardItem:
        """The item's members. Raises Skip if the stage skipped it, else Blocked, when it is not committed."""
        self._look_for(key)
        task = self._task_of.get(key)
        if task is None:
            outcome = self._outcomes.get(key)
            if outcome is not None and self.is_skipped(key):
                raise Skip(outcome.reason, f"{title_of(self._read)} skipped it: {outcome.message or outcome.reason}")
            state = f"{outcome.status}: {outcome.reason}" if outcome else "not done yet"
            raise Blocked(f"{title_of(self._read)} ({state})")
        handle, index = self._open(task)
        item = ShardItem(self._unit.shard(task), handle, key, index["items"][key], self._read)
        if index["items"][key]["size"] <= VERIFIED_AT_ONCE:
            item.verify()
        return item

    def close(self) -> None:
        for handle, _ in self._indices.values():
            os.close(handle)
        self._indices.clear()

    def _add(self, task: str, record: dict[str, Any]) -> None:
        for key, row in record["outcomes"].items():
            if row["status"] == Status.DONE:
                self._task_of[key] = task
                self._digests[key] = row["digest"]

    def _look_for(self, key: str) -> None:
        """Look once for the record of the task that an unlisted item is in; what is not found stays so."""
        if self._unlisted is None:
            tasks = (task for task in load_tasks(self._unit) if task.name not in self._listed)
            self._unlisted = {key: task.name for task in tasks for key in task.items}
        task = self._unlisted.pop(key, None)
        if task is None or task in self._listed or key in self._task_of:
            return
        self._listed.add(task)
        with contextlib.suppress(FileNotFoundError):
            self._add(task, read_json(self._unit.record(task)))

    def _open(self, task: str) -> tuple[int, dict[str, Any]]:
        if task not in self._indices:
            try:
                shard, index = self._find_files(task)
                self._indices[task] = (os.open(shard, os.O_RDONLY), read_json(index))
            except (FileNotFoundError, RecordGone):
                if self._unit.record(task).exists():
                    raise
                raise Blocked(f"{title_of(self._read)} (being made again)") from None
        return self._indices[task]

    def _find_files(self, task: str) -> tuple[Path, Path]:
        shard, index = self._unit.shard(task), self._unit.index(task)
        if shard.exists() and index.exists():
            return shard, index
        try:
            roll_forward(self._unit, task)  # its writer died between commit and rename
        except DiskError as error:
            log.warning("%s; it is read under its temporary name", error)
            files = read_json(self._unit.record(task))["files"]
            return (
                shard if shard.exists() else self._unit.root / files["shard"]["temp"],
                index if index.exists() else self._unit.root / files["index"]["temp"],
            )
        return shard, index
