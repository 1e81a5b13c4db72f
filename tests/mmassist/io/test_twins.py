"""Two live copies of one task, in each other's way at every point: one whole output, and nobody fails over it."""

from __future__ import annotations

import errno
import os

import pytest

from mmassist.core.errors import StageError
from mmassist.io import disk, faults
from mmassist.io.fragment import read_fragment
from mmassist.io.layout import UnitLayout
from mmassist.io.reader import UnitReader
from mmassist.io.shard import (
    FragmentGone,
    clean_dead_attempts,
    commit_task,
    find_damage,
    load_records,
    retire_task,
    roll_forward,
)
from tests.mmassist.io.disk_faults import (
    TASK,
    at_point,
    attempt,
    contents,
    hooked,
    leftovers,
    make_fragment,
    points_of,
)

pytestmark = pytest.mark.long


@pytest.fixture(autouse=True)
def no_faults():
    yield
    faults.install(None)


@pytest.fixture
def whole(tmp_path) -> dict[str, str]:
    """Hashes of what an undisturbed attempt makes."""
    unit = UnitLayout(tmp_path / "undisturbed")
    attempt(unit, "one")
    return contents(unit)


def assert_whole(unit: UnitLayout, when: str) -> None:
    """One committed task whose files, index and items belong together."""
    record = load_records(unit)[TASK.name]
    assert find_damage(unit, record) == "", when
    reader = UnitReader(unit, "extract")
    for key in ("a", "c"):
        item = reader.read(key)
        item.verify()
        assert len(item.read("000000.txt")) % 700 == 0, when
        assert item.digest == record["outcomes"][key]["digest"], when
    reader.close()
    assert leftovers(unit.root) == [], when


def test_a_twin_that_is_faster_at_any_point(tmp_path, whole):
    points = points_of(lambda: attempt(UnitLayout(tmp_path / "count"), "one"))
    winners = set()
    for number, point in enumerate(points):
        unit = UnitLayout(tmp_path / f"{number}")
        results: list[bool] = []
        with at_point(number, lambda _, unit=unit, results=results: results.append(attempt(unit, "two"))):
            results.append(attempt(unit, "one"))
        assert sorted(results) == [False, True], point
        winners.add(tuple(results))
        assert_whole(unit, point)
        assert contents(unit) == whole, point
    assert winners == {(True, False), (False, True)}


def test_a_twin_whose_answers_differ_at_any_point(tmp_path):
    """Sampled text may differ between twins; whose it becomes does not matter, a mixture inside an item would."""
    points = points_of(lambda: attempt(UnitLayout(tmp_path / "count"), "one"))
    for number, point in enumerate(points):
        unit = UnitLayout(tmp_path / f"{number}")
        results: list[bool] = []
        with at_point(number, lambda _, unit=unit, r=results: r.append(attempt(unit, "two", content="other"))):
            results.append(attempt(unit, "one"))
        assert sorted(results) == [False, True], point
        assert_whole(unit, point)


def test_a_twin_that_makes_its_items_anew_at_any_point(tmp_path):
    """Both looked before either had written, so the second to write replaces what the first adopted."""

    def commit(unit: UnitLayout, name: str) -> bool:
        return commit_task(unit, TASK, {key: make_fragment(unit, key, name) for key in TASK.items}, {}, name, "run")

    points = points_of(lambda: commit(UnitLayout(tmp_path / "count"), "one"))
    for number, point in enumerate(points):
        unit = UnitLayout(tmp_path / f"{number}")
        results: list[bool] = []
        with at_point(number, lambda _, unit=unit, results=results: results.append(commit(unit, "twin"))):
            try:
                results.append(commit(unit, "one"))
            except disk.TempRemoved:  # the item in hand, of which the worker learns that the task is committed
                assert point.split(":")[0] in ("fragment", "folder")
                results.append(False)
        assert any(results), point
        roll_forward(unit, TASK.name)
        assert_whole(unit, point)


def test_a_twin_that_only_rewrites_items_at_any_point(tmp_path):
    points = points_of(lambda: attempt(UnitLayout(tmp_path / "count"), "one"))
    for number, point in enumerate(points):
        unit = UnitLayout(tmp_path / f"{number}")

        def rewrite(_: str, unit: UnitLayout = unit) -> None:
            for key in ("a", "c"):
                make_fragment(unit, key, "other")

        with at_point(number, rewrite):
            assert attempt(unit, "one"), point
        roll_forward(unit, TASK.name)  # as the twin does when it finds the record
        assert_whole(unit, point)


def test_two_processes_finish_the_renames_at_any_point(tmp_path, whole):
    class Killed(BaseException):
        pass

    def commit_only(name: str) -> UnitLayout:
        def die(point: str) -> None:
            if point == "record:linked":
                raise Killed

        unit = UnitLayout(tmp_path / name)
        with hooked(die), pytest.raises(Killed):
            attempt(unit, "one")
        return unit

    count = commit_only("count")
    for number, point in enumerate(points_of(lambda: roll_forward(count, TASK.name))):
        unit = commit_only(f"{number}")
        with at_point(number, lambda _, unit=unit: roll_forward(unit, TASK.name)):
            roll_forward(unit, TASK.name)
        assert find_damage(unit, load_records(unit)[TASK.name]) == "", point
        clean_dead_attempts(unit)  # the killed process's record is still there under its temporary name
        assert_whole(unit, point)
        assert contents(unit) == whole


