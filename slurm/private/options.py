"""What a private cluster looks like, as its user says it."""

from __future__ import annotations

import os
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mmassist.core.errors import ConfigError

MAX_FOLDER_LENGTH = 80  # bytes; the path of a Unix socket ends at 107 and ours add up to 26
MAX_NODES = 256


@dataclass(frozen=True)
class Options:
    """Size and settings of a cluster. Raises ConfigError for values that cannot work.

    ``accounting`` is ``auto`` (where its programs are there), ``yes`` or ``no``; ``settings`` are lines of slurm.conf
    as ``Key=Value`` that replace ours.
    """

    nodes: int = 4
    gpus_per_node: int = 8
    cpus_per_node: int = 16
    mem_per_node: int = 64000  # MB
    accounting: Literal["auto", "yes", "no"] = "auto"
    settings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name, least, most in (
            ("nodes", 1, MAX_NODES),
            ("gpus_per_node", 0, 64),
            ("cpus_per_node", 1, 4096),
            ("mem_per_node", 1, 2**30),
        ):
            value = getattr(self, name)
            if not least <= value <= most:
                raise ConfigError(f"{name} is {value}; it must be {least} to {most}")
        if self.accounting not in ("auto", "yes", "no"):
            raise ConfigError(f"accounting is {self.accounting!r}; it must be auto, yes or no")
        for line in self.settings:
            if not re.fullmatch(r"[A-Za-z][A-Za-z0-9]*=[^\n\r]*", line):
                raise ConfigError(f"set is {line!r}; it must be Key=Value, as a line of slurm.conf")

    @property
    def node_names(self) -> list[str]:
        return [f"n{number}" for number in range(1, self.nodes + 1)]


def default_folder(purpose: str = "") -> Path:
    """One folder per user (and purpose) in the folder for temporary files."""
    suffix = f"-{purpose}" if purpose else ""
    return Path(tempfile.gettempdir()) / f"private-slurm-{os.getuid()}{suffix}"


def check_folder(folder: Path) -> Path:
    """The resolved folder of a cluster. Raises ConfigError where its sockets or its settings could not name it."""
    resolved = folder.resolve()
    if not re.fullmatch(r"[A-Za-z0-9._/+-]+", str(resolved)):
        raise ConfigError(f"dir is {str(resolved)!r}; it may have letters, digits and ._+- only")
    if len(str(resolved)) > MAX_FOLDER_LENGTH:
        raise ConfigError(f"dir is {str(resolved)!r}; it must have at most {MAX_FOLDER_LENGTH} letters, for sockets")
    if resolved.exists() and not resolved.is_dir():
        raise ConfigError(f"dir is {str(resolved)!r}, which is a file; it must be a folder")
    return resolved
