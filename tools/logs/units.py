"""Output folders as they lie below ``processed_data/``, and where one item stands in each."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from mmassist.core.config import nearest
from mmassist.core.errors import ConfigError
from mmassist.core.outcome import Status
from mmassist.io.layout import Layout, UnitLayout
from mmassist.stages import PIPELINE
from tools.logs.words import advise

_WORKER = re.compile(r"-(\d+)-(\d+)-[^-]+$")  # element, child and process at the end of a worker's name
_SUPERVISOR = re.compile(r"(?:^|-)(\d+)-supervisor$")


@dataclass(frozen=True)
class Unit:
    """One output folder; ``path`` is relative to ``processed_data/``."""

    path: str
    layout: UnitLayout

    @property
    def dataset(self) -> str:
        return self.path.split("/")[0]

    @cached_property
    def manifest(self) -> dict[str, Any]:
        return read_mapping(self.layout.manifest)

    @property
    def stage(self) -> str:
        return str(self.manifest.get("stage", ""))


@dataclass(frozen=True)
class Attempt:
    """One attempt at an item, or what is known of it; "" and None where nothing was recorded."""

    task: str
    status: str
    reason: str = ""
    message: str = ""
    number: int | None = None
    run_id: str = ""
    writer: str = ""
    time: str = ""  # of its end
    inputs: str = ""
    digest: str = ""
    traceback: str = ""
    node: str = ""
    seconds: float | None = None

    @property
    def element(self) -> int | None:
        found = _WORKER.search(self.writer) or _SUPERVISOR.search(self.writer)
        return int(found.group(1)) if found else None

    @property
    def child(self) -> int | None:
        """None too for what the supervisor wrote about a worker that had died."""
        found = _WORKER.search(self.writer)
        return int(found.group(2)) if found else None


@dataclass(frozen=True)
class Place:
    """Where an item stands in a unit: its task, the task's record once it is committed, and all attempts by time."""

    unit: Unit
    key: str
    task: str
    record: Mapping[str, Any] | None
    attempts: tuple[Attempt, ...]

    @property
    def outcome(self) -> Mapping[str, Any] | None:
        """The item's row in the record."""
        found: Mapping[str, Any] | None = self.record["outcomes"].get(self.key) if self.record else None
        return found

    @property
    def status(self) -> str:
        """done, skipped, failed, blocked, or waiting."""
        committed = str(self.outcome["status"]) if self.outcome is not None else "waiting"
        if committed == Status.DONE or not self.attempts:
            return committed
        last = self.attempts[-1].status
        # What was finished once and is asked for again has left its line, but nothing that a commit would take up.
        is_lost = last == Status.DONE and not self.unit.layout.fragment(self.task, self.key).exists()
        return "waiting" if is_lost else last

    @property
    def is_open(self) -> bool:
        """Whether the item's task is still to be committed."""
        return self.record is None

    @property
    def time(self) -> str:
        return self.attempts[-1].time if self.attempts else ""


def list_units(layout: Layout, filters: Mapping[str, str]) -> list[Unit]:
    """All units that fit ``dataset``, ``stage`` and ``unit``, in pipeline order. Raises ConfigError for others."""
    if "stage" in filters and filters["stage"] not in PIPELINE:
        raise ConfigError(f"stage={filters['stage']}: there is no such stage.{nearest(filters['stage'], PIPELINE)}")
    datasets = [path.name for path in _folders(layout.processed)]
    if "dataset" in filters and filters["dataset"] not in datasets:
        there = f"there are {', '.join(datasets)}" if datasets else "there are none yet"
        raise ConfigError(
            f"dataset={filters['dataset']}: nothing of it is in {layout.processed}; "
            f"{advise(filters['dataset'], datasets, there)}"
        )
    chosen = [name for name in datasets if filters.get("dataset", name) == name]
    units = [
        Unit(f"{name}/{folder}", layout.unit(name, folder)) for name in chosen for folder in _unit_folders(layout, name)
    ]
    if "unit" in filters:
        units = _choose_unit(units, filters["unit"])
    if "stage" in filters:
        units = [unit for unit in units if unit.stage == filters["stage"]]
    return sorted(units, key=lambda unit: (_place(unit.stage), unit.path))


def _choose_unit(units: list[Unit], name: str) -> list[Unit]:
    wanted = name.strip("/").removeprefix("processed_data/")
    found = [unit for unit in units if unit.path == wanted or unit.path.partition("/")[2] == wanted]
    if not found:
        advice = advise(wanted, [unit.path for unit in units], "leave it out to look into all")
        raise ConfigError(f"unit={name}: there is no such folder; {advice}")
    return found


def _place(stage: str) -> int:
    return PIPELINE.index(stage) if stage in PIPELINE else len(PIPELINE)


