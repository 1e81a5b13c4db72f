"""The run folder of a command: name, snapshot of the code, and the receipt that comes last."""

from __future__ import annotations

import getpass
import json
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from launchers import receipts
from launchers.receipts import job_row, new_run, snapshot_code, wait_for_receipt, write_receipt
from launchers.versions import installed_versions
from mmassist.core.errors import StageError
from mmassist.io.layout import Layout, RunLayout
from tests.launchers.toy import ToySource
from tests.mmassist.io.disk_faults import largest_file


def test_run_folders_differ_and_sort_by_time(tmp_path):
    ids = [new_run(Layout(tmp_path))[0] for _ in range(3)]
    assert len(set(ids)) == 3 and all((tmp_path / "runs" / run_id / "logs").is_dir() for run_id in ids)
    times = [run_id.rsplit("-", 1)[0] for run_id in ids]
    assert times == sorted(times)


def test_the_snapshot_is_what_elements_run(tmp_path):
    run = RunLayout(tmp_path)
    snapshot_code(run)
    assert {path.name for path in run.code.iterdir()} == {"conf", "launchers", "mmassist"}
    source = Path(receipts.__file__).with_name("worker.py")
    assert (run.code / "launchers" / "worker.py").read_text() == source.read_text()
    assert not list(run.code.rglob("__pycache__"))


def test_a_snapshot_that_does_not_fit_on_the_disk_is_one_line(tmp_path):
    run = RunLayout(tmp_path)
    with largest_file(1000), pytest.raises(StageError) as caught:
        snapshot_code(run)
    assert str(caught.value).startswith("cannot copy ") and f" into {run.code}: " in str(caught.value)
    assert "File too large" in str(caught.value) and "\n" not in str(caught.value)


def test_the_receipt_says_what_was_started_by_whom_with_what(tmp_path):
    run = RunLayout(tmp_path / "r1")
    rows = [{"job": "encode-wtag", "job_ids": ["17"]}]
    write_receipt(run, "r1", ["stage=encode", "dataset=wtag"], "slurm", rows)
    receipt = json.loads(run.receipt.read_text())
    assert receipt["command"] == ["python", "-m", "launchers.run", "stage=encode", "dataset=wtag"]
    assert (receipt["run_id"], receipt["launcher"], receipt["jobs"]) == ("r1", "slurm", rows)
    assert (receipt["python"], receipt["folder"], receipt["pid"]) == (sys.executable, str(Path.cwd()), os.getpid())
    assert receipt["user"] == getpass.getuser() and receipt["time"].endswith("+00:00")
    assert receipt["versions"] == installed_versions() and isinstance(receipt["commit"], str)


def test_a_job_that_submitted_nothing_has_a_row_as_well(tmp_path):
    source = ToySource(tmp_path, {"a": "1"})
    row = job_row(source.layout, source.job())
    assert row["unit"] == "processed_data/toys/toys" and row["stage"] == "toy" and row["dataset"] == "toys"
    assert (row["job_ids"], row["windows"], row["after"], row["elements"]) == ([], [], [], 1)


def test_a_receipt_that_never_comes_is_not_waited_for_for_ever(tmp_path):
    with pytest.raises(StageError, match=r"run r1 was never submitted to its end; nothing is done for it"):
        wait_for_receipt(RunLayout(tmp_path / "r1"), -1.0)


def test_a_receipt_that_comes_late_is_read(tmp_path, monkeypatch):
    run = RunLayout(tmp_path / "r1")
    pauses = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            write_receipt(run, "r1", [], "slurm", [])

    monkeypatch.setattr(receipts, "time", SimpleNamespace(monotonic=lambda: 0.0, sleep=pause))
    assert wait_for_receipt(run, 60.0)["run_id"] == "r1"
    assert len(pauses) == 3
