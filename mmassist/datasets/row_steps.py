"""Steps from tables that have one action a row, with start, end and text."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from mmassist.core.annotation import Step
from mmassist.core.item import Drop
from mmassist.datasets.span import fit_span


class TimedRow(NamedTuple):
    """A row's action; a time is None where the row has none that makes sense. ``name`` is the row's, for drops."""

    start_s: float | None
    end_s: float | None
    text: str
    name: str


def build_steps(rows: Iterable[TimedRow], recording: str, duration_s: float, drops: list[Drop]) -> tuple[Step, ...]:
    """One step per row in order of time; of rows that agree in times and text the first is kept."""
    steps: set[Step] = set()
    for row in rows:
        span, remark = fit_span(row.start_s, row.end_s, duration_s)
        if remark:
            drops.append(Drop(recording, row.name, remark))
        if span is None:
            continue
        step = Step(*span, row.text)
        if step in steps:
            drops.append(Drop(recording, row.name, "copy of another step"))
        steps.add(step)
    return tuple(sorted(steps, key=lambda step: (step.start_s, step.end_s, step.text)))


def build_steps_compat(rows: Iterable[TimedRow], recording: str, drops: list[Drop]) -> tuple[Step, ...]:
    """The reference: rows as they are, by start; it fails for times that are none, so those are left out here too."""
    steps = []
    for row in rows:
        if row.start_s is None or row.end_s is None:
            drops.append(Drop(recording, row.name, "no start or end time"))
        else:
            steps.append(Step(row.start_s, row.end_s, row.text))
    return tuple(sorted(steps, key=lambda step: step.start_s))
