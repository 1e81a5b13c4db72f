"""The state of folders and jobs as a user sees it: from files alone, with SLURM's word, and with files that are odd."""

from __future__ import annotations

import json
import os
import socket
import stat
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.console import Console

from mmassist.io.layout import Layout, RunLayout, UnitLayout
from tools.bench.status import RUN_ID, make_folder
from tools.records.file import Reader
from tools.status.__main__ import main
from tools.status.count import count_unit
from tools.status.job import is_process_alive
from tools.status.render import duration, render_report
from tools.status.report import Choice, make_report

REPOSITORY = Path(__file__).resolve().parents[2]
RUN = "20260102-030405-abcdef"
JOB = "extract-wtag-frames"
BEGAN = "2026-01-02T03:04:05+00:00"
OVER = "2026-01-02T04:04:05+00:00"


class Root:
    """A DATA_ROOT_DIR made file by file."""

    def __init__(self, path: Path):
        self.path, self.layout = path, Layout(path)

    def unit(self, dataset: str, folder: str, stage: str, tasks: dict[str, list[str]]) -> UnitLayout:
        unit = self.layout.unit(dataset, folder)
        write(unit.manifest, {"stage": stage, "dataset": dataset})
        rows = [{"name": name, "items": keys, "weight": 10.0 * len(keys)} for name, keys in tasks.items()]
        write(unit.tasks, {"tasks": rows})
        return unit

    def run(self, run_id: str, launcher: str = "slurm", **row: Any) -> RunLayout:
        run = self.layout.run(run_id)
        job = {"job": JOB, "stage": "extract", "unit": "processed_data/wtag/frames", "elements": 1, "job_ids": []}
        receipt = {"run_id": run_id, "launcher": launcher, "time": BEGAN, "command": ["python", "-m", "launchers.run"]}
        write(run.receipt, {**receipt, "host": "elsewhere", "pid": 1, "jobs": [{**job, **row}]})
        return run

    def ask(self, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
        code = main([*words, "--root", str(self.path)])
        output = capsys.readouterr()
        return code, output.out + output.err

    def rows(self, capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.ask(capsys, *words, "--json")[1])
        return found


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Root:
    """An empty one on a machine without SLURM."""
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    (tmp_path / "data" / "datasets").mkdir(parents=True)
    return Root(tmp_path / "data")


@pytest.fixture
def answer(tmp_path: Path) -> Callable[..., None]:
    """``answer(squeue=[…])`` makes a command that prints these lines."""

    def make(**rows: list[str]) -> None:
        (tmp_path / "bin").mkdir(exist_ok=True)
        for name, lines in rows.items():
            path = tmp_path / "bin" / name
            path.write_text("#!/bin/sh\n" + "".join(f"echo '{line}'\n" for line in lines))
            path.chmod(path.stat().st_mode | stat.S_IXUSR)

    return make


def write(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(value if isinstance(value, str) else json.dumps(value))


def write_lines(path: Path, *rows: dict[str, Any] | str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [row if isinstance(row, str) else json.dumps(row) + "\n" for row in rows]
    with path.open("a") as file:
        file.write("".join(lines))


def commit(unit: UnitLayout, task: str, with_line: bool = True, **status: str) -> None:
    """Commit a task whose items have these statuses."""
    outcomes = {key: {"status": value, "reason": "permanent", "message": "bad"} for key, value in status.items()}
    write(unit.record(task), {"task": task, "items": list(status), "outcomes": outcomes, "run_id": RUN})
    if with_line:
        values = list(status.values())
        counts = {name: values.count(name) for name in ("done", "skipped", "failed", "blocked")}
        line = {"task": task, "items": counts, "time": OVER, "weight_s": 1.0, "bytes": 1000}
        write_lines(unit.commit_log(f"{RUN}.0"), line)


def row(item: str, task: str, status: str = "failed", attempt: int = 1, **more: str) -> dict[str, Any]:
    texts = {"reason": "permanent", "message": f"{item} is broken", "time": BEGAN, "run_id": RUN, "traceback": ""}
    return {"item": item, "task": task, "status": status, "attempt": attempt, **texts, **more}


def live(element: int = 0, start: int = 0, **more: Any) -> dict[str, Any]:
    now = datetime.now(UTC).isoformat(timespec="seconds")
    fields = {"element": element, "start": start, "started": BEGAN, "updated": now, "ended": "", "end": ""}
    return {**fields, "node": "n1", "host": "n1", "pid": 1, "gpus": 8, "items": {"done": 6}, "weight_s": 60.0, **more}


def items_of(report: dict[str, Any]) -> dict[str, int]:
    return {name: number for name, number in report["units"][0]["items"].items() if number}


def test_items_of_every_kind_are_counted_once(root: Root, capsys) -> None:
    tasks = {"000000": ["a", "b", "c"], "000001": ["d", "e"], "000002": ["f", "g", "h", "i"], "000003": ["c"]}
    unit = root.unit("wtag", "frames", "extract", tasks)
    commit(unit, "000000", a="done", b="skipped", c="failed")
    commit(unit, "000001", with_line=False, d="done", e="done")
    ledger = unit.ledger(f"{RUN}.0")
    write_lines(ledger, row("b", "000000", "skipped", reason="no_video"), row("c", "000000"), row("f", "000002"))
    write_lines(ledger, row("f", "000002", attempt=2, reason="crash", time=OVER), row("d", "000001"), '{"item": "i", ')
    write_lines(ledger, "\n", row("g", "000002", "blocked", reason="extract"))
    unit.fragment_dir("000002").mkdir(parents=True)
    unit.fragment("000002", "h").touch()
    report = root.rows(capsys)
    assert items_of(report) == {
        **{"total": 9, "done": 3, "kept": 1, "failed": 2, "blocked": 1, "skipped": 1, "waiting": 1}
    }
    reasons = [(r["status"], r["reason"], r["count"], r["item"]) for r in report["units"][0]["reasons"]]
    assert reasons == [
        *[("failed", "crash", 1, "f"), ("failed", "permanent", 1, "c")],
        *[("blocked", "extract", 1, "g"), ("skipped", "no_video", 1, "b")],
    ]
    assert report["units"][0]["tasks"] == {"total": 4, "committed": 2}
    code, text = root.ask(capsys)
    assert code == 1 and "1 failed (crash), last f at 2026-01-02T04:04:05+00:00: f is broken" in text
    assert "python -m tools.logs f" in text


def test_an_item_that_succeeded_later_is_no_failure(root: Root, capsys) -> None:
    tasks = {"000000": ["a", "b"], "000001": ["b"]}
    unit = root.unit("wtag", "frames", "extract", tasks)
    commit(unit, "000000", a="done", b="failed")
    commit(unit, "000001", b="done")
    write_lines(unit.ledger(f"{RUN}.0"), row("b", "000000"), row("a", "000000"))
    assert items_of(root.rows(capsys)) == {"total": 2, "done": 2}
    assert root.ask(capsys)[0] == 0


def test_a_task_made_again_counts_as_its_latest_line_says(root: Root, capsys) -> None:
    unit = root.unit("wtag", "frames", "extract", {"000000": ["a", "b"]})
    commit(unit, "000000", a="done", b="failed")
    line = {"task": "000000", "items": {"done": 2}, "time": "2026-02-01T00:00:00+00:00"}
    write_lines(unit.commit_log(f"{RUN}.1"), line, "torn")
    write_lines(unit.ledger(f"{RUN}.0"), row("b", "000000"))
    assert items_of(root.rows(capsys)) == {"total": 2, "done": 2}
    unit.record("000000").unlink()  # and one taken back is open, whatever the lines say
    assert items_of(root.rows(capsys)) == {"total": 2, "failed": 1, "waiting": 1}


STATUSES = st.sampled_from(["done", "failed", "skipped", "blocked", "open", "kept"])


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.booleans(), st.booleans(), st.lists(STATUSES, min_size=1, max_size=4)), max_size=6))
def test_the_count_is_that_of_the_records(tmp_path_factory: pytest.TempPathFactory, tasks: list[Any]) -> None:
    """Commit lines, where there are any, save reading records and change nothing."""
    root = Root(tmp_path_factory.mktemp("data"))
    keys = {f"{n:06d}": [f"k{n}-{i}" for i in range(len(s))] for n, (_, _, s) in enumerate(tasks)}
    unit = root.unit("wtag", "frames", "extract", keys)
    expected = {"done": 0, "failed": 0, "skipped": 0, "blocked": 0, "open": 0, "kept": 0}
    for name, (is_committed, has_line, statuses) in zip(keys, tasks, strict=True):
        if is_committed:
            statuses = ["done" if status in ("open", "kept") else status for status in statuses]
            commit(unit, name, has_line, **dict(zip(keys[name], statuses, strict=True)))
        for key, status in zip(keys[name], statuses, strict=True):
            is_open = not is_committed and status == "done"
            expected["open" if is_open else status] += 1
            if status in ("failed", "skipped", "blocked"):
                write_lines(unit.ledger(f"{RUN}.0"), row(key, name, status))
            elif status == "kept":
                unit.fragment_dir(name).mkdir(parents=True, exist_ok=True)
                unit.fragment(name, key).touch()
    count = count_unit(unit, Reader())
    assert {name: getattr(count, name) for name in expected} == expected
    assert count.total == sum(map(len, keys.values()))


