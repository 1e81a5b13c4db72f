"""Send a command's jobs to SLURM, all of them or none: what can be refused is refused first, then everything is planned
and submitted, and the receipt comes last. Jobs that find no receipt do nothing, so half a submission does no harm.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

from launchers.balance import Window
from launchers.coming import Coming, coming_for, live_holders
from launchers.division import divide, request_of
from launchers.element import ElementRun, Resources
from launchers.execute import Execution, terminate_as_interrupt
from launchers.jobs import Job
from launchers.plan import Selection, UnitPlan
from launchers.receipts import job_row, signs_of_life, write_receipt
from launchers.slurm.controller import Controller, ask_controller
from launchers.slurm.fit import check_fits
from launchers.slurm.queue import are_alive
from launchers.slurm.request import Request
from launchers.slurm.sbatch import Desk, overruling_variables
from mmassist.core.errors import ConfigError, StageError
from mmassist.core.stage import Task
from mmassist.io.layout import Layout
from mmassist.io.lock import FolderLock

log = logging.getLogger(__name__)


@dataclass
class Submitted:
    """A job of the command on its way to SLURM."""

    job: Job
    request: Request
    selection: Selection
    plan: UnitPlan
    bundles: list[list[Task]]  # the elements
    windows: list[Window]  # the arrays
    job_ids: list[str] = field(default_factory=list)
    after: list[str] = field(default_factory=list)


def check_site(layout: Layout, jobs: Sequence[Job]) -> tuple[Controller, list[str]]:
    """Compare every job's request with what the site has; returns remarks for the user.

    Raises ConfigError for the first that no node could ever satisfy.
    """
    if shutil.which("sbatch") is None:
        raise ConfigError("there is no sbatch on this machine; say hydra/launcher=local or hydra/launcher=basic")
    if "%" in str(layout.runs):  # sbatch and srun take it for a pattern in the names of output files
        raise ConfigError(f"DATA_ROOT_DIR is {str(layout.data_root)!r}; with SLURM it must not contain '%'")
    controller = ask_controller()
    for job in jobs:
        _check_gpus(job)
    remarks = [remark for job in jobs for remark in [*check_fits(request_of(job), controller), *_find_slow_items(job)]]
    ignored = [name for name in overruling_variables() if name.startswith("SBATCH_")]
    if ignored:
        remarks.append(
            f"{', '.join(ignored)} of this shell counts for nothing here; settings of the site are cluster.*"
        )
    return controller, list(dict.fromkeys(remarks))


def _check_gpus(job: Job) -> None:
    """Raises ConfigError where an element's workers would not have the GPUs that their engines take."""
    config, stage, engine = job.stage_config, job.stage.name, job.stage.engine
    wanted = config.num_workers * engine.num_gpus if engine is not None else 0
    if config.gpus_per_node < wanted:
        raise ConfigError(
            f"{stage}.gpus_per_node is {config.gpus_per_node}, but {config.num_workers} workers "
            f"({stage}.num_workers) whose model takes {engine.num_gpus} GPUs each need {wanted}"
        )


def _find_slow_items(job: Job) -> list[str]:
    """Say so when an item may take longer than an element lives: it would be begun again at every start."""
    config, stage = job.stage_config, job.stage.name
    life_s = config.timeout_min * 60 - request_of(job).cluster.signal_delay_s
    if config.item_timeout_s <= life_s:
        return []
    return [
        f"{stage}.item_timeout_s={config.item_timeout_s:g} allows an item more time than an element has "
        f"({life_s} s of {stage}.timeout_min={config.timeout_min}); one that needs it is begun again at every start"
    ]


