"""The state of the task after each assistant turn, in one line."""

from __future__ import annotations

import re
from collections.abc import Sequence

from mmassist.dialog.turn import Turn

_EMPHASIS = re.compile(r"\*\*|__|`")
# In small letters only where a line begins: "asked for a summary: ..." is part of one.
_MARKER = re.compile(r"(?:^[^\w\n]*(?i:summary)|SUMMARY)[ \t]*:", re.MULTILINE)


def parse_summary(text: str, compat: bool) -> str:
    """The summary in a model's text: what follows the last ``SUMMARY:``, up to an empty line, or the whole text.

    The reference keeps only what stands between the first and the second colon of the last line with that word.
    """
    if compat:
        lines = [line for line in text.splitlines() if "SUMMARY" in line]
        parts = lines[-1].split(":") if lines else []
        return parts[1].strip() if len(parts) > 1 else ""
    plain = _EMPHASIS.sub("", text)
    markers = list(_MARKER.finditer(plain))
    if markers:
        plain = plain[markers[-1].end() :].lstrip().split("\n\n")[0]
    return " ".join(plain.split())


def render_progress(summary: str, turn: Turn, conversation: Sequence[Turn], compat: bool) -> str:
    """A sentence with the time since the task began, then the summary.

    The task begins with the conversation's first turn, the user's goal; the reference gives the video's time instead.
    """
    elapsed_s = turn.time_s if compat else turn.time_s - conversation[0].time_s
    return f"Time since the task began: {elapsed_s:.1f} seconds. {summary}".strip()