def test_folders_come_in_pipeline_order(root: Root, capsys) -> None:
    for folder, stage in (("prepared/knowledge_L1_I1", "pack"), ("features/tiny", "encode"), ("frames", "extract")):
        root.unit("wtag", folder, stage, {})
    root.unit("assembly101", "splits", "split", {})
    root.unit("wtag", "frames.stale-1", "extract", {})
    write(root.layout.unit("wtag", "generated_dialogs/x").tasks, {"tasks": []})  # its manifest is gone
    write(root.layout.processed / "wtag" / "notes.txt", "")
    units = root.rows(capsys)["units"]
    assert [(u["dataset"], u["stage"]) for u in units] == [
        *[("assembly101", "split"), ("wtag", "extract"), ("wtag", "generate"), ("wtag", "encode"), ("wtag", "pack")]
    ]
    chosen = root.rows(capsys, "dataset=wtag", "stage=encode,pack")["units"]
    assert [u["stage"] for u in chosen] == ["encode", "pack"]
    assert "prepared/knowledge_L1_I1"[9:] in root.ask(capsys)[1].replace("\n", "")


def test_a_run_in_the_middle(root: Root, capsys, answer) -> None:
    tasks = {f"{n:06d}": [f"{n}a", f"{n}b"] for n in range(6)}
    unit = root.unit("wtag", "frames", "extract", tasks)
    commit(unit, "000000", **{"0a": "done", "0b": "done"})
    windows = [{"job_id": "70", "first": 0, "count": 3}, {"job_id": "71", "first": 3, "count": 1}]
    run = root.run(RUN, elements=4, job_ids=["70", "71"], windows=windows)
    write(run.plan, {JOB: {"elements": [["000000", "000001"], ["000002", "000003"], ["000004"], ["000005"]]}})
    started = datetime.fromtimestamp(datetime.now(UTC).timestamp() - 60, UTC).isoformat(timespec="seconds")
    hand = [{"item": "1a", "task": "000001", "child": 0, "since": started}]
    write(run.life(JOB, 0, 0), live(started=BEGAN, ended=OVER, end="requeued", updated=OVER))
    write(run.life(JOB, 0, 1), live(start=1, started=started, in_hand=hand))
    code = f"{run.code}"
    running, waiting = f"70|0|RUNNING|None|n1|N/A|1:00|{code}", f"70|1-2%2|PENDING|JobArrayTaskLimit||N/A|1:00|{code}"
    answer(squeue=[running, waiting, f"71|N/A|PENDING|Resources||N/A|1:00|{code}"], sacct=[])
    found = root.rows(capsys)["units"][0]
    assert {k: v for k, v in found["items"].items() if v} == {"total": 12, "done": 2, "running": 1, "waiting": 9}
    assert found["jobs"][0]["ends"] == {"running": 1, "pending": 3}
    assert 0.05 < found["items_per_s"] <= 0.1  # 6 items in about a minute
    assert 90 <= found["eta_s"] <= 200  # 100 seconds of video left, 60 done in about a minute
    assert 8.1 < found["gpu_hours"] < 8.3
    assert root.ask(capsys, RUN)[0] == 0
    assert "3 pending" in " ".join(root.ask(capsys)[1].split()) and "element waiting: Resources" in root.ask(capsys)[1]


