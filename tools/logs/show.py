"""An attempt, a task or an element as lines of text: what is recorded of it, and the logs around it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from launchers.slurm.ends import parse_time
from mmassist.core.errors import Kind
from mmassist.core.outcome import Status
from mmassist.io.layout import Layout
from tools.logs.lines import read_moments, tail_lines
from tools.records.file import rows_of, table_of, text_of
from tools.records.place import Attempt, Place
from tools.records.run import Run
from tools.records.unit import Unit

DEADLY = (Kind.CRASH, Kind.TIMEOUT, Kind.OUT_OF_MEMORY)  # the worker could write nothing more: only its output may tell
MAX_TRACEBACK_LINES = 400
MAX_ROWS = 20_000  # of a worker's log, looked through for a task's first line


@dataclass(frozen=True)
class Origin:
    """Which run worked on which unit."""

    layout: Layout
    unit: Unit
    run_id: str

    @property
    def run(self) -> Run:
        return Run(self.layout, self.run_id)


def describe(attempt: Attempt) -> str:
    """``failed (crash): message; attempt 2, run …``, in one line."""
    reason = f" ({attempt.reason})" if attempt.reason else ""
    message = f": {attempt.message}" if attempt.message else ""
    number = f"attempt {attempt.number}, " if attempt.number else ""
    return f"{attempt.status}{reason}{message}; {number}run {attempt.run_id}, {attempt.time}"


def iter_attempt(origin: Origin, place: Place, attempt: Attempt, num_lines: int) -> Iterator[str]:
    """One attempt at an item with its traceback, the worker's log, and the output of a worker that died."""
    yield f"  {describe(attempt)}"
    run, element = origin.run, attempt.element
    yield from _iter_where(replace(attempt, run_id=""))  # which is told already
    if attempt.traceback:
        yield from _iter_file(origin.layout.data_root / attempt.traceback, "traceback", MAX_TRACEBACK_LINES)
    if not run.exists:
        yield f"  run folder {run.layout.root} is gone, and its logs with it"
        return
    if element is None:
        return
    job = run.job_of(origin.unit).name
    logs = run.worker_logs(job, element)
    children = [attempt.child] if attempt.child is not None else _suspects(logs, attempt)
    for child in children:
        if child in logs:
            yield from _iter_log(logs[child], _item_rows(logs[child], place.key, attempt, num_lines))
    if attempt.status == Status.FAILED and attempt.reason in DEADLY:
        for child in children:
            yield from _iter_file(run.worker_output(job, element, child), "output of the worker", num_lines)
        for path in run.slurm_files(job, element):
            yield from _iter_file(path, "SLURM output", num_lines)


def iter_task_log(
    run: Run, unit: Unit, task: str, items: Collection[str], attempt: Attempt, num_lines: int
) -> Iterator[str]:
    """Who worked on a task, and the log from its first line to its last."""
    element = attempt.element
    yield from _iter_where(attempt)
    if not run.exists:
        yield f"  run folder {run.layout.root} is gone, and its logs with it"
        return
    if element is None:
        return
    job = run.job_of(unit).name
    for life in run.lives(job, element)[-1:]:
        yield f"  its element: {_describe_life(life)}"
    for child, path in run.worker_logs(job, element).items():
        if attempt.child not in (None, child):
            continue
        rows = read_moments(path, "", attempt.time, MAX_ROWS)
        starts = [at for at, row in enumerate(rows) if row.get("message") == f"task {task} begins"]
        ends = [at for at, row in enumerate(rows) if str(row.get("message", "")).startswith(f"task {task} is ")]
        if starts:
            stop = ends[-1] + 1 if ends and ends[-1] > starts[-1] else len(rows)
            rows = rows[starts[-1] : stop]
        elif attempt.child is None:
            continue
        else:  # ``basic`` has no line for a task's beginning
            keys = set(items)
            rows = [row for row in rows if not keys.isdisjoint(str(row.get("message", "")).split())]
        yield from _iter_log(path, rows[-num_lines:] if num_lines else [])


