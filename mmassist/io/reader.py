"""Random access to a finished output folder: item -> members, reading only the bytes asked for."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mmassist.core.errors import Blocked, ItemError, Kind, Skip
from mmassist.core.outcome import Outcome, Status
from mmassist.io.atomic import read_json
from mmassist.io.layout import UnitLayout
from mmassist.io.ledger import load_outcomes
from mmassist.io.shard import load_records, roll_forward

VERIFIED_AT_ONCE = 16 << 20  # bytes up to which an item is checked whenever it is opened


class ShardItem:
    """One item's members inside a shard."""

    def __init__(self, path: Path, handle: int, key: str, entry: dict[str, Any], stage: str):
        self._path, self._handle, self._key, self._entry, self._stage = path, handle, key, entry, stage
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
        remedy = f"make it again with stage={self._stage} retry=all 'items=[{self._key}]'"
        return ItemError(Kind.PERMANENT, f"{self._path} {what} for {self._key}; {remedy}")


class UnitReader:
    """A snapshot of an output folder's committed items, and why the others are not there.

    ``stage`` names the folder in reasons. Indices are loaded when an item of theirs is first read.
    """

    def __init__(self, unit: UnitLayout, stage: str):
        self._unit, self._stage = unit, stage
        self._task_of: dict[str, str] = {}
        self._digests: dict[str, str] = {}
        self._outcomes: dict[str, Outcome] = load_outcomes(unit.ledger_dir)
        for name, record in load_records(unit).items():
            for key, row in record["outcomes"].items():
                if row["status"] == Status.DONE:
                    self._task_of[key] = name
                    self._digests[key] = row["digest"]
        self._indices: dict[str, tuple[int, dict[str, Any]]] = {}

    def digest(self, key: str) -> str | None:
        """Digest of an item's bytes, or None when it is not committed."""
        return self._digests.get(key)

    def keys(self) -> Iterator[str]:
        """The committed items' keys, sorted."""
        return iter(sorted(self._task_of))

    def read(self, key: str) -> ShardItem:
        """The item's members. Raises Skip if the stage skipped it, else Blocked, when it is not committed."""
        task = self._task_of.get(key)
        if task is None:
            outcome = self._outcomes.get(key)
            if outcome is not None and outcome.status is Status.SKIPPED:
                raise Skip(outcome.reason, f"{self._stage} skipped it: {outcome.message or outcome.reason}")
            state = f"{outcome.status}: {outcome.reason}" if outcome else "not done yet"
            raise Blocked(f"{self._stage} ({state})")
        handle, index = self._open(task)
        item = ShardItem(self._unit.shard(task), handle, key, index["items"][key], self._stage)
        if index["items"][key]["size"] <= VERIFIED_AT_ONCE:
            item.verify()
        return item

    def _open(self, task: str) -> tuple[int, dict[str, Any]]:
        if task not in self._indices:
            if not self._unit.shard(task).exists() or not self._unit.index(task).exists():
                roll_forward(self._unit, task)  # its writer died between commit and rename
            index = read_json(self._unit.index(task))
            self._indices[task] = (os.open(self._unit.shard(task), os.O_RDONLY), index)
        return self._indices[task]

    def close(self) -> None:
        for handle, _ in self._indices.values():
            os.close(handle)
        self._indices.clear()
