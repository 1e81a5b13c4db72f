"""The log of an item, a task or an element: of a real run with a broken video, and of hand-made runs on a cluster."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmassist.io.layout import Layout
from mmassist.io.ledger import append_row, iter_rows_of
from tests.e2e.commands import run, words_of
from tools.command import MAX_COMPARED, advise
from tools.logs.__main__ import main
from tools.logs.lines import read_moments, tail_lines
from tools.records.place import find_place
from tools.records.run import find_run, list_runs
from tools.records.unit import list_units

pytestmark = pytest.mark.long

RUN = "20990101-000000-abcdef"
JOB = "extract-toy-frames"
NOW = datetime(2099, 1, 1, 12, tzinfo=UTC)


def at(seconds: float) -> str:
    return (NOW + timedelta(seconds=seconds)).isoformat(timespec="milliseconds")


def write(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(value if isinstance(value, str) else json.dumps(value, sort_keys=True, separators=(",", ":")))


def write_log(path: Path, *rows: tuple[float, str]) -> None:
    lines = [{"time": at(s), "level": "info", "logger": "launchers.work", "message": text} for s, text in rows]
    write(path, "".join(json.dumps(line) + "\n" for line in lines))


@pytest.fixture(scope="module")
def broken(demo_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root after a run over three recordings, of which T5's video is not one."""
    root = tmp_path_factory.mktemp("broken")
    shutil.copytree(demo_root / "datasets" / "WTaG", root / "datasets" / "WTaG")
    next((root / "datasets" / "WTaG" / "T5" / "Video").glob("*.mpeg")).write_bytes(b"this is no video" * 100)
    words = ["stage=extract,generate", "dataset=wtag", "extract.task_weight=40", "extract.isolated=false"]
    run(root, words_of(*words), 1)
    return root


@pytest.fixture
def cluster(tmp_path: Path) -> Layout:
    """Two array elements: in the first a worker died of item ``bad``, the second is at work on ``slow``."""
    layout = Layout(tmp_path)
    unit, one = layout.unit("toy", "frames"), layout.run(RUN)
    tasks = [
        {"name": f"00000{n}", "items": items, "weight": 1.0} for n, items in enumerate((["bad", "good"], ["slow"]))
    ]
    write(unit.tasks, {"tasks": tasks})
    write(unit.manifest, {"stage": "extract", "dataset": "toy", "settings": {}})
    failure = {"item": "bad", "task": "000000", "status": "failed", "reason": "crash", "inputs": "", "traceback": ""}
    words = {"message": "the worker process died by signal SIGSEGV", "run_id": RUN}
    append_row(unit.ledger(f"{RUN}.0-supervisor"), {**failure, **words, "attempt": 1, "time": at(10)})
    write(one.plan, {JOB: {"unit": "processed_data/toy/frames", "elements": [["000000"], ["000001"]]}})
    window = {"job_id": "77", "first": 0, "count": 2, "max_running": 2}
    row = {"job": JOB, "stage": "extract", "dataset": "toy", "unit": "processed_data/toy/frames", "elements": 2}
    write(one.receipt, {"run_id": RUN, "launcher": "slurm", "jobs": [{**row, "job_ids": ["77"], "windows": [window]}]})
    life = {"job": JOB, "start": 0, "node": "n1", "started": at(0), "updated": at(20), "tasks": 1, "committed": 0}
    ended = {"ended": at(20), "end": "failed", "message": "tasks could not be committed", "items": {"failed": 1}}
    write(one.life(JOB, 0, 0), {**life, **ended, "element": 0, "job_id": "77_0", "in_hand": []})
    hand = {"item": "slow", "task": "000001", "child": 3, "since": at(5)}
    write(one.life(JOB, 1, 0), {**life, "element": 1, "job_id": "77_1", "ended": "", "end": "", "in_hand": [hand]})
    write_log(one.log(f"{JOB}.00000.0"), (1, "task 000009 begins"), (9, "innocent is done after 3.0 s"))
    write_log(one.log(f"{JOB}.00000.1"), (1, "task 000000 begins"), (9.5, "bad looks odd"), (30, "another life begins"))
    write(one.output(f"{JOB}.00000.0"), "of the innocent worker\n")
    write(one.output(f"{JOB}.00000.1"), "first\nSegmentation fault\n")
    write(one.slurm_dir(JOB) / "77_0_0_log.err", "slurmstepd: error: something\n")
    write(one.slurm_dir(JOB) / "77_1_0_log.err", "of the other element\n")
    return layout


