"""What one stage over one source asks SLURM for: the site's facts and the stage's resources, as sbatch options."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from mmassist.core.config import build
from mmassist.core.stage_config import StageConfig


@dataclass(frozen=True)
class ClusterConfig:
    """Facts of a site; the YAML files in ``conf/cluster/`` say what each means."""

    name: str
    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    constraint: str | None = None
    gpu_option: Literal["gpus-per-node", "gpus-per-task", "gres"] = "gpus-per-node"
    gpu_type: str | None = None
    exclusive: bool = False
    max_running: int = 64
    max_array_size: int | None = None
    elements_per_slot: int = 4
    signal_delay_s: int = 120
    max_requeues: int = 20
    scratch_dir: str | None = None
    setup: tuple[str, ...] = ()
    sbatch: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("max_running", "elements_per_slot", "signal_delay_s"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be 1 or more")
        if self.max_array_size is not None and self.max_array_size < 1:
            raise ValueError(f"max_array_size is {self.max_array_size}; it must be 1 or more, or null")
        if self.max_requeues < 0:
            raise ValueError(f"max_requeues is {self.max_requeues}; it must not be negative")


@dataclass(frozen=True)
class Request:
    """The resources of one array element of one job."""

    job: str  # as in the run folder
    stage: str  # whose section sets the resources
    cluster: ClusterConfig
    cpus: int
    mem_gb: float
    gpus: int
    timeout_min: int

    def gres(self) -> str:
        """``8`` or ``h100:8``: what the GPU option says."""
        return f"{self.cluster.gpu_type}:{self.gpus}" if self.cluster.gpu_type else str(self.gpus)

    def _further_options(self) -> dict[str, Any]:
        """The site's own options: ``nice=100`` has a value, ``hold`` is a flag."""
        pairs = (option.lstrip("-").partition("=") for option in self.cluster.sbatch)
        return {name: value if equals else True for name, equals, value in pairs}

    def parameters(self, max_running: int, after: list[str]) -> dict[str, Any]:
        """The request as parameters of submitit's SLURM executor."""
        cluster = self.cluster
        # Jobs of SLURM 22.05 and later do not pass --cpus-per-task from sbatch on to srun.
        options: dict[str, Any] = {
            "job_name": self.job,
            "time": self.timeout_min,
            "nodes": 1,
            "ntasks_per_node": 1,
            "cpus_per_task": self.cpus,
            "array_parallelism": max_running,
            "signal_delay_s": cluster.signal_delay_s,
            "srun_args": ["--cpus-per-task", str(self.cpus)],
            "setup": list(cluster.setup) or None,
        }
        extra: dict[str, Any] = {"requeue": True, **self._further_options()}
        if cluster.exclusive:
            options["exclusive"] = True
            extra["mem"] = 0  # all of the node's
        else:
            options["mem"] = f"{round(self.mem_gb * 1024)}M"
        if self.gpus:
            extra[cluster.gpu_option] = f"gpu:{self.gres()}" if cluster.gpu_option == "gres" else self.gres()
        if after:
            extra["dependency"] = "afterany:" + ":".join(after)
        for name in ("partition", "account", "qos", "constraint"):
            if getattr(cluster, name):
                options[name] = getattr(cluster, name)
        return {**options, "additional_parameters": extra}


def build_request(job: str, stage: str, config: StageConfig, cluster: Mapping[str, Any]) -> Request:
    """The request of one job. Raises ConfigError naming the key at fault."""
    site = build(ClusterConfig, cluster, "cluster")
    return Request(job, stage, site, config.cpus_per_task, config.mem_gb, config.gpus_per_node, config.timeout_min)
