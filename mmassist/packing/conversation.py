"""The elements of an indexed conversation: messages, and runs of frames between them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from mmassist.core.errors import ItemError, Kind


@dataclass(frozen=True)
class Frames:
    """Frames ``[start, end)`` of the item's frame store, at least one."""

    start: int
    end: int

    @property
    def num_frames(self) -> int:
        return self.end - self.start


@dataclass(frozen=True)
class Message:
    """One message. ``time_s`` is None for what the packing adds; ``labels`` and ``progress`` belong to dialog turns."""

    role: str  # system, user or assistant
    content: str
    time_s: float | None = None
    labels: str = ""
    progress: str = ""

    @property
    def is_assistant(self) -> bool:
        return self.role == "assistant"


Turn = Frames | Message


def load_messages(turns: Iterable[Mapping[str, Any]], where: str) -> list[Message]:
    """Read the turns of one generated dialog; ``where`` names it in errors.

    Raises ItemError for a turn that is not a user's or assistant's text at a finite time.
    """
    messages = []
    for number, turn in enumerate(turns):
        role, content, time_s = turn.get("role"), turn.get("content"), turn.get("time")
        if role not in ("user", "assistant") or not isinstance(content, str):
            raise ItemError(
                Kind.PERMANENT, f"{where}, turn {number}: role {role!r} is not a user's or assistant's text"
            )
        if not isinstance(time_s, (int, float)) or not math.isfinite(time_s):
            raise ItemError(Kind.PERMANENT, f"{where}, turn {number}: time {time_s!r} is not a number of seconds")
        labels, progress = str(turn.get("labels") or ""), str(turn.get("progress") or "")
        messages.append(Message(role, content.strip(), float(time_s), labels, progress.strip()))
    return messages


def num_frames_of(turns: Iterable[Turn]) -> int:
    """Frames in all runs together."""
    return sum(turn.num_frames for turn in turns if isinstance(turn, Frames))


def frame_span(turns: Iterable[Turn]) -> tuple[int, int] | None:
    """First frame and end of the last run, or None without frames."""
    runs = [turn for turn in turns if isinstance(turn, Frames)]
    return (runs[0].start, runs[-1].end) if runs else None


def merge_runs(turns: Iterable[Turn]) -> tuple[Turn, ...]:
    """Join runs of frames that lie directly behind each other."""
    merged: list[Turn] = []
    for turn in turns:
        last = merged[-1] if merged else None
        if isinstance(turn, Frames) and isinstance(last, Frames) and last.end == turn.start:
            merged[-1] = Frames(last.start, turn.end)
        else:
            merged.append(turn)
    return tuple(merged)
