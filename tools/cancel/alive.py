"""Which jobs and processes of a run are alive. A job counts only when it works in the run's own folder."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from launchers.slurm.queue import FolderJob, read_folder_jobs
from mmassist.io.layout import Layout, UnitLayout
from mmassist.io.lock import process_start
from tools.records.file import Reader, number_of, text_of
from tools.records.run import JobRow, Run
from tools.records.unit import stage_rank


@dataclass(frozen=True)
class LiveJob:
    """A job or array of the run that SLURM has not finished."""

    row: JobRow
    job: FolderJob

    @property
    def job_id(self) -> str:
        return self.job.job_id

    @property
    def name(self) -> str:
        return self.row.name

    @property
    def is_ending(self) -> bool:
        return self.job.states == {"COMPLETING"}

    def line(self) -> str:
        states = ", ".join(state.lower() for state in sorted(self.job.states))
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
        return bool(self.started) and process_start(self.pid) == self.started


def list_jobs(run: Run, wanted: Mapping[str, Sequence[str]]) -> dict[str, LiveJob]:
    """The run's unfinished jobs by id, whether a receipt names them or not, those of the latest stage first.

    ``wanted`` narrows them by stage and dataset. Raises StageError when SLURM cannot be asked.
    """
    if not _may_have_jobs(run) or (not run.receipt and shutil.which("squeue") is None):
        return {}
    jobs = read_folder_jobs(str(run.layout.code), run.user or str(os.getuid()))
    live = [LiveJob(run.job(job.name), job) for job in jobs]
    fitting = [job for job in live if job.row.fits(wanted)]
    return {job.job_id: job for job in sorted(fitting, key=_order)}


def list_processes(layout: Layout, run: Run) -> list[LiveProcess]:
    """Processes that hold a folder for the run, or that its receipt names, as far as they can be alive."""
    found: dict[tuple[str, int], LiveProcess] = {}
    reader = Reader()
    for row in run.jobs:
        lock = reader.read_object(UnitLayout(layout.data_root / row.unit).lock) or {}
        pid, host = int(number_of(lock, "pid")), text_of(lock, "host")
        if text_of(lock, "run_id") == run.run_id and pid > 0:
            found[host, pid] = LiveProcess(pid, host, text_of(lock, "started"), row.name)
    pid, host = int(number_of(run.receipt, "pid")), text_of(run.receipt, "host")
    if not found and pid > 0 and host == socket.gethostname() and _is_command(run, pid):
        found[host, pid] = LiveProcess(pid, host, process_start(pid), "the command itself")
    return [process for process in found.values() if not process.is_here or process.is_alive]


def _is_command(run: Run, pid: int) -> bool:
    """Whether a process was started with the run's own words: its number alone may have been given again."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return False
    given = run.command[2:]
    return bool(given) and [word for word in words if word][-len(given) :] == given


def _order(job: LiveJob) -> tuple[int, str]:
    """The latest stage first: nothing then starts because what it waited for is over."""
    return (-stage_rank(job.row.stage), job.job_id)


def _may_have_jobs(run: Run) -> bool:
    if run.launcher in ("local", "basic"):
        return False
    return run.launcher == "slurm" or not run.receipt or any(row.job_ids for row in run.jobs)
