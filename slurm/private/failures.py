"""What goes wrong on a cluster, on purpose: a node without power, a daemon or the controller that is killed."""

from __future__ import annotations

import signal
from collections.abc import Collection

from slurm.private.cluster import Cluster, role_of
from slurm.private.daemon import DaemonError
from slurm.private.process import Process, pids_of, send, wait_gone

_GONE_LIMIT_S = 60.0


def crash_node(cluster: Cluster, name: str) -> list[int]:
    """Kill a node's daemon and everything of its jobs as a power cut would; returns the process ids.

    Raises ConfigError for an unknown node.
    """
    role = role_of(cluster.nodes, name)
    cluster.place.crash_mark(name).touch()
    stopped: set[int] = set()
    # All are halted before the first is killed: none may see another's end and report it to the controller.
    while found := {p.pid for p in cluster.processes() if _is_of_node(p, role, name)} - stopped:
        send(found, signal.SIGSTOP)
        stopped |= found
    _kill(cluster, stopped)
    return sorted(stopped)


def kill_daemon(cluster: Cluster, name: str) -> list[int]:
    """Kill a node's daemon alone: its jobs work on, although the cluster gives the node up after a while."""
    return _kill(cluster, pids_of(cluster.place.conf, role_of(cluster.nodes, name)))


def kill_controller(cluster: Cluster) -> list[int]:
    """Kill the controller: jobs work on; what was submitted in its last seconds may be forgotten."""
    return _kill(cluster, pids_of(cluster.place.conf, "slurmctld"))


def _is_of_node(process: Process, role: str, name: str) -> bool:
    """The node's daemon and its step daemons have the role, the jobs' own processes the node's name."""
    return process.role == role or (process.is_job and process.node == name)


def _kill(cluster: Cluster, pids: Collection[int]) -> list[int]:
    send(pids, signal.SIGKILL)
    if not wait_gone(cluster.place.conf, pids, _GONE_LIMIT_S):
        raise DaemonError(f"processes {', '.join(map(str, sorted(pids)))} do not end")
    return sorted(pids)
