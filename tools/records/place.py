"""Where one item stands in an output folder: its task, and all attempts at it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from mmassist.core.outcome import Status
from mmassist.io.layout import UnitLayout
from mmassist.io.ledger import iter_rows_of
from tools.records.file import number_of, text_of
from tools.records.task import latest_commit, load_record, tasks_with
from tools.records.unit import Unit

_WORKER = re.compile(r"-(\d+)-(\d+)-[^-]+$")  # element, child and process at the end of a worker's name
_SUPERVISOR = re.compile(r"(?:^|-)(\d+)-supervisor$")


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

    @classmethod
    def from_row(cls, row: Mapping[str, Any], status: str, writer: str) -> Attempt:
        """Take what is there and of the right type."""
        names = ("task", "reason", "message", "run_id", "time", "inputs", "digest", "traceback", "node")
        seconds = row.get("seconds")
        return cls(
            **{name: text_of(row, name) for name in names},
            status=status,
            writer=writer,
            number=int(number_of(row, "attempt")) or None,
            seconds=float(seconds) if isinstance(seconds, (int, float)) else None,
        )

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


def find_place(unit: Unit, key: str) -> Place | None:
    """Where ``key`` stands in ``unit``, None when the unit does not know it. Opens only files that name it."""
    attempts = [
        Attempt.from_row(row, text_of(row, "status"), stem.removeprefix(f"{text_of(row, 'run_id')}."))
        for stem, row in iter_rows_of(unit.layout.ledger_dir, key)
    ]
    attempts += [
        Attempt.from_row(row, str(Status.DONE), text_of(row, "writer"))
        for _, row in iter_rows_of(unit.layout.done_log_dir, key)
    ]
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
        time=text_of(commit, "time") or datetime.fromtimestamp(written, UTC).isoformat(timespec="milliseconds"),
        inputs=row["inputs"],
        digest=row["digest"],
        node=text_of(commit, "node"),
    )
