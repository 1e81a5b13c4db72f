"""What a way of asking an engine takes: seconds on the wall, and CPU seconds here and in the engine's processes."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Measurement:
    """What one way of asking took."""

    num_requests: int
    num_tokens: int  # of answers
    wall_s: float
    here_s: float  # CPU of this process: the stage, and vLLM's front
    engine_s: float  # CPU of vLLM's processes

    @property
    def tokens_per_s(self) -> float:
        return self.num_tokens / self.wall_s

    @property
    def tokens_per_cpu_s(self) -> float:
        return self.num_tokens / (self.here_s + self.engine_s)


def timed(run: Callable[[], tuple[int, int]]) -> Measurement:
    """Measure ``run``, which says how many requests and tokens it was."""
    begin = time.perf_counter(), time.process_time(), engine_cpu_s()
    numbers = run()
    ended = time.perf_counter(), time.process_time(), engine_cpu_s()
    return Measurement(*numbers, *(after - before for before, after in zip(begin, ended, strict=True)))


def engine_cpu_s() -> float:
    """CPU seconds so far of all processes below this one that are alive."""
    ticks, pids = 0, list_children(os.getpid())
    while pids:
        pid = pids.pop()
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])  # user and system time
        pids += list_children(pid)
    return ticks / os.sysconf("SC_CLK_TCK")


def list_children(pid: int) -> list[int]:
    """The processes that a process has started and that are alive."""
    files = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(word) for file in files for word in file.read_text().split()]
