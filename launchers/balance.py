"""How tasks are bundled into array elements, and elements cut into arrays: pure functions of the tasks' weights.

Times are predicted in seconds of video, as if every worker were equally fast: an element gives its tasks, in order, to
whichever of its children is free, and a node takes the next element when all children of its last one are done.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass

from mmassist.core.stage import Task

TOLERANCE = 1.02  # how much longer than the best a division into more elements may take
MIN_TASKS_EACH = 4  # tasks of a child, where a node takes several elements: with fewer, siblings wait long at each end


@dataclass(frozen=True)
class Window:
    """One array: ``count`` elements from ``first`` on, of which ``max_running`` may run at once."""

    first: int
    count: int
    max_running: int
    after: int | None = None  # index of the window that must have ended before


def plan_elements(tasks: Sequence[Task], num_nodes: int, workers: int, elements_per_slot: int = 1) -> list[list[Task]]:
    """Bundle tasks into array elements of ``workers`` children each, for ``num_nodes`` that run at once.

    Every element has a task for each of its children (the last one what is left, where one task each is all there
    is); there are at most ``num_nodes * elements_per_slot``. Of several divisions the one with most elements is taken
    whose makespan is close to the best: SLURM then evens out nodes of different speed, and less is lost with a node.
    The first elements are the heaviest, the tasks of each go from heavy to light. The order of ``tasks`` does not
    matter.
    """
    assert min(num_nodes, workers, elements_per_slot) >= 1
    ordered = sorted(tasks, key=lambda task: (-task.weight, task.name))
    most = math.ceil(len(ordered) / workers)
    if most <= num_nodes:
        return _bundle(ordered, [1.0] * most, workers)
    choices = []
    most_rounds = len(ordered) // (num_nodes * workers * MIN_TASKS_EACH)
    for rounds in range(1, max(1, min(elements_per_slot, most_rounds)) + 1):
        bundles = _bundle(ordered, _targets(ordered, num_nodes, workers, rounds), workers)
        if rounds == 1 or min(map(len, bundles)) >= workers * MIN_TASKS_EACH:
            choices.append((predict_makespan(bundles, num_nodes, workers), bundles))
    best = min(makespan for makespan, _ in choices)
    return next(bundles for makespan, bundles in reversed(choices) if makespan <= best * TOLERANCE)


def predict_makespan(bundles: Sequence[Sequence[Task]], num_nodes: int, workers: int) -> float:
    """Seconds of video until the last of ``num_nodes`` is done, the elements being taken in order."""
    return spread([spread([task.weight for task in bundle], workers) for bundle in bundles], num_nodes)


def spread(lengths: Sequence[float], num_slots: int) -> float:
    """When the last slot is done, each length going to the slot that is free first."""
    free = [0.0] * max(1, min(num_slots, len(lengths)))
    for length in lengths:
        heapq.heapreplace(free, free[0] + length)
    return max(free)


def plan_windows(num_elements: int, max_array_size: int, max_running: int) -> tuple[list[int], list[Window]]:
    """Cut elements into arrays of at most ``max_array_size``; returns their new order, and the arrays.

    The order lists today's numbers: array index ``i`` of a window is today's ``order[first + i]``. Windows that may
    run side by side share ``max_running``, and each has its part of the heavy and of the light elements. Where even
    arrays that run one element at a time would be too long, they are continued by later windows that wait for them.
    """
    assert min(max_array_size, max_running) >= 1
    if num_elements == 0:
        return [], []
    num_lanes = min(num_elements, max_running)
    if num_elements <= max_array_size:
        return list(range(num_elements)), [Window(0, num_elements, num_lanes)]
    lanes = [range(lane, num_elements, num_lanes) for lane in range(num_lanes)]
    lanes_each = max(1, max_array_size // len(lanes[0]))
    num_groups = math.ceil(num_lanes / lanes_each)
    groups = [sorted(element for lane in lanes[i::num_groups] for element in lane) for i in range(num_groups)]
    limits = [len(lanes[i::num_groups]) for i in range(num_groups)]
    return _cut_groups(groups, limits, max_array_size)


def _cut_groups(
    groups: Sequence[Sequence[int]], limits: Sequence[int], max_array_size: int
) -> tuple[list[int], list[Window]]:
    order: list[int] = []
    windows: list[Window] = []
    last: dict[int, int] = {}
    for start in range(0, len(groups[0]), max_array_size):
        for number, (group, limit) in enumerate(zip(groups, limits, strict=True)):
            part = group[start : start + max_array_size]
            if part:
                windows.append(Window(len(order), len(part), min(limit, len(part)), last.get(number)))
                last[number] = len(windows) - 1
                order += part
    return order, windows


def _targets(ordered: Sequence[Task], num_nodes: int, workers: int, rounds: int) -> list[float]:
    """What a child of each element should take, in seconds of video: half as much from round to round.

    Nodes of different speed drift apart during the long first round; the short last ones make up for it, which
    elements of one size cannot.
    """
    share = sum(task.weight for task in ordered) / (num_nodes * workers)
    parts = [0.5**round_ for round_ in range(rounds)]
    return [share * part / sum(parts) for part in parts for _ in range(num_nodes)]


def _bundle(ordered: Sequence[Task], targets: Sequence[float], workers: int) -> list[list[Task]]:
    """Give each task to the child, of whatever element, that lacks most to its target; empty elements are left out.

    Of children that lack the same, one with fewer tasks comes first: also where tasks weigh nothing all get some.
    """
    bundles: list[list[Task]] = [[] for _ in targets]
    lacking = [(-target, 0, element, child) for element, target in enumerate(targets) for child in range(workers)]
    heapq.heapify(lacking)
    for task in ordered:
        lack, count, element, child = lacking[0]
        heapq.heapreplace(lacking, (lack + task.weight, count + 1, element, child))
        bundles[element].append(task)
    loads = [spread([task.weight for task in bundle], workers) for bundle in bundles]
    found = [(load, bundle) for load, bundle in zip(loads, bundles, strict=True) if bundle]
    return [bundle for _, bundle in sorted(found, key=lambda entry: -entry[0])]
