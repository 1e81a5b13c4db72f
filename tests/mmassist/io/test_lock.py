from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mmassist.io.disk import DiskError
from mmassist.io.lock import FolderLock, Locked, read_holder
from tests.mmassist.io.disk_faults import hooked

# Says that it is there, waits for a line, tries to take the lock, says how it went, and lives until its input ends.
TAKER = """
import sys
from pathlib import Path
from mmassist.io.lock import FolderLock, Locked
lock = FolderLock(Path(sys.argv[1]), sys.argv[2], lambda jobs, folder: False)
print("ready", flush=True)
sys.stdin.readline()
try:
    lock.acquire()
    print("taken", flush=True)
except Locked as refusal:
    print(f"refused: {refusal}", flush=True)
sys.stdin.read()
"""


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_second_run_is_told_who_holds_the_folder(tmp_path):
    path = tmp_path / "lock"
    first = FolderLock(path, "run-1")
    first.acquire()
    with pytest.raises(Locked, match=r"in use by run run-1 \(process \d+ on .*remove .*lock"):
        FolderLock(path, "run-2").acquire()
    first.release()
    FolderLock(path, "run-2").acquire()
    assert read_holder(path)["run_id"] == "run-2"
    assert names_in(tmp_path) == ["lock"]


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


def test_a_reused_process_id_is_not_the_holder(tmp_path):
    path = tmp_path / "lock"
    FolderLock(path, "old").acquire()
    path.write_text(json.dumps(read_holder(path) | {"started": "1"}))
    FolderLock(path, "new").acquire()
    assert read_holder(path)["run_id"] == "new"


def test_jobs_hold_a_lock_until_none_of_them_exists(tmp_path):
    path = tmp_path / "lock"
    lock = FolderLock(path, "run-1")
    lock.acquire()
    lock.hand_over(["17", "18"], "/runs/r/code")
    asked: list[tuple[list[str], str]] = []

    def alive(jobs: list[str], folder: str) -> bool:
        asked.append((jobs, folder))
        return len(asked) == 1

    with pytest.raises(Locked, match=r"in use by run run-1 \(jobs 17, 18\)"):
        FolderLock(path, "run-2", alive).acquire()
    FolderLock(path, "run-2", alive).acquire()
    assert asked == [(["17", "18"], "/runs/r/code")] * 2
    assert read_holder(path)["run_id"] == "run-2" and read_holder(path)["jobs"] == []


def test_jobs_that_nobody_can_ask_about_are_alive(tmp_path):
    path = tmp_path / "lock"
    lock = FolderLock(path, "run-1")
    lock.acquire()
    lock.hand_over(["17"], "/runs/r/code")
    with pytest.raises(Locked, match="jobs 17"):
        FolderLock(path, "run-2").acquire()


def test_a_lock_of_jobs_without_a_folder_is_asked_about_wherever_they_work(tmp_path):
    path = tmp_path / "lock"
    path.write_text(json.dumps({"run_id": "old", "host": "", "pid": 0, "started": "", "jobs": ["17"]}))
    asked = []
    FolderLock(path, "new", lambda jobs, folder: bool(asked.append(folder))).acquire()
    assert asked == [""]


def test_releasing_leaves_a_lock_that_was_taken_over(tmp_path):
    path = tmp_path / "lock"
    path.write_text(json.dumps({"run_id": "other", "host": "elsewhere", "pid": 1, "started": "5", "jobs": []}))
    FolderLock(path, "mine").release()
    assert path.exists()


def test_a_lock_that_cannot_be_read_is_left_to_a_person(tmp_path):
    path = tmp_path / "lock"
    path.write_text("torn")
    with pytest.raises(Locked, match=r"lock cannot be read; if no run is at work there, remove it"):
        FolderLock(path, "mine").acquire()
    assert path.read_text() == "torn"


def test_a_file_server_that_loses_its_answer_has_given_the_lock(tmp_path):
    def lose(point: str) -> None:
        if point == "lock:replied":
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))

    path = tmp_path / "lock"
    with hooked(lose):
        FolderLock(path, "mine").acquire()
    assert read_holder(path)["run_id"] == "mine" and names_in(tmp_path) == ["lock"]
    with hooked(lose), pytest.raises(Locked, match="in use by run mine"):
        FolderLock(path, "other").acquire()


def test_a_full_disk_leaves_no_lock(tmp_path):
    def refuse(point: str) -> None:
        if point == "lock:write":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with hooked(refuse), pytest.raises(DiskError, match="lock"):
        FolderLock(tmp_path / "lock", "mine").acquire()
    assert names_in(tmp_path) == []


def test_a_lock_that_was_taken_meanwhile_is_not_buried(tmp_path):
    """Two runs find the same stale lock; the slower one's look at it is out of date when it acts."""
    path = tmp_path / "lock"
    path.write_text(json.dumps({"run_id": "old", "host": "", "pid": 0, "started": "", "jobs": ["17"], "folder": ""}))

    def overtaken(jobs: list[str], folder: str) -> bool:
        FolderLock(path, "quick", lambda jobs, folder: False).acquire()
        return False

    with pytest.raises(Locked, match="in use by run quick"):
        FolderLock(path, "slow", overtaken).acquire()
    assert read_holder(path)["run_id"] == "quick" and names_in(tmp_path) == ["lock"]


def test_of_several_processes_one_takes_a_stale_lock(tmp_path):
    path = tmp_path / "lock"
    path.write_text(json.dumps({"run_id": "old", "host": "", "pid": 0, "started": "", "jobs": ["17"], "folder": ""}))
    words = [sys.executable, "-c", TAKER, str(path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    takers = {f"run-{i}": subprocess.Popen([*words, f"run-{i}"], **pipes) for i in range(6)}
    try:
        for taker in takers.values():
            assert taker.stdout.readline() == "ready\n"
        for taker in takers.values():
            taker.stdin.write("go\n")
            taker.stdin.flush()
        said = {name: taker.stdout.readline() for name, taker in takers.items()}
    finally:
        for taker in takers.values():
            taker.communicate()
    (winner,) = [name for name, line in said.items() if line == "taken\n"]
    assert read_holder(path)["run_id"] == winner
    assert all(f"in use by run {winner}" in line for name, line in said.items() if name != winner), said
    assert names_in(tmp_path) == ["lock"]
