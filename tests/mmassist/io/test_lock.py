from __future__ import annotations

import json
import subprocess
import sys

import pytest

from mmassist.io.lock import FolderLock, Locked, read_holder


def test_the_second_run_is_told_who_holds_the_folder(tmp_path):
    path = tmp_path / "lock"
    first = FolderLock(path, "run-1")
    first.acquire()
    with pytest.raises(Locked, match=r"in use by run run-1 \(process \d+ on .*remove .*lock"):
        FolderLock(path, "run-2").acquire()
    first.release()
    FolderLock(path, "run-2").acquire()
    assert read_holder(path)["run_id"] == "run-2"


def test_a_dead_holders_lock_is_taken_over(tmp_path):
    path = tmp_path / "lock"
    imports = "from pathlib import Path; from mmassist.io.lock import FolderLock"
    code = f"{imports}; FolderLock(Path({str(path)!r}), 'dead').acquire()"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert read_holder(path)["run_id"] == "dead"
    FolderLock(path, "next").acquire()
    assert read_holder(path)["run_id"] == "next"


def test_another_machines_lock_counts_as_alive(tmp_path):
    path = tmp_path / "lock"
    path.write_text(json.dumps({"run_id": "far", "host": "elsewhere", "pid": 1, "started": "5", "jobs": []}))
    with pytest.raises(Locked, match="elsewhere"):
        FolderLock(path, "here").acquire()


def test_jobs_hold_a_lock_until_none_of_them_exists(tmp_path):
    path = tmp_path / "lock"
    lock = FolderLock(path, "run-1")
    lock.acquire()
    lock.hand_over(["17", "18"], "/runs/r/code")
    with pytest.raises(Locked, match="jobs 17, 18"):
        FolderLock(path, "run-2", lambda jobs: True).acquire()
    FolderLock(path, "run-2", lambda jobs: False).acquire()


def test_releasing_leaves_a_lock_that_was_taken_over(tmp_path):
    path = tmp_path / "lock"
    path.write_text(json.dumps({"run_id": "other", "host": "elsewhere", "pid": 1, "started": "5", "jobs": []}))
    FolderLock(path, "mine").release()
    assert path.exists()
