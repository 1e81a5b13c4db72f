"""Commit, crash points, races, retiring: what lies on disk is always whole and always the same."""

from __future__ import annotations

import asyncio
import hashlib
import json
from pathlib import Path

import pytest
import webdataset

from mmassist.core.errors import StageError
from mmassist.core.outcome import Outcome, Status
from mmassist.core.stage import Outputs, Task
from mmassist.io import faults
from mmassist.io.fragment import Fragment, read_fragment, write_fragment
from mmassist.io.layout import UnitLayout
from mmassist.io.reader import UnitReader
from mmassist.io.shard import clean_dead_attempts, commit_task, load_records, retire_task, roll_forward, save_tasks

TASK = Task("000000", ("a", "b", "c"), 3.0)


class Killed(BaseException):
    """Stands for the death of the process: nothing catches it."""


@pytest.fixture(autouse=True)
def no_faults():
    yield
    faults.install(None)


def fragment(unit: UnitLayout, key: str, content: str = "") -> Fragment:
    members = [("000000.txt", (content or key).encode() * 700), ("info.json", json.dumps({"key": key}).encode())]
    outputs = Outputs(members, {"members": 2})
    return asyncio.run(write_fragment(unit.fragment(TASK.name, key), key, f"in-{key}", outputs))


def finish(unit: UnitLayout, attempt: str = "one") -> bool:
    """What a run does: make or adopt every item of the task and commit it."""
    clean_dead_attempts(unit)
    if unit.record(TASK.name).exists():
        roll_forward(unit, TASK.name)
        return False
    made = {key: read_fragment(unit.fragment(TASK.name, key)) or fragment(unit, key) for key in ("a", "c")}
    skipped = Outcome("b", Status.SKIPPED, "no_video", "b.mp4 does not exist", "in-b")
    return commit_task(unit, TASK, made, {"b": skipped}, attempt, "run")


def contents(unit: UnitLayout) -> dict[str, str]:
    folders = (unit.shard_dir, unit.index_dir)
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for f in folders for p in sorted(f.iterdir())}


def test_a_shard_opens_with_plain_webdataset(tmp_path):
    unit = UnitLayout(tmp_path)
    assert finish(unit)
    samples = list(webdataset.WebDataset(str(unit.shard("000000")), shardshuffle=False))
    assert [s["__key__"] for s in samples] == ["a/000000", "a/info", "c/000000", "c/info"]
    assert samples[0]["txt"] == b"a" * 700


def test_random_access_gives_each_members_bytes(tmp_path):
    unit = UnitLayout(tmp_path)
    finish(unit)
    item = UnitReader(unit, "extract").read("c")
    assert list(item.names) == ["000000.txt", "info.json"]
    assert item.read("000000.txt") == b"c" * 700
    assert json.loads(item.read("info.json")) == {"key": "c"}


def test_the_record_says_what_became_of_every_item(tmp_path):
    unit = UnitLayout(tmp_path)
    finish(unit)
    record = load_records(unit)["000000"]
    assert {key: row["status"] for key, row in record["outcomes"].items()} == {"a": "done", "b": "skipped", "c": "done"}
    assert record["stats"] == {"members": 4}
    assert record["files"]["shard"]["sha256"] == hashlib.sha256(unit.shard("000000").read_bytes()).hexdigest()


def crash_points(tmp_path: Path) -> list[str]:
    """Every point that an undisturbed run passes, in order."""
    seen: list[str] = []
    faults.install(seen.append)
    finish(UnitLayout(tmp_path / "count"))
    faults.install(None)
    return seen


def test_a_death_at_any_point_costs_nothing(tmp_path):
    undisturbed = UnitLayout(tmp_path / "undisturbed")
    finish(undisturbed)
    points = crash_points(tmp_path)
    assert {"fragment:written", "shard:written", "index:synced", "record:linked", "commit:renamed"} <= set(points)
    for number in range(len(points)):
        unit = UnitLayout(tmp_path / f"crash-{number}")
        left = iter(range(number, -1, -1))

        def die(point: str, left=left) -> None:
            if next(left) == 0:
                raise Killed(point)

        faults.install(die)
        with pytest.raises(Killed):
            finish(unit)
        faults.install(None)
        finish(unit, "two")
        assert contents(unit) == contents(undisturbed), f"after a death at {points[number]}"
        leftovers = [p.name for p in unit.root.rglob("*") if p.name.endswith(".tmp") or p.suffix == ".part"]
        assert leftovers == []


