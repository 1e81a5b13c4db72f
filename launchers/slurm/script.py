"""The text that sbatch would be given, as submitit writes it, also on a machine without SLURM."""

from __future__ import annotations

import shlex
import sys
from typing import Any


def render_script(parameters: dict[str, Any], num_elements: int, folder: str) -> str:
    """The batch script of an array of ``num_elements``; one element is a plain job. ``folder`` takes its output."""
    from submitit.slurm.slurm import _make_sbatch_string

    count = num_elements if num_elements > 1 else None
    command = f"{shlex.quote(sys.executable)} -u -m submitit.core._submit {shlex.quote(folder)}"
    return _make_sbatch_string(command=command, folder=folder, map_count=count, **parameters)
