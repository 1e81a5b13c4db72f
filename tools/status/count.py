"""How the items of one output folder stand: counted from names, commit lines and ledgers; no shard is opened."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from mmassist.core.outcome import Status
from mmassist.io.layout import UnitLayout
from tools.records.file import Reader, number_of
from tools.records.task import load_task_rows

Row = Mapping[str, Any]
NOT_DONE = (Status.FAILED, Status.BLOCKED, Status.SKIPPED)


@dataclass(frozen=True)
class Reason:
    """Why items did not succeed: how many, and the latest of them."""

    status: str
    reason: str
    count: int
    item: str
    message: str
    time: str
    run_id: str
    traceback: str


@dataclass
class UnitCount:
    """Items and tasks of a folder.

    ``kept`` are finished items of open tasks, not in a shard yet; ``open`` those of which nothing is known. Of open
    tasks: ``status_of`` the items that stand as failed, blocked or skipped, ``items_left`` and ``weight_left`` (seconds
    of video) what is still to do per task.
    """

    total: int = 0
    done: int = 0
    kept: int = 0
    failed: int = 0
    blocked: int = 0
    skipped: int = 0
    open: int = 0
    tasks: int = 0
    committed: int = 0
    num_bytes: int = 0
    reasons: list[Reason] = field(default_factory=list)
    status_of: dict[str, str] = field(default_factory=dict)
    items_left: dict[str, int] = field(default_factory=dict)
    weight_left: dict[str, float] = field(default_factory=dict)
    run_ids: set[str] = field(default_factory=set)  # runs that left a line in the folder


def count_unit(unit: UnitLayout, reader: Reader) -> UnitCount:
    """Count a folder's items.

    Committed tasks count as their commit lines say. Records are read only of those without a usable line, and where
    the ledger does not tell which of a task's items did not succeed.
    """
    return _Tally(unit, reader).count()


class _Tally:
    """What was read of one folder, and the count made from it."""

    def __init__(self, unit: UnitLayout, reader: Reader):
        self._unit, self._reader = unit, reader
        self._runs: set[str] = set()
        rows = load_task_rows(unit, reader)
        self._tasks: dict[str, list[str]] = {row["name"]: row["items"] for row in rows}
        self._weights: dict[str, float] = {row["name"]: row["weight"] for row in rows}
        # Names before lines: a line is written after its record, and what is missing is read from the record itself.
        self._committed = {name.removesuffix(".json") for name in reader.list_names(unit.record_dir, ".json")}
        self._lines = self._read_lines()
        self._ledger = self._read_ledger()
        self._repeated = self._find_repeated()
        self._home = self._find_home()
        self._exact = self._choose_records()
        self._kept = self._find_kept()
        self._settled = self._read_records()

    def count(self) -> UnitCount:
        found = UnitCount(
            tasks=len(self._tasks.keys() | self._committed), committed=len(self._committed), run_ids=self._runs
        )
        by_status = Counter(str(row["status"]) for row in self._settled.values())
        for name in self._committed - self._exact:
            by_status.update(self._lines[name]["items"])
            found.num_bytes += number_of(self._lines[name], "bytes")
        shown = {key: row for key, row in self._settled.items() if row["status"] in NOT_DONE}
        for key, name in self._home.items():
            if name in self._committed and name not in self._exact and _not_done(self._lines[name]):
                shown[key] = self._ledger[key]
        self._count_open(found, shown)
        by_status.update(found.status_of.values())
        found.done, found.failed = by_status[Status.DONE], by_status[Status.FAILED]
        found.blocked, found.skipped = by_status[Status.BLOCKED], by_status[Status.SKIPPED]
        found.total = found.done + found.failed + found.blocked + found.skipped + found.kept + found.open
        found.reasons = summarise(shown.values())
        return found

    def _count_open(self, found: UnitCount, shown: dict[str, Row]) -> None:
        seen: set[str] = set()  # an item whose side changed is listed in its old task, too
        for name, items in self._tasks.items():
            if name in self._committed:
                continue
            kept, left = self._kept.get(name, set()), 0
            for key in items:
                settled = self._settled.get(key)
                if key in seen or (settled and settled["status"] == Status.DONE):
                    continue
                seen.add(key)
                row = settled or self._ledger.get(key)
                left += key not in kept and (row is None or row["status"] != Status.SKIPPED)
                if settled:
                    continue  # counted where it was committed
                if key in kept:
                    found.kept += 1
                elif row is not None:
                    found.status_of[key] = str(row["status"])
                    shown[key] = row
                else:
                    found.open += 1
            found.items_left[name] = left
            found.weight_left[name] = self._weights.get(name, 0.0) * left / max(1, len(items))

    def _read_lines(self) -> dict[str, Row]:
        """The latest commit line per task: a task that was made again has several."""
        lines: dict[str, Row] = {}
        folder = self._unit.commit_log_dir
        for name in self._reader.list_names(folder, ".jsonl"):
            self._runs.add(name.partition(".")[0])
            for row in self._reader.iter_rows(folder / name):
                task = row.get("task")
                if not isinstance(task, str) or not isinstance(row.get("items"), dict):
                    continue
                row["items"] = {status: number_of(row["items"], status) for status in row["items"]}
                known = lines.get(task)
                if known is None or str(known.get("time", "")) <= str(row.get("time", "")):
                    lines[task] = row
        return lines

    def _read_ledger(self) -> dict[str, Row]:
        """The latest row per item."""
        latest: dict[str, Row] = {}
        for name in self._reader.list_names(self._unit.ledger_dir, ".jsonl"):
            self._runs.add(name.partition(".")[0])
            for row in self._reader.iter_rows(self._unit.ledger_dir / name):
                key = row.get("item")
                if not isinstance(key, str) or row.get("status") not in NOT_DONE:
                    continue
                known = latest.get(key)
                if known is None or _rank(known) <= _rank(row):
                    latest[key] = row
        return latest

    def _find_repeated(self) -> set[str]:
        """Items that several tasks list: taken up again after a commit, or moved to another side."""
        num_listed = sum(map(len, self._tasks.values()))
        if num_listed == len(set().union(*self._tasks.values())):
            return set()
        times = Counter(key for items in self._tasks.values() for key in items)
        return {key for key, number in times.items() if number > 1}

    def _find_home(self) -> dict[str, str]:
        """The task of every item of the ledger that only one task lists."""
        if not self._ledger:
            return {}
        wanted = self._ledger.keys() - self._repeated
        return {key: name for name, items in self._tasks.items() for key in items if key in wanted}

    def _choose_records(self) -> set[str]:
        """Committed tasks whose record has to be read."""
        in_ledger = Counter(self._home.values())
        return {name for name in self._committed if not self._is_line_enough(name, in_ledger[name])}

    def _is_line_enough(self, name: str, num_in_ledger: int) -> bool:
        line, items = self._lines.get(name), self._tasks.get(name)
        if line is None or items is None or sum(line["items"].values()) != len(items):
            return False
        # Where as many did not succeed as the ledger names, it names them; where all did, its rows are history.
        return self._repeated.isdisjoint(items) and _not_done(line) in (0, num_in_ledger)

    def _find_kept(self) -> dict[str, set[str]]:
        """Items with a finished file in the journal, per open task."""
        found = {}
        for name in self._reader.list_names(self._unit.journal_dir):
            if name in self._tasks and name not in self._committed:
                parts = self._reader.list_names(self._unit.fragment_dir(name), ".part")
                found[name] = {part.removesuffix(".part") for part in parts} & set(self._tasks[name])
        return found

    def _read_records(self) -> dict[str, Row]:
        """Outcomes of the items of these records; of an item in several, that it is done or else what came last."""
        settled: dict[str, Row] = {}
        for name in sorted(self._exact):
            record = self._reader.read_object(self._unit.record(name)) or {}
            outcomes = record.get("outcomes")
            for key, outcome in outcomes.items() if isinstance(outcomes, dict) else ():
                if settled.get(key, {}).get("status") == Status.DONE or not isinstance(outcome, dict):
                    continue
                if outcome.get("status") == Status.DONE:
                    settled[key] = outcome
                elif outcome.get("status") in NOT_DONE:
                    settled[key] = self._ledger.get(key, {**outcome, "item": key, "run_id": record.get("run_id", "")})
        for key in set().union(*self._kept.values()) & settled.keys():
            if settled[key]["status"] != Status.DONE:
                del settled[key]  # another attempt has finished it since
        return settled


def summarise(rows: Iterable[Row]) -> list[Reason]:
    """Count by status and reason, failures first, the frequent ones first; each with its latest row."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((str(row["status"]), str(row.get("reason", ""))), []).append(row)
    found = []
    for (status, reason), members in groups.items():
        last = max(members, key=lambda row: str(row.get("time", "")))
        texts = {name: str(last.get(name, "")) for name in ("item", "message", "time", "run_id", "traceback")}
        found.append(Reason(status, reason, len(members), **texts))
    return sorted(found, key=lambda r: (NOT_DONE.index(Status(r.status)), -r.count, r.reason))


def _not_done(line: Row) -> int:
    return sum(line["items"].get(status, 0) for status in NOT_DONE)


def _rank(row: Row) -> tuple[float, str]:
    return number_of(row, "attempt"), str(row.get("time", ""))
