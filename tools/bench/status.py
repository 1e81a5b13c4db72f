"""Measure what a look at the state costs: one folder of many tasks and a run of many elements, made up, then looked at.

    python -m tools.bench.status [--tasks 100000] [--items 3] [--lives 4000] [--looks 3]

Files are made in a temporary folder as the runtime would leave them in the middle of a run: nine tenths of the tasks
are committed, some items failed or were skipped, the rest is open, a few of them with finished items. SLURM is not
asked. Prints the seconds of each look.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from launchers.collector import paused_collector
from mmassist.io.layout import Layout, RunLayout, UnitLayout
from tools.status.report import Choice, Report, make_report
from tools.status.row import report_row

RUN_ID = "20260102-030405-abcdef"
JOB = "extract-holoassist-frames"
NOT_DONE_EVERY = 50  # of so many committed tasks, one has an item that failed, one an item that was skipped


def make_folder(root: Path, num_tasks: int, num_items: int, num_lives: int) -> None:
    """Fill ``root`` like a DATA_ROOT_DIR in the middle of a run."""
    layout = Layout(root)
    unit, run = layout.unit("holoassist", "frames"), layout.run(RUN_ID)
    names = [f"{number:06d}" for number in range(num_tasks)]
    items = {name: [f"recording-{name}-{item}" for item in range(num_items)] for name in names}
    committed = names[: num_tasks * 9 // 10]
    _write(unit.manifest, {"stage": "extract", "dataset": "holoassist"})
    rows = [{"name": name, "items": keys, "weight": 3600.0} for name, keys in items.items()]
    _write(unit.tasks, {"tasks": rows})
    unit.record_dir.mkdir()
    lines: list[list[dict[str, Any]]] = [[] for _ in range(64)]
    ledger: list[dict[str, Any]] = []
    for number, name in enumerate(committed):
        status = {0: "failed", 1: "skipped"}.get(number % NOT_DONE_EVERY, "done")
        counts = {"done": num_items - (status != "done"), "skipped": 0, "failed": 0, "blocked": 0}
        counts[status] += status != "done"
        unit.record(name).write_text(json.dumps({"task": name}))
        lines[number % 64].append(_line(name, counts, num_items))
        if status != "done":
            ledger.append(_row(items[name][0], name, status))
    for number, group in enumerate(lines):
        _write_rows(unit.commit_log(f"{RUN_ID}.{number}"), group)
    _write_rows(unit.ledger(f"{RUN_ID}.0"), ledger)
    for name in names[len(committed) :][:200]:
        unit.fragment_dir(name).mkdir(parents=True)
        unit.fragment(name, items[name][0]).touch()
    _make_run(run, unit, names, num_lives)


def _make_run(run: RunLayout, unit: UnitLayout, names: list[str], num_lives: int) -> None:
    now = datetime.now(UTC).isoformat(timespec="seconds")
    bundles = [names[number::num_lives] for number in range(num_lives)]
    plan = {JOB: {"unit": "processed_data/holoassist/frames", "items": 1, "elements": bundles}}
    _write(run.plan, plan)
    job = {"job": JOB, "stage": "extract", "unit": "processed_data/holoassist/frames", "elements": num_lives}
    _write(run.receipt, {"launcher": "local", "time": now, "host": "elsewhere", "pid": 1, "jobs": [job]})
    for element in range(num_lives):
        is_over = element % 10 > 0
        life = {"element": element, "start": 0, "host": "elsewhere", "pid": 1, "started": "2026-01-02T03:04:05+00:00"}
        life |= {"updated": now, "ended": now if is_over else "", "end": "completed" if is_over else "", "gpus": 8}
        life |= {"items": {"done": 20}, "weight_s": 72000.0, "in_hand": []}
        _write(run.life(JOB, element, 0), life)


def _line(task: str, counts: dict[str, int], num_items: int) -> dict[str, Any]:
    who = {"run_id": RUN_ID, "writer": f"{RUN_ID}-12-3-45678", "time": "2026-01-02T03:04:05.678+00:00", "node": "n123"}
    return {"task": task, "items": counts, "weight_s": 3600.0 * num_items, "bytes": 10**9, **who}


def _row(item: str, task: str, status: str) -> dict[str, Any]:
    texts = {"reason": "permanent", "message": "the file ends in the middle of a frame", "inputs": "0" * 32}
    place = {"traceback": "", "run_id": RUN_ID, "time": "2026-01-02T03:04:05.678+00:00"}
    return {"item": item, "status": status, "attempt": 1, "task": task, **texts, **place}


def _write(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def _write_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def iter_looks(root: Path, num_looks: int) -> Iterator[str]:
    """Look and yield one line each."""
    for number in range(1, num_looks + 1):
        begin = time.perf_counter()
        with paused_collector():  # as the command does
            report: Report = make_report(Layout(root), Choice())
        seconds = time.perf_counter() - begin
        items = report_row(report)["units"][0]["items"]
        yield f"look {number}: {seconds:.2f} s, {items}"


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description="Measure what python -m tools.status costs on made-up folders.")
    parser.add_argument("--tasks", type=int, default=100_000)
    parser.add_argument("--items", type=int, default=3, help="per task")
    parser.add_argument("--lives", type=int, default=4000)
    parser.add_argument("--looks", type=int, default=3)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        make_folder(Path(folder), args.tasks, args.items, args.lives)
        for line in iter_looks(Path(folder), args.looks):
            print(line, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
