"""Full disks, quotas, read-only folders, lost servers: one clear line, no torn file, and afterwards the same bytes."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import threading

import pytest

from mmassist.core.errors import ItemError, Kind, StageError
from mmassist.core.stage import Outputs
from mmassist.io import atomic, disk, faults, reader
from mmassist.io.disk import DiskError, TempRemoved
from mmassist.io.fragment import read_fragment, write_fragment
from mmassist.io.layout import UnitLayout
from mmassist.io.reader import UnitReader
from mmassist.io.shard import clean_dead_attempts, commit_task, find_damage, load_records, retire_task, save_tasks
from tests.mmassist.io.disk_faults import (
    TASK,
    at_point,
    attempt,
    calls_of,
    contents,
    drive,
    failing,
    hooked,
    largest_file,
    leftovers,
    make_fragment,
    points_of,
)

pytestmark = pytest.mark.long

ERRORS = {
    errno.ENOSPC: "make space",
    errno.EDQUOT: "ask for more quota",
    errno.EROFS: "mounted for writing",
    errno.EACCES: "permissions",
    errno.EPERM: "permissions",
    errno.EIO: "seen to",
    errno.ESTALE: "mounted again",
    errno.ENOTCONN: "mounted again",
    errno.ENOENT: "bring its folder back",
    errno.EFBIG: "ulimit -f",
    errno.ENAMETOOLONG: "shorter DATA_ROOT_DIR",
    errno.EBADMSG: "mend the cause",
}


@pytest.fixture(autouse=True)
def no_faults():
    yield
    faults.install(None)


@pytest.mark.parametrize("code", ERRORS)
def test_every_failing_call_of_a_write_is_one_clear_line(tmp_path, code):
    path = tmp_path / "deep" / "file.json"
    atomic.write_json(path, "old")
    points = points_of(lambda: atomic.write_json(path, "old"))
    calls = calls_of(lambda: atomic.write_json(path, "old"))
    assert {"file:mkdir", "file:open", "file:write", "file:fsync", "file:rename", "folder:fsync"} == {
        points[number] for number in calls
    }
    for number in calls:
        with failing(number, code), pytest.raises(DiskError) as caught:
            atomic.write_json(path, "new")
        text = str(caught.value)
        name = path.parent if points[number] == "folder:fsync" else path
        assert f"cannot write {name} ({os.strerror(code)})" in text and ERRORS[code] in text, points[number]
        assert "run the same command" in text and "\n" not in text and ".tmp" not in text
        assert json.loads(path.read_text()) == ("new" if points[number] == "folder:fsync" else "old")
        assert list(path.parent.iterdir()) == [path]
        atomic.write_json(path, "new")
        assert path.read_text() == '"new"\n'
        atomic.write_json(path, "old")


@pytest.mark.parametrize("code", ERRORS)
def test_a_task_survives_any_failing_call(tmp_path, code):
    undisturbed = UnitLayout(tmp_path / "undisturbed")
    attempt(undisturbed, "one")
    points = points_of(lambda: attempt(UnitLayout(tmp_path / "count"), "one"))
    calls = calls_of(lambda: attempt(UnitLayout(tmp_path / "count-calls"), "one"))
    assert {"fragment:write", "shard:open", "shard:fsync", "index:write", "record:link", "commit:rename"} <= {
        points[number] for number in calls
    }
    for number in calls:
        unit = UnitLayout(tmp_path / f"{number}")
        point = points[number]
        try:
            with failing(number, code):
                attempt(unit, "one")
        except StageError as error:
            hint = "hard links" if (point, code) == ("record:link", errno.EPERM) else ERRORS[code]
            assert isinstance(error, DiskError) and hint in str(error), point
            assert "\n" not in str(error) and ".tmp" not in str(error)
        for path in unit.record_dir.glob("[!.]*"):
            assert find_damage(unit, json.loads(path.read_text())) == "", point
        for path in unit.journal_dir.glob("*/*.part"):
            assert read_fragment(path) is not None, point
        assert all(contents(undisturbed)[name] == sha for name, sha in contents(unit).items()), point
        clean_dead_attempts(unit)
        attempt(unit, "two")
        assert contents(unit) == contents(undisturbed), point
        assert leftovers(unit.root) == [], point


@pytest.mark.parametrize("point", ["record:mkdir", "record:open", "record:write", "record:fsync", "record:link"])
def test_a_task_that_cannot_be_committed_leaves_no_temporary_files(tmp_path, point):
    unit = UnitLayout(tmp_path)
    number = points_of(lambda: attempt(UnitLayout(tmp_path / "count"), "one")).index(point)
    with failing(number, errno.ENOSPC), pytest.raises(DiskError, match=r"tasks/000000\.json \(No space left"):
        attempt(unit, "one")
    assert not [name for name in leftovers(unit.root) if name.endswith(".tmp")]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.ESTALE, errno.EACCES])
def test_an_inputs_own_error_passes_through(tmp_path, code):
    def members():
        yield "a.txt", b"x"
        raise OSError(code, os.strerror(code), "/videos/a.mp4")

    unit = UnitLayout(tmp_path)
    with pytest.raises(OSError, match=r"/videos/a\.mp4") as caught:
        drive(write_fragment(unit.fragment("0", "a"), "a", "in", Outputs(members())))
    assert type(caught.value) is not DiskError and caught.value.errno == code
    assert leftovers(tmp_path) == []


def test_an_items_error_is_not_hidden_by_a_disk_that_is_full_too(tmp_path):
    def members():
        yield "a.txt", b"x"  # stays in the buffer
        raise ItemError(Kind.PERMANENT, "cannot be decoded")

    unit = UnitLayout(tmp_path)
    with largest_file(10), pytest.raises(ItemError, match="cannot be decoded"):
        drive(write_fragment(unit.fragment("0", "a"), "a", "in", Outputs(members())))
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("num_bytes", [0, 1, 600, 2000, 2600])
def test_the_kernel_refuses_the_rest_of_a_file(tmp_path, num_bytes):
    unit = UnitLayout(tmp_path / "unit")
    with largest_file(num_bytes), pytest.raises(DiskError, match=r"a\.part \(File too large\)") as caught:
        make_fragment(unit, "a")
    assert caught.value.number == errno.EFBIG and caught.value.path == unit.fragment(TASK.name, "a")
    assert list(unit.fragment_dir(TASK.name).iterdir()) == []
    assert make_fragment(unit, "a").size == 2560


def test_a_file_in_a_folders_place_is_named(tmp_path):
    (tmp_path / "tasks").write_text("")
    with pytest.raises(DiskError, match=r"000000\.json \(File exists\): move away the file that is where a folder"):
        attempt(UnitLayout(tmp_path), "one")
    (tmp_path / "deep").write_text("")
    with pytest.raises(DiskError, match=r"\(Not a directory\): move away the file"):
        atomic.write_json(tmp_path / "deep" / "folder" / "x.json", 1)


def test_a_name_that_is_too_long_is_named(tmp_path):
    with pytest.raises(DiskError, match="choose a shorter DATA_ROOT_DIR"):
        atomic.write_json(tmp_path / ("x" * 250), 1)


def test_a_folder_that_goes_while_a_file_is_opened_is_made_again(tmp_path):
    path = tmp_path / "deep" / "x.json"
    number = points_of(lambda: atomic.write_json(path, 1)).index("file:open")
    path.unlink()
    with at_point(number, lambda _: path.parent.rmdir()):
        atomic.write_json(path, 2)
    assert path.read_text() == "2\n"


def reply(point: str, error: OSError):
    """A call that is done, but whose answer is an error."""

    def hook(reached: str) -> None:
        if reached == point:
            raise error

    return hooked(hook)


@pytest.mark.parametrize("code", [errno.ENOENT, errno.EIO, errno.ETIMEDOUT])
def test_a_rename_whose_reply_was_lost_has_happened(tmp_path, code):
    path = tmp_path / "x.json"
    atomic.write_json(path, 1)
    with reply("file:replied", OSError(code, os.strerror(code))):
        atomic.write_json(path, 2)
    assert path.read_text() == "2\n" and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(("code", "are_numbers_kept"), [(errno.EEXIST, True), (errno.EIO, True), (errno.EEXIST, False)])
def test_a_link_whose_reply_was_lost_has_happened(tmp_path, code, are_numbers_kept, monkeypatch):
    unit = UnitLayout(tmp_path)
    if not are_numbers_kept:
        monkeypatch.setattr(disk, "_is_same", lambda one, other: False)
    with reply("record:replied", OSError(code, os.strerror(code))):
        assert attempt(unit, "one")
    assert find_damage(unit, load_records(unit)["000000"]) == ""
    assert leftovers(tmp_path) == []


def test_an_uncertain_link_keeps_the_files_it_may_have_committed(tmp_path, monkeypatch):
    unit = UnitLayout(tmp_path)
    monkeypatch.setattr(disk, "_is_same", lambda one, other: False)
    with reply("record:replied", OSError(errno.EIO, "Input/output error")), pytest.raises(DiskError):
        commit_task(unit, TASK, {key: make_fragment(unit, key) for key in TASK.items}, {}, "one", "run")
    assert unit.record(TASK.name).exists()
    clean_dead_attempts(unit)
    assert find_damage(unit, load_records(unit)["000000"]) == ""
    assert leftovers(tmp_path) == []


def test_a_temporary_file_that_another_removed_is_said_to_be_so(tmp_path):
    path = tmp_path / "x.json"
    atomic.write_json(path, 1)
    number = points_of(lambda: atomic.write_json(path, 1)).index("file:rename")

    def sweep(point: str) -> None:
        for temp in tmp_path.glob(".*.tmp"):
            temp.unlink()

    with at_point(number, sweep), pytest.raises(TempRemoved, match=r"x\.json was removed by another process"):
        atomic.write_json(path, 2)
    assert path.read_text() == "1\n"


@pytest.mark.parametrize("code", [errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK])
def test_without_hard_links_nothing_is_committed(tmp_path, monkeypatch, code):
    def refuse(source, target):
        raise OSError(code, os.strerror(code))

    unit = UnitLayout(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(os, "link", refuse)
        with pytest.raises(DiskError, match="hard links"):
            attempt(unit, "one")
        assert not unit.record(TASK.name).exists()
        assert sorted(leftovers(tmp_path)) == ["a.part", "c.part"]
    assert attempt(unit, "two")


def test_a_folder_that_cannot_be_synced_is_no_error_where_that_is_not_known(tmp_path, monkeypatch):
    whole = os.fsync

    def fsync(handle):
        if os.path.isdir(f"/proc/self/fd/{handle}"):  # noqa: PTH112
            raise OSError(errno.EINVAL, "Invalid argument")
        whole(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    assert attempt(UnitLayout(tmp_path), "one")


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EIO])
def test_retiring_goes_on_after_any_failing_call(tmp_path, code):
    def begin(name: str) -> UnitLayout:
        unit = UnitLayout(tmp_path / name)
        attempt(unit, "one")
        return unit

    undisturbed = contents(begin("undisturbed"))
    count = begin("count")
    calls = calls_of(lambda: retire_task(count, TASK.name, ["a"], "run-2"))
    for number in calls:
        unit = begin(f"{number}")
        with failing(number, code), pytest.raises(DiskError):
            retire_task(unit, TASK.name, ["a"], "run-2")
        clean_dead_attempts(unit)
        if unit.record(TASK.name).exists():
            retire_task(unit, TASK.name, ["a"], "run-3")
        attempt(unit, "two", "run-3")
        assert contents(unit) == undisturbed and leftovers(unit.root) == []


def test_a_reader_needs_no_right_to_write(tmp_path):
    unit = UnitLayout(tmp_path)
    number = points_of(lambda: attempt(UnitLayout(tmp_path / "count"), "one")).index("commit:rename")
    with failing(number, errno.EROFS), pytest.raises(DiskError):
        attempt(unit, "one")
    with hooked(lambda point: refuse(point, errno.EROFS)):
        assert UnitReader(unit, "extract").read("a").read("000000.txt") == b"a" * 700
    assert not unit.shard(TASK.name).exists()


def refuse(point: str, code: int) -> None:
    raise OSError(code, f"{os.strerror(code)} at {point}")


def test_a_late_listing_hides_nothing(tmp_path, monkeypatch):
    unit = UnitLayout(tmp_path)
    save_tasks(unit, [TASK])
    with monkeypatch.context() as patch:
        patch.setattr(reader, "load_records", lambda unit: {})
        attempt(unit, "one")
        late = UnitReader(unit, "extract", is_listing_late=True)
        assert late.digest("a") == UnitReader(unit, "extract", is_listing_late=True).read("a").digest
        assert late.digest("b") is None and late.digest("unknown") is None
        assert UnitReader(unit, "extract").digest("a") is None
    # Two temporary files that a record which is not listed yet still needs.
    other = UnitLayout(tmp_path / "other")
    number = points_of(lambda: attempt(UnitLayout(tmp_path / "count"), "one")).index("commit:rename")
    with failing(number, errno.EIO), pytest.raises(DiskError):
        attempt(other, "one")
    monkeypatch.setattr(type(other.record_dir), "glob", lambda path, pattern: iter(()))
    clean_dead_attempts(other)
    monkeypatch.undo()
    assert find_damage(other, load_records(other)["000000"]) == "" and leftovers(other.root) == []


def test_other_work_goes_on_while_a_large_member_is_written(tmp_path):
    waited: list[bool] = []

    async def run() -> None:
        loop, is_waiting, went_on = asyncio.get_running_loop(), asyncio.Event(), threading.Event()

        def slow_disk(reached: str) -> None:
            if reached == "fragment:write" and not waited:
                loop.call_soon_threadsafe(is_waiting.set)
                waited.append(went_on.wait(10))

        async def other() -> None:
            await is_waiting.wait()
            went_on.set()

        with hooked(slow_disk):
            outputs = Outputs([("a.npy", b"x" * 1_000_000)])
            await asyncio.gather(write_fragment(UnitLayout(tmp_path).fragment("0", "a"), "a", "in", outputs), other())

    asyncio.run(run())
    assert waited == [True]
