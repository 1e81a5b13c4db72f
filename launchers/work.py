"""The loop over a task's items: adopt, process, record, commit. The same in every launcher."""

from __future__ import annotations

import asyncio
import logging
import time
import traceback
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mmassist.core.errors import Blocked, ItemError, Kind, Skip, StageError
from mmassist.core.item import Drop, Item
from mmassist.core.outcome import Outcome, Status
from mmassist.core.stage import Stage, Task
from mmassist.io import disk
from mmassist.io.fragment import Fragment, read_fragment, write_fragment
from mmassist.io.layout import Layout, RunLayout, UnitLayout
from mmassist.io.ledger import append_row, load_outcomes
from mmassist.io.lock import read_holder
from mmassist.io.shard import commit_task, roll_forward

log = logging.getLogger(__name__)

Report = Callable[[dict[str, Any]], None]  # receives one event, such as {"event": "item", "status": "done", ...}
PATH_ERRORS = (FileNotFoundError, IsADirectoryError, NotADirectoryError, PermissionError)
MIN_ITEMS_FOR_RATIO = 50  # a share of failures means little before


class TooManyFailures(StageError):
    """More items failed than ``max_fail_ratio`` allows: something is plainly broken."""


@dataclass
class FailureGauge:
    """Counts an element's finished and failed items; skipped and blocked ones do not count."""

    limit: float
    done: int = 0
    failed: int = 0

    def add(self, status: Status) -> None:
        """Raises TooManyFailures beyond the limit."""
        self.done += status is Status.DONE
        self.failed += status is Status.FAILED
        total = self.done + self.failed
        if total >= MIN_ITEMS_FOR_RATIO and self.failed > self.limit * total:
            raise TooManyFailures(
                f"{self.failed} of {total} items failed, more than max_fail_ratio={self.limit:g} allows; "
                "mend the cause and run again, or raise it"
            )


