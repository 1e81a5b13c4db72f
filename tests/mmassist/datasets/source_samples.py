"""Shipped settings and a plain rendering of annotations, for the tests of the sources."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml

from mmassist.core.annotation import Annotation, Substep
from mmassist.core.item import Drop

REPOSITORY = Path(__file__).parents[3]


def load_settings(name: str) -> dict[str, Any]:
    return yaml.safe_load((REPOSITORY / "conf" / "dataset" / f"{name}.yaml").read_text())


def render(annotation: Annotation, is_wtag: bool = False) -> str:
    """The published text form of an annotation, written down here a second time to compare against."""
    lines: list[str] = []
    for step in annotation.steps:
        note = f" ({step.note})" if step.note else ""
        if step.is_marker:
            lines.append(f"- [{step.start_s:.1f}s] {step.text}")
        else:
            lines.append(f"[{step.start_s:.1f}s-{step.end_s:.1f}s] {step.text}{note}")
        lines += _render_substeps(step.substeps, "- " if is_wtag else " - ")
    if annotation.summary:
        lines.append(f"Summary: {annotation.summary}")
    return "".join(f"{line}\n" for line in lines)


def _render_substeps(substeps: tuple[Substep, ...], dash: str) -> Iterator[str]:
    for substep in substeps:
        span = f"{substep.start_s:.1f}s" + (f"-{substep.end_s:.1f}s" if substep.end_s is not None else "")
        text = f'{substep.role}: "{substep.text}"' if substep.role else substep.text
        yield f"{dash}[{span}] {text}" + (f" (ERROR: {substep.note})" if substep.note else "")


def reasons(drops: Iterable[Drop]) -> dict[str, str]:
    """Record -> reason."""
    return {drop.record: drop.reason for drop in drops}
