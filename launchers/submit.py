"""Send jobs to SLURM through submitit: array windows below the site's limit, later stages after the earlier ones."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from launchers.execute import Execution
from launchers.jobs import Job
from launchers.supervise import Limits, Supervisor, child_environment, spawn_worker
from mmassist.core.errors import ConfigError
from mmassist.io.layout import RunLayout, UnitLayout
from mmassist.io.lock import FolderLock

log = logging.getLogger(__name__)


class ElementRun:
    """What one array element does: a supervisor over the element's tasks. Pickled by submitit."""

    def __init__(self, data_root: str, run_dir: str, job: str, unit: str, run_id: str, resources: dict[str, Any]):
        self.data_root, self.run_dir, self.job, self.unit = data_root, run_dir, job, unit
        self.run_id, self.resources = run_id, resources

    def __call__(self, element: int) -> None:
        """Raises StageError when the element cannot go on: SLURM then shows it as FAILED."""
        run = RunLayout(Path(self.run_dir))
        tasks = [row["name"] for row in json.loads(run.element(self.job, element).read_text())["tasks"]]
        res = self.resources
        num_workers = min(res["num_workers"], len(tasks))
        cache = run.root / "cache" / f"{self.job}-{element}"

        def spawn(child: int) -> Any:
            environment = child_environment(child, num_workers, res["gpus_per_node"], cache)
            return spawn_worker(Path(self.data_root), run, self.job, element, child, environment)

        limits = Limits(res["item_timeout_s"], res["mem_gb"] * 2**30 / num_workers, res["max_fail_ratio"])
        unit = UnitLayout(Path(self.unit))
        Supervisor(unit, self.run_id, element, tasks, num_workers, limits, spawn, lambda event: None).run()

    def checkpoint(self, element: int) -> Any:
        """Called by submitit before a requeue: the same element again, which skips what is done."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self, element)


def submit_jobs(execution: Execution, jobs: Sequence[Job], stale: Sequence[Job]) -> list[dict[str, Any]]:
    """Submit every job that has something to do; returns the receipt's rows.

    Raises ConfigError with sbatch's own words when the cluster refuses.
    """
    submitted: dict[str, list[str]] = {}  # output folder -> job ids
    rows = []
    for job in jobs:
        ids, after, elements = _submit_job(execution, job, job in stale, submitted)
        submitted[str(job.unit.root)] = ids
        unit = execution.layout.relative(job.unit.root)
        rows.append({"job": job.name, "unit": unit, "elements": elements, "job_ids": ids, "after": after})
    return rows


def jobs_alive(job_ids: Sequence[str]) -> bool:
    """Whether SLURM still knows any of the jobs as unfinished; True when it cannot be asked."""
    words = ["squeue", "-h", "-o", "%T", "-j", ",".join(job_ids)]
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return True
    if done.returncode:
        return "Invalid job id" not in done.stderr  # ids that SLURM has forgotten
    return bool(done.stdout.split())


def _submit_job(
    execution: Execution, job: Job, rebuild: bool, submitted: dict[str, list[str]]
) -> tuple[list[str], list[str], int]:
    lock = FolderLock(job.unit.lock, execution.run_id, jobs_alive)
    lock.acquire()
    ids: list[str] = []
    try:
        cluster = job.sections["cluster"]
        _, bundles = execution.prepare(job, lock, rebuild, cluster["max_running"] * cluster["elements_per_slot"])
        after = [i for unit in job.upstream.values() for i in submitted.get(str(unit.root), [])]
        for start in range(0, len(bundles), cluster["max_array_size"]):
            window = range(start, min(start + cluster["max_array_size"], len(bundles)))
            ids.append(_submit_window(execution, job, window, after))
        return ids, after, len(bundles)
    finally:
        if ids:
            lock.hand_over(ids)
        else:
            lock.release()


def _submit_window(execution: Execution, job: Job, window: range, after: Sequence[str]) -> str:
    import submitit
    from submitit.core.utils import FailedJobError, FailedSubmissionError

    config, cluster, run = job.stage_config, job.sections["cluster"], execution.run
    executor = submitit.SlurmExecutor(folder=run.slurm_dir(job.name))
    extra: dict[str, Any] = {"requeue": True}
    if cluster["qos"]:
        extra["qos"] = cluster["qos"]
    if after:
        extra["dependency"] = "afterany:" + ":".join(after)
    executor.update_parameters(
        job_name=job.name,
        time=config.timeout_min,
        nodes=1,
        ntasks_per_node=1,
        cpus_per_task=config.cpus_per_task,
        mem=f"{config.mem_gb:g}G",
        array_parallelism=cluster["max_running"],
        additional_parameters=extra,
        setup=list(cluster["setup"]) or None,
        **({"gpus_per_node": config.gpus_per_node} if config.gpus_per_node else {}),
        **{name: cluster[name] for name in ("partition", "account", "constraint") if cluster[name]},
    )
    resources = {
        name: getattr(config, name)
        for name in ("num_workers", "gpus_per_node", "item_timeout_s", "mem_gb", "max_fail_ratio")
    }
    element = ElementRun(
        str(execution.layout.data_root), str(run.root), job.name, str(job.unit.root), execution.run_id, resources
    )
    try:
        with _inside(run.code):  # jobs start where they were submitted: on the snapshot
            handles = executor.map_array(element, list(window))
    except (FailedJobError, FailedSubmissionError) as error:
        raise ConfigError(f"SLURM refused {job.name}: {str(error).strip().splitlines()[-1]}") from error
    return str(handles[0].job_id).split("_")[0]


@contextlib.contextmanager
def _inside(folder: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)
