"""One video's Goal-Step record: its stretch of time, its steps and what was left out of them.

Fields as published with Goal-Step (Song et al., NeurIPS 2023): a video has ``segments`` (steps), a step has its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from mmassist.core.annotation import Step, Substep
from mmassist.core.item import Drop
from mmassist.datasets.source import record_digest, unordered_digest
from mmassist.datasets.span import Span, fit_span, read_number

ESSENTIAL = "essential"
_RELEVANCE = (ESSENTIAL, "optional", "irrelevant", "unsure")
_LEFT_OUT = "in a step that is left out"
LATE_S = 1.0  # pictures begin at 0.021 or 0.042; what begins later than this is a part of the video


@dataclass(frozen=True)
class Stretch:
    """What is annotated, in seconds of the (joined) video: the publisher's 0.021 is where the picture begins."""

    start_s: float
    end_s: float
    remark: str = ""

    @property
    def duration_s(self) -> float:
        return max(0.0, self.end_s - self.start_s)

    @property
    def is_late(self) -> bool:
        """Whether it begins well behind the first picture."""
        return self.start_s >= LATE_S


@dataclass
class Reading:
    """Steps to tell, spans of all steps whether told or not, and what was repaired or left out."""

    steps: tuple[Step, ...] = ()
    spans: list[Span] = field(default_factory=list)
    drops: list[Drop] = field(default_factory=list)

    def begin_s(self, stretch: Stretch) -> float:
        """Where the dialog may begin: 0, or for a late stretch its start, or that of a step before it."""
        starts = [substep.start_s for step in self.steps for substep in step.substeps]
        begin_s = min([stretch.start_s, *starts, *(step.start_s for step in self.steps)])
        return begin_s if stretch.is_late and begin_s >= LATE_S else 0.0


def facts_digest(record: dict[str, Any], compat: bool) -> str:
    """Digest of what an annotation is made of; the order of steps counts for the reference's rules only."""
    join = record_digest if compat else lambda *facts: unordered_digest(facts)
    steps = []
    for step in _list(record.get("segments")):
        facts = _facts(step)
        if isinstance(step, dict):
            facts = [facts, join(*map(_facts, _list(step.get("segments"))))]
        steps.append(facts)
    whole = [record.get(name) for name in ("start_time", "end_time", "goal_description")]
    return record_digest(whole, join(*steps))


def count_essential(record: dict[str, Any]) -> int:
    """Number of steps that are told."""
    return sum(isinstance(step, dict) and _relevance(step) == ESSENTIAL for step in _list(record.get("segments")))


def read_stretch(record: dict[str, Any]) -> Stretch:
    """The annotated stretch; one without length ends with the last step."""
    start_s, end_s = read_number(record.get("start_time")), read_number(record.get("end_time"))
    begin_s = max(0.0, start_s or 0.0)
    if end_s is not None and end_s > begin_s:
        return Stretch(begin_s, end_s, "" if start_s is not None else "no start time, counted from 0")
    ends = [read_number(step.get("end_time")) for step in _list(record.get("segments")) if isinstance(step, dict)]
    last_s = max((end for end in ends if end is not None and end > 0), default=0.0)
    return Stretch(begin_s if begin_s < last_s else 0.0, last_s, "no usable length, the last step's end used")


def clean_text(value: Any) -> str:
    """Running text with regular white space and without a full stop at its end; "" for what is no text."""
    return " ".join(value.split()).rstrip(" .") if isinstance(value, str) else ""


def clean_text_compat(value: Any) -> str:
    """The reference: small letters, every full stop a blank."""
    return value.lower().replace(".", " ").strip() if isinstance(value, str) else ""


def read_steps(record: dict[str, Any], recording: str, end_s: float) -> Reading:
    """Essential steps in time order with their essential substeps, all on their own annotated spans.

    ``end_s`` is where the video ends. A substep goes by its own relevance, and one that repeats the one before it is
    joined with it.
    """
    reading = Reading()
    segments = record.get("segments")
    if not isinstance(segments, list):
        reading.drops.append(Drop(recording, "segments", "no list of steps"))
    steps: set[Step] = set()
    latest_s = 0.0
    for position, entry in enumerate(_list(segments)):
        name = f"segments[{position}]"
        span, remark = _read_span(entry, end_s)
        if span is not None:
            reading.spans.append(span)
        refusal = _refuse(entry, span, remark)
        if span is None or refusal:
            reading.drops.append(Drop(recording, name, refusal))
            reading.drops += [Drop(recording, place, _LEFT_OUT) for place, _ in _iter_substeps(entry, name)]
            continue
        if remark:
            reading.drops.append(Drop(recording, name, remark))
        substeps = _read_substeps(entry, name, end_s, reading.drops, recording)
        step = Step(*span, clean_text(entry["step_description"]), substeps=substeps)
        if step in steps:
            reading.drops.append(Drop(recording, name, "copy of another step"))
            continue
        if span[0] < latest_s:
            reading.drops.append(Drop(recording, name, "listed out of time order, sorted"))
        latest_s = max(latest_s, span[0])
        steps.add(step)
    reading.steps = tuple(sorted(steps, key=_order))
    return reading


