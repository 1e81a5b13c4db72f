"""Send a command's jobs to SLURM, all of them or none: what can be refused is refused first, then everything is planned
and submitted, and the receipt comes last. Jobs that find no receipt do nothing, so half a submission does no harm.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import shutil
import subprocess
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from launchers.balance import Window
from launchers.division import divide, request_of
from launchers.element import ElementRun, Resources
from launchers.execute import Execution, terminate_as_interrupt
from launchers.jobs import Job
from launchers.plan import Selection, UnitPlan
from launchers.receipts import job_row, write_receipt
from launchers.slurm.controller import Controller, ask_controller
from launchers.slurm.fit import check_fits
from launchers.slurm.queue import live_jobs
from launchers.slurm.refusal import explain_refusal, is_maybe_submitted, is_worth_retrying
from launchers.slurm.request import Request
from mmassist.core.errors import ConfigError
from mmassist.io.layout import UnitLayout
from mmassist.io.lock import FolderLock, read_holder

log = logging.getLogger(__name__)
SUBMIT_TRIES = 3
RETRY_S = 5.0


@dataclass
class Submitted:
    """A job of the command on its way to SLURM."""

    job: Job
    request: Request
    lock: FolderLock
    selection: Selection
    plan: UnitPlan
    job_ids: list[str] = field(default_factory=list)
    row: dict[str, Any] = field(default_factory=dict)


def check_site(jobs: Sequence[Job]) -> tuple[Controller, list[str]]:
    """Compare every job's request with what the site has; returns remarks for the user.

    Raises ConfigError for the first that no node could ever satisfy.
    """
    if shutil.which("sbatch") is None:
        raise ConfigError("there is no sbatch on this machine; say hydra/launcher=local or hydra/launcher=basic")
    controller = ask_controller()
    remarks = [remark for job in jobs for remark in check_fits(request_of(job), controller)]
    return controller, list(dict.fromkeys(remarks))


def submit_jobs(
    execution: Execution, jobs: Sequence[Job], stale: Collection[str], words: Sequence[str], controller: Controller
) -> list[dict[str, Any]]:
    """Submit every job that has something to do; returns the receipt's rows.

    Raises ConfigError when a folder is in use, and with SLURM's own words when the cluster refuses; then nothing of the
    command is left in the queue.
    """
    on_the_way: list[Submitted] = []
    with terminate_as_interrupt():
        try:
            for job in jobs:
                lock = FolderLock(job.unit.lock, execution.run_id, are_alive)
                lock.acquire()
                selection, plan = execution.plan(job, rebuild=job.name in stale)
                on_the_way.append(Submitted(job, request_of(job), lock, selection, plan))
            for one in on_the_way:
                _submit(execution, one, one.job.name in stale, on_the_way, controller)
            for one in on_the_way:
                if one.job_ids:
                    one.lock.hand_over(one.job_ids, str(execution.run.code))
            rows = [one.row for one in on_the_way]
            write_receipt(execution.run, execution.run_id, words, "slurm", rows)
        except BaseException:
            _take_back(on_the_way)
            raise
    for one in on_the_way:
        if not one.job_ids:
            one.lock.release()
    return rows


def are_alive(job_ids: Sequence[str], folder: str) -> bool:
    """Whether SLURM still has any of the jobs as unfinished; True when it cannot be asked."""
    live = live_jobs(job_ids, folder)
    return live is None or bool(live)


def _take_back(on_the_way: Sequence[Submitted]) -> None:
    """Cancel what was submitted, later stages first so that none of them starts, and give the folders back."""
    ids = [job_id for one in reversed(on_the_way) for job_id in one.job_ids]
    if ids:
        done = subprocess.run(["scancel", *ids], capture_output=True, text=True, check=False)
        if done.returncode:
            why = done.stderr.strip()
            log.warning("jobs %s could not be cancelled (%s); they will do nothing", ", ".join(ids), why)
    for one in on_the_way:
        one.lock.release()


def _submit(
    execution: Execution, one: Submitted, rebuild: bool, on_the_way: Sequence[Submitted], controller: Controller
) -> None:
    job, cluster = one.job, one.request.cluster
    waiting = one.plan.waiting()
    bundles, windows = divide(job, waiting, controller.max_array_size)
    execution.prepare(job, one.lock, rebuild, one.selection, one.plan, bundles)
    after = _iter_upstream_jobs(job, on_the_way)
    ids: list[str] = []
    one.row = job_row(execution.layout, job) | {
        "items": one.plan.num_items,
        "tasks": len(waiting),
        "weight_s": sum(task.weight for task in waiting),
        "elements": len(bundles),
        "request": _request_row(one.request, job),
        "after": after,
    }
    for window in windows:
        before = [*after, *([ids[window.after]] if window.after is not None else [])]
        ids.append(_submit_window(execution, one, window, before, controller))
        one.job_ids.append(ids[-1])
        row = {"job_id": ids[-1], "first": window.first, "count": window.count, "max_running": window.max_running}
        one.row["windows"].append(row)
    one.row["job_ids"] = ids
    log.debug("%s: %d elements on %s", job.name, len(bundles), cluster.name)


def _request_row(request: Request, job: Job) -> dict[str, Any]:
    row = {"cpus": request.cpus, "mem_gb": request.mem_gb, "gpus": request.gpus, "timeout_min": request.timeout_min}
    return row | {"num_workers": job.stage_config.num_workers, "partition": request.cluster.partition}


def _iter_upstream_jobs(job: Job, on_the_way: Sequence[Submitted]) -> list[str]:
    """Ids of the jobs that make what ``job`` reads: of this command, and of earlier ones that are still at it."""
    ids: list[str] = []
    for unit in job.upstream.values():
        own = [one for one in on_the_way if one.job.unit.root == unit.root]
        ids += own[0].job_ids if own else _live_holders(unit)
    return list(dict.fromkeys(ids))


def _live_holders(unit: UnitLayout) -> list[str]:
    holder = read_holder(unit.lock)
    return (live_jobs(holder["jobs"], holder.get("folder", "")) or []) if holder and holder["jobs"] else []


def _submit_window(
    execution: Execution, one: Submitted, window: Window, after: list[str], controller: Controller
) -> str:
    """Submit one array; returns its job id. Raises ConfigError with SLURM's own words."""
    import submitit
    from submitit.core.utils import FailedJobError, FailedSubmissionError

    job, run = one.job, execution.run
    executor = submitit.SlurmExecutor(folder=run.slurm_dir(job.name), max_num_timeout=one.request.cluster.max_requeues)
    executor.update_parameters(**one.request.parameters(window.max_running, after))
    element = ElementRun(
        str(execution.layout.data_root), str(run.root), job.name, str(job.unit.root), resources_of(job, one.request)
    )
    elements = list(range(window.first, window.first + window.count))
    for attempt in range(1, SUBMIT_TRIES + 1):
        try:
            # Jobs start where they were submitted: on the snapshot. submitit would print what is told below.
            with _inside(run.code), contextlib.redirect_stderr(io.StringIO()):
                handles = executor.map_array(element, elements)
            return str(handles[0].job_id).split("_")[0]
        except (FailedJobError, FailedSubmissionError) as error:
            words = str(error)
            if is_maybe_submitted(words):
                _cancel_strays(run.code, job.name, one.job_ids)
            if attempt == SUBMIT_TRIES or not is_worth_retrying(words):
                raise ConfigError(explain_refusal(words, one.request, controller)) from error
            time.sleep(RETRY_S * attempt)
    raise AssertionError("the loop returns or raises")


def resources_of(job: Job, request: Request) -> Resources:
    """What the job's elements are told of their share."""
    config, cluster = job.stage_config, request.cluster
    return Resources(
        num_workers=config.num_workers,
        gpus=config.gpus_per_node,
        mem_gb=None if cluster.exclusive else config.mem_gb,
        item_timeout_s=config.item_timeout_s,
        max_fail_ratio=config.max_fail_ratio,
        signal_delay_s=cluster.signal_delay_s,
        max_requeues=cluster.max_requeues,
        scratch_dir=cluster.scratch_dir,
    )


def _cancel_strays(folder: Path, name: str, known: Sequence[str]) -> None:
    """Cancel jobs of this name in the run's folder that a submission without an answer may have made."""
    words = ["squeue", "-h", "--me", "-a", "-o", "%F|%j|%Z"]
    rows = subprocess.run(words, capture_output=True, text=True, check=False).stdout.splitlines()
    found = {row.split("|", 2)[0] for row in rows if row.split("|", 2)[1:] == [name, str(folder)]}
    if found - set(known):
        subprocess.run(["scancel", *sorted(found - set(known))], capture_output=True, check=False)


@contextlib.contextmanager
def _inside(folder: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)
