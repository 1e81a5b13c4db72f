"""Disks that fill in the middle of a command: one clear line, exit code 1, and afterwards the same bytes."""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import shutil
from collections.abc import Iterator

import pytest

from mmassist.io import faults
from mmassist.io.layout import Layout
from mmassist.io.ledger import load_outcomes
from mmassist.io.shard import find_damage, load_records
from tests.e2e.commands import FOLDERS, SMALL_TASKS, contents, fresh_copy, leftovers, run, words_of

CALLS = ("mkdir", "open", "write", "fsync")


@contextlib.contextmanager
def failing_from(first: int | None, code: int = 0) -> Iterator[list[str]]:
    """From the ``first``-th call that writes on, every one fails; yields the points of all such calls so far."""
    called: list[str] = []

    def fail(point: str) -> None:
        if point.split(":")[1] in CALLS:
            called.append(point)
            if first is not None and len(called) >= first:
                raise OSError(code, os.strerror(code))

    faults.install(fail)
    try:
        yield called
    finally:
        faults.install(None)


@contextlib.contextmanager
def no_file_beyond(num_bytes: int) -> Iterator[None]:
    """The kernel refuses to let any file grow beyond ``num_bytes``, in worker children too."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def unit_of(root, stage):
    return Layout(root).unit("wtag", FOLDERS[stage])


def without(finished, target, stage):
    """A copy of the finished root in which the stage has not run."""
    root = fresh_copy(finished, target)
    shutil.rmtree(unit_of(root, stage).root)
    return root


def words_for(stage, launcher="basic"):
    return words_of(f"stage={stage}", "dataset=wtag", *SMALL_TASKS, launcher=launcher)


def assert_clear(text, path):
    """One line says what happened and what to do; nothing else looks like a crash."""
    what = f"cannot write {path}"
    [line] = {line[line.index(what) :] for line in text.splitlines() if what in line}
    assert "run the same command" in line
    assert "Traceback" not in text


def assert_untouched(finished, root, stage):
    """What is there under a final name is what an undisturbed run makes, and no item was blamed."""
    done = contents(finished)
    assert all(done[path] == sha for path, sha in contents(root).items())
    unit = unit_of(root, stage)
    assert all(find_damage(unit, record) == "" for record in load_records(unit).values())
    assert not [o for o in load_outcomes(unit.ledger_dir).values() if o.status == "failed"]


def assert_resumes(finished, root, stage):
    run(root, words_for(stage))
    assert contents(root) == contents(finished)
    assert leftovers(root) == []


@pytest.mark.parametrize(("stage", "code"), [("extract", errno.ENOSPC), ("pack", errno.EDQUOT)])
def test_a_disk_that_fills_in_the_middle(finished, tmp_path, stage, code):
    with failing_from(None) as called:
        run(without(finished, tmp_path / "count", stage), words_for(stage))
    root = without(finished, tmp_path / "root", stage)
    with failing_from(len(called) * 2 // 3, code):
        text = run(root, words_for(stage), 1)
    assert os.strerror(code) in text
    assert_clear(text, str(unit_of(root, stage).root))
    assert_untouched(finished, root, stage)
    assert_resumes(finished, root, stage)


@pytest.mark.parametrize(("stage", "launcher"), [("extract", "local"), ("pack", "local"), ("extract", "basic")])
def test_shards_that_the_disk_does_not_take(finished, tmp_path, stage, launcher):
    """A real refusal by the kernel, in worker children too."""
    sizes = sorted(path.stat().st_size for path in unit_of(finished, stage).shard_dir.glob("*.tar"))
    root = without(finished, tmp_path / "root", stage)
    with no_file_beyond(sizes[-1] - 1):
        text = run(root, words_for(stage, launcher), 1)
    assert os.strerror(errno.EFBIG) in text
    assert_clear(text, str(unit_of(root, stage).root))
    assert_untouched(finished, root, stage)
    assert_resumes(finished, root, stage)


def test_a_folder_that_cannot_be_written(finished, tmp_path):
    root = without(finished, tmp_path / "root", "pack")
    unit = unit_of(root, "pack")
    unit.root.mkdir(parents=True)
    unit.journal_dir.write_text("a file where a folder should be")
    text = run(root, words_for("pack"), 1)
    assert_clear(text, str(unit.journal_dir))
    assert unit.journal_dir.read_text() == "a file where a folder should be"
    unit.journal_dir.unlink()
    assert_resumes(finished, root, "pack")
    shutil.rmtree(unit.root)
    unit.root.write_text("a file where the folder should be")
    text = run(root, words_for("pack"), None)
    assert "error: " in text and str(unit.root) in text
    unit.root.unlink()
    assert_resumes(finished, root, "pack")
