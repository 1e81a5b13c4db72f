"""Cut a stretch of time into uneven parts."""

from __future__ import annotations

import random


def cut_time(
    generator: random.Random, num_parts: int, start_s: float, end_s: float, gap: float
) -> list[tuple[float, float]]:
    """Cut ``[start_s, end_s]`` into parts whose lengths differ by up to a half, each followed by a pause.

    ``gap`` is the pause's share of a part, 0 to 1. Parts are in order and do not overlap.
    """
    weights = [generator.uniform(0.75, 1.25) for _ in range(num_parts)]
    unit = (end_s - start_s) / sum(weights) if weights else 0.0
    spans = []
    at = start_s
    for weight in weights:
        length = weight * unit
        spans.append((at, at + length * (1 - gap)))
        at += length
    return spans