def test_ends_are_told_with_what_to_do(root: Root, capsys, answer) -> None:
    root.unit("wtag", "frames", "extract", {"000000": ["a"]})
    run = root.run(RUN, elements=5, job_ids=["70"], windows=[{"job_id": "70", "first": 0, "count": 5}])
    write(run.life(JOB, 0, 0), live(ended=OVER, end="completed"))
    write(run.life(JOB, 1, 0), live(1, ended=OVER, end="failed", message="no space left"))
    write(run.life(JOB, 2, 0), live(2, updated=OVER))
    write(run.life(JOB, 4, 0), live(4, updated=OVER))
    ended = f"0:0|n7|9|2026-01-02T03:04:05|2026-01-02T04:04:05|{run.code}"
    answer(squeue=[], sacct=[f"70_2|TIMEOUT|{ended}", f"70_3|OUT_OF_MEMORY|{ended}", "70_4|COMPLETED|0:0|n|9|x|x|/r"])
    code, text = root.ask(capsys)
    text = " ".join(text.split())
    assert code == 1
    assert "element 1: failed on n1: no space left; next: mend what the message says" in text
    assert "element 2: time limit (SLURM: TIMEOUT) on n1" in text
    assert "element 3: out of memory (SLURM: OUT_OF_MEMORY) on n7; next: raise extract.mem_gb" in text
    assert "element 4: lost on n1: it died without a word; SLURM does not list it any more" in text  # another's id
    assert f"{RUN} was: python -m launchers.run" in text
    ends = root.rows(capsys)["units"][0]["jobs"][0]["ends"]
    assert ends == {"completed": 1, "failed": 1, "time limit": 1, "out of memory": 1, "lost": 1}


