"""How well a dialog's turns lie on the annotation's times.

The score the ProAssist release computes (its paper's appendix describes it): 10 minus the mean distance of turns to
annotated times, minus the mean distance of annotated starts to turns, minus a tenth per question left open. Higher is
better; what is said does not matter.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from mmassist.core.errors import ItemError, Kind
from mmassist.dialog.checking import is_answered
from mmassist.dialog.turn import ANSWER_WITHIN_S, Turn

PERFECT = 10.0
NO_ANSWER_PENALTY = 0.1

_ANY_BRACKET = re.compile(r"\[([^\]]*)\]")
_LINE_BRACKET = re.compile(r"^\s*(?:-\s*)?\[(\d+(?:\.\d+)?)s(?:\s*-\s*(\d+(?:\.\d+)?)s)?\]", re.MULTILINE)


@dataclass(frozen=True)
class TimingScore:
    """The score and its parts, in seconds and points; distances are None when there is nothing to measure between."""

    avg_time_diff_p: float | None
    avg_time_diff_r: float | None
    no_resp_penalty: float
    no_resp_user_turns: int
    final_score: float

    def to_row(self) -> dict[str, Any]:
        return asdict(self)


def timing_score(description: str, turns: Sequence[Turn], compat: bool) -> TimingScore:
    """Score one conversation against the annotation's text.

    Reference: any bracket in the text is read as times (utterances too), the last turn is never an open question, and
    an annotation or conversation without times, or a bracket with two hyphens, raises ItemError. Corrected: only the
    bracket at the start of a line counts, and a dialog that cannot be measured scores 0.
    """
    all_times, starts = annotation_times(description, compat)
    num_open = sum(_is_open(turns, index, compat) for index in range(len(turns)))
    penalty = NO_ANSWER_PENALTY * num_open
    if not all_times or not turns:
        if compat:
            raise ItemError(Kind.PERMANENT, "cannot be scored: no annotated time or no turn")
        return TimingScore(None, None, penalty, num_open, 0.0)
    spoken = [turn.time_s for turn in turns]
    p = sum(_nearest(t, all_times) for t in spoken) / len(spoken)
    r = sum(_nearest(t, spoken) for t in starts) / len(starts)
    return TimingScore(p, r, penalty, num_open, PERFECT - (p + r + penalty))


def annotation_times(description: str, compat: bool) -> tuple[list[float], list[float]]:
    """All annotated times of a description, and the starts among them, in seconds and in the order of the text."""
    if compat:
        return _reference_times(description)
    spans = [(float(m[1]), m[2]) for m in _LINE_BRACKET.finditer(description)]
    all_times = [t for start, end in spans for t in ([start] if end is None else [start, float(end)])]
    return all_times, [start for start, _ in spans]


def _reference_times(description: str) -> tuple[list[float], list[float]]:
    all_times: list[float] = []
    starts: list[float] = []
    for match in _ANY_BRACKET.finditer(description):
        parts = match[1].split("-")
        if len(parts) > 2:
            raise ItemError(Kind.PERMANENT, f"cannot be scored: [{match[1]}] has two hyphens")
        try:
            times = [float(part.strip().removesuffix("s")) for part in parts]
        except ValueError:
            continue
        all_times += times
        starts.append(times[0])
    return all_times, starts


def _is_open(turns: Sequence[Turn], index: int, compat: bool) -> bool:
    if not compat:
        return turns[index].is_question and not is_answered(turns, index)
    turn = turns[index]
    if not turn.is_user or not turn.content.endswith("?") or index == len(turns) - 1:
        return False
    following = turns[index + 1]
    return following.is_user or following.time_s - turn.time_s > ANSWER_WITHIN_S


def _nearest(t_s: float, times: Sequence[float]) -> float:
    return min(abs(t_s - other) for other in times)
