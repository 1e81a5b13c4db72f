"""Where a cluster lies: its folder's files, its ports, and the folder's lock."""

from __future__ import annotations

import contextlib
import fcntl
import os
import random
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mmassist.core.errors import ConfigError

_FIRST_PORT, _LAST_PORT = 17000, 31000  # below those that the kernel gives out by itself
_LOCK_WAIT_S = 300.0


@dataclass(frozen=True)
class Place:
    """Paths below a cluster's folder."""

    root: Path

    @property
    def conf(self) -> Path:
        """The file that SLURM_CONF names; also the mark by which the cluster's processes are known."""
        return self.root / "slurm.conf"

    @property
    def state_file(self) -> Path:
        """Options and ports; a folder with this file is one of ours."""
        return self.root / "cluster.json"

    @property
    def lock(self) -> Path:
        return self.root / "lock"

    @property
    def run_dir(self) -> Path:
        return self.root / "run"

    @property
    def log_dir(self) -> Path:
        return self.root / "log"

    @property
    def munge_key(self) -> Path:
        return self.root / "munge.key"

    @property
    def munge_socket(self) -> Path:
        return self.run_dir / "munge.socket"

    @property
    def database_dir(self) -> Path:
        return self.root / "database"

    @property
    def database_socket(self) -> Path:
        return self.run_dir / "database.socket"

    @property
    def device_dir(self) -> Path:
        return self.root / "dev"

    @property
    def kept_dirs(self) -> list[Path]:
        """Folders whose contents are the cluster's memory: gone with a rebuild."""
        return [self.root / "state", self.root / "spool", self.database_dir, self.run_dir, self.device_dir]

    def log(self, daemon: str) -> Path:
        return self.log_dir / f"{daemon}.log"

    def crash_mark(self, node: str) -> Path:
        """Says that a node's jobs died with its daemon."""
        return self.run_dir / f"{node}.crashed"

    def pid_file(self, daemon: str) -> Path:
        return self.run_dir / f"{daemon}.pid"


@contextlib.contextmanager
def locked(place: Place) -> Iterator[None]:
    """Keep other commands off the folder, which is made when missing. Raises ConfigError when one is busy too long."""
    place.root.mkdir(parents=True, exist_ok=True)
    end = time.monotonic() + _LOCK_WAIT_S
    while True:
        handle = os.open(place.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_current(handle, place.lock):
                break
        except BlockingIOError:
            pass
        os.close(handle)
        if time.monotonic() > end:
            raise ConfigError(f"another command is busy with the cluster in {place.root}; try again later")
        time.sleep(0.1)
        place.root.mkdir(parents=True, exist_ok=True)
    try:
        yield
    finally:
        os.close(handle)


def _is_current(handle: int, path: Path) -> bool:
    """False when the folder was deleted, and perhaps made anew, while we waited for its lock."""
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False


def pick_ports(count: int) -> int:
    """The first of ``count`` free ports in a row. Raises ConfigError when there seem to be none."""
    for _ in range(100):
        first = random.SystemRandom().randrange(_FIRST_PORT, _LAST_PORT - count)
        if are_free(first, count):
            return first
    raise ConfigError(f"no {count} free ports in a row between {_FIRST_PORT} and {_LAST_PORT}")


def are_free(first: int, count: int) -> bool:
    """Whether nobody listens on any of the ports."""
    for port in range(first, first + count):
        with socket.socket() as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as SLURM: old connections do not matter
            try:
                trial.bind(("", port))
            except OSError:
                return False
    return True
