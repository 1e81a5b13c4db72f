"""What CaptainCook4D says went wrong in a step, joined to it by step number and start time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from mmassist.datasets.captaincook4d_files import iter_records
from mmassist.datasets.captaincook4d_recipe import clean_description
from mmassist.datasets.source import record_digest, unordered_digest
from mmassist.datasets.span import read_number

Annotated = Sequence[tuple[str, dict[str, Any]]]  # place in the file, and record


class Errors:
    """The annotated steps of one recording, with the place of each in the file. Their order says nothing."""

    def __init__(self, annotated: Annotated):
        self._annotated = annotated
        self._claimed: set[str] = set()

    def list_unused(self) -> list[tuple[str, str]]:
        """Place and reason of what is annotated and told nowhere, once all steps were asked for."""
        unused = []
        for place, entry in self._annotated:
            errors = entry.get("errors")
            if errors and place not in self._claimed:
                unused.append((place, "errors of a step that is not there"))
            elif not isinstance(errors, (list, type(None))):
                unused.append((f"{place} errors", "no list of errors"))
            for position, error in enumerate(errors if isinstance(errors, list) else ()):
                if not _render_one(error):
                    unused.append((f"{place} errors[{position}]", "neither tag nor description"))
        return unused

    def of_step(self, step: dict[str, Any]) -> list[str]:
        """``<tag>: <description>`` of each error of a step, sorted; without any those in the step's own record.

        A step can be done twice, so the start time counts as well as the number; one that is found nowhere stands for
        the next one to it.
        """
        number = _read_id(step.get("step_id"))
        same = [pair for pair in self._annotated if number and _read_id(pair[1].get("step_id")) == number]
        start_s = read_number(step.get("start_time"))
        nearest = min((_distance(entry, start_s) for _, entry in same), default=None)
        meant = [pair for pair in same if _distance(pair[1], start_s) == nearest]
        self._claimed |= {place for place, _ in meant}
        return _render([entry for _, entry in meant]) or _render([step])


def errors_digest(annotated: Annotated) -> str:
    """Digest of what is read of annotated steps, whatever their order and that of their errors."""
    return unordered_digest(
        [entry.get("step_id"), entry.get("start_time"), _errors_digest(entry.get("errors"))] for _, entry in annotated
    )


def _errors_digest(errors: Any) -> str:
    return unordered_digest(errors) if isinstance(errors, list) else record_digest(errors)


def has_errors(step: dict[str, Any]) -> bool:
    """Whether the step's own record says that something went wrong; the publisher's tables say ``True`` as text."""
    value = step.get("has_errors")
    return value is True or (isinstance(value, str) and value.strip().lower() == "true")


def _distance(entry: dict[str, Any], start_s: float | None) -> tuple[float, float]:
    other_s = read_number(entry.get("start_time"))
    if start_s is None or other_s is None:
        return (0.0 if start_s is other_s else math.inf), 0.0
    return abs(start_s - other_s), other_s


def _read_id(value: Any) -> str:
    """A step's number as text, "" for what is none."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip() if isinstance(value, (int, str)) and not isinstance(value, bool) else ""


def _render(entries: Sequence[dict[str, Any]]) -> list[str]:
    return sorted({_render_one(error) for entry in entries for error in iter_records(entry.get("errors"))} - {""})


def _render_one(error: Any) -> str:
    if not isinstance(error, dict):
        return ""
    tag = " ".join(error["tag"].split()) if isinstance(error.get("tag"), str) else ""
    return ": ".join(part for part in (tag, clean_description(error.get("description"))) if part)
