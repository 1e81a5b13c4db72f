"""The configuration files of a cluster: the same options and ports always give the same text."""

from __future__ import annotations

import getpass
import socket
from dataclasses import dataclass
from pathlib import Path

from slurm.private.options import Options
from slurm.private.place import Place

CLUSTER_NAME = "private"


@dataclass(frozen=True)
class Setup:
    """What was decided when the cluster was made, beside its options."""

    first_port: int
    first_job_id: int
    slurm_version: tuple[int, int]
    has_accounting: bool

    @property
    def controller_port(self) -> int:
        return self.first_port

    @property
    def accounting_port(self) -> int:
        return self.first_port + 1

    @property
    def node_port(self) -> int:
        """Of the first node; the others follow."""
        return self.first_port + 2


def num_ports(options: Options) -> int:
    """How many ports in a row a cluster needs."""
    return 2 + options.nodes


def render_files(place: Place, options: Options, setup: Setup) -> dict[Path, str]:
    """Text of every configuration file."""
    texts = {
        place.root / "cgroup.conf": _render_cgroup(setup),
        place.root / "gres.conf": _render_gres(place, options),
        place.root / "plugstack.conf": "",
        place.conf: _render_slurm(place, options, setup),
    }
    if setup.has_accounting:
        texts[place.root / "slurmdbd.conf"] = _render_accounting(place, setup)
    return texts


def device_files(place: Place, options: Options) -> list[Path]:
    """Stand-ins for GPUs: SLURM wants one character device each, and takes links to /dev/null for that."""
    return [place.device_dir / f"gpu{number}" for number in range(options.gpus_per_node)]


def _render_slurm(place: Place, options: Options, setup: Setup) -> str:
    lines = {
        **_identity(place, setup),
        **_without_privileges(options),
        **_quick(),
        **_preemption(),
        **_accounting(place, options, setup),
        **_machines(options, setup),
    }
    for line in options.settings:
        key, _, value = line.partition("=")
        if key.lower() in ("nodename", "partitionname"):
            name, _, rest = value.partition(" ")
            key, value = f"{key}={name}", rest
        known = next((k for k in lines if k.lower() == key.lower()), key)
        lines[known] = value
    return "".join(f"{key}{' ' if '=' in key else '='}{value}\n" for key, value in lines.items())


def _identity(place: Place, setup: Setup) -> dict[str, str]:
    user = getpass.getuser()
    return {
        "ClusterName": CLUSTER_NAME,
        # Not from 1: a cluster made anew in the same folder must not give a job the files of an earlier namesake.
        "FirstJobId": str(setup.first_job_id),
        "SlurmctldHost": f"{_host()}(127.0.0.1)",  # the address, so that the name need not resolve
        "SlurmctldPort": str(setup.controller_port),
        "SlurmUser": user,
        "SlurmdUser": user,
        "AuthType": "auth/munge",
        "CredType": "cred/munge",
        # cred_expire is also how long a requeued job waits before it may start; below 5 SLURM takes its 120.
        "AuthInfo": f"socket={place.munge_socket},cred_expire=5",
        "StateSaveLocation": str(place.root / "state"),
        "SlurmdSpoolDir": str(place.root / "spool" / "%n"),
        "SlurmctldPidFile": str(place.pid_file("slurmctld")),
        "SlurmdPidFile": str(place.pid_file("slurmd-%n")),
        "SlurmctldLogFile": str(place.log("slurmctld")),
        "SlurmdLogFile": str(place.log("slurmd-%n")),
        "PlugStackConfig": str(place.root / "plugstack.conf"),
    }


def _without_privileges(options: Options) -> dict[str, str]:
    """No cgroups, no binding to CPUs, no sampling of usage; sizes are believed as they are written."""
    return {
        "ProctrackType": "proctrack/linuxproc",
        "TaskPlugin": "task/none",
        "JobAcctGatherType": "jobacct_gather/none",
        "SwitchType": "switch/none",
        "MpiDefault": "none",
        "SlurmdParameters": "config_overrides",
        "SelectType": "select/cons_tres",
        "SelectTypeParameters": "CR_CPU_Memory",
        "DefMemPerCPU": "100",  # else a job that names no memory takes all of a node's
        **({"GresTypes": "gpu"} if options.gpus_per_node else {}),
    }


