"""The run folder of a command: its name, the code it runs, and the receipt of what was started."""

from __future__ import annotations

import shutil
import sys
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mmassist.io.atomic import write_json
from mmassist.io.layout import Layout, RunLayout

SNAPSHOT = ("conf", "launchers", "mmassist")


def new_run(layout: Layout) -> tuple[str, RunLayout]:
    """Make a run folder with a name that sorts by time."""
    run_id = f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{uuid.uuid4().hex[:6]}"
    run = layout.run(run_id)
    run.log_dir.mkdir(parents=True)
    return run_id, run


def snapshot_code(run: RunLayout) -> None:
    """Copy the code and configs, so that queued elements and replaced workers run what was started."""
    source = Path(__file__).resolve().parent.parent
    for name in SNAPSHOT:
        shutil.copytree(source / name, run.code / name, ignore=shutil.ignore_patterns("__pycache__"))


def write_receipt(run: RunLayout, run_id: str, arguments: Sequence[str], jobs: Sequence[dict[str, Any]]) -> None:
    """Say what was started: the command and, per job, its folder, elements, cluster job ids and dependencies."""
    receipt = {
        "run_id": run_id,
        "command": ["python", "-m", "launchers.run", *arguments],
        "python": sys.executable,
        "folder": str(Path.cwd()),
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "jobs": list(jobs),
    }
    write_json(run.receipt, receipt, "receipt")
