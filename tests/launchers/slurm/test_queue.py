"""Readers of squeue and sacct, against commands that answer as SLURM's do."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from launchers.slurm.queue import (
    FINISHED,
    FolderJob,
    cancel_jobs,
    live_jobs,
    parse_indices,
    read_accounting,
    read_folder_jobs,
    read_queue,
)
from mmassist.core.errors import StageError

FORGOTTEN = "echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1"
DOWN = "echo 'slurm_load_jobs error: Unable to contact slurm controller (connect failure)' >&2; exit 1"
Answer = Callable[..., None]


@pytest.fixture
def answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Answer:
    """``answer(squeue="…")`` makes the command a shell script of these lines; others do not exist."""
    monkeypatch.setenv("PATH", str(tmp_path))

    def make(**scripts: str) -> None:
        for name, lines in scripts.items():
            path = tmp_path / name
            path.write_text(f"#!/bin/sh\nPATH=/usr/bin:/bin\n{lines}\n")
            path.chmod(path.stat().st_mode | stat.S_IXUSR)

    return make


def rows(*lines: str) -> str:
    return "cat <<'END'\n" + "\n".join(lines) + "\nEND"


def test_live_jobs_are_the_unfinished_ones_of_the_folder(answer: Answer) -> None:
    answer(
        squeue=rows(
            "1|N/A|COMPLETED|None|n1|2026-01-02T03:04:05|UNLIMITED|/run/code",
            "2|0|COMPLETED|None|n1|2026-01-02T03:04:05|1:00|/run/code",
            "2|5-9%2|PENDING|JobArrayTaskLimit||N/A|1:00|/run/code",
            "3|N/A|COMPLETING|None|n1|2026-01-02T03:04:05|1:00|/run/code",
            "4|N/A|RUNNING|None|n1|2026-01-02T03:04:05|1:00|/another/code",
            "5|N/A|SUSPENDED|None|n1|2026-01-02T03:04:05|1:00|/run/code",
        )
    )
    ids = ["5", "1", "2", "3", "4", "99"]
    assert live_jobs(ids, "/run/code") == ["5", "2", "3"]
    assert live_jobs(ids, "") == ["5", "2", "3", "4"]
    assert live_jobs(["2_7"], "/run/code") == ["2_7"]


def test_a_linked_folder_is_the_same_folder(answer: Answer, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    answer(squeue=rows(f"1|N/A|RUNNING|None|n1|N/A|1:00|{tmp_path / 'real'}"))
    assert live_jobs(["1"], str(tmp_path / "link")) == ["1"]


def test_what_slurm_has_forgotten_is_not_live(answer: Answer) -> None:
    answer(squeue=FORGOTTEN)
    assert live_jobs(["7"], "/run/code") == []
    assert read_queue(["7", "8"]) == {}


def test_one_forgotten_job_does_not_hide_the_others(answer: Answer) -> None:
    row = "8|N/A|RUNNING|None|n1|N/A|1:00|/run/code"
    answer(squeue=f'case "$*" in *7*) {FORGOTTEN};; *) {rows(row)}\n;; esac')
    assert live_jobs(["7", "8"], "/run/code") == ["8"]


@pytest.mark.parametrize("script", [DOWN, None])
def test_a_silent_controller_is_not_an_empty_queue(answer: Answer, script: str | None) -> None:
    if script:
        answer(squeue=script)
    assert live_jobs(["7"], "") is None
    assert read_queue(["7"]) is None


def test_nothing_is_asked_about_no_jobs(answer: Answer) -> None:
    assert live_jobs([], "") == [] and read_queue([""]) == {} and read_accounting([]) == {}


def test_pending_ranges_become_elements(answer: Answer) -> None:
    answer(
        squeue=rows(
            "a line that is none",
            "3|0-1,7%2|PENDING|Priority||N/A|UNLIMITED|/run|code",
            "3|2|RUNNING|None|n4|2026-01-02T03:04:05|3:00|/run|code",
            "4|0-999,...|PENDING|Priority||N/A|UNLIMITED|/run|code",
        )
    )
    found = read_queue(["3", "4"], "/run|code")
    assert found is not None
    assert sorted(found) == ["3_0", "3_1", "3_2", "3_7"]
    assert (found["3_7"].state, found["3_7"].reason, found["3_7"].start) == ("PENDING", "Priority", "")
    assert (found["3_2"].node, found["3_2"].reason) == ("n4", "")
    assert found["3_2"].start == "2026-01-02T03:04:05+00:00"
    assert read_queue(["3"], "/other") == {}


def test_the_shells_settings_do_not_change_the_answer(answer: Answer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SQUEUE_USERS", "somebody")
    answer(squeue='echo "1|N/A|RUNNING|$SQUEUE_USERS$TZ$SLURM_BITSTR_LEN|n1|N/A|1:00|/run"')
    assert (read_queue(["1"]) or {})["1"].reason == "UTC0"


def test_accounting_keeps_the_last_run_and_the_states_before(answer: Answer) -> None:
    answer(
        sacct=rows(
            "5|REQUEUED|0:0|n1|122|2026-01-02T03:00:00|2026-01-02T03:02:00|/run",
            "5|PENDING|0:0|None assigned|0|Unknown|Unknown|/run",
            "5|NODE_FAIL|1:0|n2|12|2026-01-02T03:10:00|2026-01-02T03:12:00|/run",
            "6_0|FAILED|7:0|n2|12|2026-01-02T03:10:00|2026-01-02T03:12:00|/run",
            "6_1|CANCELLED by 1000|0:15|n2|12|2026-01-02T03:10:00|2026-01-02T03:12:00|",
            "6_[0,2-3%4]|PENDING|0:0|None assigned|0|Unknown|Unknown|/run",
            "7|RUNNING|0:0|n2|12|2026-01-02T03:10:00|Unknown|/another",
        )
    )
    found = read_accounting(["5", "6", "7"], "/run")
    assert found is not None and sorted(found) == ["5", "6_0", "6_1", "6_2", "6_3"]
    assert (found["5"].state, found["5"].earlier) == ("PENDING", ("REQUEUED", "NODE_FAIL"))
    assert (found["6_0"].state, found["6_0"].exit_code, found["6_0"].elapsed_s) == ("FAILED", 7, 12)
    assert (found["6_1"].state, found["6_1"].signal) == ("CANCELLED", 15)
    assert found["6_2"].node == ""


def test_without_accounting_there_is_no_answer(answer: Answer) -> None:
    assert read_accounting(["5"]) is None
    answer(sacct="echo 'Slurm accounting storage is disabled' >&2; exit 1")
    assert read_accounting(["5"]) is None


def test_many_jobs_are_asked_about_in_several_commands(answer: Answer, tmp_path: Path) -> None:
    script = f'for last in "$@"; do :; done; echo "$last" >> {tmp_path}/asked; '
    answer(squeue=script + "for id in $(echo $last | tr , ' '); do echo \"$id|N/A|RUNNING|None|n|N/A|1:00|/r\"; done")
    ids = [str(number) for number in range(1000)]
    assert live_jobs(ids, "/r") == ids
    assert max(map(len, (tmp_path / "asked").read_text().split())) < 3000


@given(st.sets(st.integers(0, 200)))
def test_indices_are_read_back(indices: set[int]) -> None:
    parts, waiting = [], sorted(indices)
    while waiting:
        end = next((i for i in range(len(waiting)) if i + 1 == len(waiting) or waiting[i + 1] > waiting[i] + 1), 0)
        parts.append(str(waiting[0]) if end == 0 else f"{waiting[0]}-{waiting[end]}")
        waiting = waiting[end + 1 :]
    if parts:
        assert parse_indices(",".join(parts)) == sorted(indices)
        assert parse_indices(f"[{','.join(parts)}%16]") == sorted(indices)
    assert parse_indices("0-10:5") == [0, 5, 10]


def test_states_are_spelt_as_slurm_does() -> None:
    assert all(state == state.upper() and " " not in state for state in FINISHED)
    assert not FINISHED & {"PENDING", "RUNNING", "COMPLETING", "SUSPENDED", "REQUEUED", "CONFIGURING"}
    assert os.sep not in "".join(FINISHED)


def test_jobs_of_a_folder_are_known_by_it_alone(answer: Answer, tmp_path: Path) -> None:
    folder = tmp_path / "a|b"
    folder.mkdir()
    (tmp_path / "link").symlink_to(folder)
    answer(
        squeue=rows(
            "slurm_load_jobs: a warning",
            f"1|extract|RUNNING|{folder}",
            f"1|extract|PENDING|{tmp_path / 'link'}",
            "2|extract|RUNNING|/another/code",
            f"3|encode|PENDING|{folder}",
            "4|encode|PENDING|",
        )
    )
    assert read_folder_jobs(str(folder), "me") == [
        FolderJob("1", "extract", frozenset({"RUNNING", "PENDING"})),
        FolderJob("3", "encode", frozenset({"PENDING"})),
    ]


@pytest.mark.parametrize(
    ("script", "words"), [(DOWN, "Unable to contact slurm controller"), (None, "squeue cannot be")]
)
def test_whoever_must_know_is_told_that_slurm_is_silent(answer: Answer, script: str | None, words: str) -> None:
    if script:
        answer(squeue=script)
    with pytest.raises(StageError, match=words):
        read_folder_jobs("/run/code", "me")


def test_refusals_to_cancel_are_told(answer: Answer, tmp_path: Path) -> None:
    refusal = "scancel: error: Kill job error on job id 7: Access/permission denied"
    answer(
        scancel=f'echo "$*" > {tmp_path}/asked\n'
        f"echo '{refusal}' >&2\necho 'scancel: error: Invalid job id 8' >&2\nexit 1"
    )
    assert cancel_jobs(["7", "8", ""]) == [refusal]
    assert (tmp_path / "asked").read_text() == "7 8\n"
    assert cancel_jobs([]) == []
