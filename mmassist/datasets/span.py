"""Times of annotation records: reading them, fitting them to the video, and how much of it they cover."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

Span = tuple[float, float]

LARGEST_NUMBER = 1e6  # as seconds more than 11 days: whatever says so is garbage, and as a length it sizes real work


def read_number(value: Any) -> float | None:
    """``value`` as a float, or None for anything that is no sensible number.

    Refused: null, text, NaN, a truth value, and what is further from 0 than ``LARGEST_NUMBER``.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if abs(number) <= LARGEST_NUMBER else None  # NaN compares as false


def fit_span(start_s: float | None, end_s: float | None, duration_s: float) -> tuple[Span | None, str]:
    """Fit a record's times into ``[0, duration_s]``; the second value says what was done ("" = nothing).

    Dropped (None): no start time, starts at or after the video's end, ends before its start. Repaired: a missing end
    or one before the start becomes the start (an instant); a start below 0 becomes 0; an end beyond the video its end.
    """
    if start_s is None:
        return None, "no start time"
    if start_s >= duration_s:
        return None, "beyond the video"
    repairs = []
    if end_s is None or end_s < start_s:
        repairs.append("no usable end time, made an instant")
        end_s = start_s
    if start_s < 0:
        if end_s <= 0:
            return None, "before the video"
        repairs.append("start moved to 0")
        start_s = 0.0
    if end_s > duration_s:
        repairs.append("end cut to the video")
        end_s = duration_s
    return (start_s, end_s), ", ".join(repairs)


def covered_share(spans: Iterable[Span], duration_s: float) -> float:
    """Share of ``[0, duration_s]`` that at least one span covers: between 0 and 1, overlaps counted once."""
    if duration_s <= 0:
        return 0.0
    covered, reached = 0.0, 0.0
    for start, end in sorted(spans):
        start, end = max(start, reached), min(end, duration_s)
        if end > start:
            covered += end - start
            reached = end
    return min(1.0, covered / duration_s)


def summed_share(spans: Iterable[Span], duration_s: float) -> float:
    """Sum of the spans' lengths over ``duration_s``, overlaps counted twice: the rule of the reference."""
    return sum(end - start for start, end in spans) / duration_s if duration_s > 0 else 0.0
