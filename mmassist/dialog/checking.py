"""What a schema cannot say about an answer: reasons against it, each ``code: what is wrong``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from mmassist.dialog.label import INITIATIVES
from mmassist.dialog.turn import ANSWER_WITHIN_S, Turn

MERGE_WITHIN_S = 1.0  # refinement may join turns of one speaker that are closer than this
_EPSILON_S = 1e-6


@dataclass(frozen=True)
class Window:
    """Where turns may lie, in seconds; the first window of a dialog must hold the user's goal."""

    start_s: float
    end_s: float
    is_first: bool


def check_turns(turns: Sequence[Turn], window: Window) -> list[str]:
    """Reasons against a window's turns: empty, outside the window, out of order, no goal, a question left open."""
    if not turns:
        return ["empty: the answer holds no turn"]
    reasons = []
    for turn in turns:
        if not window.start_s - _EPSILON_S <= turn.time_s <= window.end_s + _EPSILON_S:
            reasons.append(
                f"out_of_window: the turn at {turn.time_s:.1f} s is not between {window.start_s:.1f} and "
                f"{window.end_s:.1f} s"
            )
        if not turn.content:
            reasons.append(f"empty: the turn at {turn.time_s:.1f} s has no text")
        elif not turn.has_words:
            reasons.append(f"not_dialog: the turn at {turn.time_s:.1f} s holds nothing that would be said")
    for before, after in pairwise(turns):
        if after.time_s < before.time_s - _EPSILON_S:
            reasons.append(f"not_in_order: the turn at {after.time_s:.1f} s comes behind {before.time_s:.1f} s")
    if window.is_first and not turns[0].is_user:
        reasons.append("no_goal: the first turn must be the user's, stating the goal")
    return reasons + _check_answered(turns)


def check_refined(refined: Sequence[Turn], original: Sequence[Turn], window: Window) -> list[str]:
    """Reasons against a refinement: those of ``check_turns``, and changed times, lost user turns, lost assistant turns.

    Assistant turns may only disappear into a neighbour closer than MERGE_WITHIN_S, and must have an initiative.
    """
    reasons = check_turns(refined, window)
    for turn in refined:
        if not turn.is_user and not turn.labels.startswith(INITIATIVES):
            reasons.append(f"no_label: the assistant's turn at {turn.time_s:.1f} s has no initiative")
    before, after = (Counter(t.time_s for t in turns if t.is_user) for turns in (original, refined))
    for time_s in sorted(before.keys() | after.keys()):
        if before[time_s] > after[time_s]:
            reasons.append(f"user_turn_lost: the user's turn at {time_s:.1f} s is missing")
        elif before[time_s] < after[time_s]:
            reasons.append(f"time_changed: there was no user turn at {time_s:.1f} s")
    spoken = {turn.time_s for turn in original if not turn.is_user}
    kept = {turn.time_s for turn in refined if not turn.is_user}
    reasons += [f"time_changed: there was no assistant turn at {t:.1f} s" for t in sorted(kept - spoken)]
    for time_s in sorted(spoken - kept):
        if not any(abs(time_s - other) < MERGE_WITHIN_S - _EPSILON_S for other in kept):
            reasons.append(f"turn_lost: the assistant's turn at {time_s:.1f} s is missing")
    return reasons


def _check_answered(turns: Sequence[Turn]) -> list[str]:
    reasons = []
    for index, turn in enumerate(turns):
        if turn.is_question and not is_answered(turns, index):
            reasons.append(f"unanswered: the user's question at {turn.time_s:.1f} s gets no answer at that time")
    return reasons


def is_answered(turns: Sequence[Turn], index: int) -> bool:
    """Whether an assistant turn follows turn ``index`` within ANSWER_WITHIN_S."""
    asked_s = turns[index].time_s
    return any(
        not turn.is_user and -_EPSILON_S <= turn.time_s - asked_s <= ANSWER_WITHIN_S + _EPSILON_S
        for turn in turns[index + 1 :]
    )