@pytest.fixture
def ask(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    def call(root: Path, *words: str) -> tuple[int, str]:
        code = main([*words, f"paths.data_root={root}"])
        printed = capsys.readouterr()
        return code, printed.out + printed.err

    return call


def test_a_failed_item_comes_first_with_traceback_and_log(broken: Path, ask) -> None:
    code, text = ask(broken, "T5")
    assert code == 0
    assert text.startswith("item T5 in wtag/frames (extract), task 00000")
    for words in ("failed (permanent)", "attempt 1", "Traceback (most recent call last)", "T5 is failed (permanent)"):
        assert words in text, words
    assert "T47 is done" not in text.partition("more of that name")[0] or "launchers.work" in text
    assert "1 more of that name" in text and "in wtag/generated_dialogs/scripted (generate)" in text


def test_a_stage_narrows_it(broken: Path, ask) -> None:
    code, text = ask(broken, "T5", "stage=generate", "dataset=wtag")
    assert code == 0 and text.startswith("item T5 in wtag/generated_dialogs/scripted (generate)")
    assert "T5 is done after" in text and "more of that name" not in text


def test_all_shows_every_meaning_whole(broken: Path, ask) -> None:
    text = ask(broken, "T5", "--all")[1]
    assert text.count("launchers.work: T5 is") == 2 and "more of that name" not in text


def test_a_task_tells_who_did_it_and_its_items(broken: Path, ask) -> None:
    place = find_place(next(unit for unit in list_units(Layout(broken)) if unit.stage == "extract"), "T1")
    assert place is not None
    code, text = ask(broken, f"wtag/frames/{place.task}")
    assert code == 0 and text.startswith(f"task {place.task} of wtag/frames (extract): committed, 1 done")
    assert "item T1: done" in text and "element 0, worker 0" in text and "T1 is done after" in text
    assert "T47" not in text
    of_shard = ask(broken, f"processed_data/wtag/frames/shards/{place.task}.tar")[1]
    assert of_shard == text


def test_an_open_task_is_told_from_the_plan(broken: Path, ask) -> None:
    place = find_place(next(unit for unit in list_units(Layout(broken)) if unit.stage == "extract"), "T5")
    assert place is not None
    text = ask(broken, place.task, "stage=extract")[1]
    assert f"task {place.task} of wtag/frames (extract): open, 1 items" in text and "item T5: not committed" in text


def test_an_element_by_its_name(broken: Path, ask) -> None:
    code, text = ask(broken, "extract-wtag-frames.00000", "run=last", "--tail", "1")
    assert code == 0 and "element 0 of extract-wtag-frames" in text and "1 lines:" in text


def test_without_the_run_folder_it_says_so(broken: Path, ask, tmp_path: Path) -> None:
    shutil.copytree(broken / "processed_data", tmp_path / "processed_data")
    code, text = ask(tmp_path, "T5", "stage=extract")
    assert code == 0 and "is gone, and its logs with it" in text and "traceback" in text


def test_a_crash_shows_the_output_of_the_worker_that_had_the_task(cluster: Layout, ask) -> None:
    text = ask(cluster.data_root, "bad")[1]
    assert "failed (crash): the worker process died by signal SIGSEGV" in text
    assert "Segmentation fault" in text and "innocent" not in text
    assert "slurmstepd: error: something" in text and "other element" not in text
    assert "bad looks odd" in text and "another life" not in text


def test_an_item_in_hand(cluster: Layout, ask) -> None:
    text = ask(cluster.data_root, "slow")[1]
    assert text.startswith("item slow in toy/frames (extract), task 000001, open: waiting")
    assert f"in hand since {at(5)}: worker 3 on n1" in text


def test_a_slurm_id_names_an_element(cluster: Layout, ask) -> None:
    text = ask(cluster.data_root, "77_0")[1]
    assert text.startswith(f"element 0 of {JOB} (SLURM 77_0), run {RUN}: failed: tasks could not be committed")
    assert "slurmstepd" in text and "Segmentation fault" in text and "0 of 1 tasks committed" in text
    array = ask(cluster.data_root, "77")[1]
    assert array.startswith("element 0 of") and "1 more of that name" in array and "alive, as of" in array
    assert ask(cluster.data_root, "78")[0] == 2


def test_a_window_of_one_element_is_a_plain_job(cluster: Layout, ask) -> None:
    receipt = json.loads(cluster.run(RUN).receipt.read_text())
    windows = [{"job_id": "76", "first": 0, "count": 1}, {"job_id": "77", "first": 1, "count": 1}]
    receipt["jobs"][0]["windows"] = windows
    write(cluster.run(RUN).receipt, receipt)
    write(cluster.run(RUN).slurm_dir(JOB) / "77_0_log.err", "words of a plain job\n")
    text = ask(cluster.data_root, "77")[1]
    assert text.startswith(f"element 1 of {JOB} (SLURM 77)") and "words of a plain job" in text


def test_an_item_of_an_open_task_that_is_finished_and_one_that_was_put_back(cluster: Layout, ask) -> None:
    unit = cluster.unit("toy", "frames")
    row = {"item": "good", "task": "000000", "attempt": 1, "run_id": RUN, "writer": f"{RUN}-0-1-99", "seconds": 2.5}
    append_row(unit.done_log(f"{RUN}.x"), {**row, "time": at(8), "node": "n1", "inputs": "a", "digest": "b"})
    assert "task 000000, open: waiting" in ask(cluster.data_root, "good")[1]
    write(unit.fragment("000000", "good"), "bytes")
    text = ask(cluster.data_root, "good")[1]
    assert "task 000000, open: done" in text and "element 0, worker 1, node n1, 2.5 s" in text


def test_torn_lines_and_damaged_files_hide_nothing_else(cluster: Layout, ask) -> None:
    unit = cluster.unit("toy", "frames")
    with unit.ledger(f"{RUN}.0-supervisor").open("a") as file:
        file.write('{"item":"bad","task":"0000')
    write(cluster.run("20990102-000000-abcdef").receipt, "no JSON")
    write(unit.manifest, '{"stage":')
    code, text = ask(cluster.data_root, "bad")
    assert code == 0 and "failed (crash)" in text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["baad"], "did you mean 'bad'?"),
        (["zzzz"], "is no item, task or element"),
        ([], "give one item key"),
        (["bad", "good"], "'bad' and 'good' is asked for"),
        (["bad", "stage=extrct"], "Did you mean 'extract'?"),
        (["bad", "dataset=toi"], "Did you mean 'toy'?"),
        (["bad", "run=20990101-000000-abcdee"], f"did you mean '{RUN}'?"),
        (["bad", "unit=toy/frame"], "did you mean 'toy/frames'?"),
        (["bad", "--tail"], "say --tail N"),
        (["bad", "--tail", "-3"], "say --tail N"),
        (["bad", "--al"], "unknown option '--al'"),
        (["bad", "color=red"], "unknown key 'color'"),
        (["x" * 5000], "is no item, task or element"),
    ],
)
def test_a_mistake_is_one_line(cluster: Layout, ask, words: list[str], message: str) -> None:
    code, text = ask(cluster.data_root, *words)
    assert code == 2 and text.startswith("error: ") and message in text and text.count("\n") == 1


