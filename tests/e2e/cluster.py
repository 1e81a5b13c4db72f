"""Submitting to the private SLURM, waiting for what was submitted, and laying hands on what is running."""

from __future__ import annotations

import contextlib
import json
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mmassist.io.layout import Layout
from slurm.private.cluster import Cluster
from slurm.private.options import Options
from tests.e2e.commands import run, words_of
from tools.rehearsal.at_work import halt

OVER = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "PREEMPTED", "OUT_OF_MEMORY")


def slurm_words(*words: str) -> list[str]:
    return words_of(*words, "cluster=demo", launcher="slurm")


def submit(root: Path, *words: str) -> dict[str, Any]:
    """Submit a command; returns the receipt of its run."""
    text = run(root, slurm_words(*words))
    assert "submitted; run folder" in text, text
    folder = text.rsplit("run folder ", 1)[1].splitlines()[0]
    return json.loads((Path(folder) / "receipt.json").read_text())


def ask(*words: str) -> str:
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    return done.stdout.strip()


def job_ids(receipt: dict[str, Any], stage: str = "") -> list[str]:
    return [i for row in receipt["jobs"] if row["stage"].startswith(stage) for i in row["job_ids"]]


def wait_until(what: Callable[[], Any], seconds: float, pause: float = 0.2) -> Any:
    """What ``what`` returns once it is true."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = what()
        if found:
            return found
        time.sleep(pause)
    raise AssertionError(f"still waiting after {seconds} s; the queue: {ask('squeue')}")


def wait_over(receipt: dict[str, Any], seconds: float = 240) -> None:
    """Wait until SLURM has none of the run's jobs in its queue."""
    words = ("squeue", "-h", "-o", "%i %T", "-j", ",".join(job_ids(receipt)))
    wait_until(lambda: not ask(*words), seconds, 0.5)


def states(receipt: dict[str, Any], stage: str = "") -> dict[str, str]:
    """State by element of the run's jobs, as the accounting has them once all are over there."""

    def read() -> dict[str, str]:
        rows = ask("sacct", "-XnP", "-o", "JobID,State", "-j", ",".join(job_ids(receipt, stage))).splitlines()
        found = {row.split("|")[0]: row.split("|")[1].split(" ")[0] for row in rows}
        return found if found and all(state in OVER for state in found.values()) else {}

    return wait_until(read, 60, 0.5)


def lives(root: Path, receipt: dict[str, Any], stage: str = "") -> list[dict[str, Any]]:
    """The life files of a run's elements, in order of their starts."""
    folder = Layout(root).run(receipt["run_id"]).root / "lives"
    found = [json.loads(path.read_text()) for path in folder.glob(f"{stage}*/*.json")]
    return sorted(found, key=lambda life: (life["job"], life["element"], life["start"]))


def num_done(unit: Path) -> int:
    """Items of an output folder that any worker has finished so far."""
    return sum(len(path.read_text().splitlines()) for path in (unit / "ledger" / "done").glob("*.jsonl"))


def catch_at_work(root: Path, receipt: dict[str, Any], stage: str, start: int = 0, least: int = 0) -> dict[str, Any]:
    """Halt the workers of an element in the middle of its work (SIGSTOP), so that it lasts; returns its life.

    ``least``: items of the output folder to be done before.
    """
    (row,) = [row for row in receipt["jobs"] if row["stage"] == stage]

    def find() -> dict[str, Any] | None:
        if num_done(root / row["unit"]) < least:
            return None
        for life in lives(root, receipt, stage):
            if life["start"] == start and not life["ended"] and halt(life):
                return life
        return None

    return wait_until(find, 120, 0.05)


@contextlib.contextmanager
def own_cluster(options: Options) -> Iterator[None]:
    """A private SLURM with other settings than the one that the tests share, used by everything in the block."""
    cluster = Cluster(Path(tempfile.mkdtemp(prefix="slurm-")), options)
    with pytest.MonkeyPatch.context() as patch:
        try:
            cluster.up()
            for name, value in cluster.environment().items():
                patch.setenv(name, value)
            yield
        finally:
            cluster.down(purge=True)
