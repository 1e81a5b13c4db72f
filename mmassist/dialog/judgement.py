"""Scores of any judge as plain numbers under one set of names, for selection and reports.

``scores.json`` of a judge holds a row per conversation under ``scores`` and, where it rates the record as a whole, one
entry under ``record``. A rated criterion is an object with ``mean`` and ``spread``; whatever was measured is a number.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

FINAL = "final_score"  # what every judge has, in points of its own scale
SPREAD = "_spread"
_PLACE = ("index",)


def values_of(scores: Mapping[str, Any], row: Mapping[str, Any]) -> dict[str, float | None]:
    """The numbers of one conversation, with those of its record: ``correctness``, ``correctness_spread``, ...

    ``scores`` is the content of a ``scores.json``, ``row`` one of its ``scores``. None stands for what could not be
    rated or measured; text and lists are left out.
    """
    return {**_flatten(row), **record_values_of(scores)}


def record_values_of(scores: Mapping[str, Any]) -> dict[str, float | None]:
    """The numbers of the record as a whole, empty for a judge that rates conversations alone."""
    record = scores.get("record")
    return _flatten(record) if isinstance(record, Mapping) else {}


def _flatten(row: Mapping[str, Any]) -> dict[str, float | None]:
    found: dict[str, float | None] = {}
    for name, value in row.items():
        if name in _PLACE:
            continue
        if isinstance(value, Mapping) and "mean" in value:
            found[name] = _number(value["mean"])
            found[name + SPREAD] = _number(value.get("spread"))
        elif value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
            found[name] = _number(value)
    return found


def _number(value: Any) -> float | None:
    return None if value is None else float(value)
