"""The state of the task after each assistant turn, in one line."""

from __future__ import annotations

from collections.abc import Sequence

from mmassist.dialog.turn import Turn


def parse_summary(text: str, compat: bool) -> str:
    """The summary in a model's text: what follows ``SUMMARY:`` on the last line that has it, or the whole text.

    The reference keeps only what stands between the first and the second colon of that line.
    """
    lines = [line for line in text.splitlines() if "SUMMARY" in line]
    if compat:
        parts = lines[-1].split(":") if lines else []
        return parts[1].strip() if len(parts) > 1 else ""
    if lines:
        head, colon, rest = lines[-1].partition(":")
        return " ".join((rest if colon else head).split())
    return " ".join(text.split())


def render_progress(summary: str, turn: Turn, conversation: Sequence[Turn], compat: bool) -> str:
    """A sentence with the time since the task began, then the summary.

    The task begins with the conversation's first turn, the user's goal; the reference gives the video's time instead.
    """
    elapsed_s = turn.time_s if compat else turn.time_s - conversation[0].time_s
    return f"Time since the task began: {elapsed_s:.1f} seconds. {summary}".strip()
