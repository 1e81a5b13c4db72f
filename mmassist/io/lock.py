"""One run at a time per output folder: a file that names its holder, and how to tell that the holder is gone."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mmassist.core.errors import ConfigError
from mmassist.io import disk
from mmassist.io.atomic import open_temp, temp_path, write_json


class Locked(ConfigError):
    """The folder belongs to a run that is alive."""


class FolderLock:
    """Holds ``path`` until ``release``; taken over from a holder that is certainly gone.

    ``jobs_alive(job ids, folder they work in)`` answers whether any of the named cluster jobs still exists; without it
    a lock held by jobs counts as alive.
    """

    def __init__(self, path: Path, run_id: str, jobs_alive: Callable[[Sequence[str], str], bool] | None = None):
        self._path, self._run_id, self._jobs_alive = path, run_id, jobs_alive

    def acquire(self) -> None:
        """Take the lock. Raises Locked naming the holder, DiskError when the folder cannot be written."""
        for _ in range(10):
            # Another run's cleaning takes an unfinished file for a dead attempt's: try again.
            with contextlib.suppress(disk.TempRemoved):
                if self._try_to_take():
                    return
                self._remove_if_stale()
        raise Locked(f"{self._path} changes hands faster than it can be taken; run again")

    def _try_to_take(self) -> bool:
        temp = temp_path(self._path, uuid.uuid4().hex[:12])
        entry = self._entry(socket.gethostname(), os.getpid(), [], "")
        try:
            with open_temp(temp, "lock", final=self._path) as file:
                file.write(json.dumps(entry).encode())
            return disk.link(temp, self._path, "lock")
        finally:
            disk.discard(temp)

    def hand_over(self, jobs: Sequence[str], folder: str) -> None:
        """Let submitted jobs hold the lock from now on; it is stale once none of them exists.

        ``folder`` is the one they work in: job ids may be given out again after a controller lost its state. Raises
        Locked when somebody has removed the lock, or taken it.
        """
        holder = read_holder(self._path)
        if holder is None or holder["run_id"] != self._run_id:
            raise Locked(f"{self._path} was taken away from run {self._run_id}; run again")
        write_json(self._path, self._entry("", 0, jobs, folder), "lock")

    def _entry(self, host: str, pid: int, jobs: Sequence[str], folder: str) -> dict[str, Any]:
        started = process_start(pid) if pid else ""
        process = {"host": host, "pid": pid, "started": started}
        return {"run_id": self._run_id, **process, "jobs": list(jobs), "folder": folder}

    def release(self) -> None:
        """Give the lock back if it is still ours."""
        holder = read_holder(self._path)
        if holder is not None and holder["run_id"] == self._run_id:
            self._path.unlink(missing_ok=True)

    def _remove_if_stale(self) -> None:
        try:
            holder = _load(self._path)
        except FileNotFoundError:
            return
        except json.JSONDecodeError:
            raise Locked(f"{self._path} cannot be read; if no run is at work there, remove it") from None
        if self._is_alive(holder):
            raise Locked(
                f"{self._describe(holder)}; wait for it or stop it (python -m tools.cancel {holder['run_id']}). "
                f"If it is certainly gone, remove {self._path}"
            )
        self._bury(holder)

    def describe_holder(self) -> str:
        """Who is in the way, "" for nobody; takes nothing."""
        holder = read_holder(self._path)
        return self._describe(holder) if holder is not None and self._is_alive(holder) else ""

    def _describe(self, holder: dict[str, Any]) -> str:
        process = f"process {holder['pid']} on {holder['host']}"
        who = f"jobs {', '.join(holder['jobs'])}" if holder["jobs"] else process
        return f"{self._path.parent} is in use by run {holder['run_id']} ({who})"

    def _bury(self, holder: dict[str, Any]) -> None:
        """Remove the lock of a dead holder, unless another taker has done so since it was looked at.

        Takers go one by one: the dead lock itself is what they queue for. Where the file system has no such queues, a
        gap of microseconds remains, and of two owners the one whose run the lock does not name stops at its next look.
        """
        with contextlib.suppress(FileNotFoundError), self._path.open("r+b") as file:
            with contextlib.suppress(OSError):
                fcntl.flock(file, fcntl.LOCK_EX)
            is_same_file = os.path.samestat(os.fstat(file.fileno()), self._path.stat())
            if is_same_file and read_holder(self._path) == holder:
                self._path.unlink()

    def _is_alive(self, holder: dict[str, Any]) -> bool:
        if holder["jobs"]:
            return self._jobs_alive is None or self._jobs_alive(holder["jobs"], holder.get("folder", ""))
        if holder["host"] != socket.gethostname():
            return True  # another machine's processes cannot be seen from here
        return bool(holder["started"]) and process_start(holder["pid"]) == holder["started"]


def read_holder(path: Path) -> dict[str, Any] | None:
    """Who holds the lock, or None."""
    try:
        return _load(path)
    except (FileNotFoundError, json.JSONDecodeError):
        return None


def _load(path: Path) -> dict[str, Any]:
    holder: dict[str, Any] = json.loads(path.read_text())
    return holder


def process_start(pid: int) -> str:
    """The start time of a process in clock ticks since boot, empty when it is gone: a pid alone may be reused."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    fields = stat.rsplit(")", 1)[1].split()
    return "" if fields[0] == "Z" else fields[19]
