"""What a job asks of SLURM, and how its waiting tasks are divided into array elements and arrays."""

from __future__ import annotations

from collections.abc import Sequence

from launchers.balance import Window, plan_elements, plan_windows
from launchers.jobs import Job
from launchers.slurm.request import Request, build_request
from mmassist.core.stage import Task


def request_of(job: Job) -> Request:
    """What one array element of a job asks for. Raises ConfigError."""
    return build_request(job.name, job.stage.name, job.stage_config, job.sections["cluster"])


def divide(job: Job, tasks: Sequence[Task], controller_limit: int | None) -> tuple[list[list[Task]], list[Window]]:
    """Bundle a job's waiting tasks into elements, in the order of their numbers, and cut these into arrays."""
    cluster, config = request_of(job).cluster, job.stage_config
    bundles = plan_elements(tasks, cluster.max_running, config.num_workers, cluster.elements_per_slot) if tasks else []
    limits = [limit for limit in (cluster.max_array_size, controller_limit) if limit]
    order, windows = plan_windows(len(bundles), min(limits, default=len(bundles) or 1), cluster.max_running)
    return [bundles[number] for number in order], windows
