"""Folders and jobs put together: what is done, what runs, what is left, what went wrong."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from launchers.slurm.ends import GOOD_ENDS, OPEN_ENDS, End
from mmassist.core.errors import ConfigError
from mmassist.io.layout import Layout
from tools.status.count import UnitCount, count_unit
from tools.status.files import Reader
from tools.status.job import Cluster, Element, JobState, judge_jobs, read_lives
from tools.status.receipt import JobRow, list_run_ids, read_jobs
from tools.status.unit import Unit, find_units

SCHEMA_VERSION = 1
_VARYING = re.compile(
    r"\((?!signal|exit code)[^)]*\)|(?<!signal )(?<!exit code )\b\d+"
)  # what differs between messages that mean the same
ADVICE = {
    End.FAILED: "mend what the message says, then give the same command again",
    End.TIME_LIMIT: "give the same command again; <stage>.timeout_min is the limit",
    End.PREEMPTED: "give the same command again",
    End.CANCELLED: "give the same command again when it is wanted",
    End.OUT_OF_MEMORY: "raise <stage>.mem_gb or lower <stage>.num_workers, then give the same command again",
    End.NODE_FAILURE: "give the same command again",
    End.LOST: "give the same command again",
    End.NEVER: "cancel it (python -m tools.cancel RUN), change what the reason names, give the command again",
}


@dataclass(frozen=True)
class BadEnd:
    """Elements of a job that ended badly in the same way."""

    end: End
    slurm: str
    message: str
    as_of: str
    elements: list[int]
    job_ids: list[str]
    nodes: list[str]
    advice: str


@dataclass
class UnitReport:
    """One output folder with the jobs that matter: the latest to touch it, and the one that holds its lock."""

    unit: Unit
    count: UnitCount
    jobs: list[JobState] = field(default_factory=list)
    gpu_hours: float = 0.0
    running: int = 0  # items in hand
    waiting: int = 0
    items_per_s: float = 0.0
    eta_s: float | None = None

    @property
    def ends(self) -> Counter[End]:
        total: Counter[End] = Counter()
        for job in self.jobs:
            total.update(job.ends)
        return total

    @property
    def is_bad(self) -> bool:
        return self.count.failed > 0 or any(job.is_bad for job in self.jobs)


@dataclass
class Report:
    """Everything that one look shows."""

    data_root: str
    time: str
    units: list[UnitReport]
    problems: list[str]
    is_queue_known: bool
    is_accounting_known: bool

    @property
    def exit_code(self) -> int:
        return int(any(unit.is_bad for unit in self.units))


@dataclass(frozen=True)
class Choice:
    """What to look at; empty means all."""

    runs: tuple[str, ...] = ()
    datasets: tuple[str, ...] = ()
    stages: tuple[str, ...] = ()


def make_report(layout: Layout, choice: Choice) -> Report:
    """Look at everything once. Raises ConfigError for a run that does not exist."""
    reader, cluster = Reader(), Cluster()
    units = [unit for unit in find_units(layout, reader) if _is_chosen(unit, choice)]
    counts = {unit.path: count_unit(unit.layout, reader) for unit in units}
    rows = _find_rows(layout, units, choice, reader)
    if choice.runs:
        units = [unit for unit in units if rows.get(unit.path)]
    wanted = {row.key: row for unit in units for row in rows.get(unit.path, ())}
    states = {state.row.key: state for state in judge_jobs(list(wanted.values()), reader, cluster)}
    hours = _gpu_hours(layout, units, counts, states, reader)
    reports = []
    for unit in units:
        jobs = [states[row.key] for row in rows.get(unit.path, ())]
        report = UnitReport(unit, counts[unit.path], jobs, hours[unit.path])
        _add_progress(report, reader)
        reports.append(report)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    known = (cluster.is_queue_known, cluster.is_accounting_known)
    return Report(str(layout.data_root), now, reports, reader.problems, *known)


def list_bad_ends(job: JobState) -> list[BadEnd]:
    """The ends that somebody has to do something about, alike ones together under the first one's message."""
    groups: dict[tuple[End, str, str], list[Element]] = {}
    for element in job.elements:
        verdict = element.verdict
        if verdict.end not in GOOD_ENDS:
            alike = _VARYING.sub("", verdict.message)
            groups.setdefault((verdict.end, verdict.slurm, alike), []).append(element)
    stage = job.row.stage
    found = []
    for (end, slurm, _), members in groups.items():
        message = members[0].verdict.message
        advice = ADVICE[end].replace("<stage>", stage or "STAGE").replace("RUN", job.row.run_id)
        nodes = sorted({element.verdict.node for element in members} - {""})
        as_of = max(element.verdict.as_of for element in members)
        numbers, ids = [element.number for element in members], [e.job_id for e in members if e.job_id]
        found.append(BadEnd(end, slurm, message, as_of, numbers, ids, nodes, advice))
    return sorted(found, key=lambda bad: -len(bad.elements))


