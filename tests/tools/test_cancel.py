"""Stopping a run: SLURM jobs by the folder they work in, a process by lock and start time, and nothing else ever."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mmassist.io.layout import Layout
from mmassist.io.lock import process_start
from tools.cancel.__main__ import main

RUN = "20990101-000000-abcdef"
COMMAND = ["python", "-m", "launchers.run", "stage=extract,encode", "dataset=toy"]

# Both read and write one file of lines ``id|name|state|folder``; a state of LOCKED cannot be cancelled.
SQUEUE = """
import pathlib, sys
queue = pathlib.Path({folder!r}) / "queue"
if not queue.exists():
    sys.exit("slurm_load_jobs error: Unable to contact slurm controller (connect failure)")
print(queue.read_text(), end="")
"""
SCANCEL = """
import pathlib, sys
folder = pathlib.Path({folder!r})
with (folder / "asked").open("a") as file:
    file.write(" ".join(sys.argv[1:]) + "\\n")
rows = [line.split("|") for line in (folder / "queue").read_text().splitlines()]
for row in rows:
    if row[0] in sys.argv[1:] and row[2] == "LOCKED":
        print("scancel: error: Kill job error on job id " + row[0] + ": Access/permission denied", file=sys.stderr)
kept = [row for row in rows if row[0] not in sys.argv[1:] or row[2] == "LOCKED"]
later = folder / "later"
if later.exists():
    kept.append(later.read_text().split("|"))
    later.unlink()