def test_without_slurm_the_files_tell(root: Root, capsys) -> None:
    root.unit("wtag", "frames", "extract", {"000000": ["a"]})
    run = root.run(RUN, elements=3, job_ids=["70"], windows=[{"job_id": "70", "first": 0, "count": 3}])
    write(run.life(JOB, 0, 0), live())
    write(run.life(JOB, 1, 0), live(1, updated=OVER))
    report = root.rows(capsys)
    assert not report["is_queue_known"] and not report["is_accounting_known"]
    assert report["units"][0]["jobs"][0]["ends"] == {"running": 1, "lost": 1, "pending": 1}
    code, text = root.ask(capsys)
    assert code == 1 and "SLURM cannot be asked" in text and f"(last sign {OVER})" in text


def test_finished_runs_do_not_ask_slurm(root: Root, capsys) -> None:
    root.unit("wtag", "frames", "extract", {})
    run = root.run(RUN, elements=1, job_ids=["70"], windows=[{"job_id": "70", "first": 0, "count": 1}])
    write(run.life(JOB, 0, 0), live(ended=OVER, end="completed"))
    report = root.rows(capsys)
    assert report["is_queue_known"] and report["exit_code"] == 0


def test_the_latest_run_and_the_lock_holders_are_shown(root: Root, capsys) -> None:
    unit = root.unit("wtag", "frames", "extract", {})
    for day in ("01", "02", "03"):
        root.run(f"202601{day}-030405-abcdef", "local", elements=0)
    write(root.layout.runs / "20260104-030405-abcdef" / "notes", "")
    assert [job["run_id"] for job in root.rows(capsys)["units"][0]["jobs"]] == ["20260103-030405-abcdef"]
    write(unit.lock, {"run_id": "20260101-030405-abcdef", "host": "", "pid": 0, "jobs": ["5"]})
    runs = [job["run_id"] for job in root.rows(capsys)["units"][0]["jobs"]]
    assert runs == ["20260103-030405-abcdef", "20260101-030405-abcdef"]
    assert [j["run_id"] for j in root.rows(capsys, "20260102")["units"][0]["jobs"]] == ["20260102-030405-abcdef"]
    write(unit.lock, {"run_id": "20250101-030405-gone00", "jobs": ["5"]})  # its folder was removed
    assert root.ask(capsys)[0] == 0


def test_local_work_is_told_by_its_process(root: Root, capsys) -> None:
    root.unit("wtag", "frames", "extract", {"000000": ["a"]})
    run = root.run(RUN, "local")
    now = datetime.now(UTC).isoformat(timespec="seconds")
    mine = {"host": socket.gethostname(), "pid": os.getpid(), "started": now}
    write(run.life(JOB, 0, 0), live(**mine))
    assert root.rows(capsys)["units"][0]["jobs"][0]["ends"] == {"running": 1}
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        pass
    write(run.life(JOB, 0, 0), live(**{**mine, "pid": gone.pid}))
    assert root.rows(capsys)["units"][0]["jobs"][0]["ends"] == {"lost": 1}
    assert is_process_alive(socket.gethostname(), os.getpid(), BEGAN) is False  # the number was given out again
    assert is_process_alive("elsewhere", 1, now) is None


