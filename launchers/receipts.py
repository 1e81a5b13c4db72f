"""The run folder of a command: its name, the code it runs, and the receipt of what was started."""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import socket
import sys
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from launchers.jobs import Job
from launchers.versions import code_commit, installed_versions
from mmassist.core.errors import StageError
from mmassist.io.atomic import read_json, write_json
from mmassist.io.layout import Layout, RunLayout

SNAPSHOT = ("conf", "launchers", "mmassist")
SIGN_EVERY_S = 5.0


def new_run(layout: Layout) -> tuple[str, RunLayout]:
    """Make a run folder with a name that sorts by time."""
    run_id = f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{uuid.uuid4().hex[:6]}"
    run = layout.run(run_id)
    run.log_dir.mkdir(parents=True)
    return run_id, run


def snapshot_code(run: RunLayout) -> None:
    """Copy the code and configs, so that queued elements and replaced workers run what was started.

    Raises StageError.
    """
    source = Path(__file__).resolve().parent.parent
    try:
        for name in SNAPSHOT:
            shutil.copytree(source / name, run.code / name, ignore=shutil.ignore_patterns("__pycache__"))
    except shutil.Error as error:  # a list of every file that failed; one says it all
        failed, _, why = error.args[0][0]
        raise StageError(f"cannot copy {failed} into {run.code}: {why}") from error


def write_receipt(
    run: RunLayout, run_id: str, arguments: Sequence[str], launcher: str, jobs: Sequence[dict[str, Any]]
) -> None:
    """Say what was started: the command, the versions, and of each job its folder, work, cluster jobs and dependencies.

    Of a submission it is written last: jobs that find none do nothing (``wait_for_receipt``).
    """
    receipt = {
        "run_id": run_id,
        "command": ["python", "-m", "launchers.run", *arguments],
        "python": sys.executable,
        "folder": str(Path.cwd()),
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "user": getpass.getuser(),
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "launcher": launcher,
        "versions": installed_versions(),
        "commit": code_commit(),
        "jobs": list(jobs),
    }
    write_json(run.receipt, receipt, "receipt")


def job_row(layout: Layout, job: Job) -> dict[str, Any]:
    """What a receipt says of any job, submitted or not."""
    return {
        "job": job.name,
        "stage": job.stage.name,
        "dataset": job.dataset,
        "unit": layout.relative(job.unit.root),
        "fingerprint": job.fingerprint,
        "elements": 1,
        "job_ids": [],
        "windows": [],
        "after": [],
    }


@contextlib.contextmanager
def signs_of_life(run: RunLayout) -> Iterator[None]:
    """While the block runs, show waiting jobs that their submission is still going on."""
    is_over = threading.Event()

    def show() -> None:
        number = 0
        while not is_over.wait(SIGN_EVERY_S):
            number += 1
            with contextlib.suppress(OSError):  # a full disk: the submission itself says so
                run.submitting.write_text(str(number))

    thread = threading.Thread(target=show, daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()
        with contextlib.suppress(OSError):
            run.submitting.unlink(missing_ok=True)


def wait_for_receipt(run: RunLayout, patience_s: float) -> dict[str, Any]:
    """The run's receipt, once it is there.

    Raises StageError when it does not come and the submission shows no sign of life for ``patience_s``.
    """
    seen, end = "", time.monotonic() + patience_s
    while not run.receipt.exists():
        now = _read_sign(run)
        if now != seen:
            seen, end = now, time.monotonic() + patience_s
        elif time.monotonic() > end:
            raise StageError(f"run {run.root.name} was never submitted to its end; nothing is done for it")
        time.sleep(0.5)
    receipt: dict[str, Any] = read_json(run.receipt)
    return receipt


def _read_sign(run: RunLayout) -> str:
    try:
        return run.submitting.read_text()
    except OSError:
        return ""
