"""Measure what planning costs: a made-up source of N dialogs and N videos, planned for one stage as the command does.

    python -m tools.bench.planning [--items 1000000] [--stage extract]

Times each step from the source's items to the elements on disk, in a temporary folder, and prints them with the
process's peak memory. Items are built beforehand and not counted: what a source needs for that depends on the source.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from launchers.compose import compose_command
from launchers.division import divide
from launchers.execute import Execution
from launchers.jobs import resolve_jobs
from launchers.prepare import assign_sides
from mmassist.core.fingerprint import bytes_digest
from mmassist.core.item import Item, ItemKind, Listing
from mmassist.io.lock import FolderLock

GROUP = 7  # recordings of one participant


class MadeUp:
    """Stands for ``launchers.jobs.Sources``: one source with ``count`` recordings."""

    def __init__(self, count: int):
        self._listing = Listing(tuple(_iter_items(count, ItemKind.MEDIA)), tuple(_iter_items(count, ItemKind.DIALOG)))

    def listing(self, job: Any) -> Listing:
        return self._listing


def _iter_items(count: int, kind: ItemKind) -> Iterator[Item]:
    for number in range(count):
        name = f"recording-{number:07d}"
        yield Item(
            dataset="holoassist",
            key=name,
            kind=kind,
            split="val" if number % (10 * GROUP) < GROUP else "train",
            sources=(f"datasets/holoassist/videos/{name}.mp4",),
            digest=bytes_digest(f"{kind}{name}".encode()),
            recording=name,
            duration_s=60.0 + number % 600,
            participant=f"P{number // GROUP}",
            media_key=name if kind is ItemKind.DIALOG else None,
        )


def iter_report(root: Path, count: int, stage: str) -> Iterator[str]:
    """Plan and yield one line per step."""
    (root / "datasets").mkdir()
    words = [f"stage={stage}", "dataset=holoassist", "models=tiny", "hydra/launcher=slurm", f"paths.data_root={root}"]
    begin = time.monotonic()
    layout, (job,) = resolve_jobs(compose_command(words))
    yield f"compose   {time.monotonic() - begin:7.2f} s"
    sources: Any = MadeUp(count)
    yield f"items     {_peak_mb():7.0f} MB before planning ({2 * count} items)"
    total = 0.0
    results: dict[str, Any] = {}

    def timed(name: str, work: Callable[[], Any]) -> str:
        nonlocal total
        start = time.monotonic()
        results[name] = work()
        seconds = time.monotonic() - start
        total += seconds
        return f"{name:<10}{seconds:7.2f} s"

    yield timed("assign", lambda: assign_sides(layout, job, sources.listing(job), is_anew=False))
    run = layout.run("run")
    execution = Execution(layout, "run", run, sources, {job.dataset: results["assign"]})
    yield timed("check", lambda: execution.plan(job))
    lock = FolderLock(job.unit.lock, "run")
    lock.acquire()
    selection, plan = results["check"]
    bundles, _ = results["divide"] = divide(job, plan.waiting(), None)
    yield timed("prepare", lambda: execution.prepare(job, lock, False, selection, plan, bundles))
    lock.release()
    yield f"total     {total:7.2f} s, peak {_peak_mb():.0f} MB: {plan.num_items} items in {len(plan.tasks)} tasks, "
    yield f"          {len(bundles)} elements; again, with nothing done yet:"
    yield timed("again", lambda: execution.plan(job))


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> int:
    """Print the report."""
    parser = argparse.ArgumentParser(prog="python -m tools.bench.planning", description=__doc__)
    parser.add_argument("--items", type=int, default=1_000_000, help="number of recordings")
    parser.add_argument("--stage", default="extract", help="stage to plan")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for line in iter_report(Path(folder), arguments.items, arguments.stage):
            print(line, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
