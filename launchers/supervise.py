"""One supervisor per array element: hands tasks to worker children, replaces the ones that die, answers signals."""

from __future__ import annotations

import json
import logging
import math
import os
import selectors
import signal
import subprocess
import time
import uuid
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import IO, Any

from launchers.child import kill_group, resident_bytes
from launchers.life import Life
from launchers.work import FailureGauge, Report, record_outcome
from mmassist.core.errors import EngineLost, Kind, StageError
from mmassist.core.outcome import Outcome, Status
from mmassist.io.layout import UnitLayout

log = logging.getLogger(__name__)
REQUEUE_SIGNAL = signal.SIGUSR2  # what SLURM is told to send before a time limit or a preemption
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, REQUEUE_SIGNAL)
MAX_DEATHS_AT_START = 3  # a worker that never begins an item is broken, not unlucky
MAX_LOST_ENGINES = 3  # in a row, without an item finished between them


@dataclass
class Limits:
    """What a worker may take before it is replaced."""

    item_timeout_s: float
    memory_bytes: float
    max_fail_ratio: float
    grace_s: float = 25.0  # after a stop signal, for the items in hand; SLURM kills 30 s after scancel by default
    requeue_grace_s: float = 25.0  # after the signal that precedes a time limit or a preemption


class Stopped(InterruptedError):
    """The element was told to stop before all its tasks were done."""

    def __init__(self, number: signal.Signals):
        super().__init__(f"stopped by {number.name}; run the same command to go on")
        self.number = number


@dataclass
class InHand:
    """An item a child works on; ``again``: a worker died under it before."""

    task: str
    attempt: int
    inputs: str
    again: bool
    since: float


@dataclass
class Child:
    """A worker process and what it is doing."""

    index: int
    process: subprocess.Popen[str]
    tasks: dict[str, bool] = field(
        default_factory=dict
    )  # in hand -> one item at a time, to find one that kills workers
    wants_more: bool = True  # it has room for another task's items
    buffer: bytes = b""
    items: dict[str, InHand] = field(default_factory=dict)
    killed_for: Kind | None = None
    error: str = ""
    has_lost_engine: bool = False

    @property
    def is_careful(self) -> bool:
        return any(self.tasks.values())


