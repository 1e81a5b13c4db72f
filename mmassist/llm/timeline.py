"""Where the scripted dialog of one window has room, in time and in its turns."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from mmassist.llm import phrases

SPACING_S = 1.0  # between turns, except an answer
MAX_TURNS = 390  # of a window and, below, characters of a turn, where a request has no limits
MAX_TEXT_CHARS = 3900
REWORDING_CHARS = 10  # by which an edited turn may grow
_FAR_S = 1e9  # no window reaches as far; annotated times do


@dataclass
class Timeline:
    """Turns of one window, never closer than SPACING_S unless they belong together."""

    start_s: float
    end_s: float
    blocked: list[float] = field(default_factory=list)  # times of turns outside of this window
    turns: list[dict[str, Any]] = field(default_factory=list)
    max_turns: int = MAX_TURNS
    max_text_chars: int = MAX_TEXT_CHARS

    @classmethod
    def of_request(cls, payload: Mapping[str, Any]) -> Timeline:
        """The window of a dialog request, with the limits that its answer is held to."""
        timeline = cls(payload["start_s"], payload["end_s"])
        if "max_turns" in payload:
            timeline.max_turns = payload["max_turns"]
            timeline.max_text_chars = payload["max_turn_chars"] - REWORDING_CHARS
        return timeline

    @property
    def is_full(self) -> bool:
        return len(self.turns) + 2 > self.max_turns

    def has_room(self, times: Iterable[float]) -> bool:
        taken = [*self.blocked, *(turn["time"] for turn in self.turns)]
        return all(
            self.start_s <= t <= self.end_s and all(abs(t - other) >= SPACING_S - 1e-6 for other in taken)
            for t in times
        )

    def put(self, *turns: tuple[float, str, str]) -> None:
        """Add turns (time, role, text) that belong together, whether there is room or not; texts too long are cut."""
        for t, role, text in turns:
            self.turns.append({"time": round(t, 1), "role": role, "text": phrases.cut(text, self.max_text_chars)})
        self.turns.sort(key=lambda turn: turn["time"])  # stable: a question stays before its answer

    def offer(self, *turns: tuple[float, str, str]) -> bool:
        """Add turns if there is room for them."""
        if self.is_full or not self.has_room(t for t, _, _ in turns):
            return False
        self.put(*turns)
        return True

    def append_text(self, t_s: float, text: str) -> None:
        """Add a sentence to the assistant's last turn up to ``t_s`` (or its first one) that can hold it, if any can."""
        spoken = [turn for turn in self.turns if turn["role"] == "assistant"]
        before = [turn for turn in spoken if turn["time"] <= t_s + 1e-6]
        for turn in [*reversed(before), *spoken[len(before) :]]:
            if len(turn["text"]) + 1 + len(text) <= self.max_text_chars:
                turn["text"] += f" {text}"
                return
        if not spoken:
            self.put((min(max(floor_tenth(t_s), self.start_s), self.end_s), "assistant", text))


def floor_tenth(t_s: float) -> float:
    """The last tenth of a second up to ``t_s``."""
    return round(math.floor(max(-_FAR_S, min(t_s, _FAR_S)) * 10 + 1e-6) / 10, 1)