def read_steps_compat(record: dict[str, Any]) -> Reading:
    """The reference: in the file's order, all substeps of an essential step whatever their own relevance.

    A step with substeps begins with the first of them. Records without times are passed over, where it would fail.
    """
    reading = Reading()
    steps = []
    for entry in _list(record.get("segments")):
        start_s, end_s = _read_times(entry)
        if start_s is None or end_s is None:
            continue
        reading.spans.append((start_s, end_s))
        if entry.get("is_relevant") != ESSENTIAL:
            continue
        substeps: list[Substep] = []
        for _, found in _iter_substeps(entry, ""):
            begin_s, text = _read_times(found)[0], clean_text_compat(_get(found, "step_description"))
            if begin_s is not None and not (substeps and substeps[-1].text == text):
                substeps.append(Substep(begin_s, text))
        begin_s = substeps[0].start_s if substeps else start_s
        steps.append(Step(begin_s, end_s, clean_text_compat(entry.get("step_description")), substeps=tuple(substeps)))
    reading.steps = tuple(steps)
    return reading


def _read_substeps(
    entry: dict[str, Any], name: str, end_s: float, drops: list[Drop], recording: str
) -> tuple[Substep, ...]:
    """Substeps of a step in time order."""
    if not isinstance(entry.get("segments"), (list, type(None))):
        drops.append(Drop(recording, f"{name}.segments", "no list of substeps"))
    found: list[tuple[Substep, str]] = []
    for place, value in _iter_substeps(entry, name):
        span, remark = _read_span(value, end_s)
        refusal = _refuse(value, span, remark)
        if refusal or remark:
            drops.append(Drop(recording, place, refusal or remark))
        if span is not None and not refusal:
            end = span[1] if span[1] > span[0] else None
            found.append((Substep(span[0], clean_text(value["step_description"]), end_s=end), place))
    kept: list[Substep] = []
    for substep, place in sorted(found, key=lambda pair: _order(pair[0])):
        if kept and kept[-1].text.casefold() == substep.text.casefold():
            kept[-1] = replace(kept[-1], end_s=_last_end(kept[-1], substep))
            drops.append(Drop(recording, place, "repeats the substep before, joined with it"))
        else:
            kept.append(substep)
    return tuple(kept)


def _last_end(*substeps: Substep) -> float | None:
    start_s = min(substep.start_s for substep in substeps)
    end_s = max(substep.start_s if substep.end_s is None else substep.end_s for substep in substeps)
    return end_s if end_s > start_s else None


def _refuse(entry: Any, span: Span | None, remark: str) -> str:
    """Why a step or substep is left out ("" = it is told)."""
    if not isinstance(entry, dict):
        return "not a record"
    relevance = _relevance(entry)
    if relevance != ESSENTIAL:
        return f"not essential: {relevance}" if relevance in _RELEVANCE else "relevance not told"
    if span is None:
        return remark
    return "" if clean_text(entry.get("step_description")) else "no description"


def _relevance(entry: dict[str, Any]) -> str:
    value = entry.get("is_relevant")
    return value.strip().lower() if isinstance(value, str) else ""


def _read_span(entry: Any, end_s: float) -> tuple[Span | None, str]:
    return fit_span(*_read_times(entry), end_s)


def _read_times(entry: Any) -> tuple[float | None, float | None]:
    return read_number(_get(entry, "start_time")), read_number(_get(entry, "end_time"))


def _iter_substeps(entry: Any, name: str) -> Iterator[tuple[str, Any]]:
    """Yield place and value of each substep."""
    for position, value in enumerate(_list(_get(entry, "segments"))):
        yield f"{name}.segments[{position}]", value


def _facts(entry: Any) -> Any:
    names = ("start_time", "end_time", "step_description", "is_relevant")
    return [entry.get(name) for name in names] if isinstance(entry, dict) else entry


def _get(entry: Any, name: str) -> Any:
    return entry.get(name) if isinstance(entry, dict) else None


def _list(value: Any) -> Iterable[Any]:
    return value if isinstance(value, list) else ()


def _order(record: Step | Substep) -> tuple[Any, ...]:
    inside = tuple(map(_order, record.substeps)) if isinstance(record, Step) else ()
    return record.start_s, record.start_s if record.end_s is None else record.end_s, record.text, inside