def test_a_job_with_nothing_to_do_has_no_elements(root: Root, capsys) -> None:
    root.unit("wtag", "frames", "extract", {})
    run = root.run(RUN, "local")
    write(run.plan, {JOB: {"items": 0, "elements": []}})
    assert root.rows(capsys)["units"][0]["jobs"][0]["ends"] == {}
    assert root.ask(capsys)[0] == 0


def test_a_submission_without_receipt(root: Root, capsys) -> None:
    unit = root.unit("wtag", "frames", "extract", {"000000": ["a"]})
    write(root.layout.run(RUN).plan, {JOB: {"unit": "processed_data/wtag/frames", "elements": [["000000"]]}})
    code, text = root.ask(capsys)
    assert code == 1 and "the submission was interrupted" in text
    write(unit.lock, {"run_id": RUN, "host": socket.gethostname(), "pid": os.getpid(), "jobs": []})
    code, text = root.ask(capsys)
    assert code == 0 and "being submitted" in text


def test_receipts_of_older_versions(root: Root, capsys, answer) -> None:
    root.unit("wtag", "frames", "extract", {})
    old = {"job": JOB, "unit": "processed_data/wtag/frames", "elements": 3, "job_ids": ["5", "6"], "after": []}
    run = root.layout.run(RUN)
    write(run.receipt, {"run_id": RUN, "command": ["python"], "jobs": [old, "odd", {"job": 3}]})
    answer(squeue=[f"5|0-1|COMPLETED|None|n1|N/A|1:00|{run.code}", f"6|N/A|RUNNING|None|n1|N/A|1:00|{run.code}"])
    assert root.rows(capsys)["units"][0]["jobs"][0]["ends"] == {"completed": 2, "running": 1}
    write(run.receipt, {"run_id": RUN, "jobs": [{**old, "elements": 1, "job_ids": ["5"]}]})
    answer(squeue=[])
    assert root.rows(capsys)["units"][0]["jobs"][0]["ends"] == {"unknown": 1}
    assert root.ask(capsys)[0] == 0


@pytest.mark.parametrize("content", ["", "{", "[]", "7", '{"jobs": 3, "tasks": 3, "items": 3}', "\xff"])
def test_odd_files_are_named_and_the_rest_is_shown(root: Root, capsys, content: str) -> None:
    unit = root.unit("wtag", "frames", "extract", {"000000": ["a"], "000001": ["b"]})
    root.unit("wtag", "splits", "split", {"000000": ["a"]})
    run = root.run(RUN)
    paths = [unit.manifest, unit.record("000000"), unit.commit_log("x"), unit.ledger("x"), unit.lock]
    for path in [*paths, run.receipt, run.plan, run.life(JOB, 0, 0), run.life_dir(JOB) / "x.json", unit.tasks]:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="latin-1")
        code, text = root.ask(capsys)
        assert code in (0, 1) and "extract" in text and "split" in text and "Traceback" not in text
    if content in ("", "{", "[]"):
        assert f"note: {run.receipt} cannot be read" in text.replace("\n", "")


def test_folders_of_others_and_removed_ones(root: Root, capsys) -> None:
    root.unit("wtag", "frames", "extract", {"000000": ["a"]})
    run = root.run(RUN)
    run.receipt.unlink()
    run.receipt.mkdir()  # a file that may not be read looks the same to a reader, and root may read everything
    code, text = root.ask(capsys)
    assert code == 0 and "cannot be read" in text
    run.receipt.rmdir()
    assert root.ask(capsys)[0] == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nosuchrun"], "there is no run 'nosuchrun'; the newest is '20260102"),
        (["2026"], "'2026' begins the names of 2 runs"),
        (["stage=enc"], "there is no such stage. Did you mean 'encode'?"),
        (["dataset=wtg"], "there is no such dataset. Did you mean 'wtag'?"),
        (["dataset="], "'dataset' has no value"),
        (["stages=encode"], "unknown key 'stages'. Did you mean 'stage'?"),
        (["stage=pack", "stage=split"], "'stage' is given 2 times"),
        (["--jsn"], "unknown option '--jsn'. Did you mean '--json'?"),
        (["--watch=x"], "say a number of seconds"),
        (["--watch", "0"], "say a number of seconds"),
        (["--watch", "--json"], "use one of them"),
    ],
)
def test_mistakes_are_one_line(root: Root, capsys, words: list[str], message: str) -> None:
    for day in ("01", "02"):
        root.run(f"202601{day}-030405-abcdef")
    code, text = root.ask(capsys, *words)
    assert code == 2 and message in text and text.startswith("error: ") and text.count("\n") == 1


