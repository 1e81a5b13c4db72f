"""An annotation as the text a model reads, and the windows in which dialogs are generated."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from mmassist.core.annotation import Annotation, Step, Substep
from mmassist.core.errors import ItemError, Kind
from mmassist.dialog.schemas import MAX_TIME_S

MAX_TEXT_CHARS = 2000  # of one text in a description; the sources' own summaries have fewer than 1000
_FAR_S = 1e9  # times are cut to this before arithmetic that cannot hold them


@dataclass(frozen=True)
class ClipRule:
    """When a generation window is full and what its text shows.

    A window closes after the step that lifts its count above ``max_units``: seven steps for 6 and ``steps``. ``units``
    counts the lines that are written (a step and its substeps). The text shows every step of the recording, or
    ``num_before`` steps before the window to ``num_after`` behind it; substeps always only inside the window.
    """

    max_units: int = 6
    counts: Literal["steps", "units"] = "units"
    num_before: int | None = None
    num_after: int | None = None


@dataclass(frozen=True)
class Clip:
    """One generation window in seconds, its text, and its steps as a half-open range of the annotation's."""

    start_s: float
    end_s: float
    text: str
    first_step: int
    last_step: int  # one behind the last


def render_description(annotation: Annotation, compat: bool) -> str:
    """The whole recording, a line per step and substep; every line ends with a newline (the reference's may lack it).

    ``[a s-b s] text (note)`` for a step, `` - [a s] text`` or `` - [a s-b s] text (ERROR: why)`` for a fine action,
    `` - [a s] role: "text"`` for an utterance, a last line ``Summary: ...`` where the source has one; times in seconds
    with one decimal. Corrected: line breaks inside a text become blanks, so no text can look like a line of its own;
    texts longer than MAX_TEXT_CHARS are cut.
    """
    return _render(annotation, range(len(annotation.steps)), range(len(annotation.steps)), compat)


def cut_clips(annotation: Annotation, rule: ClipRule, compat: bool) -> list[Clip]:
    """Cut the steps, in order and without gaps, into generation windows.

    Reference: a window runs from its first step's start to its last step's end (a little less in one source), a step
    with substeps counts as those alone, and nothing is said about what lies between windows. Corrected: a window also
    covers its substeps, ends where the next one starts at the latest, has a length (steps of a single instant join
    their neighbours) and bounds of one decimal, as the prompt states them.

    Raises ItemError for a window that reaches beyond MAX_TIME_S, where no answer's schema has times.
    """
    groups = _group_steps(annotation.steps, rule, compat)
    if not compat:
        groups = _join_instants(annotation, groups)
    clips = []
    for index, (first, last) in enumerate(groups):
        before = 0 if rule.num_before is None else max(0, first - rule.num_before)
        after = len(annotation.steps) if rule.num_after is None else min(len(annotation.steps), last + rule.num_after)
        if compat:
            start, end = annotation.steps[first].start_s, annotation.steps[last - 1].end_s
            end -= annotation.reference_form.window_cut_s
        else:
            start, end = _window(annotation, groups, index)
        if max(start, end) > MAX_TIME_S:
            raise ItemError(Kind.PERMANENT, f"steps last until {max(start, end):g} s, beyond {MAX_TIME_S} s")
        text = _render(annotation, range(before, after), range(first, last), compat)
        clips.append(Clip(start, end, text, first, last))
    return clips


def _group_steps(steps: Sequence[Step], rule: ClipRule, compat: bool) -> list[tuple[int, int]]:
    groups = []
    first = count = 0
    for index, step in enumerate(steps):
        count += _num_units(step, rule, compat)
        if count > rule.max_units or index == len(steps) - 1:
            groups.append((first, index + 1))
            first, count = index + 1, 0
    return groups


def _num_units(step: Step, rule: ClipRule, compat: bool) -> int:
    if rule.counts == "steps":
        return 1
    if compat:  # the reference counts line breaks of the joined substeps, one fewer than lines
        return max(1, len(step.substeps))
    return 1 + len(step.substeps)


