"""The processes of a cluster, recognised by their environment: no process is touched that it does not mark."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

ROLE = "PRIVATE_SLURM_ROLE"  # in the environment of every daemon we start, and of what it forks; jobs do not get it
CONF = "SLURM_CONF"


@dataclass(frozen=True)
class Process:
    """A living process of a cluster."""

    pid: int
    parent: int
    name: str  # as the kernel has it, at most 15 letters
    role: str  # of the daemon it is or belongs to, "" for a job's
    node: str  # on which a job's process runs, "" for others

    @property
    def is_job(self) -> bool:
        """Whether it belongs to a job: its own processes, and the step daemons that watch over them."""
        return self.name == "slurmstepd" or (not self.role and bool(self.node))


def iter_processes(conf: Path) -> Iterator[Process]:
    """Yield the daemons and job processes of the cluster that ``conf`` configures. Zombies are left out."""
    mark = f"{CONF}={conf}".encode()
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            entries = (folder / "environ").read_bytes().split(b"\0")
            if mark not in entries:
                continue
            stat = (folder / "stat").read_text(errors="replace")
        except OSError:  # gone meanwhile, or another user's
            continue
        name, _, rest = stat.partition("(")[2].rpartition(")")
        variables = dict(entry.decode(errors="replace").partition("=")[::2] for entry in entries)
        role, node = variables.get(ROLE, ""), variables.get("SLURMD_NODENAME", "")
        if (role or node) and int(folder.name) != os.getpid():
            yield Process(int(folder.name), int(rest.split()[1]), name, role, node)


def pids_of(conf: Path, role: str) -> list[int]:
    """Process ids of one daemon; step daemons, which inherit the role of their node's daemon, are not among them."""
    return [p.pid for p in iter_processes(conf) if p.role == role and not p.is_job]


def send(pids: Iterable[int], number: signal.Signals) -> None:
    """Signal processes; those that are gone do not matter."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def wait_gone(conf: Path, pids: Iterable[int], seconds: float) -> bool:
    """Wait until none of the processes is left."""
    expected = set(pids)
    end = time.monotonic() + seconds
    while expected & {process.pid for process in iter_processes(conf)}:
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True