def test_no_data_root_is_said(monkeypatch: pytest.MonkeyPatch, capsys, tmp_path: Path) -> None:
    monkeypatch.delenv("DATA_ROOT_DIR", raising=False)
    assert main(["T1"]) == 2 and "DATA_ROOT_DIR is not set" in capsys.readouterr().err
    assert main(["T1", f"paths.data_root={tmp_path}"]) == 2 and "nothing was run there yet" in capsys.readouterr().err
    assert main([]) == 0 and "python -m tools.logs" in capsys.readouterr().out


def test_the_newest_run_is_last(cluster: Layout) -> None:
    write(cluster.run("20980101-000000-abcdef").receipt, {})
    assert find_run(list_runs(cluster), "last").run_id == RUN


def test_nearest_names_are_quick_to_find() -> None:
    names = [f"recording-{number:06d}" for number in range(20 * MAX_COMPARED)]
    assert "'recording-012340'" in advise("recording-01234", names, "")
    assert advise("qqqq", names, "nothing like it") == "nothing like it"


@given(lines=st.lists(st.text("abc \t", max_size=5), max_size=30), number=st.integers(0, 40), ends=st.booleans())
@settings(max_examples=50, deadline=None)
def test_the_tail_is_the_last_lines(tmp_path_factory, lines: list[str], number: int, ends: bool) -> None:
    path = tmp_path_factory.mktemp("tail") / "log"
    path.write_text("\n".join([*lines, "end"]) + ("\n" if ends else ""))
    assert tail_lines(path, number) == ([*lines, "end"][-number:] if number else [])


@given(
    steps=st.lists(st.integers(0, 3), min_size=1, max_size=40),
    begin=st.integers(-2, 60),
    length=st.integers(0, 60),
    limit=st.integers(1, 50),
)
@settings(max_examples=50, deadline=None)
def test_moments_are_those_between_two_times(
    tmp_path_factory, steps: list[int], begin: int, length: int, limit: int
) -> None:
    path = tmp_path_factory.mktemp("moments") / "log"
    times = [sum(steps[: n + 1]) * 10 for n in range(len(steps))]
    write_log(path, *((time, "x" * 4000) for time in times))  # several blocks, so that halving is needed
    found = read_moments(path, at(begin * 10 - 5), at((begin + length) * 10 + 5), limit)
    wanted = [time for time in times if begin * 10 - 5 <= time <= (begin + length) * 10 + 7]
    assert [row["time"] for row in found] == [at(time) for time in wanted[-limit:]]


@given(keys=st.lists(st.sampled_from(["a", "aa", "a-b", "b"]), max_size=30))
def test_rows_of_an_item_are_all_its_rows(tmp_path_factory, keys: list[str]) -> None:
    folder = tmp_path_factory.mktemp("rows")
    path = folder / "w.jsonl"
    write(path, "".join(json.dumps({"item": key, "task": "a", "n": n}) + "\n" for n, key in enumerate(keys)))
    for key in ("a", "aa", "b", "c"):
        assert [row["n"] for _, row in iter_rows_of(folder, key)] == [n for n, one in enumerate(keys) if one == key]
