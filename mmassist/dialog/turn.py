"""One timed turn of a conversation, and how conversations are written as text."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

# An answer within this many seconds of a question counts as its answer; the reference's score uses the same number.
ANSWER_WITHIN_S = 2.0

# Longer histories show their first and last halves, as in the reference.
ELLIPSIS = "..."

_REMARK = re.compile(r"(?:\([^)]*\)\s*)+")


@dataclass(frozen=True)
class Turn:
    """What one speaker says at ``time_s`` seconds on the annotation's clock.

    ``labels`` is ``<initiative>|<intent>[,<intent>...]`` for a labelled assistant turn, else empty; ``progress`` the
    state of the task after an assistant turn.
    """

    role: str  # user or assistant
    time_s: float
    content: str
    labels: str = ""
    progress: str = ""

    @property
    def is_user(self) -> bool:
        return self.role == "user"

    @property
    def is_question(self) -> bool:
        return self.is_user and self.content.rstrip().endswith("?")

    @property
    def is_remark(self) -> bool:
        """Whether all of it stands in brackets, ``(nods)``: nothing is said. Speech may well begin with a bracket."""
        return _REMARK.fullmatch(self.content) is not None

    @property
    def has_words(self) -> bool:
        """Whether there is a letter or a digit outside of remarks."""
        return not self.is_remark and any(character.isalnum() for character in self.content)

    def to_row(self) -> dict[str, Any]:
        """As records hold it; ``progress`` only on assistant turns."""
        row: dict[str, Any] = {"role": self.role, "time": self.time_s, "content": self.content, "labels": self.labels}
        if not self.is_user:
            row["progress"] = self.progress
        return row

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Turn:
        return cls(row["role"], float(row["time"]), row["content"], row.get("labels", ""), row.get("progress", ""))


def render_turns(turns: Iterable[Turn], with_labels: bool = False) -> str:
    """One line a turn: ``[12.0s] Assistant: text``, with `` [labels]`` behind assistant turns if wanted."""
    lines = []
    for turn in turns:
        tail = f" [{turn.labels}]" if with_labels and turn.labels else ""
        lines.append(f"[{turn.time_s:.1f}s] {turn.role.capitalize()}: {turn.content}{tail}")
    return "\n".join(lines)


def cut_history(turns: Sequence[Turn], max_turns: int) -> tuple[list[Turn], list[Turn]]:
    """The turns that a prompt shows: all of them and nothing, or the first and the last half of ``max_turns``."""
    if len(turns) <= max_turns:
        return list(turns), []
    first = max_turns // 2
    last = max_turns - first
    return list(turns[:first]), list(turns[len(turns) - last :])


def render_history(turns: Sequence[Turn], max_turns: int) -> str:
    """The history as a prompt shows it, an ellipsis line in the place of what is left out."""
    head, tail = cut_history(turns, max_turns)
    parts = [render_turns(head, with_labels=True)]
    if tail:
        parts += [ELLIPSIS, render_turns(tail, with_labels=True)]
    return "\n".join(part for part in parts if part)


def merge_repeats(turns: Iterable[Turn]) -> list[Turn]:
    """Join neighbours of the same role and time (first labels kept); drop the second of two identical ones."""
    merged: list[Turn] = []
    for turn in turns:
        last = merged[-1] if merged else None
        if last is None or (last.role, last.time_s) != (turn.role, turn.time_s):
            merged.append(turn)
        elif last.content != turn.content:
            content, labels = f"{last.content} {turn.content}", last.labels or turn.labels
            merged[-1] = Turn(last.role, last.time_s, content, labels, last.progress)
    return merged


def put_in_order(turns: Sequence[Turn]) -> tuple[list[Turn], int]:
    """The turns in order of time, those of one time as they came, and how many stood behind a later one."""
    latest_s = float("-inf")
    num_late = 0
    for turn in turns:
        num_late += turn.time_s < latest_s
        latest_s = max(latest_s, turn.time_s)
    return sorted(turns, key=lambda turn: turn.time_s), num_late
