"""One supervisor per array element: hands tasks to worker children, replaces the ones that die, answers signals."""

from __future__ import annotations

import json
import logging
import os
import selectors
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from launchers.work import FailureGauge, Report, record_outcome
from mmassist.core.errors import Kind, StageError
from mmassist.core.outcome import Outcome, Status
from mmassist.io.layout import RunLayout, UnitLayout

log = logging.getLogger(__name__)
WARNING_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2)
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
MAX_DEATHS_AT_START = 3  # a worker that never begins an item is broken, not unlucky


@dataclass
class Limits:
    """What a worker may take before it is replaced."""

    item_timeout_s: float
    memory_bytes: float
    max_fail_ratio: float
    grace_s: float = 30.0  # after a warning signal, for the items in hand


@dataclass
class InHand:
    """An item a child works on."""

    task: str
    attempt: int
    inputs: str
    since: float


@dataclass
class Child:
    """A worker process and what it is doing."""

    index: int
    process: subprocess.Popen[str]
    task: str | None = None
    is_careful: bool = False  # one item at a time, to find the one that kills workers
    buffer: bytes = b""
    items: dict[str, InHand] = field(default_factory=dict)
    killed_for: Kind | None = None
    error: str = ""


class Supervisor:
    """Runs one element's tasks on ``num_workers`` children.

    ``spawn(index)`` starts a child with pipes as standard input and output; ``report`` receives the children's events.
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
    ):
        self._unit, self._run_id, self._element = unit, run_id, element
        self._waiting: deque[tuple[str, bool]] = deque((name, False) for name in tasks)
        self._num_workers = min(num_workers, max(1, len(tasks)))
        self._limits, self._spawn, self._report = limits, spawn, report
        self._gauge = FailureGauge(limits.max_fail_ratio)
        self._children: dict[int, Child] = {}
        self._selector = selectors.DefaultSelector()
        self._deaths_at_start = 0
        self._stop_at: float | None = None
        self.uncommitted: list[str] = []

    def run(self) -> None:
        """Work until every task was handed out and came back, or a warning signal came.

        Raises StageError when the element cannot go on, InterruptedError after a warning signal.
        """
        with self._signals():
            try:
                for index in range(self._num_workers):
                    self._start(index)
                while self._children:
                    self._hand_out()
                    for key, _ in self._selector.select(timeout=0.2):
                        self._read(self._children[key.data], key.fileobj)  # type: ignore[arg-type]
                    self._watch()
            finally:
                for child in self._children.values():
                    child.process.kill()
                    child.process.wait()
        if self._stop_at is not None:
            raise InterruptedError("stopped by a signal; run the same command to go on")

    def _start(self, index: int) -> None:
        process = self._spawn(index)
        assert process.stdout is not None
        self._children[index] = Child(index, process)
        self._selector.register(process.stdout, selectors.EVENT_READ, index)

    def _hand_out(self) -> None:
        for child in self._children.values():
            if child.task is None and child.process.poll() is None:
                if self._waiting and self._stop_at is None:
                    child.task, child.is_careful = self._waiting.popleft()
                    self._tell(child, f"task {child.task}{' careful' if child.is_careful else ''}")
                elif not self._busy() or self._stop_at is not None:
                    self._tell(child, "stop")

    def _busy(self) -> bool:
        """Whether a task may still come back to the queue because its worker dies."""
        return any(child.task is not None for child in self._children.values())

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
            hand = InHand(event["task"], event["attempt"], event["inputs"], time.monotonic())
            child.items[event["item"]] = hand
            self._deaths_at_start = 0
        elif event["event"] == "item":
            child.items.pop(event["item"], None)
            self._report(event)
            if not event.get("adopted"):
                self._gauge.add(Status(event["status"]))
        elif event["event"] == "task":
            if not event["committed"]:
                self.uncommitted.append(event["task"])
            child.task = None
            self._report(event)
        elif event["event"] == "error":
            child.error = event["message"]

    def _bury(self, child: Child) -> None:
        """Record what a dead child had in hand, give its task to a new one."""
        code = child.process.returncode
        if child.error:
            raise StageError(child.error)
        if code == 0 and child.task is None:
            return
        if self._stop_at is not None:
            return  # dropped on purpose; the items are simply not done yet
        if not child.items:
            self._deaths_at_start += 1
            if self._deaths_at_start >= MAX_DEATHS_AT_START:
                times = f"{self._deaths_at_start} times"
                raise StageError(
                    f"workers died {_how(code)} before they began an item, {times}; see logs/*.out of the run"
                )
        elif len(child.items) == 1:
            key, hand = next(iter(child.items.items()))
            self._record(key, hand, child.killed_for or Kind.CRASH, code)
        if child.task is not None:
            # Of several items in hand any may have done it: the task goes on with one at a time.
            self._waiting.append((child.task, child.is_careful or len(child.items) > 1))
        log.warning("worker %d died %s; a new one takes over", child.index, _how(code))
        self._start(child.index)

    def _record(self, key: str, hand: InHand, kind: Kind, code: int) -> None:
        messages = {
            Kind.CRASH: f"the worker process died {_how(code)} while working on it",
            Kind.TIMEOUT: f"not finished within item_timeout_s={self._limits.item_timeout_s:g} seconds",
            Kind.OUT_OF_MEMORY: f"the worker grew beyond {self._limits.memory_bytes / 2**30:.1f} GiB on it",
        }
        outcome = Outcome(key, Status.FAILED, str(kind), messages[kind], hand.inputs, hand.attempt, hand.task)
        record_outcome(self._unit, outcome, self._run_id, f"{self._element}-supervisor")
        self._report({"event": "item", "item": key, "status": Status.FAILED, "reason": kind, "message": messages[kind]})
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
            if self._stop_at is not None:
                self._stop_at = 0.0  # asked twice: now
                return
            self._stop_at = time.monotonic() + self._limits.grace_s
            for child in self._children.values():
                self._tell(child, "stop")

        before = {number: signal.signal(number, warn) for number in WARNING_SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def spawn_worker(
    data_root: Path, run: RunLayout, job: str, element: int, child: int, environment: Mapping[str, str]
) -> subprocess.Popen[str]:
    """Start a worker child on the run's code snapshot, its output in the run folder."""
    output = run.output(f"{job}.{element:05d}.{child}")
    output.parent.mkdir(parents=True, exist_ok=True)
    words = [sys.executable, "-m", "launchers.worker", str(data_root), str(run.root), job, str(element), str(child)]
    with output.open("a") as errors:
        return subprocess.Popen(
            words,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            bufsize=1,
            cwd=run.code,
            env={**os.environ, **environment},
        )


