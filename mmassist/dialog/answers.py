"""Parsed answers to values, with the reasons against them: the validation callbacks of the generate stage.

Each returns ``(value, reasons)``; reasons are ``code: what is wrong`` and go back to the model in a repair turn. Under
the reference's rules answers are plain text and almost nothing is checked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from mmassist.dialog.annotation import Clip
from mmassist.dialog.checking import check_refined, check_turns
from mmassist.dialog.label import UnknownInitiative, join_labels
from mmassist.dialog.parsing import parse_lines
from mmassist.dialog.progress import parse_summary
from mmassist.dialog.prompts import window_of
from mmassist.dialog.turn import Turn, merge_repeats, put_in_order


def read_dialog(
    answer: Any, clip: Clip, compat: bool, rejected: Counter[str], repaired: Counter[str]
) -> tuple[list[Turn], list[str]]:
    """Turns of one window, without labels. The reference only drops what lies behind the window."""
    if compat:
        parsed = parse_lines(answer, compat=True, labelled=False)
        kept = [turn for turn in parsed.turns if turn.time_s <= clip.end_s]
        rejected.update({f"line_{reason}": count for reason, count in parsed.rejected.items()})
        rejected.update({"line_behind_window": len(parsed.turns) - len(kept)} if len(kept) < len(parsed.turns) else {})
        return kept, []
    turns, repairs = turns_of_answer(answer)
    reasons = check_turns(turns, window_of(clip))
    if not reasons:
        repaired.update(repairs)
    return turns, reasons


def read_refined(
    answer: Any, original: Sequence[Turn], clip: Clip, compat: bool, rejected: Counter[str], repaired: Counter[str]
) -> tuple[list[Turn], list[str]]:
    """Turns of one window with labels, checked against the turns they were made from."""
    if compat:
        try:
            parsed = parse_lines(answer, compat=True)
        except UnknownInitiative as error:
            return [], [f"unknown_initiative: {error}"]
        rejected.update({f"line_{reason}": count for reason, count in parsed.rejected.items()})
        return parsed.turns, []
    turns, repairs = turns_of_answer(answer)
    reasons = check_refined(turns, original, window_of(clip))
    if not reasons:
        num_joined = len(original) - len(turns)
        repaired.update(repairs + Counter({"joined": num_joined} if num_joined > 0 else {}))
    return turns, reasons


def turns_of_answer(answer: Mapping[str, Any]) -> tuple[list[Turn], Counter[str]]:
    """Turns of an answer that has the shape of a dialog or a refinement, and how many had to be put right.

    Times to one decimal and in order (``reordered``); what one speaker says at one time is one turn (``merged``).
    """
    turns = []
    for row in answer["turns"]:
        labels = ""
        if row["role"] == "assistant" and "initiative" in row:
            labels = join_labels(row["initiative"], row["intents"])
        turns.append(Turn(row["role"], round(float(row["time"]), 1), " ".join(row["text"].split()), labels))
    ordered, num_late = put_in_order(turns)
    merged = merge_repeats(ordered)
    return merged, +Counter(reordered=num_late, merged=len(ordered) - len(merged))


def read_label(answer: Any) -> tuple[int, list[str]]:
    """The class of a video: 0, 1 or 2."""
    return int(answer["label"]), []


def read_match(answer: Any) -> tuple[int, list[str]]:
    """The number of the task that was recognised, from 1; its shape keeps it among those that were offered."""
    return int(answer["task"]), []


def read_summary(answer: Any, compat: bool) -> tuple[str, list[str]]:
    """One line of progress."""
    summary = parse_summary(answer if compat else answer["summary"], compat)
    return summary, [] if summary or compat else ["empty: the summary has no text"]