def _folders(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    except FileNotFoundError:
        return []


def _unit_folders(layout: Layout, dataset: str) -> Iterator[str]:
    """Folders of one or two names; those moved aside are history."""
    for folder in _folders(layout.processed / dataset):
        if ".stale-" in folder.name:
            continue
        if _is_unit(layout.unit(dataset, folder.name)):
            yield folder.name
            continue
        for inner in _folders(folder):
            name = f"{folder.name}/{inner.name}"
            if ".stale-" not in inner.name and _is_unit(layout.unit(dataset, name)):
                yield name


def _is_unit(unit: UnitLayout) -> bool:
    return unit.manifest.exists() or unit.tasks.exists()


def find_place(unit: Unit, key: str) -> Place | None:
    """Where ``key`` stands in ``unit``, None when the unit does not know it. Opens only files that name it."""
    attempts = [_failed_attempt(stem, row) for stem, row in iter_rows_of(unit.layout.ledger_dir, key)]
    attempts += [_done_attempt(row) for _, row in iter_rows_of(unit.layout.done_log_dir, key)]
    attempts.sort(key=lambda attempt: attempt.time)
    tasks = list(
        dict.fromkeys([*(a.task for a in reversed(attempts) if a.task), *reversed(tasks_with(unit.layout, key))])
    )
    records = {name: record for name in tasks if key in (record := load_record(unit.layout, name)).get("outcomes", {})}
    done = [name for name, record in records.items() if record["outcomes"][key]["status"] == Status.DONE]
    task = next(iter(done or records or tasks), None)
    if task is None:
        return None
    if done and not any(a.status == Status.DONE and a.task == task for a in attempts):
        attempts.append(_recorded_attempt(unit.layout, key, records[task]))
    return Place(unit, key, task, records.get(task), tuple(attempts))


def tasks_with(unit: UnitLayout, key: str) -> list[str]:
    """Names of the tasks that were cut with the item, oldest first."""
    return [row["name"] for row in load_task_rows(unit, f'"{key}"'.encode()) if key in row["items"]]


def load_task_rows(unit: UnitLayout, needle: bytes = b"") -> list[dict[str, Any]]:
    """The rows of ``tasks.json``; none when ``needle`` is not in it, or when it is damaged."""
    try:
        data = unit.tasks.read_bytes()
        return list(json.loads(data)["tasks"]) if needle in data else []
    except (OSError, ValueError, KeyError):
        return []


def load_record(unit: UnitLayout, task: str) -> dict[str, Any]:
    """The record of a task, empty when it is open."""
    return read_mapping(unit.record(task))


def iter_rows_of(folder: Path, value: str, field: str = "item") -> Iterator[tuple[str, dict[str, Any]]]:
    """Rows of a folder's JSON-lines files whose ``field`` is ``value``, with the file's stem; torn ones left out."""
    needle = f'"{value}"'.encode()
    for path in sorted(folder.glob("*.jsonl")):
        try:
            data = path.read_bytes()
        except OSError:
            continue
        at = data.find(needle)
        while at >= 0:
            begin, end = data.rfind(b"\n", 0, at) + 1, data.find(b"\n", at)
            end = end if end >= 0 else len(data)
            row = parse_row(data[begin:end])
            if row.get(field) == value:
                yield path.stem, row
            at = data.find(needle, end)


def parse_row(line: bytes) -> dict[str, Any]:
    """A JSON object, empty when the line is torn."""
    try:
        row = json.loads(line)
    except ValueError:
        return {}
    return row if isinstance(row, dict) else {}


def read_mapping(path: Path) -> dict[str, Any]:
    """A JSON object of ours, empty when the file is absent, unreadable or damaged: readers show what there is."""
    try:
        return parse_row(path.read_bytes())
    except OSError:
        return {}


def latest_commit(unit: UnitLayout, task: str) -> dict[str, Any]:
    """The newest line about a committed task, empty when no writer left one."""
    rows = [row for _, row in iter_rows_of(unit.commit_log_dir, task, "task")]
    return max(rows, key=lambda row: str(row.get("time", "")), default={})


def _failed_attempt(stem: str, row: Mapping[str, Any]) -> Attempt:
    run_id = str(row.get("run_id", ""))
    return Attempt(
        task=str(row.get("task", "")),
        status=str(row.get("status", "")),
        reason=str(row.get("reason", "")),
        message=str(row.get("message", "")),
        number=row.get("attempt"),
        run_id=run_id,
        writer=stem.removeprefix(f"{run_id}."),
        time=str(row.get("time", "")),
        inputs=str(row.get("inputs", "")),
        traceback=str(row.get("traceback", "")),
        node=str(row.get("node", "")),
        seconds=row.get("seconds"),
    )


def _done_attempt(row: Mapping[str, Any]) -> Attempt:
    return Attempt(
        task=str(row.get("task", "")),
        status=str(Status.DONE),
        number=row.get("attempt"),
        run_id=str(row.get("run_id", "")),
        writer=str(row.get("writer", "")),
        time=str(row.get("time", "")),
        inputs=str(row.get("inputs", "")),
        digest=str(row.get("digest", "")),
        node=str(row.get("node", "")),
        seconds=row.get("seconds"),
    )


def _recorded_attempt(unit: UnitLayout, key: str, record: Mapping[str, Any]) -> Attempt:
    """What a record says of a finished item that no line tells of: who committed it, perhaps not who made it."""
    commit = latest_commit(unit, record["task"])
    row = record["outcomes"][key]
    written = unit.record(record["task"]).stat().st_mtime
    return Attempt(
        task=record["task"],
        status=str(Status.DONE),
        run_id=record["run_id"],
        writer=record["attempt"],
        time=str(commit.get("time") or datetime.fromtimestamp(written, UTC).isoformat(timespec="milliseconds")),
        inputs=row["inputs"],
        digest=row["digest"],
        node=str(commit.get("node", "")),
    )
