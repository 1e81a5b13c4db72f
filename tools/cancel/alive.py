"""Which jobs and processes of a run are alive. A job counts only when it works in the run's own folder."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mmassist.io.layout import Layout, UnitLayout
from mmassist.io.lock import read_holder
from mmassist.stages import PIPELINE
from tools.logs.runs import Run
from tools.logs.units import read_mapping

SLURM_TIMEOUT_S = 60.0


@dataclass(frozen=True)
class LiveJob:
    """A job or array of the run that SLURM has not finished."""

    job_id: str
    name: str
    stage: str
    dataset: str
    states: Counter[str] = field(default_factory=Counter)  # state -> rows of the queue

    def line(self) -> str:
        states = ", ".join(state.lower() for state in sorted(self.states))
        return f"{self.name}: job {self.job_id} ({states})"


@dataclass(frozen=True)
class LiveProcess:
    """A process that works for the run, or submits it. ``started`` tells it from a later one with the same number."""

    pid: int
    host: str
    started: str
    what: str

    @property
    def is_here(self) -> bool:
        return self.host == socket.gethostname()

    @property
    def is_alive(self) -> bool:
        return bool(self.started) and start_of(self.pid) == self.started


class SlurmSilent(Exception):
    """SLURM could not be asked; the message holds its own words."""


def list_jobs(run: Run, wanted: Mapping[str, str]) -> dict[str, LiveJob]:
    """The run's unfinished jobs by id, whether a receipt names them or not, those of the latest stage first.

    A job is the run's when it works in the run's own folder: a controller that lost its state gives ids again.
    Raises SlurmSilent.
    """
    if not _may_have_jobs(run) or (not run.receipt and shutil.which("squeue") is None):
        return {}
    folder = run.layout.code.resolve()
    words = ["squeue", "-h", "-a", "--user", _owner(run), "-o", "%F|%j|%T|%Z"]
    found: dict[str, LiveJob] = {}
    for line in ask_slurm(words).stdout.splitlines():
        job_id, _, rest = line.partition("|")
        name, _, rest = rest.partition("|")
        state, _, workdir = rest.partition("|")
        if not workdir or Path(workdir).resolve() != folder:
            continue
        job = found.setdefault(job_id, LiveJob(job_id, name, *facts_of(run, name)))
        job.states[state] += 1
    fitting = [job for job in found.values() if _fits(job, wanted)]
    return {job.job_id: job for job in sorted(fitting, key=_order)}


def list_processes(layout: Layout, run: Run) -> list[LiveProcess]:
    """Processes that hold a folder for the run, or that its receipt names, as far as they can be alive."""
    found: dict[tuple[str, int], LiveProcess] = {}
    for row in run.jobs:
        holder = read_holder(UnitLayout(layout.data_root / str(row.get("unit", ""))).lock) or {}
        if holder.get("run_id") == run.run_id and holder.get("pid"):
            process = LiveProcess(holder["pid"], holder["host"], str(holder["started"]), row["job"])
            found[process.host, process.pid] = process
    pid, host = run.receipt.get("pid"), run.receipt.get("host")
    if not found and isinstance(pid, int) and host == socket.gethostname() and _is_command(run, pid):
        found[host, pid] = LiveProcess(pid, host, start_of(pid), "the command itself")
    return [process for process in found.values() if not process.is_here or process.is_alive]


def start_of(pid: int) -> str:
    """When a process started, in clock ticks since boot; "" when it is gone or only waits to be collected."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return "" if fields[0] == "Z" else fields[19]


def _is_command(run: Run, pid: int) -> bool:
    """Whether a process was started with the run's own words: its number alone may have been given again."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return False
    given = [str(word) for word in run.receipt.get("command", [])][2:]
    return bool(given) and [word for word in words if word][-len(given) :] == given


def facts_of(run: Run, name: str) -> tuple[str, str]:
    """Stage and dataset of a job; from its settings where the receipt was never written."""
    row = run.row_of(name)
    if not row.get("stage"):
        row = read_mapping(run.layout.config(name)) if "/" not in name else {}
    return str(row.get("stage", name.partition("-")[0])), str(row.get("dataset", ""))


def _fits(job: LiveJob, wanted: Mapping[str, str]) -> bool:
    return all(getattr(job, name) == value for name, value in wanted.items())


def _order(job: LiveJob) -> tuple[int, str]:
    """The latest stage first: nothing then starts because what it waited for is over."""
    return (-PIPELINE.index(job.stage) if job.stage in PIPELINE else 0, job.job_id)


def _may_have_jobs(run: Run) -> bool:
    launcher = run.receipt.get("launcher")
    if launcher in ("local", "basic"):
        return False
    return launcher == "slurm" or not run.receipt or any(row.get("job_ids") for row in run.jobs)


def _owner(run: Run) -> str:
    return str(run.receipt.get("user") or os.getuid())


def ask_slurm(words: Sequence[str], must_succeed: bool = True) -> subprocess.CompletedProcess[str]:
    # What users set to shape squeue for their eyes would change which rows it shows.
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("SQUEUE_", "SCANCEL_"))}
    try:
        done = subprocess.run(
            words, capture_output=True, text=True, check=False, env=environment, timeout=SLURM_TIMEOUT_S
        )
    except FileNotFoundError as error:
        raise SlurmSilent(f"there is no {words[0]} on this machine") from error
    except subprocess.TimeoutExpired as error:
        raise SlurmSilent(f"{words[0]} gave no answer within {SLURM_TIMEOUT_S:g} s") from error
    if must_succeed and done.returncode:
        raise SlurmSilent(" ".join(done.stderr.split()) or f"{words[0]} failed with exit code {done.returncode}")
    return done
