"""What a job has to do and why: a pure comparison of the source's items with what is on disk."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from launchers.changes import describe_change
from launchers.coming import Coming
from launchers.jobs import Job
from launchers.state import UnitState, load_state
from launchers.workspace import Workspace, upstream_key
from mmassist.core.config import nearest
from mmassist.core.errors import ConfigError, Kind
from mmassist.core.item import Item, ItemKind, Listing
from mmassist.core.outcome import Outcome, Status
from mmassist.core.stage import Task, title_of

WAITS_FOR = "waits for "  # begins the reason of items that are left out


@dataclass(frozen=True)
class UnitPlan:
    """The work of one job.

    ``tasks`` is the folder's whole list after this plan; ``todo`` the items to do per task to work on; ``why`` counts
    items by the reason they run, ``rest`` those that do not run by their state.
    """

    tasks: list[Task]
    todo: dict[str, list[str]]
    retire: dict[str, list[str]]  # committed tasks to open again, and the items that are not to be adopted
    why: Counter[str] = field(default_factory=Counter)
    rest: Counter[str] = field(default_factory=Counter)
    attempts: dict[str, int] = field(default_factory=dict)  # attempts so far of the items to do
    gone: list[str] = field(default_factory=list)  # finished items that the source no longer lists
    examples: dict[str, str] = field(default_factory=dict)  # the first item of every reason in why and rest
    blocked: Counter[str] = field(default_factory=Counter)  # earlier stage -> items to do whose input is not there yet
    held_back: Counter[str] = field(
        default_factory=Counter
    )  # earlier stage -> items left out: no job makes their input
    changed: frozenset[str] = frozenset()  # finished items made again since what they are made from changes

    @property
    def num_items(self) -> int:
        return sum(len(keys) for keys in self.todo.values())

    @property
    def num_failed(self) -> int:
        """Items that stand as failed and are not tried again."""
        return sum(number for reason, number in self.rest.items() if reason.startswith("failed"))

    def waiting(self) -> list[Task]:
        """The tasks to work on, each with the weight of what is to do of it."""
        left = ((task, len(self.todo[task.name])) for task in self.tasks if task.name in self.todo)
        return [replace(task, weight=task.weight * count / max(1, len(task.items))) for task, count in left]

    @property
    def redone(self) -> set[str]:
        """Finished items that are made again: what depends on them will change."""
        return {key for keys in self.retire.values() for key in keys}


@dataclass(frozen=True)
class Selection:
    """The items of a job that a command is about, with sides and groups for every item of the source."""

    items: dict[str, Item]
    sides: Mapping[str, str]  # item key -> train, val or test
    listed: frozenset[str]  # keys of all the source's items of this kind


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
        return Selection({i.key: i for i in dialogs}, sides, frozenset(i.key for i in listing.dialogs))
    media: Sequence[Item] = listing.media
    if command.items is not None or command.limit is not None:
        wanted = {i.media_key for i in dialogs} | set(command.items or ())
        media = [i for i in media if i.key in wanted]
    return Selection({i.key: i for i in media}, sides, frozenset(i.key for i in listing.media))


def plan_unit(
    job: Job, selection: Selection, workspace: Workspace, rebuild: bool = False, coming: Coming | None = None
) -> UnitPlan:
    """Plan one job; reads the folder's state and changes nothing.

    ``rebuild`` plans as if the folder were empty; ``coming`` is for a job that is planned before earlier ones of its
    command have run. Raises ConfigError when inputs of finished items changed and the command does not say
    ``on_stale=rebuild``.
    """
    coming = coming or Coming()
    state = UnitState() if rebuild else load_state(job.unit)
    inputs = {key: workspace.inputs(item, selection.sides.get(key, "")) for key, item in selection.items.items()}
    later = {
        key: stages
        for key in state.done
        if key in selection.items and (stages := coming.changes(job, selection.items[key]))
    }
    retire, changed = _find_redo(job, state, selection, inputs, workspace, later)
    redone = {key for keys in retire.values() for key in keys}
    reasons = {key: _reason(job, key, state, redone, inputs[key], later) for key in selection.items}
    items = _sort_items(job, selection, workspace, reasons, coming)
    new, home = _find_tasks(job, selection, state, retire, items.waiting)
    todo: dict[str, list[str]] = {name: [] for name in retire}  # worked on even where nothing is left to do
    for key in items.waiting:
        if key not in items.idle:
            todo.setdefault(home[key], []).append(key)
    attempts = {key: state.outcomes[key].attempt for key in items.waiting if key in state.outcomes}
    gone = sorted(state.done.keys() - selection.listed)
    told = (items.why, items.rest, attempts, gone, items.examples, items.blocked, items.held_back, changed)
    return UnitPlan(state.tasks + new, todo, retire, *told)


@dataclass
class _Sorted:
    """The selected items by what becomes of them; counts are by reason, or by the stage that is waited for."""

    why: Counter[str] = field(default_factory=Counter)
    rest: Counter[str] = field(default_factory=Counter)
    blocked: Counter[str] = field(default_factory=Counter)
    held_back: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)
    waiting: list[str] = field(default_factory=list)  # to be done, now or later
    idle: set[str] = field(default_factory=set)  # of these, those for which no job makes what they need


def _sort_items(
    job: Job, selection: Selection, workspace: Workspace, reasons: Mapping[str, tuple[str, bool]], coming: Coming
) -> _Sorted:
    made = _Sorted()
    for key, item in selection.items.items():
        reason, run = reasons[key]
        missing = workspace.missing(item) if run else []
        hopeless = [
            s for s in missing if coming.leaves_out and not coming.brings(job.upstream[s], upstream_key(item, s))
        ]
        if hopeless:
            reason = f"{WAITS_FOR}{', '.join(map(title_of, hopeless))}, which no job is about to make"
            made.held_back.update(hopeless)
            made.idle.add(key)
        (made.why if run and not hopeless else made.rest)[reason] += 1
        made.examples.setdefault(reason, key)
        if run:
            made.waiting.append(key)
            made.blocked.update([] if hopeless else missing)
    return made


def _find_tasks(
    job: Job, selection: Selection, state: UnitState, retire: Mapping[str, Sequence[str]], waiting: Sequence[str]
) -> tuple[list[Task], dict[str, str]]:
    """New tasks for the waiting items that have no open one, and the task of every item by its key."""
    groups = {key: job.stage.group(selection.items[key], selection.sides.get(key, "")) for key in waiting}
    is_open = {t.name for t in state.tasks if t.name not in state.committed or t.name in retire}
    # An item whose group changed (its recording is on another side now) leaves its old task.
    home = {
        key: task.name
        for task in state.tasks
        if task.name in is_open
        for key in task.items
        if key not in groups or groups[key] == _group_of(task.name)
    }
    new = list(_cut_tasks(job, [selection.items[k] for k in waiting if k not in home], groups, state.tasks))
    home.update({key: task.name for task in new for key in task.items})
    return new, home


def _find_redo(
    job: Job,
    state: UnitState,
    selection: Selection,
    inputs: Mapping[str, str],
    workspace: Workspace,
    later: Collection[str],
) -> tuple[dict[str, list[str]], frozenset[str]]:
    """Items of committed tasks to make again or to leave out, by task; and those of them that become different.

    Those whose shard is damaged always; stale ones, ones that are going to be (``later``) and ones gone from the source
    with ``on_stale=rebuild``; all selected ones with ``retry=all``. Raises ConfigError for stale ones otherwise.
    """
    command = job.command
    changed = [key for key in inputs if key in state.done and state.done[key].inputs != inputs[key]]
    stale = [key for key in changed if workspace.is_complete(selection.items[key])]
    if stale and command.on_stale == "stop" and command.retry != "all":
        first, side = selection.items[stale[0]], selection.sides.get(stale[0], "")
        what = describe_change(job, first, side, workspace, state.done[first.key].inputs)
        raise ConfigError(
            f"{job.stage.name} of {job.dataset}: the inputs of {len(stale)} finished items changed since "
            f"(first: {first.key}, {what}); say on_stale=rebuild to redo just these, or bring the old inputs back"
        )
    redo = {key for key, done in state.done.items() if done.task in state.damaged}
    redo |= {key for key in inputs if key in state.done} if command.retry == "all" else {*stale, *later}
    if command.on_stale == "rebuild":
        redo |= state.done.keys() - selection.listed
    retire: dict[str, list[str]] = {}
    for key in sorted(redo):
        retire.setdefault(state.done[key].task, []).append(key)
    return retire, frozenset({*stale, *later} & redo)


def _reason(
    job: Job, key: str, state: UnitState, redone: Collection[str], inputs: str, later: Mapping[str, Sequence[str]]
) -> tuple[str, bool]:
    """Why an item runs or does not run, and which of the two."""
    if key in state.done:
        if key not in redone:
            return "done", False
        if state.done[key].task in state.damaged:
            return "output is missing", True
        if key in later:
            return f"{', '.join(map(title_of, later[key]))} is made again", True
        return ("inputs changed" if state.done[key].inputs != inputs else "asked to redo"), True
    outcome = state.outcomes.get(key)
    return ("new", True) if outcome is None else _reason_to_retry(job.command.retry, outcome, inputs)


def _reason_to_retry(retry: str, outcome: Outcome, inputs: str) -> tuple[str, bool]:
    if outcome.status is Status.BLOCKED:
        return "was blocked", True
    if outcome.inputs != inputs:
        return "inputs changed", True
    if outcome.status is Status.SKIPPED:
        return ("asked to redo", True) if retry == "all" else (f"skipped: {outcome.reason}", False)
    if outcome.reason in (Kind.TRANSIENT, Kind.KILLED) or retry in ("failed", "all"):
        return f"failed before: {outcome.reason}", True
    return f"failed: {outcome.reason}", False


def _cut_tasks(job: Job, items: Sequence[Item], groups: Mapping[str, str], known: Sequence[Task]) -> Iterator[Task]:
    """Cut items, in key order, into new tasks of about the stage's ``task_weight``, one group per task."""
    counts: Counter[str] = Counter(_group_of(t.name) for t in known)
    members: dict[str, list[Item]] = {}
    for item in sorted(items, key=lambda i: i.key):
        members.setdefault(groups[item.key], []).append(item)
    for group in sorted(members):
        part: list[Item] = []
        weight = 0.0
        for item in members[group]:
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


def _close(key: str, known: Collection[str]) -> str:
    close = nearest(key, known)
    return close if "Did you mean" in close else ""