def child_environment(child: int, num_workers: int, num_gpus: int, cache_dir: Path) -> dict[str, str]:
    """A child's share of the GPUs, and caches that no sibling writes."""
    environment = {
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1"),
        "TRITON_CACHE_DIR": str(cache_dir / f"triton-{child}"),
        "TORCHINDUCTOR_CACHE_DIR": str(cache_dir / f"inductor-{child}"),
        "VLLM_CACHE_ROOT": str(cache_dir / f"vllm-{child}"),
    }
    if num_gpus:
        visible = os.environ.get("CUDA_VISIBLE_DEVICES") or ",".join(map(str, range(num_gpus)))
        devices = visible.split(",")
        share = max(1, len(devices) // num_workers)
        mine = [devices[(child * share + i) % len(devices)] for i in range(share)]
        environment["CUDA_VISIBLE_DEVICES"] = ",".join(mine)
    return environment


def count_gpus() -> int:
    """GPUs of this machine, as the NVIDIA driver lists them."""
    return len(list(Path("/proc/driver/nvidia/gpus").glob("*")))


def resident_bytes(pid: int) -> int:
    """Resident memory of a process; 0 when it is gone."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE_BYTES
    except (FileNotFoundError, ProcessLookupError, IndexError):
        return 0


def _how(code: int) -> str:
    return f"by signal {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