def _is_chosen(unit: Unit, choice: Choice) -> bool:
    return (not choice.datasets or unit.dataset in choice.datasets) and (
        not choice.stages or unit.stage in choice.stages
    )


def _find_rows(layout: Layout, units: Sequence[Unit], choice: Choice, reader: Reader) -> dict[str, list[JobRow]]:
    """The jobs to show per folder: those of the runs asked for, else the latest one and the holder of the lock."""
    locks = {unit.path: reader.read_object(unit.layout.lock) or {} for unit in units}
    holders = {path: str(lock.get("run_id", "")) for path, lock in locks.items()}
    known = list_run_ids(layout, reader)
    missing = {unit.path for unit in units}
    found: dict[str, list[JobRow]] = {}
    for run_id in _choose_runs(known, choice.runs):
        if not choice.runs and not missing and run_id not in holders.values():
            continue
        for row in read_jobs(layout, run_id, reader):
            is_latest = row.unit in missing
            if choice.runs or is_latest or holders.get(row.unit) == run_id:
                if not row.is_submitted and holders.get(row.unit) == run_id:
                    row = row.held_by(locks[row.unit])
                found.setdefault(row.unit, []).append(row)
                missing.discard(row.unit)
    return found


def _choose_runs(known: Sequence[str], wanted: Sequence[str]) -> list[str]:
    """All runs, or those asked for by name or by the beginning of it. Raises ConfigError."""
    if not wanted:
        return list(known)
    found = []
    for word in wanted:
        matching = [word] if word in known else [name for name in known if name.startswith(word)]
        if not matching:
            latest = f"; the latest is {known[0]}" if known else "; there is none at all"
            raise ConfigError(f"there is no run {word!r}{latest}")
        if len(matching) > 1:
            raise ConfigError(
                f"{word!r} begins the names of {len(matching)} runs, such as {matching[0]}; say more of it"
            )
        found += matching
    return list(dict.fromkeys(found))


def _gpu_hours(
    layout: Layout,
    units: Sequence[Unit],
    counts: dict[str, UnitCount],
    states: dict[tuple[str, str], JobState],
    reader: Reader,
) -> dict[str, float]:
    """GPU-hours that went into each folder: of all runs that left a line in it, and of those that are shown."""
    hours = {unit.path: 0.0 for unit in units}
    runs = {run_id for unit in units for run_id in counts[unit.path].run_ids} | {key[0] for key in states}
    known = set(list_run_ids(layout, reader))
    for run_id in sorted(runs & known):
        for row in read_jobs(layout, run_id, reader):
            if row.unit in hours:
                state = states.get(row.key)
                hours[row.unit] += (state.lives if state else read_lives(row, reader)).gpu_hours
    return hours


def _add_progress(report: UnitReport, reader: Reader) -> None:
    """Items in hand and waiting, the rate, and when it will be over."""
    count = report.count
    live = [life for job in report.jobs for _, life in job.live]
    in_hand = {str(entry.get("item", "")) for life in live for entry in life.in_hand}
    for key in in_hand:
        status = count.status_of.get(key)
        if status is not None:  # tried again: it is counted once
            setattr(count, status, getattr(count, status) - 1)
        elif count.open > 0:
            count.open -= 1
        else:
            continue  # finished since
        report.running += 1
    report.waiting = count.open
    report.items_per_s = sum(life.items.get("done", 0) / life.seconds for life in live if life.seconds)
    weight_per_s = sum(life.weight_s / life.seconds for life in live if life.seconds)
    tasks = [name for job in report.jobs if job.live for name in _tasks_ahead(job, reader, count)]
    if weight_per_s:
        report.eta_s = sum(count.weight_left.get(name, 0.0) for name in tasks) / weight_per_s
    elif report.items_per_s:
        report.eta_s = sum(count.items_left.get(name, 0) for name in tasks) / report.items_per_s


def _tasks_ahead(job: JobState, reader: Reader, count: UnitCount) -> list[str]:
    """Open tasks of the elements that are not over."""
    planned = (reader.read_object(job.row.run.plan) or {}).get(job.row.name)
    bundles: Any = planned.get("elements") if isinstance(planned, dict) else None
    if not isinstance(bundles, list) or not all(isinstance(bundle, list) for bundle in bundles):
        return list(count.items_left)
    ahead = [e.number for e in job.elements if e.verdict.end in OPEN_ENDS and e.number < len(bundles)]
    return [name for number in ahead for name in bundles[number] if name in count.items_left]
