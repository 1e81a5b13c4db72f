"""The demonstration on a private SLURM: start it, submit the command, wait until its jobs are over, stop it."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from launchers.ending import EXIT_FAILED, EXIT_OK
from launchers.run import main
from mmassist.core.outcome import Status
from mmassist.io.atomic import read_json
from mmassist.io.layout import Layout
from slurm.private.cluster import Cluster
from slurm.private.options import Options, default_folder
from tools.demo.summary import load_totals

SETTINGS = (
    "models=tiny",
    "cluster=demo",
    "hydra/launcher=slurm",
    "extract.task_weight=240",  # several array elements even of so little
    "encode.task_weight=240",
    "on_stale=rebuild",
    "-m",
)
OVER = {"COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY", "BOOT_FAIL", "DEADLINE"}
LIMIT_S = 3600.0
_POLL_S = 1.0
_LINE_EVERY_S = 10.0
_PATIENCE_S = 120.0  # with a controller that does not answer


def run_on_slurm(words: Sequence[str], keep: bool = False) -> int:
    """Run the command on a cluster of its own; returns an exit code as ``launchers.run`` does.

    The cluster is stopped at the end, whatever happens, unless it is to be kept or was running before. Raises
    ConfigError and DaemonError where there can be none.
    """
    cluster = Cluster(default_folder("demo"), Options(), say)
    with started(cluster, is_left=keep or bool(cluster.processes())):
        return _submit_and_wait(cluster, words, Layout(Path(os.environ["DATA_ROOT_DIR"])))


@contextlib.contextmanager
def started(cluster: Cluster, is_left: bool = False) -> Iterator[None]:
    """Start the cluster for the block, name it in the environment, and delete it afterwards unless it ``is_left``.

    Raises ConfigError and DaemonError as ``Cluster.up`` does.
    """
    try:
        cluster.up(may_install=True)
        os.environ.update(cluster.environment())
        yield
    finally:
        if is_left:
            say(f"left running; python -m slurm.private down --purge --dir {cluster.place.root} stops it")
        else:
            cluster.down(purge=True)


def submit(words: Sequence[str], layout: Layout) -> tuple[int, dict[str, Any]]:
    """Give the command; returns its exit code and, when it has started a run, that run's receipt."""
    known = _list_runs(layout)
    code = main(words)
    run_ids = _list_runs(layout) - known
    return code, read_json(layout.run(max(run_ids)).receipt) if code == EXIT_OK and run_ids else {}


def _submit_and_wait(cluster: Cluster, words: Sequence[str], layout: Layout) -> int:
    code, receipt = submit(words, layout)
    names = {job_id: job["job"] for job in receipt.get("jobs", ()) for job_id in job["job_ids"]}
    if not names:
        return code
    variables = {**cluster.environment(), "DATA_ROOT_DIR": str(layout.data_root)}
    print("look at it from another shell: squeue, and the commands above, after")
    print(f"  export {' '.join(f'{name}={value}' for name, value in variables.items())}", flush=True)
    states = wait_until_over(cluster, list(names))
    if states is None:
        return EXIT_FAILED
    bad = [f"{names[i.split('_')[0]]} ({i}): {state}" for i, state in states.items() if state != "COMPLETED"]
    bad += _unfinished_items(words)
    print("".join(f"not well: {line}\n" for line in bad), end="", file=sys.stderr)
    return EXIT_FAILED if bad else EXIT_OK


def _list_runs(layout: Layout) -> set[str]:
    return {path.name for path in layout.runs.iterdir()} if layout.runs.exists() else set()


def wait_until_over(
    cluster: Cluster,
    job_ids: Sequence[str],
    limit_s: float = LIMIT_S,
    pause: Callable[[float], None] = time.sleep,
) -> dict[str, str] | None:
    """Wait for jobs, with a line of progress now and then; returns the state of every element.

    None after the limit, or when the controller does not answer for long. ``pause`` is what is done between two looks,
    for about as many seconds as it is given.
    """
    begin = answered = time.monotonic()
    printed, line, text = begin, "", "nothing is known of them"
    while True:
        now = time.monotonic()
        states = _ask_states(cluster, job_ids)
        if states:
            answered = now
            if set(states.values()) <= OVER:
                return states
            text = _describe(states)
            if text != line and now - printed >= _LINE_EVERY_S:
                printed, line = now, text
                print(f"{now - begin:5.0f} s  {text}", flush=True)
        if now - answered > _PATIENCE_S:
            print(f"error: SLURM's controller has not answered for {now - answered:.0f} s", file=sys.stderr)
            return None
        if now - begin > limit_s:
            print(f"error: the jobs are not over after {limit_s:.0f} s: {text}", file=sys.stderr)
            return None
        pause(_POLL_S)


def _ask_states(cluster: Cluster, job_ids: Sequence[str]) -> dict[str, str]:
    """Element (``123_4``, or ``123`` where a job has only one) -> SLURM's state; empty when it does not answer."""
    text = cluster.ask("squeue", "-h", "-r", "-t", "all", "-o", "%i %T", "-j", ",".join(job_ids))
    return dict(line.split() for line in (text or "").splitlines())  # type: ignore[misc]


def _describe(states: dict[str, str]) -> str:
    counts = Counter("over" if state in OVER else state.lower() for state in states.values())
    others = [f"{counts[name]} {name}" for name in sorted(counts) if name != "over"]
    return ", ".join([f"{counts['over']} of {len(states)} array elements over", *others])


def _unfinished_items(words: Sequence[str]) -> list[str]:
    found = []
    for totals in load_totals(words):
        counts: dict[Any, int] = {status: totals.statuses[status] for status in (Status.FAILED, Status.BLOCKED)}
        found += [f"{totals.stage} of {totals.dataset}: {n} items {status}" for status, n in counts.items() if n]
    return found


def say(text: str) -> None:
    """A line of the cluster's own, apart from what the command prints."""
    print(f"private slurm: {text}", file=sys.stderr, flush=True)