def iter_element(run: Run, job: str, element: int, lives: Sequence[Mapping[str, Any]], num_lines: int) -> Iterator[str]:
    """An element's starts and ends, what SLURM kept of its output, and the ends of its workers' logs."""
    for life in lives:
        yield f"  {_describe_life(life)}"
        for hand in rows_of(life, "in_hand") if not life.get("ended") else []:
            yield f"    in hand: {fields_of(hand, 'item', 'task', 'child', 'since')}"
    for path in run.slurm_files(job, element):
        yield from _iter_file(path, "SLURM output", num_lines)
    logs = run.worker_logs(job, element)
    for child, path in logs.items():
        yield from _iter_log(path, read_moments(path, "", "", num_lines))
        output = run.worker_output(job, element, child)
        yield from _iter_file(output, "output of the worker", num_lines) if _size_of(output) else ()
    if not lives and not logs:
        yield "  nothing was written by it yet"


def fields_of(row: Mapping[str, Any], *names: str) -> str:
    """``name value`` of what is there, for one line of text."""
    return ", ".join(f"{name} {row[name]}" for name in names if row.get(name) not in (None, ""))


def _describe_life(life: Mapping[str, Any]) -> str:
    message = f": {life['message']}" if life.get("message") else ""
    end = f"{life['end']} {life.get('ended', '')}" if life.get("end") else f"alive, as of {life.get('updated', '')}"
    items = ", ".join(f"{number} {status}" for status, number in table_of(life, "items").items() if number)
    where = fields_of(life, "node", "host", "pid", "job_id")
    tasks = f"{life.get('committed', 0)} of {life.get('tasks', 0)} tasks committed"
    start = f"start {life.get('start', 0)} at {life.get('started', '')}"
    return f"{start}: {end}{message}; {tasks}, {items or 'no items'}; {where}"


def _iter_where(attempt: Attempt) -> Iterator[str]:
    parts = [f"run {attempt.run_id}"] if attempt.run_id else []
    parts += [f"element {attempt.element}"] if attempt.element is not None else []
    parts += [f"worker {attempt.child}"] if attempt.child is not None else []
    parts += [f"node {attempt.node}"] if attempt.node else []
    parts += [f"{attempt.seconds:.1f} s"] if attempt.seconds is not None else []
    if parts:
        yield f"  {', '.join(parts)}"


def _item_rows(path: Path, key: str, attempt: Attempt, num_lines: int) -> list[dict[str, Any]]:
    """Lines from an attempt's begin to its end; behind the end those alone that name the item."""
    end = parse_time(attempt.time)
    begin = ""
    if end is not None and attempt.seconds is not None:
        begin = (end.fromtimestamp(end.timestamp() - attempt.seconds - 0.5, end.tzinfo)).isoformat()
    rows = read_moments(path, begin, attempt.time, num_lines)
    return [row for row in rows if key in str(row.get("message", "")) or _is_before(row, attempt)]


def _is_before(row: Mapping[str, Any], attempt: Attempt) -> bool:
    moment, end = parse_time(text_of(row, "time")), parse_time(attempt.time)
    return moment is not None and end is not None and moment <= end


def _suspects(logs: Mapping[int, Path], attempt: Attempt) -> list[int]:
    """Workers whose last word before ``attempt`` ended was that its task begins; all of them when none says so."""
    found = []
    for child, path in logs.items():
        rows = read_moments(path, "", attempt.time, MAX_ROWS)
        words = [str(row.get("message", "")).split() for row in rows if _is_before(row, attempt)]
        begun = [word[1] for word in words if len(word) == 3 and word[0] == "task" and word[2] == "begins"]
        if begun and begun[-1] == attempt.task:
            found.append(child)
    return found or list(logs)


def _iter_log(path: Path, rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    yield f"  log {path}, {len(rows)} lines:"
    for row in rows:
        yield f"    {row.get('time', '')} {row.get('level', '')} {row.get('logger', '')}: {row.get('message', '')}"
        for line in str(row.get("traceback", "")).splitlines():
            yield f"      {line}"


def _size_of(path: Path) -> int:
    """Bytes of a file, 0 when it is not there."""
    return path.stat().st_size if path.is_file() else 0


def _iter_file(path: Path, what: str, num_lines: int) -> Iterator[str]:
    if not path.exists():
        yield f"  {what} {path} is gone"
        return
    lines = tail_lines(path, num_lines)
    if lines:
        yield f"  {what} {path}, last {len(lines)} lines:"
    else:
        yield f"  {what} {path} is empty"
    for line in lines:
        yield f"    {line}"
