"""Reading finished folders without their history: where items lie, and bytes by position.

``UnitReader`` serves the stages: it knows why an item is missing, checks digests and finishes a commit. Training only
reads, from many processes at once, so nothing here writes, and ledgers and task records stay closed.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mmassist.core.errors import ConfigError
from mmassist.io.atomic import read_json
from mmassist.io.layout import UnitLayout
from mmassist.io.records import load_tasks
from mmassist.io.tar import list_members

MAX_BUFFERS = 1024  # of one system call (IOV_MAX of Linux)


def load_members(unit: UnitLayout, task: str) -> list[tuple[str, int, int]]:
    """Name, offset and size of every member of a shard, in stored order.

    From the index where it is there, else from the shard's own headers, as for shards that were copied alone. Raises
    ConfigError when the shard is not as long as the index says, or is cut short.
    """
    shard, index = unit.shard(task), unit.index(task)
    if not index.exists():
        with shard.open("rb") as file:
            return list_members(file, str(shard))
    entry = read_json(index)
    check_size(shard, entry)
    members = [tuple(member) for item in entry["items"].values() for member in item["members"]]
    return sorted(members, key=lambda member: member[1])


def check_size(shard: Path, index: dict[str, Any]) -> None:
    """Raise ConfigError when a shard is not as long as its index says: half copied, or copied at different times."""
    found = shard.stat().st_size
    if found != index["size"]:
        raise ConfigError(f"{shard} has {found} bytes, its index says {index['size']}; copy shards/ and index/ again")


class ItemLookup:
    """Which shard holds an item, and where: tasks.json and the indices that are asked for, nothing else.

    An item made again later is in several tasks' lists; the index says which of them holds it.
    """

    def __init__(self, unit: UnitLayout, max_indices: int = 64):
        self._unit, self._max_indices = unit, max_indices
        self._tasks_of: dict[str, list[str]] | None = None
        self._indices: OrderedDict[str, dict[str, Any]] = OrderedDict()

    def find(self, key: str) -> tuple[Path, dict[str, tuple[int, int]]] | None:
        """The item's shard, and offset and size of its members by name; None when it is not there."""
        if self._tasks_of is None:
            self._tasks_of = self._load_tasks()
        for task in self._tasks_of.get(key, ()):
            entry = self._index(task).get(key)
            if entry is not None:
                skip = len(key) + 1
                return self._unit.shard(task), {name[skip:]: (at, size) for name, at, size in entry["members"]}
        return None

    def _load_tasks(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        tasks = [(task.name, task.items) for task in load_tasks(self._unit)]
        if not tasks:  # shards and indices that were copied alone
            tasks = [(path.stem, tuple(self._index(path.stem))) for path in sorted(self._unit.index_dir.glob("*.json"))]
        for name, items in tasks:
            for key in items:
                found.setdefault(key, []).append(name)
        return found

    def _index(self, task: str) -> dict[str, Any]:
        if task in self._indices:
            self._indices.move_to_end(task)
            return self._indices[task]
        path = self._unit.index(task)
        items: dict[str, Any] = {}
        if path.exists():
            index = read_json(path)
            check_size(self._unit.shard(task), index)
            items = index["items"]
        self._indices[task] = items
        if len(self._indices) > self._max_indices:
            self._indices.popitem(last=False)
        return items


class OpenFiles:
    """Files read by position; beyond ``limit`` the one unused for longest is closed. Copies begin with none open."""

    def __init__(self, limit: int = 64):
        self._limit = limit
        self._handles: OrderedDict[Path, int] = OrderedDict()

    def read(self, path: Path, offset: int, size: int) -> np.ndarray:
        """``size`` bytes as a new uint8 array. Raises ConfigError when the file ends before."""
        data = np.empty(size, np.uint8)
        self.read_into(path, offset, [data.data])
        return data

    def read_into(self, path: Path, offset: int, views: Sequence[memoryview]) -> None:
        """Fill ``views`` of bytes one after the other from ``offset`` on, without a buffer in between."""
        handle = self._open(path)
        waiting = list(views)
        while waiting:
            now = waiting[:MAX_BUFFERS]
            got = os.preadv(handle, now, offset)
            if not got and any(view.nbytes for view in now):
                raise ConfigError(f"{path} ends before byte {offset + sum(v.nbytes for v in waiting)}: it is cut short")
            offset += got
            num_full = 0
            while num_full < len(now) and got >= now[num_full].nbytes:
                got -= now[num_full].nbytes
                num_full += 1
            del waiting[:num_full]
            if got:
                waiting[0] = waiting[0][got:]

    def close(self) -> None:
        while self._handles:
            os.close(self._handles.popitem()[1])

    def _open(self, path: Path) -> int:
        handle = self._handles.get(path)
        if handle is None:
            handle = self._handles[path] = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            if len(self._handles) > self._limit:
                os.close(self._handles.popitem(last=False)[1])
        else:
            self._handles.move_to_end(path)
        return handle

    def __getstate__(self) -> dict[str, Any]:
        return {"_limit": self._limit, "_handles": OrderedDict()}

    def __del__(self) -> None:
        self.close()
