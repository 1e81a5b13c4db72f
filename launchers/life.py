"""What an element did from one of its starts to its end, kept in the run folder for whoever looks.

The supervisor rewrites the file every few seconds, so one that has stopped changing tells of a death without a word.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from mmassist.core.errors import StageError
from mmassist.core.outcome import Status
from mmassist.io.atomic import write_json

log = logging.getLogger(__name__)
HEARTBEAT_S = 20.0


class End(StrEnum):
    """How a life ended, as the element itself knows it."""

    COMPLETED = "completed"
    FAILED = "failed"
    REQUEUED = "requeued"  # SLURM was asked to start it again: time limit, preemption
    STOPPED = "stopped"  # by a signal, without a new start


@dataclass(frozen=True)
class Place:
    """Where and as what an element runs. ``start`` counts the starts of the same element from 0."""

    job: str
    element: int = 0
    start: int = 0
    job_id: str = ""  # SLURM's, with the array index; empty elsewhere
    node: str = socket.gethostname()


class Life:
    """Counts what the workers report and writes it down. A file that cannot be written never stops the work."""

    def __init__(self, path: Path, place: Place, gpus: int = 0):
        self._path, self._last_write = path, 0.0
        self._in_hand: dict[tuple[int, str], dict[str, Any]] = {}
        now = _now()
        self._row: dict[str, Any] = {
            "job": place.job,
            "element": place.element,
            "start": place.start,
            "job_id": place.job_id,
            "node": place.node,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "started": now,
            "updated": now,
            "ended": "",
            "end": "",
            "message": "",
            "gpus": gpus,
            "workers": 0,
            "tasks": 0,
            "committed": 0,
            "open": 0,
            "items": dict.fromkeys((str(status) for status in Status), 0),
            "adopted": 0,
            "weight_s": 0.0,
            "seconds": 0.0,
            "crashes": 0,
        }
        self._write()

    def begin(self, workers: int, tasks: int) -> None:
        """Note what the element is about to do."""
        self._row |= {"workers": workers, "tasks": tasks}
        self._write()

    def add(self, event: dict[str, Any], child: int = 0) -> None:
        """Take note of one event of a worker."""
        row = self._row
        if event["event"] == "start":
            hand = {"item": event["item"], "task": event["task"], "child": child, "since": _now()}
            self._in_hand[child, event["item"]] = hand
        elif event["event"] == "item":
            self._in_hand.pop((child, event["item"]), None)
            if event.get("adopted"):
                row["adopted"] += 1
                return
            row["items"][str(event["status"])] += 1
            row["weight_s"] += event.get("weight_s", 0.0)
            row["seconds"] += event.get("seconds", 0.0)
        elif event["event"] == "task":
            row["committed" if event["committed"] else "open"] += 1

    def lose_worker(self, child: int) -> None:
        """A worker died; what it had in hand is in nobody's."""
        self._row["crashes"] += 1
        self._in_hand = {key: hand for key, hand in self._in_hand.items() if key[0] != child}

    def beat(self) -> None:
        """Write the file if it is time."""
        if time.monotonic() - self._last_write > HEARTBEAT_S:
            self._write()

    def finish(self, end: End, message: str = "") -> None:
        """Write how it ended."""
        self._in_hand.clear()
        self._row |= {"ended": _now(), "end": str(end), "message": message}
        self._write()

    def _write(self) -> None:
        self._last_write = time.monotonic()
        self._row |= {"updated": _now(), "in_hand": list(self._in_hand.values())}
        try:
            write_json(self._path, self._row, "life")
        except (OSError, StageError) as error:
            log.warning("%s", error)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