def _quick() -> dict[str, str]:
    """Reaction times for one person at one machine."""
    scheduler = ("batch_sched_delay=0", "sched_interval=1", "sched_min_interval=0", "bf_interval=1", "bf_continue")
    return {
        "SchedulerType": "sched/backfill",
        "SchedulerParameters": ",".join(scheduler),
        "PriorityType": "priority/basic",
        "MinJobAge": "3600",  # finished jobs stay visible that long
        "KillWait": "3",
        "CompleteWait": "0",
        "InactiveLimit": "0",
        "SlurmdTimeout": "10",
        "SlurmctldTimeout": "10",
        "ReturnToService": "2",
        "MaxArraySize": "100001",
        "MaxJobCount": "100000",
    }


def _preemption() -> dict[str, str]:
    """A job of partition main makes room for one of urgent: its own signal at once, time to act, then a requeue."""
    return {
        "SlurmctldParameters": "preempt_send_user_signal",
        "JobRequeue": "1",
        "PreemptType": "preempt/partition_prio",
        "PreemptMode": "REQUEUE",
    }


def _accounting(place: Place, options: Options, setup: Setup) -> dict[str, str]:
    if not setup.has_accounting:
        return {"AccountingStorageType": "accounting_storage/none"}
    return {
        "AccountingStorageType": "accounting_storage/slurmdbd",
        "AccountingStorageHost": "127.0.0.1",
        "AccountingStoragePort": str(setup.accounting_port),
        "AccountingStoragePass": str(place.munge_socket),
        **({"AccountingStorageTRES": "gres/gpu"} if options.gpus_per_node else {}),
    }


def _machines(options: Options, setup: Setup) -> dict[str, str]:
    first, last = setup.node_port, setup.node_port + options.nodes - 1
    sizes = f"CPUs={options.cpus_per_node} RealMemory={options.mem_per_node}"
    if options.gpus_per_node:
        sizes += f" Gres=gpu:{options.gpus_per_node}"
    address = f"NodeHostname={_host()} NodeAddr=127.0.0.1 Port={_range(first, last)}"
    return {
        f"NodeName=n{_range(1, options.nodes)}": f"{address} {sizes} State=UNKNOWN",
        "PartitionName=main": "Nodes=ALL Default=YES MaxTime=INFINITE PriorityTier=1 GraceTime=30 State=UP",
        "PartitionName=urgent": "Nodes=ALL MaxTime=INFINITE PriorityTier=10 PreemptMode=OFF State=UP",
    }


def _render_gres(place: Place, options: Options) -> str:
    if not options.gpus_per_node:
        return ""
    files = place.device_dir / f"gpu{_range(0, options.gpus_per_node - 1)}"
    return f"AutoDetect=off\nNodeName=n{_range(1, options.nodes)} Name=gpu File={files}\n"


def _render_cgroup(setup: Setup) -> str:
    # A plugin is loaded even though nothing uses it, and the one found by itself fails where cgroups are not mounted.
    return f"CgroupPlugin={'disabled' if setup.slurm_version >= (23, 2) else 'cgroup/v1'}\n"


def _render_accounting(place: Place, setup: Setup) -> str:
    lines = {
        "AuthType": "auth/munge",
        "AuthInfo": f"socket={place.munge_socket}",
        "DbdHost": "localhost",
        "DbdAddr": "127.0.0.1",
        "DbdPort": str(setup.accounting_port),
        "SlurmUser": getpass.getuser(),
        "PidFile": str(place.pid_file("slurmdbd")),
        "LogFile": str(place.log("slurmdbd")),
        "StorageType": "accounting_storage/mysql",
        "StorageHost": "localhost",
        "StorageUser": "root",
        "StorageLoc": "slurm_accounting",
    }
    return "".join(f"{key}={value}\n" for key, value in lines.items())


def _host() -> str:
    return socket.gethostname().split(".")[0]


def _range(first: int, last: int) -> str:
    return str(first) if first == last else f"[{first}-{last}]"
