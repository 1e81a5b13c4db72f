"""What one stage over one source asks SLURM for: the site's facts and the stage's resources, as sbatch options."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from mmassist.core.config import build
from mmassist.core.stage_config import StageConfig

# A setup line that fails ends the job: work in the wrong environment is worse than none.
_STRICT = ("set -eE", "trap 'echo \"cluster.setup failed at: $BASH_COMMAND\" >&2' ERR")
_LENIENT = ("trap - ERR", "set +eE")
_OPTION = re.compile(r"(--)?[a-z][a-z0-9-]*(=\S+)?")
# sbatch options that a setting of ours stands for, or that the launcher needs for itself.
OWN_OPTIONS = {
    "account": "cluster.account",
    "constraint": "cluster.constraint",
    "cpus-per-task": "the stage's cpus_per_task",
    "exclusive": "cluster.exclusive",
    "gpus": "the stage's gpus_per_node",
    "gpus-per-node": "the stage's gpus_per_node",
    "gpus-per-task": "cluster.gpu_option and the stage's gpus_per_node",
    "gres": "cluster.gpu_option and the stage's gpus_per_node",
    "mem": "the stage's mem_gb",
    "mem-per-cpu": "the stage's mem_gb",
    "mem-per-gpu": "the stage's mem_gb",
    "partition": "cluster.partition",
    "qos": "cluster.qos",
    "signal": "cluster.signal_delay_s",
    "time": "the stage's timeout_min",
    **dict.fromkeys(
        (
            *("array", "chdir", "clusters", "dependency", "error", "export", "input", "job-name", "no-requeue"),
            *("nodes", "ntasks", "ntasks-per-node", "open-mode", "output", "parsable", "quiet", "requeue"),
            *("test-only", "uid", "wait", "wrap"),
        ),
        "",
    ),
}


@dataclass(frozen=True)
class ClusterConfig:
    """Facts of a site; ``conf/cluster/generic.yaml`` says what each means and is if nothing is said."""

    name: str
    partition: str | None
    account: str | None
    qos: str | None
    constraint: str | None
    gpu_option: Literal["gpus-per-node", "gpus-per-task", "gres"]
    gpu_type: str | None
    exclusive: bool
    max_running: int
    max_array_size: int | None
    elements_per_slot: int
    signal_delay_s: int
    max_requeues: int
    scratch_dir: str | None
    setup: tuple[str, ...]
    sbatch: tuple[str, ...]

    def __post_init__(self) -> None:
        for name in ("max_running", "elements_per_slot", "signal_delay_s"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be 1 or more")
        if self.max_array_size is not None and self.max_array_size < 1:
            raise ValueError(f"max_array_size is {self.max_array_size}; it must be 1 or more, or null")
        if self.max_requeues < 0:
            raise ValueError(f"max_requeues is {self.max_requeues}; it must not be negative")
        for option in self.sbatch:
            if not _OPTION.fullmatch(option):
                raise ValueError(f"sbatch has {option!r}; options are written NAME=VALUE or NAME, without blanks")
        for name in self.sbatch_options:
            own = next((own for own in OWN_OPTIONS if own.startswith(name)), "")  # sbatch takes any beginning of a name
            if own:
                instead = f"say {OWN_OPTIONS[own]} instead" if OWN_OPTIONS[own] else "the launcher sets it itself"
                raise ValueError(f"sbatch has the option {name!r}; {instead}")

    @property
    def sbatch_options(self) -> dict[str, Any]:
        """The site's further options by name: ``nice=100`` has a value, ``hold`` is a flag."""
        pairs = (option.lstrip("-").partition("=") for option in self.sbatch)
        return {name: value if equals else True for name, equals, value in pairs}


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

    def parameters(self, max_running: int, after: list[str], code: str) -> dict[str, Any]:
        """The request as parameters of submitit's SLURM executor; ``code`` is the folder whose code is run."""
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
            "srun_args": ["--cpus-per-task", str(self.cpus), "--chdir", code],  # wherever the setup has gone
            "setup": [*_STRICT, *cluster.setup, *_LENIENT] if cluster.setup else None,
        }
        extra: dict[str, Any] = {"requeue": True, **cluster.sbatch_options}
        if cluster.exclusive:
            options["exclusive"] = True
            extra["mem"] = 0  # all of the node's
        else:
            options["mem"] = f"{max(1, round(self.mem_gb * 1024))}M"  # 0 would be all of the node's
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
