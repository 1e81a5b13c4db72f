"""What sbatch says when it refuses, in one line, and which setting to change.

Texts are those of SLURM 20 to 25: most were provoked on 22.05, limits of QOS and association are from its sources.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from launchers.slurm.controller import Controller
from launchers.slurm.request import Request

Advice = Callable[[Request, Controller | None], str]

# The request may have arrived although the answer did not.
_UNANSWERED = re.compile(
    r"Socket timed out|Zero Bytes were transmitted|\((?:receive|shutdown) failure\)|Message receive failure"
    r"|Communication shutdown failure|Unexpected message received",
    re.IGNORECASE,
)
_PASSING = re.compile(
    r"Unable to contact slurm controller|Rate limit exceeded|Communication connection failure|Message send failure"
    r"|standby mode|Unable to create job record|Transport endpoint is not connected",
    re.IGNORECASE,
)
_PREFIX = re.compile(r"^(?:sbatch|srun|scontrol): (?:(?:error|fatal|warning|lua): )?(?:Batch job submission failed: )?")
_NOISE = re.compile(r"sleeping and retrying|^Try \"|^\s*$")


def explain_refusal(words: str, request: Request, controller: Controller | None = None) -> str:
    """One line: SLURM's own words, each once, and the settings to look at."""
    lines = [_PREFIX.sub("", line.strip()) for line in words.splitlines() if not _NOISE.search(line)]
    said = "; ".join(dict.fromkeys(lines)) or "no reason given"
    tell = next((tell for pattern, tell in _ADVICE if pattern.search(words)), _look_at_script)
    return f"SLURM refused {request.job}: {said.rstrip('.')}. {tell(request, controller)}"


def is_maybe_submitted(words: str) -> bool:
    """Whether the job may exist all the same: the controller was reached, but did not answer in time."""
    return bool(_UNANSWERED.search(words))


def is_worth_retrying(words: str) -> bool:
    """Whether the same request may be accepted in a few seconds.

    Too many jobs (``Resource temporarily unavailable``) is not among these: sbatch has then tried for minutes itself.
    """
    return is_maybe_submitted(words) or bool(_PASSING.search(words))


def _partition(request: Request, controller: Controller | None) -> str:
    asked = f"cluster.partition is {_shown(request.cluster.partition, 'the default partition')}"
    known = ", ".join(p.name for p in controller.partitions) if controller else ""
    return f"{asked}; set it to {f'one of: {known}' if known else 'one that sinfo lists'}"


def _account(request: Request, controller: Controller | None) -> str:
    asked = f"cluster.account is {_shown(request.cluster.account, 'your default account')}"
    return f"{asked}; 'sacctmgr show assoc user=$USER format=account,partition,qos' lists yours"


def _qos(request: Request, controller: Controller | None) -> str:
    asked = f"cluster.qos is {_shown(request.cluster.qos, 'the default')}"
    return f"{asked}; 'sacctmgr show assoc user=$USER format=account,partition,qos' lists yours"


def _time(request: Request, controller: Controller | None) -> str:
    limits = []
    for partition in controller.partitions if controller else ():
        if partition.name in (request.cluster.partition or "").split(",") and partition.max_time_min is not None:
            limits.append(f"partition {partition.name!r} allows {partition.max_time_min}")
    hint = f" ({', '.join(limits)})" if limits else " or choose another cluster.partition or cluster.qos"
    return f"Lower {request.stage}.timeout_min={request.timeout_min}{hint}"


def _node_configuration(request: Request, controller: Controller | None) -> str:
    cluster, stage = request.cluster, request.stage
    parts = [f"{stage}.cpus_per_task={request.cpus}"]
    parts += [] if cluster.exclusive else [f"{stage}.mem_gb={request.mem_gb:g}"]
    parts += [f"{stage}.gpus_per_node={request.gpus}"] if request.gpus else []
    for name in ("gpu_type", "constraint"):
        value = getattr(cluster, name)
        parts += [f"cluster.{name}={value}"] if value and (request.gpus or name == "constraint") else []
    return f"No node has {', '.join(parts)} together; 'sinfo -o \"%P %c %m %G %f\"' shows what nodes have"


def _gpus(request: Request, controller: Controller | None) -> str:
    asked = f"{request.stage}.gpus_per_node={request.gpus}, cluster.gpu_type={_shown(request.cluster.gpu_type, 'null')}"
    return f"Check {asked} and cluster.gpu_option={request.cluster.gpu_option} against 'sinfo -o \"%P %G\"'"


def _policy(request: Request, controller: Controller | None) -> str:
    stage = request.stage
    return (
        f"Your limits ('sacctmgr show assoc user=$USER', 'sacctmgr show qos') are below the request: "
        f"{stage}.timeout_min={request.timeout_min}, cpus_per_task={request.cpus}, gpus_per_node={request.gpus}, "
        f"mem_gb={request.mem_gb:g}, or the number of jobs, which follows cluster.max_running and "
        f"cluster.elements_per_slot; or choose another cluster.qos or cluster.account"
    )