(folder / "queue").write_text("".join("|".join(row) + "\\n" for row in kept))
"""


class Slurm:
    """A queue in a file, with stand-ins for the two commands that look at it."""

    def __init__(self, folder: Path, layout: Layout):
        self.folder, self.code = folder, layout.run(RUN).code
        self.code.mkdir(parents=True)
        folder.mkdir()
        for name, text in (("squeue", SQUEUE), ("scancel", SCANCEL)):
            script = folder / name
            script.write_text(f"#!{sys.executable}\n{text.format(folder=str(folder))}")
            script.chmod(0o755)
        self.set()

    def row(self, job_id: str, name: str, state: str = "RUNNING", folder: Path | None = None) -> str:
        return f"{job_id}|{name}|{state}|{folder or self.code}"

    def set(self, *rows: str) -> None:
        (self.folder / "queue").write_text("".join(f"{row}\n" for row in rows))

    @property
    def queue(self) -> list[str]:
        return (self.folder / "queue").read_text().splitlines()

    @property
    def asked(self) -> list[str]:
        path = self.folder / "asked"
        return path.read_text().splitlines() if path.exists() else []


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path / "root")


@pytest.fixture
def slurm(tmp_path: Path, layout: Layout, monkeypatch: pytest.MonkeyPatch) -> Slurm:
    monkeypatch.setenv("PATH", f"{tmp_path / 'slurm'}{os.pathsep}{os.environ['PATH']}")
    return Slurm(tmp_path / "slurm", layout)


@pytest.fixture
def ask(layout: Layout, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    def call(*words: str) -> tuple[int, str]:
        code = main([*words, f"paths.data_root={layout.data_root}"])
        printed = capsys.readouterr()
        return code, printed.out + printed.err

    return call


def write(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def job_row(stage: str, job_ids: list[str], after: list[str]) -> dict[str, Any]:
    unit = {"extract": "frames", "encode": "features/tiny"}[stage]
    facts = {"stage": stage, "dataset": "toy", "unit": f"processed_data/toy/{unit}"}
    return {"job": f"{stage}-toy", **facts, "job_ids": job_ids, "after": after}


def write_receipt(layout: Layout, launcher: str = "slurm", **more: Any) -> None:
    jobs = [job_row("extract", ["11"], []), job_row("encode", ["12", "13"], ["11"])]
    if launcher != "slurm":
        jobs = [{**row, "job_ids": [], "after": []} for row in jobs]
    write(layout.run(RUN).receipt, {"run_id": RUN, "launcher": launcher, "command": COMMAND, "jobs": jobs, **more})


def test_later_stages_go_first_and_the_end_is_told(slurm: Slurm, layout: Layout, ask) -> None:
    write_receipt(layout)
    slurm.set(slurm.row("11", "extract-toy"), slurm.row("12", "encode-toy", "PENDING"))
    code, text = ask(RUN, "--yes")
    assert code == 0 and slurm.asked == ["12", "11"] and slurm.queue == []
    assert "encode-toy: job 12 cancelled" in text and "extract-toy: job 11 cancelled" in text
    assert "encode-toy: job 13 was over already" in text
    assert text.rstrip().endswith("goes on from here: python -m launchers.run stage=extract,encode dataset=toy")


def test_a_job_that_works_elsewhere_is_somebody_elses(slurm: Slurm, layout: Layout, ask, tmp_path: Path) -> None:
    write_receipt(layout)
    slurm.set(slurm.row("11", "extract-toy", folder=tmp_path))
    code, text = ask("last", "--yes")
    assert (code, slurm.asked) == (0, []) and f"nothing of run {RUN} is alive" in text


def test_the_folder_may_be_reached_by_a_link(slurm: Slurm, layout: Layout, ask, tmp_path: Path) -> None:
    write_receipt(layout)
    (tmp_path / "link").symlink_to(layout.data_root)
    slurm.set(slurm.row("11", "extract-toy", folder=Layout(tmp_path / "link").run(RUN).code))
    assert ask("last", "--yes")[0] == 0 and slurm.asked == ["11"]


def test_a_submission_without_a_receipt(slurm: Slurm, layout: Layout, ask) -> None:
    write(layout.run(RUN).plan, {"extract-toy": {"unit": "processed_data/toy/frames"}})
    write(layout.run(RUN).config("extract-toy"), {"stage": "extract", "dataset": "toy"})
    slurm.set(slurm.row("11", "extract-toy"))
    assert ask(RUN, "--yes", "stage=encode")[1].startswith("nothing of run")
    code, text = ask(RUN, "--yes", "dataset=toy")
    assert code == 0 and slurm.asked == ["11"] and "has no receipt" in text


def test_what_is_submitted_meanwhile_goes_too(slurm: Slurm, layout: Layout, ask) -> None:
    write_receipt(layout)
    (slurm.folder / "later").write_text(slurm.row("14", "encode-toy", "PENDING"))
    slurm.set(slurm.row("11", "extract-toy"))
    code, text = ask(RUN, "--yes")
    assert code == 0 and slurm.asked == ["11", "14"] and "encode-toy: job 14 cancelled" in text


def test_one_stage_alone(slurm: Slurm, layout: Layout, ask) -> None:
    write_receipt(layout)
    slurm.set(slurm.row("11", "extract-toy"), slurm.row("12", "encode-toy", "PENDING"))
    code, text = ask(RUN, "stage=extract", "--yes")
    assert code == 0 and slurm.asked == ["11"]
    assert "encode-toy: job 12 goes on; it waited for what was cancelled" in text


def test_a_refusal_is_told_in_slurms_words(slurm: Slurm, layout: Layout, ask) -> None:
    write_receipt(layout)
    slurm.set(slurm.row("11", "extract-toy", "LOCKED"))
    code, text = ask(RUN, "--yes", "--wait", "0")
    assert code == 1 and "job 11 is still there" in text and "Access/permission denied" in text


def test_a_silent_controller_is_told(slurm: Slurm, layout: Layout, ask) -> None:
    write_receipt(layout)
    (slurm.folder / "queue").unlink()
    code, text = ask(RUN, "--yes")
    assert code == 1 and "Unable to contact slurm controller" in text and text.count("\n") == 1


def test_nobody_is_asked_where_nobody_is(slurm: Slurm, layout: Layout, ask, monkeypatch) -> None:
    write_receipt(layout)
    slurm.set(slurm.row("11", "extract-toy"))
    monkeypatch.setattr("sys.stdin", open(os.devnull))  # noqa: PTH123, SIM115
    code, text = ask(RUN)
    assert code == 2 and "say --yes" in text and slurm.asked == []


@pytest.fixture
def worker() -> Iterator[subprocess.Popen[str]]:
    """A process that ends when it is asked to."""
    code = "import time; print('up', flush=True); time.sleep(600)"
    words = [sys.executable, "-c", code, *COMMAND[2:]]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "up\n"
        yield process
        process.kill()


def hold(layout: Layout, process: subprocess.Popen[str], **changes: Any) -> None:
    holder = {"run_id": RUN, "host": socket.gethostname(), "pid": process.pid, "started": process_start(process.pid)}
    write(layout.unit("toy", "frames").lock, {**holder, "jobs": [], **changes})


def test_a_process_that_holds_a_folder_is_asked_to_stop(layout: Layout, ask, worker) -> None:
    write_receipt(layout, "local")
    hold(layout, worker)
    code, text = ask("last", "--yes")
    assert code == 0 and f"extract-toy: process {worker.pid} stopped" in text
    assert worker.wait(60) == -15


@pytest.mark.parametrize(
    ("changes", "code"),
    [({"started": "1"}, 0), ({"run_id": "20980101-000000-abcdef"}, 0), ({"host": "elsewhere"}, 1)],
)
def test_a_process_that_is_another_lives_on(layout: Layout, ask, worker, changes: dict[str, Any], code: int) -> None:
    write_receipt(layout, "local")
    hold(layout, worker, **changes)
    found, text = ask("last", "--yes")
    assert found == code and worker.poll() is None and f"nothing of run {RUN} is alive" in text
    assert ("runs on elsewhere; give this command there" in text) is (code == 1)


def test_between_two_folders_the_receipt_names_the_process(layout: Layout, ask, worker) -> None:
    write_receipt(layout, "basic", pid=worker.pid, host=socket.gethostname())
    code, text = ask("last", "--yes")
    assert code == 0 and "the command itself: process" in text and worker.wait(60) == -15


def test_a_process_with_other_words_is_not_the_command(layout: Layout, ask, worker) -> None:
    write_receipt(layout, "basic", pid=worker.pid, host=socket.gethostname())
    receipt = json.loads(layout.run(RUN).receipt.read_text())
    write(layout.run(RUN).receipt, {**receipt, "command": [*COMMAND, "limit=1"]})
    assert "nothing of run" in ask("last", "--yes")[1] and worker.poll() is None


def test_one_process_is_stopped_whole_or_not(layout: Layout, ask, worker) -> None:
    write_receipt(layout, "local")
    hold(layout, worker)
    code, text = ask("last", "--yes", "stage=extract")
    assert code == 2 and "leave stage= out" in text and worker.poll() is None


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["20990101-000000-abcdee"], f"did you mean '{RUN}'?"),
        (["first"], f"the newest is '{RUN}'"),
        ([], "nothing is asked for; give one run"),
        (["last", "stage=encod"], "Did you mean 'encode'?"),
        (["last", "dataset=toi"], "Did you mean 'toy'?"),
        (["last", "--yess"], "unknown option '--yess'"),
    ],
)
def test_a_mistake_is_one_line(slurm: Slurm, layout: Layout, ask, words: list[str], message: str) -> None:
    write_receipt(layout)
    code, text = ask(*words)
    assert code == 2 and text.startswith("error: ") and message in text and text.count("\n") == 1


def test_usage_is_shown(capsys) -> None:
    assert main([]) == 0 and "python -m tools.cancel last" in capsys.readouterr().out
