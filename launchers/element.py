"""What one array element does on its node: the only place that knows SLURM's variables, and that asks for a new start.

submitit starts it from its pickle. It is one process with one supervisor, so there is nobody else to answer a signal.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from launchers.child import child_environment, scratch_folder, spawn_worker
from launchers.life import End, Life, Place
from launchers.receipts import wait_for_receipt
from launchers.supervise import REQUEUE_SIGNAL, Limits, Stopped, Supervisor
from launchers.versions import changed_versions
from launchers.worker import load_element
from mmassist.core.errors import StageError
from mmassist.io.layout import RunLayout, UnitLayout

log = logging.getLogger(__name__)
RECEIPT_WAIT_S = 120.0  # without a sign of life; a file server may show each of them a minute late
COMMIT_MARGIN_S = 30.0  # of the time between the warning and the kill, for commits and the requeue itself
REQUEUE_TRIES = 5
KILL_WAIT_S = 600.0  # longer than sites wait between SIGTERM and SIGKILL, be it scancel's KillWait or a GraceTime
MAX_NAMED = 5  # tasks named in a message


@dataclass(frozen=True)
class Resources:
    """What an element has and may take, as its stage and site say."""

    num_workers: int
    gpus: int
    mem_gb: float | None  # None: all of the node's
    item_timeout_s: float
    max_fail_ratio: float
    signal_delay_s: int
    max_requeues: int
    scratch_dir: str | None
    python: str  # interpreter of the workers
    environment: dict[str, str]  # what the workers' engine wants set


@dataclass(frozen=True)
class ElementRun:
    """A callable for submitit: call it with an element's number. Raises StageError: SLURM then shows it as FAILED."""

    data_root: str
    run_dir: str
    job: str
    unit: str
    resources: Resources

    def __call__(self, element: int) -> None:
        place = find_place(self.job, element, os.environ)
        run = RunLayout(Path(self.run_dir))
        life = Life(run.life(self.job, element, place.start), place, self.resources.gpus)
        end, message = End.FAILED, "ended by an unexpected error, see the job's output"
        try:
            self._check(run, place)
            uncommitted = self._supervise(run, place, life)
            if uncommitted:
                raise StageError(_describe_open(uncommitted))
            end, message = End.COMPLETED, ""
        except Stopped as stopped:
            end, message = End.STOPPED, f"stopped by {stopped.number.name}"
            if stopped.number != REQUEUE_SIGNAL:
                life.finish(end, message)
                _wait_to_be_killed()
                raise StageError(message) from stopped
            if place.start >= self.resources.max_requeues:
                end = End.FAILED
                message = f"ran into a time limit or a preemption after {_limit(place, self.resources)}"
                raise StageError(message) from stopped
            end, message = End.REQUEUED, "a time limit or a preemption came"
        except StageError as error:
            message = str(error)
            raise
        finally:
            life.finish(end, message)
        if end is End.REQUEUED:
            try:
                _requeue(place.job_id)
            except StageError as error:
                life.finish(End.FAILED, str(error))
                raise

    def checkpoint(self, element: int) -> Any:
        """Called by submitit when a warning comes before there is a supervisor: the same element again."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self, element)

    def _check(self, run: RunLayout, place: Place) -> None:
        """Raises StageError when the element must not work: half a submission, other packages, too many starts."""
        receipt = wait_for_receipt(run, RECEIPT_WAIT_S)
        changed = changed_versions(receipt["versions"])
        if changed:
            raise StageError(
                f"the environment has changed since the run was submitted ({'; '.join(changed)}); submit it again"
            )
        if place.start > self.resources.max_requeues:
            raise StageError(f"started again after {_limit(place, self.resources)}")

    def _supervise(self, run: RunLayout, place: Place, life: Life) -> list[str]:
        """Work on the element's tasks; returns those that could not be committed."""
        res = self.resources
        tasks = [row["name"] for row in load_element(run, self.job, place.element)]
        num_workers = min(res.num_workers, len(tasks))
        total = res.mem_gb * 2**30 if res.mem_gb else os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") * 0.95
        limits = Limits(
            item_timeout_s=res.item_timeout_s,
            memory_bytes=total / num_workers,
            max_fail_ratio=res.max_fail_ratio,
            requeue_grace_s=max(5.0, res.signal_delay_s - COMMIT_MARGIN_S),
        )
        with scratch_folder(res.scratch_dir, "mmassist-") as scratch:

            def spawn(child: int) -> Any:
                environment = child_environment(child, res.num_workers, res.gpus, scratch) | res.environment
                return spawn_worker(Path(self.data_root), run, self.job, place.element, child, res.python, environment)

            supervisor = Supervisor(
                UnitLayout(Path(self.unit)),
                run.root.name,
                place.element,
                tasks,
                num_workers,
                limits,
                spawn,
                lambda event: None,
                life,
            )
            supervisor.run()
        return supervisor.uncommitted


def find_place(job: str, element: int, environment: Mapping[str, str]) -> Place:
    """Where this process runs, by SLURM's variables."""
    array, index = environment.get("SLURM_ARRAY_JOB_ID"), environment.get("SLURM_ARRAY_TASK_ID")
    job_id = f"{array}_{index}" if array and index else environment.get("SLURM_JOB_ID", "")
    start = int(environment.get("SLURM_RESTART_COUNT") or 0)
    return Place(job, element, start, job_id, environment.get("SLURMD_NODENAME") or Place(job).node)


def _requeue(job_id: str) -> None:
    """Have SLURM start this job again, and leave before it is killed for that. Raises StageError when SLURM refuses."""
    words = ["scontrol", "requeue", job_id]
    for _ in range(REQUEUE_TRIES):
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        if not done.returncode:
            # Not an Exception: submitit would take one for the job's last word.
            sys.exit(1)
        log.warning("%s: %s", " ".join(words), done.stderr.strip())
        time.sleep(2)  # a controller that is busy or being restarted
    raise StageError(f"SLURM does not start {job_id} again: {done.stderr.strip()}; run the same command to go on")


def _wait_to_be_killed() -> None:
    """Stay until SLURM ends the job: a preempted one that ends by itself before that is not started again."""
    time.sleep(KILL_WAIT_S)


def _limit(place: Place, resources: Resources) -> str:
    return f"{place.start} requeues (cluster.max_requeues={resources.max_requeues}); run the same command to go on"


def _describe_open(tasks: list[str]) -> str:
    names = ", ".join(tasks[:MAX_NAMED]) + (" …" if len(tasks) > MAX_NAMED else "")
    return (
        f"{len(tasks)} tasks could not be committed ({names}): all of their items failed or wait for an earlier stage"
    )
