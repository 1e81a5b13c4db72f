"""Folders and jobs put together: what is done, what runs, what is left, what went wrong."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from launchers.slurm.ends import GOOD_ENDS, OPEN_ENDS, SILENT_FAILURE, End
from mmassist.io.layout import Layout
from tools.records.file import Reader, text_of
from tools.records.run import JobRow, Run, find_run, list_runs
from tools.records.unit import Unit, choose_units, list_units
from tools.status.count import UnitCount, count_unit
from tools.status.job import Cluster, Element, JobState, judge_jobs, read_lives

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
    End.NEVER: "mend what the reason names (held: scontrol release), or cancel it (python -m tools.cancel RUN)",
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
    """What to look at: runs by name, folders by ``dataset``, ``stage`` and ``unit``; empty means all."""

    runs: Sequence[str] = ()
    filters: Mapping[str, Sequence[str]] = field(default_factory=dict)


def make_report(layout: Layout, choice: Choice) -> Report:
    """Look once at the folders and runs asked for, or at everything. Raises ConfigError for what does not exist."""
    reader, cluster = Reader(), Cluster()
    units = choose_units(list_units(layout, reader), choice.filters)
    counts = {unit.path: count_unit(unit.layout, reader) for unit in units}
    runs = list_runs(layout, reader)
    chosen = [find_run(runs, word) for word in choice.runs]
    rows = _find_rows(layout, units, list(dict.fromkeys(chosen)), runs, reader)
    if chosen:
        units = [unit for unit in units if rows.get(unit.path)]
    wanted = {row.key: row for unit in units for row in rows.get(unit.path, ())}
    states = {state.row.key: state for state in judge_jobs(list(wanted.values()), reader, cluster)}
    hours = _gpu_hours(layout, counts, runs, states, reader)
    reports = []
    for unit in units:
        jobs = [states[row.key] for row in rows.get(unit.path, ())]
        report = UnitReport(unit, counts[unit.path], jobs, hours[unit.path])
        _add_progress(report)
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
        advice = ADVICE[end].replace("<stage>", stage or "STAGE").replace("RUN", job.row.run.run_id)
        if end is End.FAILED and message.startswith(SILENT_FAILURE) and members[0].job_id:
            advice = f"see python -m tools.logs {members[0].job_id}, then give the same command again"
        nodes = sorted({element.verdict.node for element in members} - {""})
        as_of = max(element.verdict.as_of for element in members)
        numbers, ids = [element.number for element in members], [e.job_id for e in members if e.job_id]
        found.append(BadEnd(end, slurm, message, as_of, numbers, ids, nodes, advice))
    return sorted(found, key=lambda bad: -len(bad.elements))


def _find_rows(
    layout: Layout, units: Sequence[Unit], chosen: Sequence[Run], runs: Sequence[Run], reader: Reader
) -> dict[str, list[JobRow]]:
    """The jobs to show per folder: those of the runs asked for, else the latest one and the holder of the lock."""
    locks = {unit.path: reader.read_object(unit.layout.lock) or {} for unit in units}
    holders = {path: text_of(lock, "run_id") for path, lock in locks.items()}
    missing = set(locks)
    found: dict[str, list[JobRow]] = {}
    for run in chosen or runs:
        if not chosen and not missing and run.run_id not in holders.values():
            continue
        for row in run.jobs:
            path = row.unit.removeprefix(f"{layout.processed.name}/")
            is_holder = holders.get(path) == run.run_id
            if path in locks and (chosen or path in missing or is_holder):
                found.setdefault(path, []).append(
                    row.held_by(locks[path]) if is_holder and not row.is_submitted else row
                )
                missing.discard(path)
    return found


def _gpu_hours(
    layout: Layout,
    counts: dict[str, UnitCount],
    runs: Sequence[Run],
    states: dict[tuple[str, str], JobState],
    reader: Reader,
) -> dict[str, float]:
    """GPU-hours that went into each folder: of all runs that left a line in it, and of those that are shown."""
    hours = dict.fromkeys(counts, 0.0)
    wanted = set().union(*(count.run_ids for count in counts.values())) | {run_id for run_id, _ in states}
    for row in (row for run in runs if run.run_id in wanted for row in run.jobs):
        path = row.unit.removeprefix(f"{layout.processed.name}/")
        if path in hours:
            state = states.get(row.key)
            hours[path] += (state.lives if state else read_lives(row, reader)).gpu_hours
    return hours


def _add_progress(report: UnitReport) -> None:
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
    tasks = [name for job in report.jobs if job.live for name in _tasks_ahead(job, count)]
    if weight_per_s:
        report.eta_s = sum(count.weight_left.get(name, 0.0) for name in tasks) / weight_per_s
    elif report.items_per_s:
        report.eta_s = sum(count.items_left.get(name, 0) for name in tasks) / report.items_per_s


def _tasks_ahead(job: JobState, count: UnitCount) -> list[str]:
    """Open tasks of the elements that are not over."""
    bundles = job.row.run.bundles(job.row.name)
    if bundles is None:
        return list(count.items_left)
    ahead = [e.number for e in job.elements if e.verdict.end in OPEN_ENDS and e.number < len(bundles)]
    return [name for number in ahead for name in bundles[number] if name in count.items_left]
