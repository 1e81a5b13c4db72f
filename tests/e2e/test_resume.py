"""Kills at any moment, any number of workers: the same bytes as an undisturbed run, nothing lost, nothing twice."""

from __future__ import annotations

import random
import shutil
import time

import pytest

from mmassist.io.layout import Layout
from tests.e2e.commands import (
    ALL_STAGES,
    FOLDERS,
    SMALL_TASKS,
    contents,
    fresh_copy,
    kill_after,
    leftovers,
    run,
    run_apart,
    words_of,
)

BOTH = "dataset=holoassist,wtag"


def without(finished, target, stage, datasets=("holoassist", "wtag")):
    """A copy of the finished root in which the stage has not run."""
    root = fresh_copy(finished, target)
    for dataset in datasets:
        shutil.rmtree(Layout(root).unit(dataset, FOLDERS[stage]).root)
    return root


def test_a_second_run_says_that_all_is_done(finished):
    before = contents(finished)
    text = run(finished, words_of(ALL_STAGES, BOTH, *SMALL_TASKS))
    assert "all is done: nothing to do" in text
    assert contents(finished) == before
    assert leftovers(finished) == []


@pytest.mark.parametrize(
    ("workers", "datasets"),
    [(1, "wtag"), (4, "wtag"), pytest.param(2, "holoassist,wtag", marks=pytest.mark.slow)],
)
def test_workers_do_not_change_the_bytes(sources, finished, tmp_path, workers, datasets):
    root = fresh_copy(sources, tmp_path / "root")
    run(root, words_of(ALL_STAGES, f"dataset={datasets}", *SMALL_TASKS, f"num_workers={workers}", launcher="local"))
    wanted = {path: sha for path, sha in contents(finished).items() if path.split("/")[1] in datasets}
    assert contents(root) == wanted
    assert leftovers(root) == []


def kill_often(finished, tmp_path, stage, kills, seed):
    """Kill one stage again and again at random moments, then let it finish."""
    launcher = "local" if stage in ("extract", "encode") else "basic"
    datasets = ("wtag",) if stage == "encode" else ("holoassist", "wtag")
    words = words_of(f"stage={stage}", f"dataset={','.join(datasets)}", *SMALL_TASKS, launcher=launcher)
    reference = without(finished, tmp_path / "timing", stage, datasets)
    began = time.monotonic()
    run(reference, words)
    length = time.monotonic() - began
    root = without(finished, tmp_path / "root", stage, datasets)
    draw = random.Random(f"{stage}{seed}")
    killed = 0
    while killed < kills:
        if kill_after(root, words, draw.uniform(0.3, 0.95) * length):
            killed += 1
        else:  # it was faster than the first time: begin again, and strike earlier
            length *= 0.8
            shutil.rmtree(root)
            without(finished, root, stage, datasets)
    run(root, words)
    assert contents(root) == contents(finished)
    assert leftovers(root) == []


@pytest.mark.parametrize("stage", FOLDERS)
def test_three_kills_cost_nothing(finished, tmp_path, stage):
    kill_often(finished, tmp_path, stage, 3, 0)


@pytest.mark.slow
@pytest.mark.parametrize("stage", FOLDERS)
def test_twenty_kills_cost_nothing(finished, tmp_path, stage):
    kill_often(finished, tmp_path, stage, 20, 1)


def count_points(root, words) -> int:
    text = run_apart(root, words, 0, "tests.e2e.crash_run", "0")
    return int(text.rsplit("points: ", 1)[1])


def die_at(finished, tmp_path, stage, points):
    words = words_of(f"stage={stage}", "dataset=wtag", *SMALL_TASKS)
    total = count_points(without(finished, tmp_path / "count", stage, ("wtag",)), words)
    for number in points(total):
        root = without(finished, tmp_path / f"point-{number}", stage, ("wtag",))
        text = run_apart(root, words, None, "tests.e2e.crash_run", str(number))
        if "points: " in text:  # heartbeats are written by the clock, so a run may pass fewer points than the first one
            assert 0.9 * total < int(text.rsplit("points: ", 1)[1]) < number, text
        run(root, words)
        assert contents(root) == contents(finished), f"died at point {number} of {total} of {stage}"
        assert leftovers(root) == []
        shutil.rmtree(root)


@pytest.mark.parametrize("stage", ["generate", "pack"])
def test_a_death_inside_any_write_costs_nothing(finished, tmp_path, stage):
    die_at(finished, tmp_path, stage, lambda total: sorted({1, 2, total // 3, total // 2, total - 4, total - 1}))


@pytest.mark.slow
@pytest.mark.parametrize("stage", FOLDERS)
def test_a_death_inside_every_write_costs_nothing(finished, tmp_path, stage):
    die_at(finished, tmp_path, stage, lambda total: sorted(set(range(1, total + 1, max(1, total // 10)))))
