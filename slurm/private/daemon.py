"""How each daemon of a cluster is started and how it shows that it is ready."""

from __future__ import annotations

import getpass
import os
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from slurm.private.packages import search_path
from slurm.private.place import Place
from slurm.private.process import CONF, ROLE

_CLIENT_VARIABLES = ("SLURM", "SBATCH", "SRUN", "SALLOC", "SQUEUE", "SINFO", "SACCT", "SCANCEL", ROLE)
START_LIMIT_S = 90.0


class DaemonError(RuntimeError):
    """A daemon did not start or does not answer; the message says which, and where its log is."""


@dataclass(frozen=True)
class Daemon:
    """One daemon: ``role`` is its name among ours, ``ready`` a command that succeeds once it answers."""

    role: str
    command: tuple[str, ...]
    ready: tuple[str, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    stale: tuple[Path, ...] = ()  # files of an earlier life that would mislead this one


def clean_environment(conf: Path) -> dict[str, str]:
    """The environment for daemons and clients: nothing of a surrounding job or of another cluster leaks in."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_CLIENT_VARIABLES)}
    return {**kept, "PATH": search_path(), CONF: str(conf)}


def list_services(place: Place, has_accounting: bool) -> list[Daemon]:
    """The daemons that a cluster has once, in the order in which they must start."""
    accounting = [_mariadbd(place), _slurmdbd(place)] if has_accounting else []
    # Whether the controller answers is asked by the cluster, which may find it running already.
    return [_munged(place), *accounting, Daemon("slurmctld", ("slurmctld", "-f", str(place.conf)))]


def list_nodes(place: Place, nodes: Sequence[str]) -> list[Daemon]:
    """The daemons of the nodes."""
    return [Daemon(f"slurmd-{node}", ("slurmd", "-f", str(place.conf), "-N", node)) for node in nodes]


def start(place: Place, daemon: Daemon) -> None:
    """Start a daemon and wait until it answers. Raises DaemonError."""
    for path in daemon.stale:
        path.unlink(missing_ok=True)
    environment = {**clean_environment(place.conf), **daemon.variables, ROLE: daemon.role}
    with place.log("start").open("ab") as log:
        try:
            code = subprocess.run(
                daemon.command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                check=False,
                timeout=START_LIMIT_S,
            ).returncode
        except subprocess.TimeoutExpired:
            code = None
    if code != 0:
        said = place.log("start").read_text(errors="replace").splitlines()[-1:]
        raise DaemonError(f"{daemon.role} does not start; see {place.log(daemon.role)} ({''.join(said)})")
    if daemon.ready and not wait_until(lambda: run_client(place.conf, daemon.ready) is not None):
        raise DaemonError(f"{daemon.role} does not answer; see {place.log(daemon.role)}")


def run_client(conf: Path, command: Sequence[str], limit_s: float = 30.0) -> str | None:
    """Output of a client's command, or None when it fails or hangs."""
    try:
        done = subprocess.run(
            command,
            env=clean_environment(conf),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=limit_s,
        )
    except subprocess.TimeoutExpired:
        return None
    return done.stdout if done.returncode == 0 else None


def wait_until(is_so: Callable[[], bool], seconds: float = START_LIMIT_S) -> bool:
    """Ask again and again; False when the time is over."""
    end = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > end:
            return False
        time.sleep(0.1)
    return True


def _munged(place: Place) -> Daemon:
    options = {
        "key-file": place.munge_key,
        "socket": place.munge_socket,
        "pid-file": place.pid_file("munged"),
        "log-file": place.log("munged"),
        "seed-file": place.root / "munge.seed",
        "origin": "127.0.0.1",
        "num-threads": 4,
    }
    # --force: below a home folder that others may not enter the socket serves its user all the same.
    command = ("munged", "--force", *(f"--{name}={value}" for name, value in options.items()))
    lock = place.munge_socket.with_name(place.munge_socket.name + ".lock")
    return Daemon(
        "munged", command, ready=("munge", "-S", str(place.munge_socket), "-n"), stale=(place.munge_socket, lock)
    )


def _mariadbd(place: Place) -> Daemon:
    """A throw-away database: one local socket, no network, no grant tables (nor the set-up these would need)."""
    options = {
        "user": getpass.getuser(),
        "datadir": place.database_dir,
        "socket": place.database_socket,
        "pid-file": place.pid_file("mariadbd"),
        "log-error": place.log("mariadbd"),
        "innodb-buffer-pool-size": "32M",
        "innodb-log-file-size": "16M",
        "innodb-flush-log-at-trx-commit": 0,
        "innodb-doublewrite": 0,
        "innodb-lock-wait-timeout": 900,
        "performance-schema": "OFF",
    }
    words = ("--skip-networking", "--skip-grant-tables", *(f"--{name}={value}" for name, value in options.items()))
    return Daemon(
        "mariadbd",
        ("setsid", "--fork", "mariadbd", "--no-defaults", *words),
        ready=("test", "-S", str(place.database_socket)),
        stale=(place.database_socket, place.pid_file("mariadbd")),
    )


def _slurmdbd(place: Place) -> Daemon:
    variables = {"MYSQL_UNIX_PORT": str(place.database_socket)}
    return Daemon("slurmdbd", ("slurmdbd",), ready=("sacctmgr", "-n", "show", "cluster"), variables=variables)
