"""Parsed answers to values, with the reasons against them: the validation callbacks of the generate stage.

Each returns ``(value, reasons)``; reasons are ``code: what is wrong`` and go back to the model in a repair turn. Under
the reference's rules answers are plain text and almost nothing is checked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from mmassist.dialog.annotation import Clip
from mmassist.dialog.checking import Window, check_refined, check_turns
from mmassist.dialog.label import UnknownInitiative
from mmassist.dialog.parsing import parse_lines, turns_of_answer
from mmassist.dialog.progress import parse_summary
from mmassist.dialog.turn import Turn


def read_dialog(answer: Any, clip: Clip, compat: bool, rejected: Counter[str]) -> tuple[list[Turn], list[str]]:
    """Turns of one window, without labels. The reference only drops what lies behind the window."""
    if compat:
        parsed = parse_lines(answer, compat=True, labelled=False)
        kept = [turn for turn in parsed.turns if turn.time_s <= clip.end_s]
        rejected.update({f"line_{reason}": count for reason, count in parsed.rejected.items()})
        rejected.update({"line_behind_window": len(parsed.turns) - len(kept)} if len(kept) < len(parsed.turns) else {})
        return kept, []
    turns = turns_of_answer(answer)
    return turns, check_turns(turns, _window(clip))


def read_refined(
    answer: Any, original: Sequence[Turn], clip: Clip, compat: bool, rejected: Counter[str]
) -> tuple[list[Turn], list[str]]:
    """Turns of one window with labels, checked against the turns they were made from."""
    if compat:
        try:
            parsed = parse_lines(answer, compat=True)
        except UnknownInitiative as error:
            return [], [f"unknown_initiative: {error}"]
        rejected.update({f"line_{reason}": count for reason, count in parsed.rejected.items()})
        return parsed.turns, []
    turns = turns_of_answer(answer)
    reasons = check_refined(turns, original, _window(clip))
    return turns, reasons


def read_label(answer: Any) -> tuple[int, list[str]]:
    """The class of a video: 0, 1 or 2."""
    return int(answer["label"]), []


def read_match(answer: Any) -> tuple[int, list[str]]:
    """The number of the task that was recognised, from 1; the schema keeps it among those that were offered."""
    return int(answer["task"]), []


def read_summary(answer: Any, compat: bool) -> tuple[str, list[str]]:
    """One line of progress."""
    summary = parse_summary(answer if compat else answer["summary"], compat)
    return summary, [] if summary or compat else ["empty: the summary has no text"]


def _window(clip: Clip) -> Window:
    return Window(clip.start_s, clip.end_s, is_first=clip.first_step == 0)
