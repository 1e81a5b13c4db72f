"""How a job's waiting tasks become array elements and arrays."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from launchers.division import divide, request_of
from launchers.jobs import Job
from mmassist.core.errors import ConfigError
from mmassist.core.stage import Task
from mmassist.core.stage_config import StageConfig
from tests.launchers.slurm.sites import site_settings
from tests.launchers.toy import Toy, ToySource


@pytest.fixture(scope="module")
def job(tmp_path_factory) -> Job:
    return ToySource(tmp_path_factory.mktemp("data"), {"a": "1"}).job()


def at_site(job: Job, config: StageConfig | None = None, **cluster: Any) -> Job:
    return replace(job, stage=Toy({"toy": config or StageConfig()}), sections={"cluster": site_settings(**cluster)})


def tasks_of(weights: list[float]) -> list[Task]:
    return [Task(f"{number:06d}", (f"item-{number}",), weight) for number, weight in enumerate(weights)]


def test_a_request_takes_the_stages_resources_and_the_sites_facts(job):
    config = StageConfig(cpus_per_task=12, mem_gb=2.5, gpus_per_node=4, num_workers=4, timeout_min=30)
    made = request_of(at_site(job, config, partition="gpu"))
    assert (made.job, made.stage, made.cluster.partition) == ("toy-toys-toys", "toy", "gpu")
    assert (made.cpus, made.mem_gb, made.gpus, made.timeout_min) == (12, 2.5, 4, 30)


def test_a_site_that_makes_no_sense_is_the_users(job):
    with pytest.raises(ConfigError, match=r"cluster.*max_running is 0; it must be 1 or more"):
        request_of(at_site(job, max_running=0))


def test_nothing_to_do_is_no_array(job):
    assert divide(at_site(job), [], 1000) == ([], [])


@pytest.mark.parametrize(
    ("own", "controller", "longest"), [(None, None, 20), (7, None, 7), (None, 6, 6), (7, 6, 6), (6, 7, 6), (50, 40, 20)]
)
def test_the_smaller_limit_of_site_and_controller_counts(job, own, controller, longest):
    site = at_site(job, max_running=20, max_array_size=own)
    bundles, windows = divide(site, tasks_of([1.0] * 20), controller)
    assert len(bundles) == 20 and sum(window.count for window in windows) == 20
    assert all(window.count <= longest for window in windows)
    assert len(windows) == -(-20 // longest)


@given(
    weights=st.lists(st.floats(0, 1000), min_size=1, max_size=60),
    workers=st.integers(1, 4),
    max_running=st.integers(1, 8),
    limit=st.integers(1, 12),
)
def test_every_task_is_in_one_element_of_one_array(job, weights, workers, max_running, limit):
    site = at_site(job, StageConfig(num_workers=workers), max_running=max_running)
    bundles, windows = divide(site, tasks_of(weights), limit)
    assert sorted(task.name for bundle in bundles for task in bundle) == [f"{i:06d}" for i in range(len(weights))]
    numbers = [window.first + index for window in windows for index in range(window.count)]
    assert numbers == list(range(len(bundles)))
    assert all(1 <= window.count <= limit for window in windows)
    # Of windows none of which waits for another all may run at once.
    chains: dict[int, int] = {}
    for number, window in enumerate(windows):
        chains[number] = number if window.after is None else chains[window.after]
    most = {head: max(w.max_running for n, w in enumerate(windows) if chains[n] == head) for head in chains.values()}
    assert sum(most.values()) <= max_running
