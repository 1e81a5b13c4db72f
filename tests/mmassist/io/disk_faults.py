"""Disks that fail at a chosen call, and two attempts at one task that get into each other's way."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import resource
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from mmassist.core.errors import StageError
from mmassist.core.outcome import Outcome, Status
from mmassist.core.stage import Outputs, Task
from mmassist.io import faults
from mmassist.io.fragment import Fragment, read_fragment, write_fragment
from mmassist.io.layout import UnitLayout
from mmassist.io.shard import commit_task, roll_forward

T = TypeVar("T")
TASK = Task("000000", ("a", "b", "c"), 3.0)
CALLS = ("mkdir", "open", "write", "fsync", "link", "rename")  # the points right before a call that may fail


@contextlib.contextmanager
def hooked(hook: Callable[[str], None]) -> Iterator[None]:
    faults.install(hook)
    try:
        yield
    finally:
        faults.install(None)


def points_of(act: Callable[[], Any]) -> list[str]:
    """The points that ``act`` passes, in order."""
    seen: list[str] = []
    with hooked(seen.append):
        act()
    return seen


def calls_of(act: Callable[[], Any]) -> list[int]:
    """Numbers of the passed points at which a call may fail."""
    return [number for number, point in enumerate(points_of(act)) if point.split(":")[1] in CALLS]


@contextlib.contextmanager
def at_point(number: int, act: Callable[[str], None]) -> Iterator[None]:
    """Do ``act`` when the ``number``-th point is reached; points inside it do not count."""
    count = -1

    def hook(point: str) -> None:
        nonlocal count
        count += 1
        if count == number:
            faults.install(None)
            act(point)

    with hooked(hook):
        yield


@contextlib.contextmanager
def failing(number: int, code: int) -> Iterator[None]:
    """Let the call at the ``number``-th point, and every later one of its kind, fail with an error number."""

    def fail(point: str) -> None:
        faults.install(lambda later: refuse() if later == point else None)
        refuse()

    def refuse() -> None:
        raise OSError(code, os.strerror(code))

    with at_point(number, fail):
        yield


@contextlib.contextmanager
def largest_file(num_bytes: int) -> Iterator[None]:
    """No file may grow beyond ``num_bytes``: the kernel writes what fits and refuses the rest, like a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def drive(coroutine: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine, in an event loop of its own; unlike asyncio.run this can be nested."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, coroutine).result()


def make_fragment(unit: UnitLayout, key: str, content: str = "") -> Fragment:
    members = [("000000.txt", (content or key).encode() * 700), ("info.json", json.dumps({"key": key}).encode())]
    return drive(write_fragment(unit.fragment(TASK.name, key), key, f"in-{key}", Outputs(members, {"members": 2})))


def attempt(
    unit: UnitLayout, name: str, run_id: str = "run", content: str = "", may_commit: Callable[[], None] | None = None
) -> bool:
    """What a worker does with a task: adopt or make its items, commit; whether it was the one that committed.

    An error counts only if nobody has committed the task meanwhile.
    """
    try:
        if unit.record(TASK.name).exists():
            roll_forward(unit, TASK.name)
            return False
        made = {k: read_fragment(unit.fragment(TASK.name, k)) or make_fragment(unit, k, content) for k in ("a", "c")}
        skipped = Outcome("b", Status.SKIPPED, "no_video", "b.mp4 does not exist", "in-b")
        return commit_task(unit, TASK, made, {"b": skipped}, name, run_id, may_commit)
    except StageError:
        if not unit.record(TASK.name).exists():
            raise
        roll_forward(unit, TASK.name)
        return False


def contents(unit: UnitLayout) -> dict[str, str]:
    """Hashes of shards and indices."""
    folders = (unit.shard_dir, unit.index_dir)
    files = (p for f in folders if f.exists() for p in sorted(f.iterdir()) if not p.name.startswith("."))
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def leftovers(root: Path) -> list[str]:
    return [p.name for p in root.rglob("*") if p.name.endswith(".tmp") or p.suffix == ".part"]
