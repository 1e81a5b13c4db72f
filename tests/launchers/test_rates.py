"""What a job will cost, told from hand-made run folders and from the table in the docs."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from launchers.rates import MAX_LIVES, MAX_RUNS, TABLE, Rate, default_rate, expect, load_rates
from mmassist.core.stage import Task
from mmassist.io.layout import Layout

DOCS = Path(__file__).resolve().parents[2] / "docs" / "rates.md"
UNIT = "processed_data/holoassist/features/tiny"


class Runs:
    """Run folders of one job each, as a command and its supervisors leave them."""

    def __init__(self, root: Path):
        self.layout = Layout(root)

    def add(self, run_id: str, unit: str = UNIT, launcher: str = "slurm", stage: str = "encode") -> None:
        dataset = unit.split("/")[1]
        row = {"job": f"{stage}-{dataset}", "stage": stage, "dataset": dataset, "unit": unit}
        write(self.layout.run(run_id).receipt, {"run_id": run_id, "launcher": launcher, "jobs": [row]})

    def add_life(self, run_id: str, element: int = 0, job: str = "encode-holoassist", **values: Any) -> None:
        life = {
            "started": "2026-05-04T10:00:00+00:00",
            "updated": "2026-05-04T10:10:00+00:00",
            "ended": "2026-05-04T10:10:00+00:00",
            "workers": 8,
            "gpus": 8,
            "weight_s": 9600.0,
        }
        write(self.layout.run(run_id).life(job, element, 0), life | values)

    def add_commits(self, run_id: str, *rows: dict[str, Any], dataset: str = "holoassist") -> None:
        path = self.layout.unit(dataset, "features/tiny").commit_log(f"{run_id}.0-0-77")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))

    def rate(self, **values: Any) -> Rate | None:
        return load_rates(self.layout, "encode", UNIT, **values)


def write(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    return Runs(tmp_path)


def test_nothing_is_measured_where_nothing_ran(runs):
    assert runs.rate() is None


def test_a_rate_is_video_done_over_workers_time(runs):
    runs.add("20260504-100000-aaaaaa")
    runs.add_life("20260504-100000-aaaaaa", 0)
    runs.add_life("20260504-100000-aaaaaa", 1, weight_s=4800.0)
    runs.add_commits(
        "20260504-100000-aaaaaa", {"weight_s": 600.0, "bytes": 40_000}, {"weight_s": 200.0, "bytes": 8_000}
    )
    assert runs.rate() == Rate(14400 / (2 * 600 * 8), 60.0, "measured in 20260504-100000-aaaaaa")


def test_a_life_that_goes_on_counts_until_its_last_sign(runs):
    runs.add("20260504-100000-aaaaaa")
    runs.add_life("20260504-100000-aaaaaa", ended="", updated="2026-05-04T10:20:00+00:00")
    assert runs.rate().speed == 1.0


def test_bytes_are_the_tables_where_nothing_was_committed(runs):
    runs.add("20260504-100000-aaaaaa")
    runs.add_life("20260504-100000-aaaaaa")
    runs.add_commits("20260504-999999-bbbbbb", {"weight_s": 1.0, "bytes": 1})
    assert runs.rate().bytes_per_s == TABLE["encode", "tiny"].bytes_per_s


def test_of_several_runs_the_newest_is_named_and_few_are_read(runs):
    for number in range(MAX_RUNS + 5):
        run_id = f"20260504-10{number:04d}-aaaaaa"
        runs.add(run_id)
        runs.add_life(run_id, weight_s=480.0 if number < 5 else 4800.0, workers=1)
    rate = runs.rate()
    assert rate.speed == 8.0  # the five oldest would pull it down
    assert rate.source == f"measured in 20260504-10{MAX_RUNS + 4:04d}-aaaaaa and {MAX_RUNS - 1} more"


def test_no_more_lives_are_read_than_planning_can_wait_for(runs):
    runs.add("20260504-100000-aaaaaa")
    for element in range(MAX_LIVES + 20):
        runs.add_life("20260504-100000-aaaaaa", element, weight_s=4800.0 if element < MAX_LIVES else 1.0, workers=1)
    assert runs.rate().speed == 8.0


def test_enough_newer_work_makes_older_runs_superfluous(runs):
    for day in (1, 2):
        runs.add(f"2026050{day}-100000-aaaaaa")
        runs.add_life(f"2026050{day}-100000-aaaaaa", ended="2026-05-04T20:00:00+00:00", weight_s=288_000.0 * day)
    assert runs.rate().speed == 2.0


def test_the_same_source_comes_first_then_others(runs):
    other = "processed_data/wtag/features/tiny"
    runs.add("20260504-100000-aaaaaa", unit=other)
    runs.add_life("20260504-100000-aaaaaa", job="encode-wtag")
    runs.add_commits("20260504-100000-aaaaaa", {"weight_s": 2.0, "bytes": 10}, dataset="wtag")
    assert runs.rate() == Rate(2.0, 5.0, "measured in 20260504-100000-aaaaaa, other sources")
    runs.add("20260503-100000-bbbbbb")
    runs.add_life("20260503-100000-bbbbbb", weight_s=4800.0)
    assert runs.rate().source == "measured in 20260503-100000-bbbbbb"


@pytest.mark.parametrize(
    "values",
    [{"launcher": "local"}, {"stage": "extract"}, {"unit": "processed_data/holoassist/features/siglip_so400m"}],
)
def test_other_work_says_nothing(runs, values):
    runs.add("20260504-100000-aaaaaa", **values)
    runs.add_life("20260504-100000-aaaaaa", job=f"{values.get('stage', 'encode')}-holoassist")
    assert runs.rate() is None


def test_gpus_are_not_compared_with_cpus(runs):
    runs.add("20260504-100000-aaaaaa")
    runs.add_life("20260504-100000-aaaaaa", 0)
    runs.add_life("20260504-100000-aaaaaa", 1, gpus=0, weight_s=48.0)
    assert runs.rate(gpus=4).speed == 2.0
    assert runs.rate(gpus=0).speed == 0.01


@pytest.mark.parametrize(
    "values",
    [
        {"weight_s": 0.0},  # all adopted, or blocked
        {"workers": 0},
        {"workers": None},
        {"weight_s": "much"},
        {"started": "yesterday"},
        {"started": "2026-05-04T10:00:00"},  # without a time zone
        {"ended": "2026-05-04T09:00:00+00:00"},
        {"ended": "2026-05-04T10:00:05+00:00"},  # over before it could be measured
    ],
)
def test_a_life_that_tells_no_rate_does_not_count(runs, values):
    runs.add("20260504-100000-aaaaaa")
    runs.add_life("20260504-100000-aaaaaa", **values)
    assert runs.rate() is None


@pytest.mark.parametrize("text", ["", "{", "[]", "7", '{"jobs": 1}', '{"launcher": "slurm", "jobs": [1, {"job": 2}]}'])
def test_damaged_files_do_not_count(runs, text):
    runs.add("20260503-100000-aaaaaa")
    runs.add_life("20260503-100000-aaaaaa")
    runs.layout.run("20260503-100000-aaaaaa").life("encode-holoassist", 1, 0).write_text(text)
    receipt = runs.layout.run("20260504-100000-bbbbbb").receipt
    receipt.parent.mkdir()
    receipt.write_text(text)
    (runs.layout.runs / "note.txt").write_text("not a run")
    assert runs.rate().speed == 2.0


def test_expectation_of_elements():
    bundles = [[Task("0", ("a",), 7200.0), Task("1", ("b",), 3600.0)], [Task("2", ("c",), 1800.0)]]
    found = expect(bundles, num_nodes=1, workers=2, gpus=8, rate=Rate(2.0, 100.0, "table"))
    assert (found.node_hours, found.gpu_hours, found.makespan_h) == (1.25, 10.0, 1.25)
    assert (found.num_bytes, found.source) == (1_260_000, "table")
    assert expect(bundles, 2, 2, 8, Rate(2.0, 100.0)).makespan_h == 1.0
    assert expect([], 4, 8, 8, Rate(2.0, 100.0)).node_hours == 0


def test_every_stage_has_a_rate_for_any_model():
    assert {stage for stage, name in TABLE if not name} == {"extract", "generate", "judge", "split", "encode", "pack"}
    assert default_rate("encode", UNIT) == TABLE["encode", "tiny"]
    assert default_rate("encode", "processed_data/wtag/features/new_one") == TABLE["encode", ""]


def test_the_documentation_has_the_same_table():
    rows = re.findall(r"^\| (\w+) \| (\w+) \| (\d+) \| (\d+) \|", DOCS.read_text(), re.MULTILINE)
    found = {(stage, "" if name == "any" else name): Rate(float(speed), int(size)) for stage, name, speed, size in rows}
    assert found == TABLE
