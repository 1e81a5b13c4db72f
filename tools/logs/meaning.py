"""What a word was found to mean: each meaning says in a line how it stands, and in many all about itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from mmassist.core.outcome import Status
from mmassist.io.layout import Layout
from tools.logs.show import Origin, describe, iter_attempt, iter_element, iter_task_log
from tools.records.file import rows_of
from tools.records.place import Attempt, Place
from tools.records.run import Run, list_runs
from tools.records.unit import Unit

MAX_EXAMPLES = 10


class Meaning(Protocol):
    """One thing that a word may stand for."""

    @property
    def is_failed(self) -> bool: ...

    @property
    def time(self) -> str: ...

    def line(self) -> str:
        """What it is and how it stands."""
        ...

    def tell(self, num_lines: int, everything: bool) -> Iterator[str]:
        """All about it, line by line."""
        ...


@dataclass(frozen=True)
class ItemMeaning:
    """An item in one unit; ``attempts`` are those of the run asked for."""

    layout: Layout
    place: Place
    attempts: Sequence[Attempt]

    @property
    def is_failed(self) -> bool:
        return self.place.status == Status.FAILED

    @property
    def time(self) -> str:
        return self.attempts[-1].time if self.attempts else ""

    def line(self) -> str:
        place, unit = self.place, self.place.unit
        task = f"task {place.task}{', open' if place.is_open else ''}"
        return f"item {place.key} in {unit.path} ({unit.stage}), {task}: {_state(place.status, self.attempts)}"

    def tell(self, num_lines: int, everything: bool) -> Iterator[str]:
        yield self.line()
        if not self.attempts:
            yield from self._iter_waiting()
        shown = self.attempts if everything else self.attempts[-1:]
        for attempt in self.attempts[: len(self.attempts) - len(shown)]:
            yield f"  earlier: {describe(attempt)}"
        for attempt in shown:
            yield from iter_attempt(
                Origin(self.layout, self.place.unit, attempt.run_id), self.place, attempt, num_lines
            )

    def _iter_waiting(self) -> Iterator[str]:
        for run in list_runs(self.layout):
            job = run.job_of(self.place.unit).name
            element = run.element_of(job, self.place.task)
            if element is None:
                continue
            hands = [
                (life, hand)
                for life in run.lives(job, element)
                if not life.get("ended")
                for hand in rows_of(life, "in_hand")
                if hand.get("item") == self.place.key
            ]
            for life, hand in hands:
                where = life.get("node") or life.get("host") or "an unknown host"
                yield f"  in hand since {hand.get('since')}: worker {hand.get('child')} on {where}"
            yield f"  handed out by run {run.run_id}, element {element}; python -m tools.logs {job}.{element:05d}"
            return
        yield "  no run has it in hand"


@dataclass(frozen=True)
class TaskMeaning:
    """A task of one unit."""

    layout: Layout
    unit: Unit
    task: str
    items: Sequence[str]
    record: Mapping[str, Any]
    commit: Mapping[str, Any]

    @property
    def is_failed(self) -> bool:
        return any(row["status"] == Status.FAILED for row in self.record.get("outcomes", {}).values())

    @property
    def time(self) -> str:
        return str(self.commit.get("time") or self.record.get("run_id", ""))

    def line(self) -> str:
        counts = Counter(row["status"] for row in self.record.get("outcomes", {}).values())
        state = ", ".join(f"{number} {status}" for status, number in sorted(counts.items()))
        what = f"committed, {state}" if self.record else f"open, {len(self.items)} items"
        return f"task {self.task} of {self.unit.path} ({self.unit.stage}): {what}"

    def tell(self, num_lines: int, everything: bool) -> Iterator[str]:
        yield self.line()
        yield from self._iter_items(len(self.items) if everything else MAX_EXAMPLES)
        if self.record:
            run = Run(self.layout, self.record["run_id"])
            yield from iter_task_log(run, self.unit, self.task, self.items, self._attempt(), num_lines)
            return
        for run in list_runs(self.layout):
            element = run.element_of(run.job_of(self.unit).name, self.task)
            if element is not None:
                writer = f"{element}-supervisor"
                attempt = Attempt(self.task, "open", run_id=run.run_id, writer=writer)
                yield from iter_task_log(run, self.unit, self.task, self.items, attempt, num_lines)
                return
        yield "  no run was handed it"

    def _attempt(self) -> Attempt:
        return Attempt(
            self.task,
            "committed",
            run_id=self.record["run_id"],
            writer=self.record["attempt"],
            time=str(self.commit.get("time", "")),
            node=str(self.commit.get("node", "")),
        )

    def _iter_items(self, limit: int) -> Iterator[str]:
        outcomes = self.record.get("outcomes", {})
        done = [key for key in self.items if outcomes.get(key, {}).get("status") == Status.DONE]
        rest = [key for key in self.items if key not in set(done)]
        for keys, what in ((done, "done"), (rest, "")):
            for key in keys[:limit]:
                row = outcomes.get(key) or {}
                reason = f" ({row['reason']}): {row['message']}" if row.get("reason") else ""
                yield f"  item {key}: {row.get('status') or what or 'not committed'}{reason}"
            if len(keys) > limit:
                yield f"  … and {len(keys) - limit} more {what or 'not done'}; --all lists them"


@dataclass(frozen=True)
class ElementMeaning:
    """One array element of a run."""

    run: Run
    job: str
    element: int
    lives: Sequence[Mapping[str, Any]]

    @property
    def is_failed(self) -> bool:
        return bool(self.lives) and self.lives[-1].get("end") in ("failed", "stopped")

    @property
    def time(self) -> str:
        last = self.lives[-1] if self.lives else {}
        return str(last.get("ended") or last.get("updated") or self.run.time)

    def line(self) -> str:
        last = self.lives[-1] if self.lives else {}
        state = (last.get("end") or f"alive, as of {last.get('updated')}") if last else "no start recorded"
        message = f": {last['message']}" if last.get("message") else ""
        job_id = self.run.job(self.job).job_id(self.element)
        slurm = f" (SLURM {job_id})" if job_id else ""
        return f"element {self.element} of {self.job}{slurm}, run {self.run.run_id}: {state}{message}"

    def tell(self, num_lines: int, everything: bool) -> Iterator[str]:
        yield self.line()
        yield from iter_element(self.run, self.job, self.element, self.lives, num_lines)


def _state(status: str, attempts: Sequence[Attempt]) -> str:
    if not attempts:
        return status
    last = attempts[-1]
    reason = f" ({last.reason})" if last.reason and status != Status.DONE else ""
    return f"{status}{reason}, {last.time}"
