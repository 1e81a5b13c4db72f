"""Bundles of tasks: all there once, no idle nodes, close to the best; arrays: within the site's limits at any time."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from launchers.balance import Window, plan_elements, plan_windows, predict_makespan, spread
from mmassist.core.stage import Task

WEIGHTS = st.lists(st.floats(0, 1e5, allow_nan=False), max_size=120)
SMALL = st.integers(1, 12)


def make_tasks(weights: Sequence[float]) -> list[Task]:
    return [Task(f"{number:06d}", (f"item-{number}",), weight) for number, weight in enumerate(weights)]


@given(WEIGHTS, SMALL, SMALL, st.integers(1, 4))
def test_every_task_is_in_one_element(weights, num_nodes, workers, rounds):
    bundles = plan_elements(make_tasks(weights), num_nodes, workers, rounds)
    assert sorted(task.name for bundle in bundles for task in bundle) == [t.name for t in make_tasks(weights)]
    assert all(bundles)
    assert len(bundles) <= num_nodes * rounds


@given(WEIGHTS, SMALL, SMALL, st.integers(1, 4), st.randoms())
def test_the_order_of_tasks_does_not_matter(weights, num_nodes, workers, rounds, random):
    tasks = make_tasks(weights)
    planned = plan_elements(tasks, num_nodes, workers, rounds)
    random.shuffle(tasks)
    assert plan_elements(tasks, num_nodes, workers, rounds) == planned


@given(WEIGHTS, SMALL, SMALL, st.integers(1, 4))
def test_every_child_of_every_element_has_a_task(weights, num_nodes, workers, rounds):
    bundles = plan_elements(make_tasks(weights), num_nodes, workers, rounds)
    sizes = [len(bundle) for bundle in bundles]
    if len(weights) < num_nodes * workers:  # not enough for all: the last node has the rest
        assert sorted(sizes, reverse=True)[:-1] == [workers] * (len(sizes) - 1)
    else:
        assert min(sizes) >= workers


@given(WEIGHTS.filter(bool), SMALL, SMALL, st.integers(1, 4))
def test_the_makespan_is_close_to_what_is_possible(weights, num_nodes, workers, rounds):
    tasks = make_tasks(weights)
    makespan = predict_makespan(plan_elements(tasks, num_nodes, workers, rounds), num_nodes, workers)
    average = sum(weights) / (num_nodes * workers)
    # Of list scheduling: nobody is done before the average, and all start their last task by then.
    assert makespan <= (average + max(weights)) * 1.02 + 1e-6


@given(WEIGHTS, SMALL, SMALL, st.integers(1, 4))
def test_heavy_elements_and_heavy_tasks_come_first(weights, num_nodes, workers, rounds):
    bundles = plan_elements(make_tasks(weights), num_nodes, workers, rounds)
    loads = [spread([task.weight for task in bundle], workers) for bundle in bundles]
    assert loads == sorted(loads, reverse=True)
    for bundle in bundles:
        assert [t.weight for t in bundle] == sorted((t.weight for t in bundle), reverse=True)


def test_few_tasks_take_few_nodes():
    bundles = plan_elements(make_tasks(range(10, 0, -1)), num_nodes=64, workers=8, elements_per_slot=4)
    assert [[t.weight for t in bundle] for bundle in bundles] == [[10, 9, 8, 7, 6, 5, 4, 3], [2, 1]]


def test_no_tasks_make_no_elements():
    assert plan_elements([], 4, 8, 4) == []
    assert predict_makespan([], 4, 8) == 0


def test_many_equal_tasks_make_several_elements_a_node_that_get_shorter():
    bundles = plan_elements(make_tasks([1.0] * 15 * 64), num_nodes=4, workers=2, elements_per_slot=4)
    assert [len(bundle) for bundle in bundles] == [128] * 4 + [64] * 4 + [32] * 4 + [16] * 4
    assert predict_makespan(bundles, 4, 2) == 120


def test_a_single_element_a_node_where_more_would_take_longer():
    assert len(plan_elements(make_tasks([1.0] * 64), num_nodes=4, workers=8, elements_per_slot=4)) == 4


def test_one_long_task_holds_one_node_only():
    bundles = plan_elements(make_tasks([1000.0] + [1.0] * 99), num_nodes=4, workers=2, elements_per_slot=1)
    assert len(bundles) == 4
    assert [spread([t.weight for t in bundle], 2) for bundle in bundles] == [1000, 14, 14, 14]


def test_a_hundred_thousand_tasks_are_bundled_at_once():
    tasks = make_tasks([300 + (number * 7919) % 3301 for number in range(100_000)])
    begin = time.process_time()
    bundles = plan_elements(tasks, 64, 8, 4)
    assert time.process_time() - begin < 10  # 0.5 s on an idle machine
    assert sum(map(len, bundles)) == 100_000


@given(st.integers(0, 400), st.integers(1, 60), st.integers(1, 40))
def test_windows_hold_every_element_once_within_the_limit(num_elements, max_array_size, max_running):
    order, windows = plan_windows(num_elements, max_array_size, max_running)
    assert sorted(order) == list(range(num_elements))
    assert [window.first for window in windows] == [
        sum(w.count for w in windows[:number]) for number in range(len(windows))
    ]
    assert sum(window.count for window in windows) == num_elements
    assert all(1 <= window.count <= max_array_size for window in windows)
    assert all(1 <= window.max_running <= window.count for window in windows)


@given(st.integers(1, 400), st.integers(1, 60), st.integers(1, 40))
def test_no_more_run_at_once_than_allowed(num_elements, max_array_size, max_running):
    _, windows = plan_windows(num_elements, max_array_size, max_running)
    chains = list(iter_chains(windows))
    assert sum(len(chain) for chain in chains) == len(windows)  # each waits for at most one, each is waited for by one
    assert sum(max(window.max_running for window in chain) for chain in chains) <= max_running


def iter_chains(windows: Sequence[Window]) -> Iterator[list[Window]]:
    """Windows of which each waits for the one before."""
    for number, window in enumerate(windows):
        assert window.after is None or window.after < number
        if window.after is None:
            chain, last = [window], number
            for later, other in enumerate(windows):
                if other.after == last:
                    chain, last = [*chain, other], later
            yield chain


@given(st.integers(1, 400), st.integers(1, 60), st.integers(1, 40))
def test_windows_take_about_as_long_as_a_single_array(num_elements, max_array_size, max_running):
    _, windows = plan_windows(num_elements, max_array_size, max_running)
    longest = -(-num_elements // min(max_running, num_elements))  # rounds of equal elements
    for chain in iter_chains(windows):
        assert sum(-(-window.count // window.max_running) for window in chain) <= longest


def test_one_array_keeps_the_order():
    assert plan_windows(5, 1001, 3) == ([0, 1, 2, 3, 4], [Window(0, 5, 3)])


def test_heavy_and_light_elements_are_spread_over_the_arrays():
    order, windows = plan_windows(10, 6, 4)
    assert windows == [Window(0, 5, 2), Window(5, 5, 2)]
    assert order == [0, 2, 4, 6, 8, 1, 3, 5, 7, 9]


def test_later_arrays_wait_where_even_single_lanes_are_too_long():
    order, windows = plan_windows(10, 2, 2)
    assert [(w.count, w.max_running, w.after) for w in windows] == [
        *((2, 1, None), (2, 1, None), (2, 1, 0), (2, 1, 1)),
        *((1, 1, 2), (1, 1, 3)),
    ]
    assert order == [0, 2, 1, 3, 4, 6, 5, 7, 8, 9]


@pytest.mark.parametrize(("lengths", "slots", "end"), [([], 3, 0), ([3, 2, 2], 2, 4), ([1, 1, 5], 2, 6), ([4], 9, 4)])
def test_each_length_goes_to_the_slot_that_is_free_first(lengths, slots, end):
    assert spread(lengths, slots) == end
