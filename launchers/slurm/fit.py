"""Whether a site can ever give what a job asks for, told before submission.

Unless a site sets EnforcePartLimits, SLURM accepts some impossible requests and lets them wait for ever (a time limit
or CPUs above the partition's, an account that it does not take), and its refusals name no setting.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from launchers.slurm.constraint import UnknownSyntax, parse_constraint
from launchers.slurm.controller import Controller, Node, Partition
from launchers.slurm.request import Request
from mmassist.core.config import nearest
from mmassist.core.errors import ConfigError


@dataclass(frozen=True)
class Offer:
    """What one node gives a single job of a partition, with the GPUs of the type asked for."""

    cpus: int
    memory_mb: int
    gpus: int
    features: frozenset[str]


@dataclass(frozen=True)
class Need:
    """One resource of a request."""

    said: str  # the setting and its value
    condition: str  # the same as a property of nodes
    holds: Callable[[Offer], bool]
    tell_most: Callable[[Sequence[Offer]], str]  # of some nodes, what the most is; completes "no node ..."


def check_fits(request: Request, controller: Controller) -> list[str]:
    """Check a request against a site; returns remarks on what will not last for ever (nodes that are down).

    Raises ConfigError naming the setting that no node of any partition asked for can satisfy, and the most that fits.
    """
    _check_warning_time(request)
    partitions = _chosen_partitions(request, controller)
    problems = {p.name: find_problem(request, p, controller) for p in partitions}
    fitting = [p for p in partitions if not problems[p.name]]
    if not fitting:
        raise ConfigError("; ".join(dict.fromkeys(problems.values())) + _elsewhere(request, partitions, controller))
    remarks = [f"{request.job} cannot use partition {p!r}: {why}" for p, why in problems.items() if why]
    return remarks + [remark for p in fitting for remark in _iter_remarks(request, p, controller)]


def find_problem(request: Request, partition: Partition, controller: Controller) -> str:
    """Why a partition can never run the request, naming the setting at fault; "" if it can."""
    name, stage = repr(partition.name), request.stage
    if partition.state in ("INACTIVE", "DRAIN"):
        return f"cluster.partition: partition {name} takes no jobs, its state is {partition.state}"
    closed = _closed_to(request, partition)
    if closed:
        return closed
    limit = partition.max_time_min
    if limit is not None and request.timeout_min > limit:
        said = f"{stage}.timeout_min is {request.timeout_min}, but partition {name} allows {limit} minutes"
        return f"{said}; set {stage}.timeout_min={limit} or less"
    if partition.min_nodes > 1 or partition.max_nodes == 0:
        limits = f"at least {partition.min_nodes}" if partition.min_nodes > 1 else "no"
        return f"cluster.partition: partition {name} takes jobs of {limits} nodes, and an element has one"
    nodes = controller.nodes_of(partition.name)
    if not nodes:  # the site may hide them
        return "" if partition.total_nodes else f"cluster.partition: partition {name} has no nodes"
    offers = [_offer(request, partition, node) for node in nodes]
    return _find_shortage(_needs(request), offers, f"no node of partition {name}")


def can_run(request: Request, partition: Partition, node: Node) -> bool:
    """Whether a node, free of other jobs, satisfies everything the request says about nodes."""
    return bool(_able(request, partition, [node]))


def _able(request: Request, partition: Partition, nodes: Sequence[Node]) -> list[Node]:
    needs = _needs(request)
    return [node for node in nodes if all(need.holds(_offer(request, partition, node)) for need in needs)]


def _check_warning_time(request: Request) -> None:
    delay = request.cluster.signal_delay_s
    if request.timeout_min * 60 <= delay:
        raise ConfigError(
            f"{request.stage}.timeout_min is {request.timeout_min} ({request.timeout_min * 60} s), which is not longer "
            f"than cluster.signal_delay_s={delay}: an element would have to stop as it starts"
        )


def _chosen_partitions(request: Request, controller: Controller) -> list[Partition]:
    known = [p.name for p in controller.partitions]
    if request.cluster.partition is None:
        if controller.default_partition is None:
            choices = ", ".join(known) or "none that you may see"
            raise ConfigError(f"cluster.partition is null and the site has no default; set it to one of: {choices}")
        return [controller.default_partition]
    chosen = []
    for name in request.cluster.partition.split(","):
        partition = controller.partition(name.strip())
        if partition is None:
            close = nearest(name, known) if known else ""
            rest = "" if "Valid" in close else f" Partitions: {', '.join(known) or 'none that you may see'}."
            raise ConfigError(f"cluster.partition is {name.strip()!r}, which the site does not have.{close}{rest}")
        chosen.append(partition)
    return chosen


def _closed_to(request: Request, partition: Partition) -> str:
    for key, value, allowed, denied in (
        ("account", request.cluster.account, partition.allow_accounts, partition.deny_accounts),
        ("qos", request.cluster.qos, partition.allow_qos, partition.deny_qos),
    ):
        if value is None:
            continue
        if allowed and value.lower() not in [name.lower() for name in allowed]:
            return f"cluster.{key} is {value!r}, but partition {partition.name!r} takes only: {', '.join(allowed)}"
        if value.lower() in [name.lower() for name in denied]:
            return f"cluster.{key} is {value!r}, which partition {partition.name!r} does not take"
    return ""


def _offer(request: Request, partition: Partition, node: Node) -> Offer:
    kind = request.cluster.gpu_type
    cpus, memory_mb = node.cpus, node.memory_mb
    if partition.max_cpus_per_node is not None:
        cpus = min(cpus, partition.max_cpus_per_node)
    if partition.max_mem_per_node_mb is not None:
        memory_mb = min(memory_mb, partition.max_mem_per_node_mb)
    if partition.max_mem_per_cpu_mb is not None:  # SLURM raises the CPUs of a job until its memory fits
        memory_mb = min(memory_mb, partition.max_mem_per_cpu_mb * cpus)
    return Offer(cpus, memory_mb, node.gpus.get(kind, 0) if kind else sum(node.gpus.values()), node.features)


def _needs(request: Request) -> list[Need]:
    needs, stage, cluster = [], request.stage, request.cluster
    if cluster.constraint:
        needs += _constraint_needs(cluster.constraint)
    if request.gpus:
        kind = f" of type {cluster.gpu_type!r} (cluster.gpu_type)" if cluster.gpu_type else ""
        needs.append(
            Need(
                f"{stage}.gpus_per_node is {request.gpus}",
                f"{request.gpus} GPUs{kind}",
                lambda offer: offer.gpus >= request.gpus,
                lambda offers: f"has more than {max(offer.gpus for offer in offers)} GPUs{kind}",
            )
        )
    needs.append(
        Need(
            f"{stage}.cpus_per_task is {request.cpus}",
            f"{request.cpus} CPUs",
            lambda offer: offer.cpus >= request.cpus,
            lambda offers: f"gives a job more than {max(offer.cpus for offer in offers)} CPUs",
        )
    )
    if not cluster.exclusive:  # which asks for all of a node's memory, however much that is
        needs.append(
            Need(
                f"{stage}.mem_gb is {request.mem_gb:g}",
                f"{request.mem_gb:g} GiB",
                lambda offer: offer.memory_mb >= round(request.mem_gb * 1024),
                lambda offers: f"gives a job more than {_gib(max(offer.memory_mb for offer in offers))} GiB",
            )
        )
    return needs


def _constraint_needs(constraint: str) -> list[Need]:
    try:
        test = parse_constraint(constraint)
    except UnknownSyntax:
        return []

    def tell_most(offers: Sequence[Offer]) -> str:
        known = sorted({feature for offer in offers for feature in offer.features})
        return f"satisfies that; features there: {', '.join(known) or 'none'}"

    said = f"cluster.constraint is {constraint!r}"
    return [Need(said, f"constraint {constraint!r}", lambda offer: test(offer.features), tell_most)]


def _find_shortage(needs: Sequence[Need], offers: Sequence[Offer], nodes: str) -> str:
    """The need that no node meets, alone or with those before it; "" if a node meets them all."""
    for need in needs:
        if not any(need.holds(offer) for offer in offers):
            return f"{need.said}, but {nodes} {need.tell_most(offers)}"
    left = list(offers)
    conditions: list[str] = []
    for need in needs:
        rest = [offer for offer in left if need.holds(offer)]
        if not rest:
            return f"{need.said}, but {nodes} with {' and '.join(conditions)} {need.tell_most(left)}"
        if len(rest) < len(left):
            conditions.append(need.condition)
        left = rest
    return ""


def _elsewhere(request: Request, chosen: Sequence[Partition], controller: Controller) -> str:
    others = [p for p in controller.partitions if p not in chosen and p.state == "UP"]
    fitting = [p.name for p in others if not find_problem(request, p, controller)]
    return f"; it would fit with cluster.partition={' or '.join(fitting)}" if fitting else ""


def _iter_remarks(request: Request, partition: Partition, controller: Controller) -> list[str]:
    name, cluster = repr(partition.name), request.cluster
    remarks = []
    if partition.state == "DOWN":
        remarks.append(f"partition {name} is DOWN: jobs wait until an administrator opens it")
    able = _able(request, partition, controller.nodes_of(partition.name))
    if not able:
        remarks.append(f"the nodes of partition {name} cannot be seen: whether {request.job} fits is left to SLURM")
    elif not any(node.is_working for node in able):
        states = ", ".join(sorted({node.state for node in able}))
        remarks.append(f"none of the {len(able)} nodes of partition {name} that fit {request.job} works now ({states})")
    if cluster.exclusive and able and not any(node.memory_mb >= request.mem_gb * 1024 for node in able):
        most = _gib(max(node.memory_mb for node in able))
        remarks.append(f"{request.stage}.mem_gb is {request.mem_gb:g}, but nodes of partition {name} have {most} GiB")
    for key, value, allowed in (
        ("account", cluster.account, partition.allow_accounts),
        ("qos", cluster.qos, partition.allow_qos),
    ):
        if value is None and allowed:
            remarks.append(
                f"partition {name} takes only cluster.{key}={' or '.join(allowed)}; yours is the default one"
            )
    return remarks + _preemption_remarks(partition, controller)


def _preemption_remarks(partition: Partition, controller: Controller) -> list[str]:
    if controller.preempt_type != "partition_prio" or "OFF" in partition.preempt_mode.split(","):
        return []
    name = repr(partition.name)
    if "CANCEL" in partition.preempt_mode:
        return [f"partition {name} cancels the jobs it preempts: repeat the command for what they leave"]
    if not controller.send_user_signal or not partition.grace_time_s:
        return [f"partition {name} preempts without a warning: the items in hand are repeated"]
    return []


def _gib(megabytes: int) -> str:
    """Rounded down, so that the number may be used as a setting."""
    return f"{int(megabytes / 1024 * 100) / 100:g}"
