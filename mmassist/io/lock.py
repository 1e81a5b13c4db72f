"""One run at a time per output folder: a file that names its holder, and how to tell that the holder is gone."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mmassist.core.errors import ConfigError
from mmassist.io.atomic import open_temp, temp_path, write_json


class Locked(ConfigError):
    """The folder belongs to a run that is alive."""


class FolderLock:
    """Holds ``path`` until ``release``; taken over from a holder that is certainly gone.

    ``jobs_alive(job ids, folder they work in)`` answers whether any of the named cluster jobs still exists; without it a
    lock held by jobs counts as alive.
    """

    def __init__(self, path: Path, run_id: str, jobs_alive: Callable[[Sequence[str], str], bool] | None = None):
        self._path, self._run_id, self._jobs_alive = path, run_id, jobs_alive

    def acquire(self) -> None:
        """Take the lock. Raises Locked naming the holder."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        temp = temp_path(self._path, uuid.uuid4().hex[:12])
        with open_temp(temp, "lock") as file:
            file.write(json.dumps(self._entry(socket.gethostname(), os.getpid(), [], "")).encode())
        try:
            for _ in range(10):
                try:
                    os.link(temp, self._path)
                    return
                except FileExistsError:
                    if _is_same(temp, self._path):  # a file server's answer was lost, and the second try found the first
                        return
                    self._remove_if_stale()
            raise Locked(f"{self._path} changes hands faster than it can be taken; run again")
        finally:
            temp.unlink()

    def hand_over(self, jobs: Sequence[str], folder: str) -> None:
        """Let submitted jobs hold the lock from now on; it is stale once none of them exists.

        ``folder`` is the one they work in: job ids may be given out again after a controller lost its state.
        """
        write_json(self._path, self._entry("", 0, jobs, folder), "lock")

    def _entry(self, host: str, pid: int, jobs: Sequence[str], folder: str) -> dict[str, Any]:
        started = _started(pid) if pid else ""
        jobs_entry = {"jobs": list(jobs), "folder": folder}
        return {"run_id": self._run_id, "host": host, "pid": pid, "started": started, **jobs_entry}

    def release(self) -> None:
        """Give the lock back if it is still ours."""
        holder = read_holder(self._path)
        if holder is not None and holder["run_id"] == self._run_id:
            self._path.unlink(missing_ok=True)

    def _remove_if_stale(self) -> None:
        holder = read_holder(self._path)
        if holder is None:
            if self._path.exists():
                raise Locked(f"{self._path} cannot be read; if no run is at work there, remove it")
            return
        if self._is_alive(holder):
            who = (
                f"jobs {', '.join(holder['jobs'])}"
                if holder["jobs"]
                else f"process {holder['pid']} on {holder['host']}"
            )
            raise Locked(
                f"{self._path.parent} is in use by run {holder['run_id']} ({who}); wait for it or stop it. "
                f"If it is certainly gone, remove {self._path}"
            )
        # Only one of several takers wins the rename; the others see the winner's new lock.
        grave = temp_path(self._path, uuid.uuid4().hex[:12])
        with contextlib.suppress(FileNotFoundError):
            self._path.rename(grave)
            grave.unlink()

    def _is_alive(self, holder: dict[str, Any]) -> bool:
        if holder["jobs"]:
            return self._jobs_alive is None or self._jobs_alive(holder["jobs"], holder.get("folder", ""))
        if holder["host"] != socket.gethostname():
            return True  # another machine's processes cannot be seen from here
        return bool(holder["started"]) and _started(holder["pid"]) == holder["started"]


def read_holder(path: Path) -> dict[str, Any] | None:
    """Who holds the lock, or None."""
    try:
        holder: dict[str, Any] = json.loads(path.read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return None
    return holder


def _is_same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except FileNotFoundError:
        return False


def _started(pid: int) -> str:
    """The start time of a process in clock ticks since boot, empty when it is gone: a pid alone may be reused."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    fields = stat.rsplit(")", 1)[1].split()
    return "" if fields[0] == "Z" else fields[19]