class Supervisor:
    """Runs one element's tasks on ``num_workers`` children.

    ``spawn(index)`` starts a child with pipes as standard input and output; ``report`` receives the children's events,
    ``life`` keeps count of them on disk.
    """

    def __init__(
        self,
        unit: UnitLayout,
        run_id: str,
        element: int,
        tasks: Sequence[str],
        num_workers: int,
        limits: Limits,
        spawn: Callable[[int], subprocess.Popen[str]],
        report: Report,
        life: Life,
    ):
        self._unit, self._run_id = unit, run_id
        self._waiting: deque[tuple[str, bool]] = deque((name, False) for name in tasks)
        self._num_workers = min(num_workers, max(1, len(tasks)))
        self._limits, self._spawn, self._report, self._life = limits, spawn, report, life
        # Appending to one file from two nodes, as twins would, loses lines on some file servers.
        self._writer = f"{element}-supervisor-{os.getpid()}n{uuid.uuid4().hex[:6]}"
        self._gauge = FailureGauge(limits.max_fail_ratio)
        self._children: dict[int, Child] = {}
        self._selector = selectors.DefaultSelector()
        self._deaths_at_start = self._lost_engines = 0
        self._num_deaths: Counter[str] = Counter()  # by task: workers that died with several of its items in hand
        self._stop_at: float | None = None
        self._stopped_by, self._is_stop_told = REQUEUE_SIGNAL, False
        self._num_unfinished = len(tasks)
        self.uncommitted: list[str] = []

    def run(self) -> None:
        """Work until every task was handed out and came back, or a stop signal came.

        Raises StageError when the element cannot go on, Stopped after a signal that left something undone.
        """
        self._life.begin(self._num_workers, len(self._waiting))
        with self._signals():
            try:
                for index in range(self._num_workers):
                    self._start(index)
                while self._children:
                    self._pass_on_stop()
                    self._hand_out()
                    for key, _ in self._selector.select(timeout=0.2):
                        self._read(self._children[key.data], key.fileobj)  # type: ignore[arg-type]
                    self._watch()
                    self._life.beat()
            finally:
                for child in self._children.values():
                    child.process.kill()
                    child.process.wait()
        if self._stop_at is not None and self._num_unfinished:
            raise Stopped(self._stopped_by)

    def _start(self, index: int) -> None:
        process = self._spawn(index)
        assert process.stdout is not None
        self._children[index] = Child(index, process)
        self._selector.register(process.stdout, selectors.EVENT_READ, index)

    def _hand_out(self) -> None:
        """Give each child that has room one more task, the one with fewest first, and none more than its share."""
        alive = [child for child in self._children.values() if child.process.poll() is None]
        in_hand = sum(len(child.tasks) for child in alive)
        share = math.ceil((len(self._waiting) + in_hand) / max(1, len(alive)))
        for child in sorted(alive, key=lambda child: len(child.tasks)):
            if self._waiting and self._stop_at is None:
                is_free = not child.tasks or (child.wants_more and not child.is_careful and len(child.tasks) < share)
                if is_free and (not child.tasks or not self._waiting[0][1]):
                    task, careful = self._waiting.popleft()
                    child.tasks[task], child.wants_more = careful, False
                    self._tell(child, f"task {task}{' careful' if careful else ''}")
            elif not child.tasks and (not self._busy() or self._stop_at is not None):
                self._tell(child, "stop")

    def _pass_on_stop(self) -> None:
        """Tell the children to stop, outside the signal's handler: that one may have interrupted just such a line."""
        if self._stop_at is not None and not self._is_stop_told:
            self._is_stop_told = True
            for child in self._children.values():
                self._tell(child, "stop")

    def _busy(self) -> bool:
        """Whether a task may still come back to the queue because its worker dies."""
        return any(child.tasks for child in self._children.values())

    def _tell(self, child: Child, line: str) -> None:
        assert child.process.stdin is not None
        try:
            child.process.stdin.write(line + "\n")
            child.process.stdin.flush()
        except BrokenPipeError:
            pass  # it just died; reading its output will notice

    def _read(self, child: Child, stream: IO[str]) -> None:
        data = os.read(stream.fileno(), 1 << 16)
        if not data:
            self._selector.unregister(stream)
            child.process.wait()
            del self._children[child.index]
            self._bury(child)
            return
        *lines, child.buffer = (child.buffer + data).split(b"\n")
        for line in lines:
            self._handle(child, json.loads(line))

    def _handle(self, child: Child, event: dict[str, Any]) -> None:
        if event["event"] == "start":
            hand = InHand(event["task"], event["attempt"], event["inputs"], event["again"], time.monotonic())
            child.items[event["item"]] = hand
            self._deaths_at_start = 0
            self._life.add(event, child.index)
        elif event["event"] == "item":
            child.items.pop(event["item"], None)
            self._lost_engines = 0
            self._tell_of(event, child.index)
            if not event.get("adopted"):
                self._gauge.add(Status(event["status"]))
        elif event["event"] == "more":
            child.wants_more = True
        elif event["event"] == "task":
            del child.tasks[event["task"]]
            if event["committed"] or self._stop_at is None:
                self._num_unfinished -= 1
            if not event["committed"]:
                self.uncommitted.append(event["task"])
            self._tell_of(event, child.index)
        elif event["event"] == "error":
            child.error = event["message"]
            child.has_lost_engine = event["kind"] == EngineLost.__name__

    def _tell_of(self, event: dict[str, Any], child: int) -> None:
        self._life.add(event, child)
        self._report(event)

    def _bury(self, child: Child) -> None:
        """Record what a dead child had in hand, give its task to a new one."""
        code = child.process.returncode
        kill_group(child.process.pid)  # an engine that it had started would keep its memory
        if child.error and not (child.has_lost_engine and self._lost_engines < MAX_LOST_ENGINES):
            raise StageError(child.error)
        if code == 0 and not child.tasks:
            return
        if self._stop_at is not None:
            return  # dropped on purpose; the items are simply not done yet
        self._life.lose_worker(child.index)
        if child.has_lost_engine:
            self._lost_engines += 1
            self._waiting.extendleft(child.tasks.items())
            log.warning("worker %d: %s; a new one takes over", child.index, child.error)
            self._start(child.index)
            return
        if not child.items:
            self._deaths_at_start += 1
            if self._deaths_at_start >= MAX_DEATHS_AT_START:
                times = f"{self._deaths_at_start} times"
                raise StageError(
                    f"workers died {_how(code)} before they began an item, {times}; see logs/*.out of the run"
                )
        elif len(child.items) == 1 or child.killed_for is Kind.TIMEOUT:
            for key, hand in child.items.items():
                self._record(key, hand, child.killed_for or Kind.CRASH, code)
        self._take_back(child)
        log.warning("worker %d died %s; a new one takes over", child.index, _how(code))
        self._start(child.index)

    def _take_back(self, child: Child) -> None:
        """Give a dead child's tasks to whoever is free.

        Of several items in hand any may have done it. Once may be bad luck; the second time their tasks go on with one
        item at a time, until the one to blame is found.
        """
        is_open = len(child.items) > 1 and child.killed_for is not Kind.TIMEOUT
        suspects = {hand.task for hand in child.items.values()} if is_open else set()
        self._num_deaths.update(suspects)
        for task, careful in child.tasks.items():
            self._waiting.append((task, careful or (task in suspects and self._num_deaths[task] > 1)))

    def _record(self, key: str, hand: InHand, kind: Kind, code: int) -> None:
        messages = {
            Kind.CRASH: f"the worker process died {_how(code)} while working on it",
            Kind.TIMEOUT: f"not finished within item_timeout_s={self._limits.item_timeout_s:g} seconds",
            Kind.OUT_OF_MEMORY: f"the worker grew beyond {self._limits.memory_bytes / 2**30:.1f} GiB on it",
        }
        has_second_chance = kind is Kind.CRASH and not hand.again
        reason = str(Kind.KILLED if has_second_chance else kind)
        outcome = Outcome(key, Status.FAILED, reason, messages[kind], hand.inputs, hand.attempt, hand.task)
        record_outcome(self._unit, outcome, self._run_id, self._writer)
        if has_second_chance:
            return
        what = {"status": Status.FAILED, "reason": kind, "message": messages[kind]}
        self._tell_of({"event": "item", "item": key, **what}, -1)
        self._gauge.add(Status.FAILED)

    def _watch(self) -> None:
        """Kill children that hang or grow too large, and those that outlive a warning signal's grace."""
        now = time.monotonic()
        for child in self._children.values():
            if child.killed_for is not None:
                continue
            if self._stop_at is not None and now > self._stop_at:
                child.process.kill()
            elif any(now - hand.since > self._limits.item_timeout_s for hand in child.items.values()):
                self._kill(child, Kind.TIMEOUT)
            elif resident_bytes(child.process.pid) > self._limits.memory_bytes:
                self._kill(child, Kind.OUT_OF_MEMORY)

    def _kill(self, child: Child, kind: Kind) -> None:
        child.killed_for = kind
        if kind is Kind.TIMEOUT:  # only the items that are over time are to blame
            late = time.monotonic() - self._limits.item_timeout_s
            child.items = {key: hand for key, hand in child.items.items() if hand.since < late}
        child.process.kill()

    @contextmanager
    def _signals(self) -> Iterator[None]:
        def warn(number: int, _: Any) -> None:
            log.warning("signal %s: finishing the items in hand", signal.Signals(number).name)
            is_requeue = number == REQUEUE_SIGNAL
            if self._stop_at is not None:
                if not is_requeue:
                    self._stop_at, self._stopped_by = 0.0, signal.Signals(number)  # asked twice: now
                return
            self._stopped_by = signal.Signals(number)
            grace_s = self._limits.requeue_grace_s if is_requeue else self._limits.grace_s
            self._stop_at = time.monotonic() + grace_s

        before = {number: signal.signal(number, warn) for number in STOP_SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _how(code: int) -> str:
    return f"by signal {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