def _join_instants(annotation: Annotation, groups: list[tuple[int, int]]) -> list[tuple[int, int]]:
    joined = list(groups)
    index = 0
    while index < len(joined):
        start, end = _window(annotation, joined, index)
        if end > start or len(joined) == 1:
            index += 1
            continue
        # Join with the next window; the last one joins the one before, which then has to be looked at again.
        left = index if index + 1 < len(joined) else index - 1
        joined[left : left + 2] = [(joined[left][0], joined[left + 1][1])]
        index = left
    return joined


def _window(annotation: Annotation, groups: list[tuple[int, int]], index: int) -> tuple[float, float]:
    start = _window_start(annotation, groups[index])
    first, last = groups[index]
    ends = [step.end_s for step in annotation.steps[first:last]]
    ends += [
        sub.start_s if sub.end_s is None else sub.end_s for s in annotation.steps[first:last] for sub in s.substeps
    ]
    end = _ceil_tenth(max(ends))
    # Times that start at 0 are the video's own; a later start means a stretch whose length is not the video's.
    if annotation.start_s == 0 and annotation.duration_s > 0:
        end = min(end, _floor_tenth(annotation.duration_s))
    if index + 1 < len(groups):
        end = min(end, _window_start(annotation, groups[index + 1]))
    if end <= start and len(groups) == 1:  # one instant is all there is
        end = round(start + 1.0, 1)
    return start, end


def _window_start(annotation: Annotation, group: tuple[int, int]) -> float:
    step = annotation.steps[group[0]]
    starts = [step.start_s]
    if group[0] == 0:  # what was said before the first action belongs to the first step
        starts += [substep.start_s for substep in step.substeps]
    return max(0.0, _floor_tenth(min(starts)))


def _floor_tenth(t_s: float) -> float:
    return round(math.floor(_near(t_s) * 10 + 1e-6) / 10, 1)


def _ceil_tenth(t_s: float) -> float:
    return round(math.ceil(_near(t_s) * 10 - 1e-6) / 10, 1)


def _near(t_s: float) -> float:
    return max(-_FAR_S, min(t_s, _FAR_S))


def _render(annotation: Annotation, shown: range, detailed: range, compat: bool) -> str:
    lines = []
    for index in shown:
        step = annotation.steps[index]
        lines.append(_step_line(step, compat))
        if index in detailed:
            flush = compat and annotation.reference_form.is_flush_left
            lines += [("- " if flush else " - ") + _substep_text(substep, compat) for substep in step.substeps]
    if annotation.summary:
        lines.append(f"Summary: {_text(annotation.summary, compat)}")
    ending = "" if compat and not annotation.reference_form.has_last_line_end else "\n"
    return "\n".join(lines) + (ending if lines else "")


def _step_line(step: Step, compat: bool) -> str:
    if step.is_marker:
        return f"- [{step.start_s:.1f}s] {_text(step.text, compat)}"
    note = f" ({_text(step.note, compat)})" if step.note else ""
    return f"[{step.start_s:.1f}s-{step.end_s:.1f}s] {_text(step.text, compat)}{note}"


def _substep_text(substep: Substep, compat: bool) -> str:
    text = _text(substep.text, compat)
    if substep.role is not None:
        return f'[{substep.start_s:.1f}s] {substep.role}: "{text}"'
    span = f"{substep.start_s:.1f}s" if substep.end_s is None else f"{substep.start_s:.1f}s-{substep.end_s:.1f}s"
    why = f" (ERROR: {_text(substep.note, compat)})" if substep.note else ""
    return f"[{span}] {text}{why}"


def _text(text: str, compat: bool) -> str:
    if compat:
        return text
    text = " ".join(text.split())
    return text if len(text) <= MAX_TEXT_CHARS else f"{text[: MAX_TEXT_CHARS - 3].rstrip()}..."
