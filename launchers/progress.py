"""Progress of a job: a bar with rate and time left on a terminal, plain lines otherwise."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any, TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

LINE_EVERY_S = 10.0


class JobProgress:
    """Counts a job's settled items and shows how far it is. A context manager around the work."""

    def __init__(self, title: str, total: int, stream: TextIO | None = None):
        self._title, self._total = title, total
        self._stream = stream or sys.stderr
        self._items: set[str] = set()  # a replaced worker may report an item again
        self._begin = self._last_line = time.monotonic()
        self._bar: Progress | None = None
        if self._stream.isatty():
            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[rate]}"),
                TimeElapsedColumn(),
                TimeRemainingColumn(),
            )
            self._bar = Progress(*columns, console=Console(file=self._stream))
            self._row = self._bar.add_task(title, total=total, rate="")

    def __enter__(self) -> JobProgress:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._bar:
            self._bar.stop()
        elif self._total:
            self._print_line()

    def add(self, event: dict[str, Any]) -> None:
        """Take note of one event of a worker."""
        if event["event"] != "item":
            return
        self._items.add(event["item"])
        if self._bar:
            self._bar.update(self._row, completed=self._settled, rate=f"{self._rate():.2f} items/s")
        elif time.monotonic() - self._last_line > LINE_EVERY_S and self._settled < self._total:
            self._print_line()

    @property
    def _settled(self) -> int:
        return len(self._items)

    def _rate(self) -> float:
        return self._settled / max(1e-3, time.monotonic() - self._begin)

    def _print_line(self) -> None:
        self._last_line = time.monotonic()
        rest = ""
        if 0 < self._settled < self._total:
            rest = f", about {(self._total - self._settled) / self._rate():.0f} s left"
        line = f"{self._title}: {self._settled}/{self._total} items, {self._rate():.2f} items/s{rest}"
        self._stream.write(line + "\n")
        self._stream.flush()
