"""What a SLURM site has: limits of the controller, partitions and nodes, as ``scontrol show`` tells them.

Versions differ in the fields they print, so what is absent means "no limit" and what is unknown is passed over.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

from mmassist.core.errors import ConfigError

NODE_FIELDS = (
    "NodeName", "CPUTot", "CPUEfctv", "RealMemory", "MemSpecLimit", "Gres", "ActiveFeatures", "AvailableFeatures",
    "Partitions", "State",
)  # fmt: skip
PARTITION_FIELDS = (
    "PartitionName", "Default", "State", "MaxTime", "DefaultTime", "MinNodes", "MaxNodes", "MaxCPUsPerNode",
    "MaxMemPerNode", "MaxMemPerCPU", "AllowAccounts", "DenyAccounts", "AllowQos", "DenyQos", "PreemptMode", "GraceTime",
    "TotalNodes",
)  # fmt: skip
NOT_WORKING = ("DOWN", "DRAIN", "ERROR", "FAIL", "FUTURE", "INVAL", "MAINT", "NO_RESPOND", "UNKNOWN")


@dataclass(frozen=True)
class Node:
    """One node as configured, whatever runs on it now."""

    name: str
    cpus: int  # that jobs may use
    memory_mb: int  # that jobs may use
    gpus: dict[str, int]  # count by type; "" is the type of GPUs without one
    features: frozenset[str]
    partitions: tuple[str, ...]
    state: str  # as SLURM writes it: ``IDLE``, ``MIXED+DRAIN``, ``DOWN*``

    @property
    def is_working(self) -> bool:
        """Whether the node takes jobs, now or when it is free; a powered-down cloud node does."""
        return not self.state.endswith("*") and not any(
            flag.startswith(NOT_WORKING) for flag in self.state.upper().split("+")
        )


@dataclass(frozen=True)
class Partition:
    """One partition; None and empty tuples stand for no limit."""

    name: str
    is_default: bool = False
    state: str = "UP"
    max_time_min: int | None = None
    default_time_min: int | None = None
    min_nodes: int = 0
    max_nodes: int | None = None
    max_cpus_per_node: int | None = None
    max_mem_per_node_mb: int | None = None
    max_mem_per_cpu_mb: int | None = None
    allow_accounts: tuple[str, ...] = ()
    deny_accounts: tuple[str, ...] = ()
    allow_qos: tuple[str, ...] = ()
    deny_qos: tuple[str, ...] = ()
    preempt_mode: str = "OFF"
    grace_time_s: int = 0
    total_nodes: int = 0


@dataclass(frozen=True)
class Controller:
    """What ``scontrol show config`` says that matters here, with all partitions and nodes."""

    version: str = ""
    max_array_size: int = 1001  # elements of one array: indices run from 0 to one less
    max_job_count: int = 10000  # unfinished jobs of the whole site, array elements counted one by one
    accounting: str = "none"  # ``none``: there is no sacct
    enforces_accounts: bool = False  # an account or QOS that does not exist is refused
    enforces_limits: str = "NO"  # EnforcePartLimits: NO, ANY or ALL
    preempt_type: str = "none"
    send_user_signal: bool = False  # preempted jobs get the warning signal they asked for
    kill_wait_s: int = 30  # from SIGTERM to SIGKILL
    partitions: tuple[Partition, ...] = ()
    nodes: tuple[Node, ...] = ()

    def partition(self, name: str) -> Partition | None:
        return next((p for p in self.partitions if p.name == name), None)

    @property
    def default_partition(self) -> Partition | None:
        return next((p for p in self.partitions if p.is_default), None)

    def nodes_of(self, partition: str) -> list[Node]:
        return [node for node in self.nodes if partition in node.partitions]


def ask_controller(timeout_s: float = 60.0) -> Controller:
    """Ask the site's controller. Raises ConfigError with SLURM's own words when it does not answer."""
    config = _scontrol(timeout_s, "show", "config")
    partitions = _scontrol(timeout_s, "-a", "-o", "show", "partition")
    nodes = _scontrol(timeout_s, "-a", "-o", "show", "node")
    return parse_controller(config, partitions, nodes)


def parse_controller(config: str, partitions: str, nodes: str) -> Controller:
    """Read the output of ``scontrol show config`` and of the one-line forms of ``show partition`` and ``show node``."""
    lines = (line.partition("=") for line in config.splitlines())
    values = {key.strip(): value.strip() for key, _, value in lines}
    enforced = values.get("EnforcePartLimits", "NO").upper()
    most_memory = _limit(values.get("MaxMemPerNode", ""))
    longest_array = _limit(values.get("MaxArraySize", ""))
    return Controller(
        version=values.get("SLURM_VERSION", ""),
        max_array_size=1001 if longest_array is None else max(1, longest_array),  # 0: no arrays
        max_job_count=_limit(values.get("MaxJobCount", "")) or 10000,
        accounting=_plugin(values.get("AccountingStorageType", "")),
        enforces_accounts="associations" in values.get("AccountingStorageEnforce", "").lower(),
        enforces_limits={"YES": "ALL"}.get(enforced, enforced),
        preempt_type=_plugin(values.get("PreemptType", "")),
        send_user_signal="preempt_send_user_signal" in values.get("SlurmctldParameters", "").lower(),
        kill_wait_s=_limit(values.get("KillWait", "").split(" ")[0]) or 0,
        partitions=tuple(_partition(row, most_memory) for row in _iter_rows(partitions, PARTITION_FIELDS)),
        nodes=tuple(_node(row) for row in _iter_rows(nodes, NODE_FIELDS)),
    )


def parse_minutes(text: str) -> int | None:
    """``2-12:30:00`` or ``90`` (minutes) as minutes, rounded down; None for UNLIMITED, NONE and what is no time."""
    found = re.fullmatch(r"(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?", text)
    if not found:
        return None
    days, first, second, third = found.groups()
    if days is not None:
        return int(days) * 1440 + int(first) * 60 + int(second or 0)
    if third is not None:
        return int(first) * 60 + int(second)
    return int(first)


def parse_gpus(gres: str) -> dict[str, int]:
    """The GPUs of a node by type from its Gres text, such as ``gpu:a100:4(S:0-1),gpu:h100:4,mps:400``."""
    gpus: dict[str, int] = {}
    for part in re.sub(r"\([^)]*\)", "", gres).split(","):
        name, *words = part.strip().split(":")
        if name != "gpu":
            continue
        words = [word for word in words if word != "no_consume"]
        count = int(words.pop()) if words and words[-1].isdigit() else 1
        kind = ":".join(words)
        gpus[kind] = gpus.get(kind, 0) + count
    return gpus


def _scontrol(timeout_s: float, *words: str) -> str:
    command = ["scontrol", *words]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=timeout_s, stdin=subprocess.DEVNULL
        )
    except FileNotFoundError as error:
        raise ConfigError(
            "there is no scontrol on this machine; say hydra/launcher=local or use a login node"
        ) from error
    except subprocess.TimeoutExpired as error:
        raise ConfigError(f"SLURM's controller did not answer '{' '.join(command)}' within {timeout_s:g} s") from error
    if done.returncode:
        lines = [line.strip() for line in (done.stderr or done.stdout).splitlines() if line.strip()]
        said = "; ".join(dict.fromkeys(lines)) or f"exit code {done.returncode}"
        raise ConfigError(f"SLURM's controller cannot be asked ({said}); 'scontrol ping' tells whether it is up")
    return done.stdout


def _iter_rows(text: str, fields: tuple[str, ...]) -> Iterator[dict[str, str]]:
    """Yield the wanted fields of every one-line record; values with spaces (OS, Reason) are not among them."""
    wanted = re.compile(rf"(?:^|\s)({'|'.join(fields)})=(\S*)")
    for line in text.splitlines():
        # Reversed, so that the first mention wins: an administrator's remark comes last and may hold anything.
        row = dict(reversed(wanted.findall(line)))
        if fields[0] in row:
            yield row


def _node(row: dict[str, str]) -> Node:
    # A feature that is available but not active comes with a reboot that SLURM does on demand.
    features = f"{row.get('AvailableFeatures', '')},{row.get('ActiveFeatures', '')}"
    reserved = _limit(row.get("MemSpecLimit", "")) or 0
    return Node(
        name=row["NodeName"],
        cpus=_limit(row.get("CPUEfctv") or row.get("CPUTot", "")) or 0,
        memory_mb=max(0, (_limit(row.get("RealMemory", "")) or 0) - reserved),
        gpus=parse_gpus(row.get("Gres", "")),
        features=frozenset(_names(features)),
        partitions=_names(row.get("Partitions", "")),
        state=row.get("State", ""),
    )


def _partition(row: dict[str, str], most_memory_mb: int | None) -> Partition:
    return Partition(
        name=row["PartitionName"],
        is_default=row.get("Default", "").upper() == "YES",
        state=row.get("State", "UP").upper(),
        max_time_min=parse_minutes(row.get("MaxTime", "")),
        default_time_min=parse_minutes(row.get("DefaultTime", "")),
        min_nodes=_limit(row.get("MinNodes", "")) or 0,
        max_nodes=_limit(row.get("MaxNodes", "")),
        max_cpus_per_node=_limit(row.get("MaxCPUsPerNode", "")),
        max_mem_per_node_mb=_limit(row.get("MaxMemPerNode", "")) or most_memory_mb,
        max_mem_per_cpu_mb=_limit(row.get("MaxMemPerCPU", "")) or None,
        allow_accounts=_names(row.get("AllowAccounts", "")),
        deny_accounts=_names(row.get("DenyAccounts", "")),
        allow_qos=_names(row.get("AllowQos", "")),
        deny_qos=_names(row.get("DenyQos", "")),
        preempt_mode=row.get("PreemptMode", "OFF").upper(),
        grace_time_s=_limit(row.get("GraceTime", "")) or 0,
        total_nodes=_limit(row.get("TotalNodes", "")) or 0,
    )


def _limit(text: str) -> int | None:
    """A number, or None for ``UNLIMITED``, ``N/A`` and the like."""
    return int(text) if text.isdigit() else None


def _names(text: str) -> tuple[str, ...]:
    return tuple(name for name in text.split(",") if name and name not in ("ALL", "(null)", "N/A", "NONE"))


def _plugin(text: str) -> str:
    """``partition_prio`` of ``preempt/partition_prio``; ``none`` when nothing is set."""
    return text.rpartition("/")[2].replace("(null)", "") or "none"
