"""What ``plan=true`` prints: what would run and why, in which arrays, at what cost."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from launchers.jobs import Job
from launchers.plan import UnitPlan
from launchers.preview import iter_preview
from mmassist.core.stage import Task
from mmassist.core.stage_config import StageConfig
from mmassist.io.layout import Layout
from tests.launchers.slurm.sites import site_settings
from tests.launchers.toy import Toy, ToySource

CLUSTER = site_settings(max_running=4, elements_per_slot=1, partition="gpu")
CONFIG = StageConfig(num_workers=2, gpus_per_node=2, cpus_per_task=8, mem_gb=16.0, timeout_min=60)


class Extract(Toy):
    name = "extract"

    @classmethod
    def folder(cls, configs: dict[str, Any]) -> str:
        return "frames"


class Encode(Toy):
    name = "encode"

    @classmethod
    def folder(cls, configs: dict[str, Any]) -> str:
        return "features/tiny"


class Site:
    """Jobs over a data root, and the lines that a preview of them has."""

    def __init__(self, root: Any):
        self._source = ToySource(root, {"a": "1"})
        self.layout: Layout = self._source.layout
        self.extract = self._job(Extract)
        self.encode = self._job(Encode, extract=self.extract)

    def _job(self, cls: type[Toy], **upstream: Job) -> Job:
        units = {name: job.unit for name, job in upstream.items()}
        unit = self.layout.unit("toys", cls.folder({}))
        job = replace(self._source.job(), stage=cls({cls.name: CONFIG}), unit=unit, upstream=units, launcher="slurm")
        return replace(job, sections={"cluster": CLUSTER})

    def lines(
        self,
        jobs: Sequence[Job],
        plans: Sequence[UnitPlan],
        stale: Mapping[str, str] | None = None,
        max_array_size: int | None = None,
    ) -> list[str]:
        return list(iter_preview(self.layout, jobs, plans, stale or {}, max_array_size))


@pytest.fixture
def site(tmp_path) -> Site:
    return Site(tmp_path)


def plan_of(weights: Sequence[float], **values: Any) -> UnitPlan:
    """One new item in each task of so many seconds of video."""
    tasks = [Task(f"{i:06d}", (f"item-{i}",), weight) for i, weight in enumerate(weights)]
    filled: dict[str, Any] = {"todo": {task.name: list(task.items) for task in tasks}, "retire": {}}
    if weights:
        filled |= {"why": Counter({"new": len(tasks)}), "examples": {"new": "item-0"}}
    return UnitPlan(tasks, **(filled | values))


def script_of(lines: Sequence[str]) -> list[str]:
    return [line.removeprefix("  | ") for line in lines if line.startswith("  | ")]


def test_every_reason_is_counted_and_has_its_first_item(site):
    why = Counter({"new": 2, "inputs changed": 1, "failed before: transient": 1})
    rest = Counter({"done": 40, "skipped: no_video": 3})
    first = {"new": "a", "inputs changed": "b", "failed before: transient": "c", "done": "d", "skipped: no_video": "e"}
    lines = site.lines([site.encode], [plan_of([10.0] * 4, why=why, rest=rest, examples=first)])
    assert lines[:6] == [
        "encode-toys-features-tiny: 4 items in 4 tasks to do",
        "  runs: 1 failed before: transient (first: c)",
        "  runs: 1 inputs changed (first: b)",
        "  runs: 2 new (first: a)",
        "  rests: 40 done (first: d)",
        "  rests: 3 skipped: no_video (first: e)",
    ]


def test_nothing_to_do_is_one_line_and_its_reasons(site):
    lines = site.lines([site.encode], [plan_of([], rest=Counter(done=5), examples={"done": "a"})])
    assert lines == ["encode-toys-features-tiny: 0 items in 0 tasks to do", "  rests: 5 done (first: a)"]


def test_what_items_wait_for_is_told_with_what_to_do(site):
    blocked = Counter(extract=3)
    alone = site.lines([site.encode], [plan_of([1.0] * 3, blocked=blocked)])
    assert "  waits: 3 of these for extract, run stage=extract first or with it" in alone
    both = site.lines([site.extract, site.encode], [plan_of([1.0]), plan_of([1.0] * 3, blocked=blocked)])
    assert "  waits: 3 of these for extract, which this command runs before" in both


def test_one_of_several_outputs_of_a_stage_is_told_with_its_name(site):
    split = replace(site.encode, upstream={"judge@llm": site.extract.unit, "judge@timing": site.encode.unit})
    blocked = Counter({"judge@llm": 2, "judge@timing": 1})
    alone = site.lines([split], [plan_of([1.0] * 2, blocked=blocked)])
    assert "  waits: 2 of these for judge (llm), run stage=judge judge=llm first or with it" in alone
    both = site.lines([site.extract, split], [plan_of([1.0]), plan_of([1.0] * 2, blocked=blocked)])
    assert "  waits: 2 of these for judge (llm), which this command runs before" in both


def test_what_waits_for_nothing_is_left_out_and_said(site):
    reason = "waits for extract, which no job is about to make"
    values = {"rest": Counter({reason: 2}), "held_back": Counter(extract=2), "examples": {reason: "a"}}
    lines = site.lines([site.encode], [plan_of([], **values)])
    assert f"  rests: 2 {reason} (first: a)" in lines
    assert any("left out: 2 wait for extract" in line and "retry=failed" in line for line in lines)


def test_a_job_says_which_of_the_command_it_begins_after(site):
    lines = site.lines([site.extract, site.encode], [plan_of([1.0]), plan_of([1.0])])
    assert "  begins after: extract-toys-frames" in lines
    assert not any("begins after" in line for line in site.lines([site.encode], [plan_of([1.0])]))


def test_a_folder_that_would_be_made_anew_says_for_which_setting(site):
    lines = site.lines(
        [site.extract, site.encode],
        [plan_of([1.0]), plan_of([], rest=Counter(done=7), examples={"done": "a"})],
        stale={"extract-toys-frames": "extract.size is 384 there and 512 now"},
    )
    aside = "processed_data/toys/frames would be moved aside and redone: extract.size is 384 there and 512 now"
    assert lines[0] == aside


def test_the_largest_task_is_set_against_the_mean(site):
    assert "  largest task: 60 s of video, 2.00 times the mean" in site.lines([site.encode], [plan_of([60, 10, 20])])
    assert "  largest task: 0 s of video" in site.lines([site.encode], [plan_of([0.0, 0.0])])


def test_only_what_is_left_of_a_task_counts(site):
    task = Task("000000", ("a", "b", "c", "d"), 100.0)
    half = UnitPlan([task, Task("000001", ("e",), 999.0)], {"000000": ["b", "d"]}, {}, examples={})
    assert "  largest task: 50 s of video, 1.00 times the mean" in site.lines([site.encode], [half])


def test_elements_and_arrays_are_told_with_the_limit_that_counts(site):
    lines = site.lines([site.encode], [plan_of([10.0] * 8)])
    assert "  elements: 4 of 2 workers, 4 at once; arrays: 0-3%4" in lines
    cut = site.lines([site.encode], [plan_of([10.0] * 8)], max_array_size=3)
    assert "  elements: 4 of 2 workers, 4 at once; arrays: 0-1%2, 0-1%2" in cut
    assert "#SBATCH --array=0-3%4" in script_of(lines) and "#SBATCH --array=0-1%2" in script_of(cut)


def test_an_array_that_waits_for_another_says_for_which(site):
    one_at_a_time = replace(site.encode, sections={"cluster": CLUSTER | {"max_running": 1, "elements_per_slot": 4}})
    lines = site.lines([one_at_a_time], [plan_of([1.0] * 128)], max_array_size=2)
    (line,) = [line for line in lines if line.startswith("  elements: ")]
    assert line == "  elements: 4 of 2 workers, 1 at once; arrays: 0-1%1, 0-1%1 after array 1"


def test_the_cost_comes_from_the_table_as_long_as_nothing_was_measured(site):
    """Two workers do 40 s of video a second each; 14.4 million seconds on four nodes."""
    (line,) = [x for x in site.lines([site.encode], [plan_of([1_800_000.0] * 8)]) if x.startswith("  expected: ")]
    hours = "50.00 node-hours, 100.00 GPU-hours, 12.50 h if the nodes are free"
    assert line == f"  expected: {hours}, 53.28 GB (table)"


def test_the_cost_comes_from_earlier_runs_once_there_are_some(site):
    unit = "processed_data/toys/features/tiny"
    row = {"job": site.encode.name, "stage": "encode", "dataset": "toys", "unit": unit}
    life = {"started": "2026-05-04T10:00:00+00:00", "ended": "2026-05-04T10:10:00+00:00", "workers": 2, "gpus": 2}
    run = site.layout.run("20260504-100000-aaaaaa")
    for path, value in (
        (run.receipt, {"launcher": "slurm", "jobs": [row]}),
        (run.life(site.encode.name, 0, 0), life | {"weight_s": 120_000.0}),
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(value))
    (line,) = [x for x in site.lines([site.encode], [plan_of([360_000.0] * 8)]) if x.startswith("  expected: ")]
    assert line.startswith("  expected: 4.00 node-hours, 8.00 GPU-hours, 1.00 h if the nodes are free, ")
    assert line.endswith("(measured in 20260504-100000-aaaaaa)")


def test_on_one_machine_there_are_no_arrays_and_no_hours_of_nodes(site):
    lines = site.lines([replace(site.encode, launcher="local")], [plan_of([10.0] * 8)])
    assert not script_of(lines) and not any("elements:" in line for line in lines)
    (line,) = [line for line in lines if line.startswith("  expected: ")]
    assert re.fullmatch(r"  expected: \d+\.\d\d GB \(table\)", line)


def test_the_script_names_a_folder_of_a_run_that_is_not_there_yet(site):
    script = script_of(site.lines([site.encode], [plan_of([10.0] * 8)]))
    assert script[0] == "#!/bin/bash" and "" not in script
    folder = site.layout.run("RUN").slurm_dir("encode-toys-features-tiny")
    assert f"#SBATCH --output={folder}/%A_%a_0_log.out" in script
    for option in ("gpus-per-node=2", "cpus-per-task=8", "mem=16384M", "time=60", "partition=gpu", "requeue"):
        assert f"#SBATCH --{option}" in script
    assert not site.layout.runs.exists()