def test_the_first_of_two_attempts_wins_and_the_other_leaves_nothing(tmp_path):
    unit = UnitLayout(tmp_path)
    made = {key: fragment(unit, key) for key in TASK.items}
    assert commit_task(unit, TASK, made, {}, "one", "run-1")
    first = contents(unit)
    again = {key: fragment(unit, key, "other") for key in TASK.items}
    assert not commit_task(unit, TASK, again, {}, "two", "run-2")
    assert contents(unit) == first
    assert load_records(unit)["000000"]["run_id"] == "run-1"
    assert not list(unit.root.rglob("*.tmp"))


def test_a_reader_finishes_the_renames_of_a_dead_writer(tmp_path):
    unit = UnitLayout(tmp_path)

    def die(point: str) -> None:
        if point == "record:linked":
            raise Killed(point)

    faults.install(die)
    with pytest.raises(Killed):
        finish(unit)
    faults.install(None)
    assert not unit.shard("000000").exists()
    assert UnitReader(unit, "extract").read("a").read("000000.txt") == b"a" * 700
    assert unit.shard("000000").exists()


def test_a_task_without_results_gets_a_record_and_no_shard(tmp_path):
    unit = UnitLayout(tmp_path)
    outcomes = {key: Outcome(key, Status.SKIPPED, "no_video") for key in TASK.items}
    assert commit_task(unit, TASK, {}, outcomes, "one", "run")
    assert not unit.shard("000000").exists()
    assert load_records(unit)["000000"]["files"] == {}


def test_retiring_a_task_redoes_only_the_named_items(tmp_path):
    unit = UnitLayout(tmp_path)
    finish(unit)
    before = contents(unit)
    retire_task(unit, "000000", ["a"], "run-2")
    assert not unit.record("000000").exists()
    assert read_fragment(unit.fragment("000000", "a")) is None
    kept = read_fragment(unit.fragment("000000", "c"))
    assert kept is not None and kept.inputs == "in-c"
    finish(unit, "two")
    assert contents(unit) == before
    assert (unit.retired("run-2") / "shards" / "000000.tar").exists()


def test_a_torn_fragment_is_not_adopted(tmp_path):
    unit = UnitLayout(tmp_path)
    whole = fragment(unit, "a")
    data = whole.path.read_bytes()
    for cut in (0, 5, 100, len(data) // 2, len(data) - 1):
        whole.path.write_bytes(data[:cut])
        assert read_fragment(whole.path) is None


def test_a_fragment_whose_bytes_changed_stops_the_commit_once(tmp_path):
    unit = UnitLayout(tmp_path)
    made = {key: fragment(unit, key) for key in TASK.items}
    wanted = made["b"].path.read_bytes()
    made["b"].path.write_bytes(wanted.replace(b"bbbb", b"bXbb", 1))
    with pytest.raises(StageError, match="the bytes of b have changed"):
        commit_task(unit, TASK, made, {}, "one", "run")
    assert not unit.record("000000").exists() and not list(unit.root.rglob("*.tmp"))
    assert read_fragment(unit.fragment("000000", "b")) is None
    made["b"] = fragment(unit, "b")
    assert commit_task(unit, TASK, made, {}, "two", "run")


def test_a_fragment_that_was_made_of_other_inputs_meanwhile_is_not_committed(tmp_path):
    unit = UnitLayout(tmp_path)
    made = {key: fragment(unit, key) for key in TASK.items}
    other = Outputs([("000000.txt", b"of another video")], {})
    asyncio.run(write_fragment(made["b"].path, "b", "other inputs", other))
    with pytest.raises(StageError, match="has changed since it was written"):
        commit_task(unit, TASK, made, {}, "one", "run")
    assert not unit.record("000000").exists() and not made["b"].path.exists()


def test_tasks_are_kept_as_they_were_cut(tmp_path):
    from mmassist.io.shard import load_tasks

    unit = UnitLayout(tmp_path)
    assert load_tasks(unit) == []
    save_tasks(unit, [TASK])
    assert load_tasks(unit) == [TASK]
