"""What SLURM and the supervisors do with elements, on a clock of its own: seconds of video at speed 1."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

from launchers.balance import Window, spread


@dataclass(frozen=True)
class Pool:
    """Nodes with ``workers`` children each; a node of speed 2 halves the time of every task."""

    speeds: Sequence[float]
    workers: int


def run_windows(elements: Sequence[Sequence[float]], windows: Sequence[Window], pool: Pool) -> float:
    """When the last element is done; ``elements`` are the costs of their tasks, in the order of the array indices.

    Windows side by side hold nodes of their own, as many as each may run at once; one that waits for another goes on
    on that one's nodes, when all of them are free.
    """
    nodes: list[Sequence[float]] = []
    ends: list[float] = []
    used = 0
    for window in windows:
        if window.after is None:
            own, begin = pool.speeds[used : used + window.max_running], 0.0
            used += window.max_running
        else:
            own, begin = nodes[window.after][: window.max_running], ends[window.after]
        nodes.append(own)
        part = elements[window.first : window.first + window.count]
        ends.append(begin + _run_window(part, own, pool.workers))
    return max(ends, default=0.0)


def _run_window(elements: Sequence[Sequence[float]], speeds: Sequence[float], workers: int) -> float:
    """Elements in order, each onto the node that is free first."""
    free = [(0.0, node) for node in range(len(speeds))]
    for element in elements:
        begin, node = free[0]
        heapq.heapreplace(free, (begin + spread(element, workers) / speeds[node], node))
    return max(end for end, _ in free)


def stride(lengths: Sequence[float], num_slots: int) -> float:
    """When the last slot is done if slot i takes items i, i + n, i + 2n and so on."""
    return max(sum(lengths[slot::num_slots]) for slot in range(min(num_slots, len(lengths))))
