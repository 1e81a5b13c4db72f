"""The command's last words and exit codes, whatever ends it."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from launchers import run as run_module
from launchers import submit as submit_module
from launchers.ending import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_OK, EXIT_UNREAD, EXIT_USER
from launchers.run import Ground, main
from mmassist.core.errors import ConfigError, StageError
from mmassist.io.layout import Layout, RunLayout
from mmassist.io.lock import Locked

MISSING = FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), "/data/annotations.json")


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (ConfigError("stage=encod: there is no such stage"), EXIT_USER, "error: stage=encod: there is no such stage"),
        (Locked("frames is in use by run r1"), EXIT_USER, "error: frames is in use by run r1"),
        (StageError("weights do not load"), EXIT_FAILED, "error: weights do not load"),
        (MISSING, EXIT_FAILED, "error: No such file or directory: /data/annotations.json"),
        (OSError("odd"), EXIT_FAILED, "error: odd"),
        (KeyboardInterrupt(), EXIT_INTERRUPTED, "stopped; finished items are kept, the same command goes on from here"),
        (InterruptedError(), EXIT_INTERRUPTED, "stopped; finished items are kept"),
    ],
)
def test_whatever_ends_a_command_is_one_line_and_an_exit_code(monkeypatch, capsys, error, code, said):
    def fail(words: list[str]) -> int:
        raise error

    monkeypatch.setattr(run_module, "_run", fail)
    assert main(["stage=encode", "dataset=wtag"]) == code
    captured = capsys.readouterr()
    assert captured.err.strip().startswith(said) and len(captured.err.strip().splitlines()) == 1
    assert captured.out == ""


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"], ["stage=encode", "--help"]])
def test_without_words_the_help_is_shown(capsys, words):
    assert main(words) == EXIT_OK
    assert "stage" in capsys.readouterr().out


def test_a_reader_of_the_help_that_goes_away_is_no_error(monkeypatch, capsys):
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as closed:
        monkeypatch.setattr(sys, "stdout", closed)
        assert main(["--help"]) == EXIT_UNREAD
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["dataset=wtag"], "error: 'stage' is not given"),
        (["stage=encode,extract", "dataset=wtag"], "say stage=extract,encode"),
        (["stage=encode", "dataset=wtag", "encode.batchsize=3"], "unknown key 'encode.batchsize'"),
    ],
)
def test_a_slip_of_the_pen_is_the_users(capsys, words, said):
    assert main(words) == EXIT_USER
    captured = capsys.readouterr()
    assert said in captured.err and len(captured.err.splitlines()) == 1 and captured.out == ""


@pytest.fixture
def ground(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ground:
    """A command without jobs, at a site that has no remarks."""
    monkeypatch.setattr(submit_module, "check_site", lambda layout, jobs: ("controller", ["partition 'main' is DOWN"]))
    sources = SimpleNamespace(drops=lambda dataset: [])
    return Ground(["stage=encode"], Layout(tmp_path), [], {}, sources, {})  # type: ignore[arg-type]


def submitted(**values: Any) -> dict[str, Any]:
    row = {
        "job": "encode-wtag",
        "stage": "encode",
        "dataset": "wtag",
        "items": 5,
        "tasks": 2,
        "elements": 2,
        "failed": 0,
        "held_back": {},
    }
    window = {"job_id": "17", "first": 0, "count": 2, "max_running": 2}
    return row | {"job_ids": ["17"], "windows": [window], "after": []} | values


def test_a_submission_says_where_to_look(ground, monkeypatch, capsys):
    monkeypatch.setattr(submit_module, "submit_jobs", lambda *values: [submitted()])
    assert run_module._submit(ground) == EXIT_OK
    out = capsys.readouterr().out
    (folder,) = ground.layout.runs.iterdir()
    assert out.startswith("note: partition 'main' is DOWN\n") and "17" in out
    assert f"submitted; run folder {folder}\n" in out
    assert f"python -m tools.status {folder.name}" in out and f"python -m tools.cancel {folder.name}" in out
    assert (folder / "code" / "launchers" / "run.py").exists()


@pytest.mark.parametrize("error", [ConfigError("SLURM refused"), KeyboardInterrupt(), OSError(28, "No space left")])
def test_a_submission_that_fails_leaves_no_run_folder(ground, monkeypatch, error):
    def refuse(*values: Any) -> None:
        raise error

    monkeypatch.setattr(submit_module, "submit_jobs", refuse)
    with pytest.raises(type(error)):
        run_module._submit(ground)
    assert not list(ground.layout.runs.iterdir())


def test_a_snapshot_that_cannot_be_made_leaves_no_run_folder(ground, monkeypatch):
    def refuse(run: RunLayout) -> None:
        run.code.mkdir()
        raise StageError("cannot copy launchers: No space left on device")

    monkeypatch.setattr(run_module, "snapshot_code", refuse)
    with pytest.raises(StageError, match="No space left"):
        run_module._submit(ground)
    assert not list(ground.layout.runs.iterdir())


def test_nothing_to_do_is_nothing_submitted(ground, monkeypatch, capsys):
    row = submitted(items=0, tasks=0, elements=0, job_ids=[], windows=[])
    monkeypatch.setattr(submit_module, "submit_jobs", lambda *values: [row])
    assert run_module._submit(ground) == EXIT_OK
    out = capsys.readouterr().out
    assert "submitted; run folder" not in out and "all is done: nothing to do" in out


def test_failures_that_stand_are_not_passed_off_as_done(ground, monkeypatch, capsys):
    row = submitted(items=0, tasks=0, elements=0, job_ids=[], windows=[], failed=3)
    monkeypatch.setattr(submit_module, "submit_jobs", lambda *values: [row])
    assert run_module._submit(ground) == EXIT_FAILED
    out = capsys.readouterr().out
    assert "3 items are failed" in out and "retry=failed" in out and "all is done" not in out


def test_items_whose_input_nobody_makes_are_not_passed_off_as_done(ground, monkeypatch, capsys):
    row = submitted(items=0, tasks=0, elements=0, job_ids=[], windows=[], held_back={"extract": 2})
    monkeypatch.setattr(submit_module, "submit_jobs", lambda *values: [row])
    assert run_module._submit(ground) == EXIT_FAILED
    out = capsys.readouterr().out
    assert "2 more items wait for extract" in out and "retry=failed" in out and "all is done" not in out