def take_over(unit: UnitLayout) -> bool:
    """What a later run does when nothing shows that an attempt is still alive."""
    clean_dead_attempts(unit)
    if unit.record(TASK.name).exists():
        retire_task(unit, TASK.name, ["a"], "run-2")
    return attempt(unit, "later", "run-2")


def test_a_later_run_takes_over_from_a_live_attempt_at_any_point(tmp_path, whole):
    points = points_of(lambda: attempt(UnitLayout(tmp_path / "count"), "one"))
    for number, point in enumerate(points):
        unit = UnitLayout(tmp_path / f"{number}")
        holder = ["run"]

        def lose(_: str, unit: UnitLayout = unit, holder: list[str] = holder) -> None:
            holder[0] = "run-2"
            assert take_over(unit)

        def may_commit(holder: list[str] = holder) -> None:
            if holder[0] != "run":
                raise StageError("the folder belongs to run-2 now")

        with at_point(number, lose):
            attempt(unit, "one", may_commit=may_commit)
        assert load_records(unit)[TASK.name]["run_id"] == "run-2", point
        assert_whole(unit, point)
        assert contents(unit) == whole, point


def test_a_slow_attempt_does_not_clear_what_a_later_run_took_over(tmp_path):
    unit = UnitLayout(tmp_path / "unit")
    number = points_of(lambda: attempt(UnitLayout(tmp_path / "count"), "one")).index("commit:clearing")
    with at_point(number, lambda _: retire_task(unit, TASK.name, ["a"], "run-2")):
        assert attempt(unit, "one")
    assert read_fragment(unit.fragment(TASK.name, "c")) is not None


def test_a_later_runs_cleaning_never_breaks_a_commit(tmp_path, whole):
    points = points_of(lambda: attempt(UnitLayout(tmp_path / "count"), "one"))
    stopped = 0
    for number, point in enumerate(points):
        unit = UnitLayout(tmp_path / f"{number}")
        with at_point(number, lambda _, unit=unit: clean_dead_attempts(unit)):
            try:
                attempt(unit, "one")
            except disk.TempRemoved as error:
                assert "another process" in str(error) and "\n" not in str(error)
                stopped += 1
        for record in load_records(unit).values():
            assert find_damage(unit, record) == "", point
        clean_dead_attempts(unit)
        attempt(unit, "two")
        assert_whole(unit, point)
        assert contents(unit) == whole, point
    assert stopped


def test_whoever_may_not_commit_leaves_nothing(tmp_path):
    def refuse() -> None:
        raise StageError("the folder belongs to run-2 now")

    unit = UnitLayout(tmp_path)
    with pytest.raises(StageError, match="belongs to run-2"):
        attempt(unit, "one", may_commit=refuse)
    assert not unit.record(TASK.name).exists()
    assert sorted(leftovers(tmp_path)) == ["a.part", "c.part"]


@pytest.mark.parametrize("names", [("a",), ("a", "c"), ("c",)])
def test_items_that_vanish_without_a_commit_are_said_to(tmp_path, names):
    unit = UnitLayout(tmp_path)
    made = {key: make_fragment(unit, key) for key in TASK.items}
    for name in names:
        made[name].path.unlink()
    with pytest.raises(FragmentGone, match=r"\.part was removed meanwhile; run again"):
        commit_task(unit, TASK, made, {}, "one", "run")
    assert sorted(leftovers(tmp_path)) == [f"{key}.part" for key in TASK.items if key not in names]
    assert attempt(unit, "two")


def test_an_open_item_may_go_over_a_file_server(tmp_path):
    def forget(point: str) -> None:
        if point == "shard:part":
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))

    unit = UnitLayout(tmp_path)
    made = {key: make_fragment(unit, key) for key in TASK.items}
    with hooked(forget), pytest.raises(FragmentGone):
        commit_task(unit, TASK, made, {}, "one", "run")
    assert commit_task(unit, TASK, made, {}, "two", "run")
    with hooked(forget):
        made = {key: make_fragment(unit, key) for key in TASK.items}
        assert not commit_task(unit, TASK, made, {}, "one", "run")
    assert leftovers(tmp_path) == []


def test_an_item_that_cannot_be_read_back_stops_the_task(tmp_path):
    def fail(point: str) -> None:
        if point == "shard:part":
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    unit = UnitLayout(tmp_path)
    with hooked(fail), pytest.raises(StageError, match=r"cannot read .*a\.part \(Input/output error\)"):
        attempt(unit, "one")
    assert attempt(unit, "two")


def test_a_name_used_by_two_processes_is_no_collision(tmp_path, whole):
    """Process ids repeat between machines, and with them the names of attempts."""
    unit = UnitLayout(tmp_path / "unit")
    number = points_of(lambda: attempt(UnitLayout(tmp_path / "count"), "same")).index("shard:written")
    results: list[bool] = []
    with at_point(number, lambda _: results.append(attempt(unit, "same"))):
        results.append(attempt(unit, "same"))
    assert results == [True, False]
    assert_whole(unit, "same name")
    assert contents(unit) == whole


def test_a_torn_trailer_is_no_fragment(tmp_path):
    unit = UnitLayout(tmp_path)
    data = bytearray(make_fragment(unit, "a").path.read_bytes())
    for at in range(2560, len(data)):
        for value in (0, 0xFF, ord("}")):
            torn = data[:at] + bytes([value]) + data[at + 1 :]
            unit.fragment(TASK.name, "a").write_bytes(torn)
            found = read_fragment(unit.fragment(TASK.name, "a"))
            assert found is None or found.size == 2560