class TaskRunner:
    """Runs tasks of one job in this process. ``attempt`` names this process's temporary files and ledger."""

    def __init__(
        self,
        stage: Stage,
        context: Any,
        layout: Layout,
        unit: UnitLayout,
        run: RunLayout,
        config: Mapping[str, Any],
        attempt: str,
        node: str,
        report: Report,
        gauge: FailureGauge,
    ):
        self._stage, self._context = stage, context
        self._layout, self._unit, self._run, self._config = layout, unit, run, config
        self._attempt, self._node, self._report, self._gauge = attempt, node, report, gauge
        self._outcomes = load_outcomes(unit.ledger_dir)
        self._weights: dict[str, float] = {}  # of the current tasks' items
        self._is_stopping = False
        num_slots = stage.configs[stage.name].items_in_flight
        self._slots = asyncio.Semaphore(num_slots)  # over all tasks in hand
        self._num_free, self._num_unbegun = num_slots, 0
        self.when_roomy: Callable[[], None] = lambda: None  # called when there is room for another task's items

    def stop(self) -> None:
        """Begin no further item; what is in hand is finished and kept."""
        self._is_stopping = True

    async def run_task(self, row: Mapping[str, Any], careful: bool = False) -> bool:
        """Bring one task as far as possible, ``careful`` one item at a time; True when it is committed, by whomever."""
        task = Task(row["name"], tuple(r["key"] for r in row["items"]), row["weight"])
        if self._unit.record(task.name).exists():
            roll_forward(self._unit, task.name)
            return True
        try:
            return await self._bring_far(task, row, careful)
        except StageError:
            # A twin that commits the task clears its unfinished files away under this process.
            if not self._unit.record(task.name).exists():
                raise
            roll_forward(self._unit, task.name)
            return True

    async def _bring_far(self, task: Task, row: Mapping[str, Any], careful: bool) -> bool:
        self._check_owner()
        # A sibling that died on one of these items has its row since this worker began.
        self._outcomes |= load_outcomes(self._unit.ledger_dir, self._config["run_id"])
        fragments: dict[str, Fragment] = {}
        outcomes: dict[str, Outcome] = {}
        waiting = iter(row["items"])

        async def work() -> None:
            for entry in waiting:
                async with self._slot(careful):
                    if not self._is_stopping:
                        await self._settle(task.name, entry, fragments, outcomes)
                await asyncio.sleep(0)  # stages may never wait for anything: let a stop or an error through

        self._num_unbegun += len(row["items"])
        self._context.begin_task(task.name)
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(1 if careful else self._stage.configs[self._stage.name].items_in_flight):
                    group.create_task(work())
        except* StageError as errors:
            raise first_error(errors) from None
        engine = self._context.end_task(task.name)
        if self._unit.record(task.name).exists():  # another attempt was faster
            roll_forward(self._unit, task.name)
            return True
        asked = {entry["key"] for entry in row["items"] if entry["todo"]}
        return await self._commit(task, asked, fragments, outcomes, engine)

    @asynccontextmanager
    async def _slot(self, careful: bool) -> AsyncIterator[None]:
        """Room for one item in flight; where more would be left over, another task is asked for."""
        async with self._slots:
            self._num_free -= 1
            self._num_unbegun -= 1
            self._tell_if_roomy(careful)
            try:
                yield
            finally:
                self._num_free += 1
            self._tell_if_roomy(careful)

    def _tell_if_roomy(self, careful: bool) -> None:
        if self._num_free > self._num_unbegun == 0 and not (careful or self._is_stopping):
            self.when_roomy()

    async def _commit(
        self,
        task: Task,
        asked: set[str],
        fragments: dict[str, Fragment],
        outcomes: dict[str, Outcome],
        engine: dict[str, Any],
    ) -> bool:
        settled = fragments.keys() | outcomes.keys()
        if asked - settled:
            return False  # stopped
        # Items that the command is not about, or that left the source, are not waited for: they get a new task.
        task = replace(task, items=tuple(key for key in task.items if key in settled))
        if not fragments and any(o.status is not Status.SKIPPED for o in outcomes.values()):
            return False  # nothing to write yet: the task stays open for a later run
        run_id = self._config["run_id"]
        made = self._unit, task, fragments, outcomes, self._attempt, run_id, self._check_owner
        if await asyncio.to_thread(commit_task, *made):  # other tasks go on while a shard is copied and synced
            self._log_commit(task, fragments, outcomes, engine)
        return True

    def _check_owner(self) -> None:
        """Raises StageError when the folder has gone to another run: this process was cut off and taken for dead."""
        with disk.writing(self._unit.lock):
            holder = read_holder(self._unit.lock)
        if holder is None or holder["run_id"] != self._config["run_id"]:
            owner = f"run {holder['run_id']}" if holder else "no run"
            raise StageError(f"{self._unit.root} belongs to {owner} now, not to {self._config['run_id']}; stopping")

    def _log_commit(
        self, task: Task, fragments: dict[str, Fragment], outcomes: dict[str, Outcome], engine: dict[str, Any]
    ) -> None:
        """Note the commit in one line: whoever counts need not open every task's record."""
        items = Counter({str(status): 0 for status in Status})
        items[Status.DONE] += len(fragments)
        items.update(str(outcomes[key].status) for key in task.items if key not in fragments)
        stats = {"weight_s": sum(self._weights.get(key, 0.0) for key in fragments), "bytes": self._size_of(task)}
        row: dict[str, Any] = {"task": task.name, "items": dict(items), **stats}
        if engine:
            rejected = sum(made.stats.get("llm_rejected", 0.0) for made in fragments.values())
            requests = sum(made.stats.get("llm_requests", 0.0) for made in fragments.values())
            row["llm"] = engine | {"reject_share": round(rejected / requests, 4) if requests else 0.0}
            log.info("task %s, language model: %s", task.name, ", ".join(f"{k} {v}" for k, v in row["llm"].items()))
        self._append(self._unit.commit_log, row)

    def _size_of(self, task: Task) -> int:
        try:
            return self._unit.shard(task.name).stat().st_size
        except FileNotFoundError:
            return 0

    def _log_done(self, task: str, item: Item, attempt: int, seconds: float, made: Fragment) -> None:
        row = {"item": item.key, "task": task, "attempt": attempt, "seconds": round(seconds, 3)}
        row |= {"weight_s": item.weight_s, "bytes": made.size, "inputs": made.inputs, "digest": made.digest}
        self._append(self._unit.done_log, row)

    def _append(self, log_of: Callable[[str], Path], row: dict[str, Any]) -> None:
        """A line for people and counts: it may be lost in a power cut, so it is not waited for."""
        stamp = {"run_id": self._config["run_id"], "writer": self._attempt, "time": _now(), "node": self._node}
        append_row(log_of(f"{self._config['run_id']}.{self._attempt}"), row | stamp, sync=False)

    async def _settle(
        self, task: str, entry: Mapping[str, Any], fragments: dict[str, Fragment], outcomes: dict[str, Outcome]
    ) -> None:
        key = entry["key"]
        known = self._outcomes.get(key)
        item = Item.from_row(entry["item"]) if "item" in entry else None
        if item is not None:
            self._weights[key] = item.weight_s
        inputs = self._context.inputs(item) if item else ""
        found = read_fragment(self._unit.fragment(task, key))
        if found is not None and (item is None or found.inputs == inputs):
            fragments[key] = found
            if entry["todo"]:
                self._report({"event": "item", "item": key, "status": Status.DONE, "adopted": True})
            return
        tried = known is not None and known.run_id == self._config["run_id"] and known.status is not Status.DONE
        # A worker may have died for no fault of the item (kill -9, a node out of memory): one that died under it is
        # no verdict, two are.
        again = tried and known is not None and known.reason == Kind.KILLED
        if item is None or not entry["todo"] or (tried and not again):
            if known is not None:
                outcomes[key] = known
            return
        result = await self._attempt_item(task, item, inputs, entry["attempts"] + (2 if again else 1), again)
        if isinstance(result, Fragment):
            fragments[key] = result
            status = Status.DONE
        else:
            outcomes[key] = result
            status = result.status
        self._gauge.add(status)

    async def _attempt_item(
        self, task: str, item: Item, inputs: str, attempt: int, again: bool = False
    ) -> Fragment | Outcome:
        """One attempt at one item; everything that is the item's own fault becomes an outcome."""
        begin = time.monotonic()
        start = {"item": item.key, "task": task, "attempt": attempt, "inputs": inputs, "again": again}
        self._report({"event": "start", **start})
        blank = Outcome(item.key, Status.FAILED, inputs=inputs, attempt=attempt, task=task)
        try:
            with self._context.in_hand(task, item):
                outputs = await self._stage.process(item, self._context)
                fragment = await write_fragment(self._unit.fragment(task, item.key), item.key, inputs, outputs)
        except Skip as skip:
            self._record_drops(item, skip.drops, attempt)
            outcome = replace(blank, status=Status.SKIPPED, reason=skip.reason, message=skip.message)
        except Blocked as blocked:
            outcome = replace(blank, status=Status.BLOCKED, reason=blocked.by, message=str(blocked))
        except ItemError as error:
            outcome = self._failed(blank, error.kind, error.message, error)
        except StageError:
            raise
        except MemoryError as error:
            outcome = self._failed(blank, Kind.OUT_OF_MEMORY, "the process ran out of memory", error)
        except OSError as error:
            # A file server's hiccup may be over in a minute; a path that is wrong stays wrong.
            kind = Kind.PERMANENT if isinstance(error, PATH_ERRORS) else Kind.TRANSIENT
            outcome = self._failed(blank, kind, f"{type(error).__name__}: {error}", error)
        except Exception as error:
            outcome = self._failed(blank, Kind.PERMANENT, f"{type(error).__name__}: {error}", error)
        else:
            self._record_drops(item, outputs.drops, attempt)
            seconds = time.monotonic() - begin
            log.info("%s is done after %.1f s", item.key, seconds)
            self._log_done(task, item, attempt, seconds, fragment)
            done = {"stats": fragment.stats, "seconds": seconds, "weight_s": item.weight_s}
            self._report({"event": "item", "item": item.key, "status": Status.DONE, **done})
            return fragment
        outcome = self._record(outcome)
        level = logging.WARNING if outcome.status is Status.FAILED else logging.INFO
        log.log(level, "%s is %s (%s): %s", item.key, outcome.status, outcome.reason, outcome.message)
        what = {"item": item.key, "status": outcome.status, "reason": outcome.reason, "message": outcome.message}
        self._report({"event": "item", **what})
        return outcome

    def _failed(self, blank: Outcome, kind: Kind, message: str, error: BaseException) -> Outcome:
        path = self._run.traceback(self._config["name"], blank.item, blank.attempt)
        with disk.writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("".join(traceback.format_exception(error)))
        return replace(blank, reason=str(kind), message=message, traceback=self._layout.relative(path))

    def _record_drops(self, item: Item, drops: Sequence[Drop], attempt: int) -> None:
        path = self._unit.drops(f"{self._config['run_id']}.{self._attempt}")
        for drop in drops:
            row = {"dataset": item.dataset, "item": item.key, **asdict(drop), "attempt": attempt}
            append_row(path, row | {"run_id": self._config["run_id"]}, sync=False)

    def _record(self, outcome: Outcome) -> Outcome:
        return record_outcome(self._unit, outcome, self._config["run_id"], self._attempt)


def first_error(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first of the errors that ended a group of tasks, however deep it lies."""
    error: BaseException = errors
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def record_outcome(unit: UnitLayout, outcome: Outcome, run_id: str, writer: str) -> Outcome:
    """Stamp an outcome with run and time and append it to the writer's ledger."""
    stamped = replace(outcome, run_id=run_id, time=_now())
    append_row(unit.ledger(f"{run_id}.{writer}"), stamped.to_row())
    return stamped


def attempt_name(run_id: str, element: int, child: int, pid: int) -> str:
    """A name no other process of any run has, wherever it runs: it keeps attempts' files apart."""
    return f"{run_id}-{element}-{child}-{pid}n{uuid.uuid4().hex[:6]}"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
