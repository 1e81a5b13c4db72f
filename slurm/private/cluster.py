"""Start and stop a cluster; a start brings back only what is not alive, a start with other options makes it anew."""

from __future__ import annotations

import dataclasses
import secrets
import shutil
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mmassist.core.errors import ConfigError
from mmassist.io.atomic import read_json, write_json
from slurm.private import packages
from slurm.private.daemon import (
    START_LIMIT_S,
    Daemon,
    DaemonError,
    list_nodes,
    list_services,
    run_client,
    start,
    wait_until,
)
from slurm.private.files import CLUSTER_NAME, Setup, device_files, num_ports, render_files
from slurm.private.options import Options, check_folder
from slurm.private.place import Place, are_free, locked, pick_ports
from slurm.private.process import CONF, Process, iter_processes, pids_of, send, wait_gone

_USABLE = {"idle", "mixed", "allocated", "completing"}
_CANCEL_LIMIT_S = 10.0
_STOP_LIMIT_S = 20.0


def _say_nothing(text: str) -> None:
    pass


class Cluster:
    """A private SLURM in a folder. ``say`` gets a line of progress now and then."""

    def __init__(self, folder: Path, options: Options | None = None, say: Callable[[str], None] = _say_nothing):
        self.place = Place(check_folder(folder))
        self.options = options or Options()
        self._say = say

    @classmethod
    def existing(cls, folder: Path, say: Callable[[str], None] = _say_nothing) -> Cluster:
        """The cluster that was started in a folder. Raises ConfigError when there is none."""
        place = Place(check_folder(folder))
        if not place.state_file.exists():
            raise ConfigError(f"dir is {str(place.root)!r}, where no private cluster was started")
        return cls(folder, _read_options(read_json(place.state_file)), say)

    @property
    def nodes(self) -> list[str]:
        return self.options.node_names

    def environment(self) -> dict[str, str]:
        """What a process needs in its environment to use the cluster."""
        return {CONF: str(self.place.conf)}

    def ask(self, *words: str, limit_s: float = 30.0) -> str | None:
        """Output of a SLURM command, e.g. ``ask("squeue", "-h")``; None when it fails or hangs."""
        return run_client(self.place.conf, words, limit_s)

    def processes(self) -> list[Process]:
        """What is alive of the cluster and of its jobs."""
        return list(iter_processes(self.place.conf))

    def up(self, may_install: bool = False) -> None:
        """Bring the cluster to life, keeping jobs and accounting when options are as before.

        Raises ConfigError for a folder of somebody else's or missing programs, DaemonError when something does not
        start.
        """
        self._refuse_foreign_folder()
        packages.provide(packages.BASE, may_install, self._say)
        with locked(self.place):
            self._refuse_foreign_folder()  # it may have been filled while we waited
            setup = self._configure(self._provide_accounting(may_install))
            alive = {process.role for process in self.processes() if not process.is_job}
            for daemon in list_services(self.place, setup.has_accounting):
                if daemon.role not in alive:
                    self._start(daemon)
            self._wait_for_controller()
            self._report_crashes()
            for daemon in list_nodes(self.place, self.nodes):
                if daemon.role not in alive:
                    self._start(daemon)
            self._wait_for_nodes()
        self._say(f"{self.options.nodes} nodes ready, {'with' if setup.has_accounting else 'without'} accounting")

    def down(self, purge: bool = False) -> None:
        """Cancel all jobs and stop all daemons; with ``purge`` the folder is deleted as well."""
        self._refuse_foreign_folder()
        if not self.place.root.exists():
            return
        with locked(self.place):
            self._refuse_foreign_folder()
            self._stop()
            if purge:
                shutil.rmtree(self.place.root)

    def roles(self) -> list[str]:
        """Names of the daemons that should be alive. Raises ConfigError when none was ever started."""
        if not self.place.state_file.exists():
            raise ConfigError(f"dir is {str(self.place.root)!r}, where no private cluster was started")
        setup = _read_setup(read_json(self.place.state_file))
        services = list_services(self.place, setup.has_accounting)
        return [daemon.role for daemon in (*services, *list_nodes(self.place, self.nodes))]

    # ---- making

    def _refuse_foreign_folder(self) -> None:
        if self.place.state_file.exists() or not self.place.root.exists():
            return
        others = [path.name for path in self.place.root.iterdir() if path != self.place.lock]
        if others:
            raise ConfigError(f"dir is {str(self.place.root)!r}, which holds other files; it must be empty or absent")

    def _provide_accounting(self, may_install: bool) -> bool:
        if self.options.accounting == "no":
            return False
        try:
            packages.provide(packages.ACCOUNTING, may_install, self._say)
        except ConfigError as error:
            if self.options.accounting == "yes":
                raise
            self._say(f"going on without accounting: {error}")
            return False
        return True

    def _configure(self, has_accounting: bool) -> Setup:
        version = packages.slurm_version()
        if self.place.state_file.exists():
            known = dataclasses.replace(
                _read_setup(read_json(self.place.state_file)), has_accounting=has_accounting, slurm_version=version
            )
            if self._is_as_rendered(known):
                return self._with_free_ports(known)
            self._say("made with other options: making it anew")
            self._stop()
        first_job_id = int(time.time()) % 60_000_000 + 1
        setup = Setup(pick_ports(num_ports(self.options)), first_job_id, version, has_accounting)
        self._make_folders()
        self._write(setup)
        return setup

    def _is_as_rendered(self, setup: Setup) -> bool:
        """Whether the files on disk are those of our options: comparing them also notices a change of this code."""
        texts = render_files(self.place, self.options, setup)
        return all(path.is_file() and path.read_text() == text for path, text in texts.items())

    def _with_free_ports(self, setup: Setup) -> Setup:
        """Another cluster may have taken the ports of one that lay still."""
        count = num_ports(self.options)
        if self.processes() or are_free(setup.first_port, count):
            return setup
        moved = dataclasses.replace(setup, first_port=pick_ports(count))
        self._write(moved)
        return moved

    def _make_folders(self) -> None:
        for folder in self.place.kept_dirs:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
        self.place.log_dir.mkdir(exist_ok=True)
        for folder in (self.place.root, self.place.run_dir):
            folder.chmod(0o755)  # else munged refuses to put its socket there
        for path in device_files(self.place, self.options):
            path.symlink_to("/dev/null")
        self.place.munge_key.unlink(missing_ok=True)
        self.place.munge_key.touch(0o600)
        self.place.munge_key.write_bytes(secrets.token_bytes(128))

    def _write(self, setup: Setup) -> None:
        """The state first: it makes the folder ours; slurm.conf last: without it all is made anew."""
        state = {"options": dataclasses.asdict(self.options), "setup": dataclasses.asdict(setup)}
        write_json(self.place.state_file, state)
        self.place.conf.unlink(missing_ok=True)
        for path, text in render_files(self.place, self.options, setup).items():
            path.write_text(text)
            path.chmod(0o600 if path.name == "slurmdbd.conf" else 0o644)  # slurmdbd insists

    # ---- starting

    def _start(self, daemon: Daemon) -> None:
        self._say(f"starting {daemon.role}")
        start(self.place, daemon)
        if daemon.role == "slurmdbd":
            self._register()

    def _register(self) -> None:
        """Make the cluster known to its accounting before the controller starts, or its first jobs go unrecorded."""
        if (self.ask("sacctmgr", "-n", "-P", "show", "cluster") or "").strip():
            return
        if self.ask("sacctmgr", "-i", "add", "cluster", CLUSTER_NAME, limit_s=START_LIMIT_S) is None:
            raise DaemonError(f"slurmdbd does not take the cluster; see {self.place.log('slurmdbd')}")

    def _wait_for_controller(self) -> None:
        if not wait_until(lambda: "is UP" in (self.ask("scontrol", "ping") or "")):
            raise DaemonError(f"slurmctld does not answer; see {self.place.log('slurmctld')}")

    def _report_crashes(self) -> None:
        """Tell the controller which nodes lost their jobs: a node that comes back soon would not make it look."""
        crashed = [node for node in self.nodes if self.place.crash_mark(node).exists()]
        if crashed:
            self.ask("scontrol", "update", f"nodename={','.join(crashed)}", "state=down", "reason=crashed")
        for node in crashed:
            self.place.crash_mark(node).unlink()

    def _wait_for_nodes(self) -> None:
        if wait_until(self._are_nodes_ready, 10):
            return
        # A node that was marked down or drained stays so until somebody says otherwise.
        self.ask("scontrol", "update", f"nodename={','.join(self.nodes)}", "state=resume")
        if not wait_until(self._are_nodes_ready):
            states = (self.ask("sinfo", "-h", "-N", "-o", "%N %T %E") or "").strip().replace("\n", "; ")
            raise DaemonError(f"nodes are not ready ({states}); see {self.place.log_dir}")

    def _are_nodes_ready(self) -> bool:
        rows = {tuple(line.split()) for line in (self.ask("sinfo", "-h", "-N", "-o", "%N %T") or "").splitlines()}
        return {name for name, state in rows if state in _USABLE} == set(self.nodes)

    # ---- stopping

    def _stop(self) -> None:
        conf = self.place.conf
        if pids_of(conf, "slurmctld"):
            self._cancel_jobs()
        # Nodes before their jobs: a step daemon without its node's daemon starts nothing more.
        self._end("slurmctld")
        for role in sorted({p.role for p in self.processes() if p.role.startswith("slurmd-")}):
            self._end(role)
        while left := [p.pid for p in self.processes() if p.is_job]:
            self._say(f"ending {len(left)} processes left of jobs")
            send(left, signal.SIGKILL)
            if not wait_gone(conf, left, _STOP_LIMIT_S):
                raise DaemonError(f"processes {', '.join(map(str, left))} do not end")
        for role in ("slurmdbd", "mariadbd", "munged"):
            self._end(role)

    def _cancel_jobs(self) -> None:
        jobs = sorted(set((self.ask("squeue", "-h", "-o", "%F") or "").split()))  # an array counts as one
        if not jobs:
            return
        self._say(f"cancelling {len(jobs)} jobs")
        self.ask("scancel", *jobs)
        wait_until(lambda: not (self.ask("squeue", "-h", "-o", "%F") or "").strip(), _CANCEL_LIMIT_S)

    def _end(self, role: str) -> None:
        """Stop one daemon, the hard way when it does not listen."""
        conf = self.place.conf
        for number in (signal.SIGTERM, signal.SIGKILL):
            pids = pids_of(conf, role)
            send(pids, number)
            if wait_gone(conf, pids, _STOP_LIMIT_S):
                return
        raise DaemonError(f"{role} does not end")


def _read_options(state: dict[str, Any]) -> Options:
    values: dict[str, Any] = state["options"]
    return Options(**{**values, "settings": tuple(values["settings"])})


def _read_setup(state: dict[str, Any]) -> Setup:
    values: dict[str, Any] = state["setup"]
    return Setup(**{**values, "slurm_version": tuple(values["slurm_version"])})


def role_of(nodes: Sequence[str], name: str) -> str:
    """The role of a node's daemon. Raises ConfigError for a node that does not exist."""
    if name not in nodes:
        raise ConfigError(f"node is {name!r}; it must be one of {', '.join(nodes)}")
    return f"slurmd-{name}"