def submit_jobs(
    execution: Execution, jobs: Sequence[Job], stale: Collection[str], words: Sequence[str], controller: Controller
) -> list[dict[str, Any]]:
    """Submit every job that has something to do; returns the receipt's rows.

    Raises ConfigError when a folder is in use, and with SLURM's own words when the cluster refuses; then nothing of the
    command is left in the queue.
    """
    locks: dict[str, FolderLock] = {}
    desk = Desk(execution.run.code, controller)
    with terminate_as_interrupt(), signs_of_life(execution.run):
        try:
            for job in jobs:
                locks[job.name] = FolderLock(job.unit.lock, execution.run_id, are_alive)
                locks[job.name].acquire()
            coming = coming_for(jobs)
            on_the_way = [_plan(execution, job, job.name in stale, controller, coming) for job in jobs]
            for one in on_the_way:
                _submit(execution, one, on_the_way, desk)
            # The folders are changed only now that SLURM has taken everything; the jobs wait for the receipt.
            for one in on_the_way:
                job, lock = one.job, locks[one.job.name]
                execution.prepare(job, lock, job.name in stale, one.selection, one.plan, one.bundles)
                if one.job_ids:
                    lock.hand_over(one.job_ids, str(execution.run.code))
                else:
                    lock.release()
            rows = [_receipt_row(execution.layout, one) for one in on_the_way]
            write_receipt(execution.run, execution.run_id, words, "slurm", rows)
        except BaseException:
            _take_back(desk, list(locks.values()))
            raise
    return rows


def _take_back(desk: Desk, locks: Sequence[FolderLock]) -> None:
    """Cancel what was submitted, also what no answer told of, and give the folders back."""
    try:
        desk.cancel()
    except StageError as error:
        log.warning("%s; what is left in the queue will do nothing", error)
    for lock in locks:
        lock.release()


def _plan(execution: Execution, job: Job, rebuild: bool, controller: Controller, coming: Coming) -> Submitted:
    selection, plan = execution.plan(job, rebuild, coming)
    bundles, windows = divide(job, plan.waiting(), controller.max_array_size)
    return Submitted(job, request_of(job), selection, plan, bundles, windows)


def _submit(execution: Execution, one: Submitted, on_the_way: Sequence[Submitted], desk: Desk) -> None:
    """Hand in all arrays of a job."""
    run, job = execution.run, one.job
    resources = resources_of(job, one.request)
    call = ElementRun(str(execution.layout.data_root), str(run.root), job.name, str(job.unit.root), resources)
    one.after = _find_upstream_jobs(job, on_the_way)
    for window in one.windows:
        before = one.after if window.after is None else [*one.after, one.job_ids[window.after]]
        elements = range(window.first, window.first + window.count)
        folder = run.slurm_dir(job.name)
        made = desk.submit(one.request, folder, call, elements, window.max_running, before, one.job_ids)
        one.job_ids.append(made)


def _receipt_row(layout: Layout, one: Submitted) -> dict[str, Any]:
    request, waiting = one.request, one.plan.waiting()
    windows = [
        {"job_id": job_id, "first": window.first, "count": window.count, "max_running": window.max_running}
        for job_id, window in zip(one.job_ids, one.windows, strict=True)
    ]
    return job_row(layout, one.job) | {
        "items": one.plan.num_items,
        "failed": one.plan.num_failed,
        "held_back": dict(one.plan.held_back),
        "tasks": len(waiting),
        "weight_s": sum(task.weight for task in waiting),
        "elements": len(one.bundles),
        "request": {
            "cpus": request.cpus,
            "mem_gb": request.mem_gb,
            "gpus": request.gpus,
            "timeout_min": request.timeout_min,
            "num_workers": one.job.stage_config.num_workers,
            "partition": request.cluster.partition,
            "site": request.cluster.name,
        },
        "job_ids": one.job_ids,
        "windows": windows,
        "after": one.after,
    }


def _find_upstream_jobs(job: Job, on_the_way: Sequence[Submitted]) -> list[str]:
    """Ids of the jobs that make what ``job`` reads: of this command, and of earlier ones that are still at it."""
    ids: list[str] = []
    for unit in job.upstream.values():
        own = [one for one in on_the_way if one.job.unit.root == unit.root]
        ids += own[0].job_ids if own else live_holders(unit)
    return list(dict.fromkeys(ids))


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
        python=job.python,
        environment=job.environment,
    )
