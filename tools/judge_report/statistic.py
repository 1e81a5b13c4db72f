"""Distributions of scores, and how alike two judges put the same dialogs in order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

NUM_BINS = 8
QUANTILES = {"min": 0.0, "q25": 0.25, "median": 0.5, "q75": 0.75, "max": 1.0}
_SMALL = 64  # values up to which every pair is compared

Array = npt.NDArray[np.float64]


def describe(values: Sequence[float | None], bounds: tuple[float, float] | None = None) -> dict[str, Any]:
    """Count, mean, standard deviation, quantiles and a histogram between ``bounds``; None counts as missing.

    Without bounds the histogram goes from the smallest to the largest value. What nothing can be said of is None.
    """
    known = np.array([value for value in values if value is not None], dtype=np.float64)
    row: dict[str, Any] = {"count": len(known), "missing": len(values) - len(known)}
    if not len(known):
        return row | {"mean": None, "sd": None, "quantiles": dict.fromkeys(QUANTILES), "histogram": None}
    counts, edges = np.histogram(known, NUM_BINS, bounds or (known.min(), known.max()))
    points = np.quantile(known, list(QUANTILES.values()))
    return row | {
        "mean": float(known.mean()),
        "sd": float(known.std()),
        "quantiles": {name: float(point) for name, point in zip(QUANTILES, points, strict=True)},
        "histogram": {"edges": [float(edge) for edge in edges], "counts": [int(count) for count in counts]},
    }


def compare(left: Sequence[float], right: Sequence[float]) -> dict[str, Any]:
    """How two judges' values of the same dialogs agree.

    ``pearson`` and ``spearman`` are correlations of the values and of their ranks (equal values share the mean rank).
    ``ordered_alike`` is the share of pairs of dialogs that both put in the same order, among the pairs that neither
    holds for equal: 0.5 is chance. Each is None where it is undefined, as it is when one side is constant.
    """
    x, y = np.asarray(left, dtype=np.float64), np.asarray(right, dtype=np.float64)
    alike, opposed, tied = count_pairs(x, y)
    return {
        "count": len(x),
        "pearson": _correlate(x, y),
        "spearman": _correlate(rank(x), rank(y)),
        "ordered_alike": alike / (alike + opposed) if alike + opposed else None,
        "pairs": {"alike": alike, "opposed": opposed, "tied": tied},
    }


def rank(values: Sequence[float] | Array) -> Array:
    """Ranks from 1; equal values share the mean of theirs."""
    _, place, counts = np.unique(np.asarray(values, dtype=np.float64), return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    found: Array = (last - (counts - 1) / 2)[place]
    return found


def count_pairs(x: Array, y: Array) -> tuple[int, int, int]:
    """Pairs that are in the same order in both, in opposite order, and equal in one of them; n log n in time."""
    order = np.lexsort((y, x))  # of equal x, the smaller y first: such pairs are no inversions
    opposed = _count_inversions(y[order])
    num_pairs = len(x) * (len(x) - 1) // 2
    both = np.unique(np.stack([x, y]), axis=1, return_counts=True)[1] if len(x) else np.zeros(0, np.int64)
    tied = _pairs(np.unique(x, return_counts=True)[1]) + _pairs(np.unique(y, return_counts=True)[1]) - _pairs(both)
    return num_pairs - tied - opposed, opposed, tied


def _pairs(counts: npt.NDArray[np.int64]) -> int:
    return int((counts * (counts - 1) // 2).sum())


def _count_inversions(values: Array) -> int:
    """Pairs in which a larger value stands before a smaller one."""
    if len(values) <= _SMALL:
        larger = values[:, None] > values[None, :]
        return int(np.triu(larger, 1).sum())
    left, right = np.array_split(values, 2)
    across = len(left) * len(right) - np.searchsorted(np.sort(left), right, side="right").sum()
    return _count_inversions(left) + _count_inversions(right) + int(across)


def _correlate(x: Array, y: Array) -> float | None:
    if len(x) < 2 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return None
    a, b = x - x.mean(), y - y.mean()
    size = np.sqrt((a @ a) * (b @ b))
    return float(np.clip((a @ b) / size, -1, 1)) if size else None
