"""What a job has to do and why: a pure comparison of the source's items with what is on disk."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from launchers.jobs import Job
from launchers.workspace import Workspace
from mmassist.core.config import nearest
from mmassist.core.errors import ConfigError, Kind
from mmassist.core.item import Item, ItemKind, Listing
from mmassist.core.outcome import Outcome, Status
from mmassist.core.stage import Task
from mmassist.io.ledger import load_outcomes
from mmassist.io.shard import load_records, load_tasks


@dataclass(frozen=True)
class UnitPlan:
    """The work of one job.

    ``tasks`` is the folder's whole list after this plan; ``todo`` the items to do per task; ``why`` counts items by
    the reason they run, ``rest`` those that do not run by their state.
    """

    tasks: list[Task]
    todo: dict[str, list[str]]
    retire: dict[str, list[str]]  # committed tasks to open again, and the items to redo in each
    why: Counter[str] = field(default_factory=Counter)
    rest: Counter[str] = field(default_factory=Counter)
    attempts: dict[str, int] = field(default_factory=dict)  # attempts so far of the items to do

    @property
    def num_items(self) -> int:
        return sum(len(keys) for keys in self.todo.values())


@dataclass(frozen=True)
class Selection:
    """The items of a job that a command is about, and the side of every one of them."""

    items: dict[str, Item]
    sides: Mapping[str, str]  # item key -> train, val or test


def select_items(job: Job, listing: Listing, sides: Mapping[str, str]) -> Selection:
    """Apply ``items=`` and ``limit=``: dialogs by key, and the videos they need.

    Raises ConfigError for a key the source does not have.
    """
    command = job.command
    dialogs: Sequence[Item] = listing.dialogs
    if command.items is not None:
        known = {i.key for i in listing.dialogs} | {i.key for i in listing.media}
        for key in command.items:
            if key not in known:
                raise ConfigError(f"items: {job.dataset} has no item {key!r}.{_close(key, known)}")
        dialogs = [i for i in dialogs if i.key in command.items or i.media_key in command.items]
    if command.limit is not None:
        dialogs = dialogs[: command.limit]
    if job.stage.kind is ItemKind.DIALOG:
        return Selection({i.key: i for i in dialogs}, sides)
    media: Sequence[Item] = listing.media
    if command.items is not None or command.limit is not None:
        wanted = {i.media_key for i in dialogs} | set(command.items or ())
        media = [i for i in media if i.key in wanted]
    return Selection({i.key: i for i in media}, sides)


def plan_unit(job: Job, selection: Selection, workspace: Workspace, rebuild: bool = False) -> UnitPlan:
    """Plan one job; reads the folder's state and changes nothing.

    ``rebuild`` plans as if the folder were empty. Raises ConfigError when inputs of finished items changed and the
    command does not say ``on_stale=rebuild``.
    """
    tasks = [] if rebuild else load_tasks(job.unit)
    records = {} if rebuild else load_records(job.unit)
    outcomes = {} if rebuild else load_outcomes(job.unit.ledger_dir)
    done = {
        key: (name, row["inputs"])
        for name, record in records.items()
        for key, row in record["outcomes"].items()
        if row["status"] == Status.DONE
    }
    inputs = {key: workspace.inputs(item, selection.sides.get(key, "")) for key, item in selection.items.items()}
    stale = [
        k for k, i in selection.items.items() if k in done and done[k][1] != inputs[k] and workspace.is_complete(i)
    ]
    retire = _find_redo(job, done, inputs, stale)
    why: Counter[str] = Counter()
    rest: Counter[str] = Counter()
    waiting: list[str] = []
    for key in selection.items:
        reason, run = _reason(job, key, done, retire, outcomes.get(key), inputs[key])
        (why if run else rest)[reason] += 1
        if run:
            waiting.append(key)
    open_tasks = [t for t in tasks if t.name not in records or t.name in retire]
    home = {key: task.name for task in open_tasks for key in task.items}
    new = list(_cut_tasks(job, [selection.items[k] for k in waiting if k not in home], selection, tasks))
    home.update({key: task.name for task in new for key in task.items})
    todo: dict[str, list[str]] = {}
    for key in waiting:
        todo.setdefault(home[key], []).append(key)
    attempts = {key: outcomes[key].attempt for key in waiting if key in outcomes}
    return UnitPlan(tasks + new, todo, retire, why, rest, attempts)


def _find_redo(
    job: Job, done: Mapping[str, tuple[str, str]], inputs: Mapping[str, str], stale: list[str]
) -> dict[str, list[str]]:
    """Items of committed tasks to do again, by task. Raises ConfigError for stale ones the command does not name."""
    command = job.command
    if stale and command.on_stale == "stop" and command.retry != "all":
        raise ConfigError(
            f"{job.stage.name} of {job.dataset}: the inputs of {len(stale)} finished items changed since "
            f"(first: {stale[0]}); say on_stale=rebuild to redo just these, or bring the old inputs back"
        )
    redo = [key for key in inputs if key in done] if command.retry == "all" else stale
    retire: dict[str, list[str]] = {}
    for key in redo:
        retire.setdefault(done[key][0], []).append(key)
    return retire


def _reason(
    job: Job,
    key: str,
    done: Mapping[str, tuple[str, str]],
    retire: Mapping[str, list[str]],
    outcome: Outcome | None,
    inputs: str,
) -> tuple[str, bool]:
    """Why an item runs or does not run, and which of the two."""
    if key in done:
        name, was = done[key]
        if name in retire and key in retire[name]:
            return ("inputs changed" if was != inputs else "asked to redo"), True
        return "done", False
    if outcome is None:
        return "new", True
    retry = job.command.retry
    if outcome.status is Status.BLOCKED:
        return "was blocked", True
    if outcome.inputs != inputs:
        return "inputs changed", True
    if outcome.status is Status.SKIPPED:
        return ("asked to redo", True) if retry == "all" else (f"skipped: {outcome.reason}", False)
    if outcome.status is Status.FAILED:
        if outcome.reason == Kind.TRANSIENT or retry in ("failed", "all"):
            return f"failed before: {outcome.reason}", True
        return f"failed: {outcome.reason}", False
    return "new", True


def _cut_tasks(job: Job, items: Sequence[Item], selection: Selection, known: Sequence[Task]) -> Iterator[Task]:
    """Cut items, in key order, into new tasks of about the stage's ``task_weight``, one group per task."""
    counts: Counter[str] = Counter(_group_of(t.name) for t in known)
    groups: dict[str, list[Item]] = {}
    for item in sorted(items, key=lambda i: i.key):
        groups.setdefault(job.stage.group(item, selection.sides.get(item.key, "")), []).append(item)
    for group in sorted(groups):
        part: list[Item] = []
        weight = 0.0
        for item in groups[group]:
            if part and weight + item.weight_s > job.stage_config.task_weight:
                yield _task(group, counts, part)
                part, weight = [], 0.0
            part.append(item)
            weight += item.weight_s
        yield _task(group, counts, part)


def _task(group: str, counts: Counter[str], items: Sequence[Item]) -> Task:
    name = f"{group}-{counts[group]:06d}" if group else f"{counts[group]:06d}"
    counts[group] += 1
    return Task(name, tuple(i.key for i in items), sum(i.weight_s for i in items))


def _group_of(name: str) -> str:
    return name.rpartition("-")[0]


def _close(key: str, known: Any) -> str:
    close = nearest(key, known)
    return close if "Did you mean" in close else ""