def test_the_folder_comes_from_the_environment(tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DATA_ROOT_DIR", raising=False)
    assert main([]) == 2 and "DATA_ROOT_DIR is not set" in capsys.readouterr().err
    monkeypatch.setenv("DATA_ROOT_DIR", str(tmp_path / "nowhere"))
    assert main([]) == 2 and "there is no such folder" in capsys.readouterr().err
    monkeypatch.setenv("DATA_ROOT_DIR", str(tmp_path))
    assert main([]) == 0 and "nothing to show" in capsys.readouterr().out


def test_watching_needs_a_terminal(root: Root, capsys) -> None:
    root.unit("wtag", "frames", "extract", {"000000": ["a"]})
    code, text = root.ask(capsys, "--watch", "1")
    assert code == 0 and "extract" in text and "--watch needs a terminal; this was one look" in text


def test_nothing_is_written(root: Root, capsys) -> None:
    root.unit("wtag", "frames", "extract", {"000000": ["a"]})
    write(root.run(RUN).life(JOB, 0, 0), live())
    before = {path: path.stat().st_mtime_ns for path in root.path.rglob("*")}
    root.ask(capsys)
    assert {path: path.stat().st_mtime_ns for path in root.path.rglob("*")} == before


def test_a_large_folder_is_counted_without_its_records(tmp_path: Path) -> None:
    make_folder(tmp_path, num_tasks=500, num_items=2, num_lives=10)
    (report,) = make_report(Layout(tmp_path), Choice()).units
    assert (report.count.total, report.count.done, report.count.failed, report.count.kept) == (1000, 882, 9, 50)
    assert report.jobs[0].row.run.run_id == RUN_ID and len(report.jobs[0].elements) == 10


def test_the_tables_fit_the_terminal(root: Root, capsys) -> None:
    """Columns without any content are left out, and in a narrow one how elements stand moves below."""
    unit = root.unit("wtag", "generated_dialogs/llama-3.1-70b", "generate", {"000000": ["a"], "000001": ["b"] * 900000})
    commit(unit, "000000", a="failed")
    root.run(RUN, unit="processed_data/wtag/generated_dialogs/llama-3.1-70b", elements=1)
    report = make_report(root.layout, Choice())
    report.units[0].items_per_s, report.units[0].eta_s, report.units[0].gpu_hours = 1234.56, 80000.0, 12345.6
    report.units[0].count.blocked = report.units[0].running = report.units[0].count.skipped = 123456
    for width in (160, 100, 80):
        console = Console(width=width)
        console.begin_capture()
        console.print(render_report(report, width))
        lines = console.end_capture().splitlines()
        head = next(line for line in lines if line.lstrip().startswith("stage"))
        assert max(map(len, lines)) <= width and "…" not in "".join(lines)
        assert {"items", "done", "waiting", "failed", "tasks", "left"} <= set(head.split())
        assert ("elements" in head.split()) is (width == 160)
        assert "1 unknown" in " ".join(lines)
    assert "skipped" not in root.ask(capsys)[1]


def test_what_went_wrong_comes_first(root: Root, capsys, answer) -> None:
    for folder, stage in (("frames", "extract"), ("features/tiny", "encode")):
        root.unit("wtag", folder, stage, {"000000": [stage]})
    run = root.run(RUN, job_ids=["70"], windows=[{"job_id": "70", "first": 0, "count": 1}])
    answer(squeue=[f"70|N/A|PENDING|Priority||N/A|1:00|{run.code}"], sacct=[])
    write_lines(root.layout.unit("wtag", "features/tiny").ledger(f"{RUN}.0"), row("encode", "000000"))
    text = root.ask(capsys)[1]
    assert text.index("1 failed (permanent)") < text.index("1 element waiting: Priority")
    assert "python -m tools.logs encode unit=wtag/features/tiny" in text


def test_durations_are_short() -> None:
    assert [duration(s) for s in (8, 600, 7000, 500000)] == ["8 s", "10 min", "1.9 h", "5.8 d"]


def test_help_is_printed() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tools.status", "--help"], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    assert "--watch" in done.stdout
