"""``python -m slurm.private``: a real SLURM with virtual nodes on this machine, and ways to make it fail."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from launchers.ending import EXIT_FAILED, EXIT_OK, EXIT_USER, end_command
from slurm.private import packages
from slurm.private.cluster import Cluster
from slurm.private.daemon import DaemonError
from slurm.private.failures import crash_node, kill_controller, kill_daemon
from slurm.private.options import Options, default_folder
from slurm.private.place import Place


class _Parser(argparse.ArgumentParser):
    """A mistake is one line; the usage is for those who ask."""

    def error(self, message: str) -> NoReturn:
        self.exit(EXIT_USER, f"error: {message}\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code: 0 all well, 1 something does not start or is dead, 2 a user's mistake."""
    return end_command(lambda: _run(arguments), "stopped; the same command goes on from here", (DaemonError,))


def _run(arguments: Sequence[str] | None) -> int:
    words = _build_parser().parse_args(arguments)
    if words.command == "up":
        return _up(words)
    if words.command == "install":
        packages.provide({**packages.BASE, **packages.ACCOUNTING}, may_install=True, say=_say)
        return EXIT_OK
    if words.command == "down":
        return _down(words.dir, words.purge)
    cluster = Cluster.existing(words.dir, _say)
    if words.command == "status":
        return _show_status(cluster)
    if words.command == "crash-node":
        killed = crash_node(cluster, words.node)
    elif words.command == "kill-daemon":
        killed = kill_daemon(cluster, words.node)
    else:
        killed = kill_controller(cluster)
    _say(f"killed {len(killed)} processes" if killed else "there was nothing to kill")
    return EXIT_OK


def _up(words: argparse.Namespace) -> int:
    options = Options(
        nodes=words.nodes,
        gpus_per_node=words.gpus_per_node,
        cpus_per_node=words.cpus_per_node,
        mem_per_node=words.mem_per_node,
        accounting=words.accounting,
        settings=tuple(words.set),
    )
    cluster = Cluster(words.dir, options, _say)
    cluster.up(may_install=not words.no_install)
    print(export_line(cluster))
    return EXIT_OK


def _down(folder: Path, purge: bool) -> int:
    if not Place(folder).state_file.exists():
        _say(f"no private cluster in {folder}")
        return EXIT_OK
    Cluster.existing(folder, _say).down(purge)
    _say("deleted" if purge else "stopped")
    return EXIT_OK


def _show_status(cluster: Cluster) -> int:
    alive = {process.role: process.pid for process in cluster.processes() if not process.is_job}
    roles = cluster.roles()
    for role in roles:
        print(f"{role:<12} {f'process {alive[role]}' if role in alive else 'not alive'}")
    print(export_line(cluster))
    if "slurmctld" in alive:  # else sinfo would try for a while
        print(cluster.ask("sinfo") or "the controller does not answer\n", end="")
    return EXIT_OK if set(roles) <= set(alive) else EXIT_FAILED


def export_line(cluster: Cluster) -> str:
    """The shell's words for using the cluster."""
    return "; ".join(f"export {name}={shlex.quote(value)}" for name, value in cluster.environment().items())


def _say(text: str) -> None:
    print(f"private slurm: {text}", file=sys.stderr, flush=True)


def _build_parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="python -m slurm.private", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(name: str, text: str) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=text, description=text, allow_abbrev=False)
        if name != "install":
            made.add_argument("--dir", type=Path, default=default_folder(), help="the cluster's folder (%(default)s)")
        return made

    defaults = Options()
    up = add("up", "start the cluster, or what has died of it; prints the line that a shell must evaluate")
    for name, text in (
        ("nodes", "virtual nodes n1, n2, ..."),
        ("gpus-per-node", "GPUs that exist in name only"),
        ("cpus-per-node", "CPUs that a node claims"),
        ("mem-per-node", "memory that a node claims, MB"),
    ):
        value = getattr(defaults, name.replace("-", "_"))
        up.add_argument(f"--{name}", type=int, default=value, metavar="N", help=f"{text} (%(default)s)")
    choices = ("auto", "yes", "no")
    up.add_argument("--accounting", choices=choices, default="auto", help="sacct's database; auto: if it is installed")
    up.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="a line of slurm.conf, in place of ours"
    )
    up.add_argument("--no-install", action="store_true", help="do not install missing packages, even as root")
    down = add("down", "cancel the jobs and stop the cluster; its state stays")
    down.add_argument("--purge", action="store_true", help="delete its folder, too")
    add("status", "which daemons are alive, and SLURM's view of the nodes")
    add("crash-node", "kill a node's daemon and all of its jobs, as a power cut would").add_argument("node")
    add("kill-daemon", "kill a node's daemon only; its jobs work on").add_argument("node")
    add("kill-controller", "kill the controller; jobs work on")
    add("install", "install the packages that a cluster needs (as root), or say which")
    return parser


if __name__ == "__main__":
    sys.exit(main())
