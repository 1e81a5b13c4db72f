"""The programs a cluster consists of, and the Debian packages that bring them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Sequence
from typing import Any

from mmassist.core.errors import ConfigError

BASE = {
    "munged": "munge",
    "slurmctld": "slurmctld",
    "slurmd": "slurmd",
    "sbatch": "slurm-client",
    "srun": "slurm-client",
}
ACCOUNTING = {"slurmdbd": "slurmdbd", "mariadbd": "mariadb-server-core"}
_INSTALL_LIMIT_S = 900


def search_path() -> str:
    """PATH with the folders of daemons, which that of a plain user may lack."""
    return os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin", "/sbin"])


def missing_packages(programs: dict[str, str]) -> list[str]:
    """Debian packages of those programs that are not on this machine."""
    found = {package for program, package in programs.items() if shutil.which(program, path=search_path()) is None}
    return sorted(found)


def slurm_version() -> tuple[int, int]:
    """``(22, 5)`` of SLURM 22.05.8. Raises ConfigError when slurmd does not say."""
    words = ["slurmd", "-V"]
    try:
        text = subprocess.run(
            words, capture_output=True, text=True, check=True, timeout=60, env={**os.environ, "PATH": search_path()}
        ).stdout
    except (OSError, subprocess.SubprocessError) as error:
        raise ConfigError(f"'slurmd -V' does not work: {error}") from error
    found = re.search(r"(\d+)\.(\d+)", text)
    if found is None:
        raise ConfigError(f"'slurmd -V' says {text.strip()!r}, which has no version")
    return int(found[1]), int(found[2])


def provide(programs: dict[str, str], may_install: bool, say: Callable[[str], None]) -> None:
    """See that the programs are there, installing their packages when that is possible.

    Raises ConfigError naming what is missing.
    """
    missing = missing_packages(programs)
    if missing and may_install and os.geteuid() == 0 and shutil.which("apt-get"):
        say(f"installing {' '.join(missing)}")
        _install(missing)
        missing = missing_packages(programs)
    if missing:
        raise ConfigError(f"please install {' '.join(missing)} first (Debian: apt-get install {' '.join(missing)})")


def _install(packages: Sequence[str]) -> None:
    # RUNLEVEL=1: the packages' own services must not start.
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    apt = ["apt-get", "-q", "-o", "DPkg::Lock::Timeout=600"]
    limits: dict[str, Any] = {"timeout": _INSTALL_LIMIT_S, "stdin": subprocess.DEVNULL, "capture_output": True}
    for words in (["update"], ["install", "-y", "--no-install-recommends", *packages]):
        try:
            subprocess.run([*apt, *words], env=environment, check=False, **limits)
        except subprocess.TimeoutExpired as error:
            raise ConfigError(f"installing {' '.join(packages)} takes longer than {_INSTALL_LIMIT_S} s") from error