def _number_of_jobs(request: Request, controller: Controller | None) -> str:
    lower = "lower cluster.elements_per_slot or cluster.max_running, or name fewer stages and sources at once"
    return f"Too many jobs wait already: repeat the command later, {lower}"


def _array(request: Request, controller: Controller | None) -> str:
    cap = f"; the controller's MaxArraySize is {controller.max_array_size}" if controller else ""
    return f"Set cluster.max_array_size below the site's MaxArraySize ('scontrol show config'){cap}"


def _look_at_script(request: Request, controller: Controller | None) -> str:
    return "The same command with plan=true shows the script that sbatch is given; settings of the site are cluster.*"


def _fixed(text: str) -> Advice:
    return lambda request, controller: text


def _setting(name: str, hint: str) -> Advice:
    """Advice on one setting of the cluster section, with its value."""
    return lambda request, controller: f"Set cluster.{name}={_shown(getattr(request.cluster, name), 'null')} {hint}"


def _of_stage(name: str, hint: str) -> Advice:
    """Advice on one setting of the stage's section, with its value."""
    field = {"cpus_per_task": "cpus", "gpus_per_node": "gpus"}.get(name, name)
    return lambda request, controller: f"{request.stage}.{name} is {getattr(request, field)}; {hint}"


def _shown(value: str | None, default: str) -> str:
    return repr(value) if value else f"null ({default})" if default != "null" else "null"


# The first that matches counts: particular reasons stand before the general text that SLURM adds to them.
_ADVICE: list[tuple[re.Pattern[str], Advice]] = [
    (re.compile(pattern, re.IGNORECASE), tell)
    for pattern, tell in [
        (r"(QOS|Assoc)\w*(Submit|Jobs)\w*|MaxJobCount|Resource temporarily unavailable", _number_of_jobs),
        (r"(QOS|Assoc)\w*(Wall|Time|Minutes)\w*", _time),
        (r"(QOS|Assoc)\w*(GRES|gpu)\w*", _gpus),
        (r"(QOS|Assoc)\w*Cpu\w*", _of_stage("cpus_per_task", "your account or QOS allows fewer CPUs")),
        (r"(QOS|Assoc)\w*Mem\w*", _of_stage("mem_gb", "your account or QOS allows less memory, GiB")),
        (r"submit limit", _policy),
        (r"invalid partition|no partition specified|Required partition not available|Partition in DOWN", _partition),
        (r"partition configuration not available|Requested nodes not in this partition", _partition),
        (r"Node count specification invalid", _partition),
        (r"group not permitted", _partition),
        (r"invalid account|account.*not permitted", _account),
        (r"invalid qos|QOS usage threshold|QOS not", _qos),
        (r"time limit|--time specification", _time),
        (r"Memory required by task", _of_stage("mem_gb", "the partition allows fewer GiB (MaxMemPerNode)")),
        (r"Memory specification can not", _of_stage("mem_gb", "no node of the partition has as many GiB")),
        (r"More processors requested", _of_stage("cpus_per_task", "the partition allows fewer (MaxCPUsPerNode)")),
        (r"CPU count per node", _of_stage("cpus_per_task", "no node of the partition has as many CPUs")),
        (r"\bgres\b|gpus-per", _gpus),
        (r"feature specification", _setting("constraint", "to features that 'sinfo -o \"%P %f\"' lists, or to null")),
        (r"node configuration is not available", _node_configuration),
        (r"job array specification", _array),
        (r"--signal", _setting("signal_delay_s", "to seconds below 65536")),
        (r"wckey", _fixed("Set sbatch: ['wckey=NAME'] in the site's file; see 'sacctmgr show wckey user=$USER'")),
        (r"reservation", _fixed("Check the reservation in cluster.sbatch against 'scontrol show reservation'")),
        (r"license|--nice|unrecognized option|node name|--begin", _fixed("Check the options in cluster.sbatch")),
        (r"mutually exclusive", _fixed("Take what cluster.sbatch says of memory or GPUs out: stage settings say it")),
        (r"dependency problem", _fixed("An earlier job is gone already; repeat the command")),
        (r"permission denied", _fixed("cluster.partition, or an option in cluster.sbatch, is not open to you")),
        (r"time-?out|timed out|Unable to contact|standby|Rate limit|connection failure|send failure|Zero Bytes",
         _fixed("The controller did not answer; try again when 'scontrol ping' says UP")),
        (r"authentication|munge", _fixed("SLURM's authentication fails on this machine; ask the administrators")),
        (r"submissions disabled", _fixed("The site takes no jobs now; try again later")),
    ]
]  # fmt: skip
