"""The rehearsal: what it compares, what it counts, and that a calm one does not pass."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from mmassist.io.layout import Layout, RunLayout, UnitLayout
from tools.rehearsal.__main__ import main
from tools.rehearsal.blows import BLOWS
from tools.rehearsal.compare import Rule, compare_roots
from tools.rehearsal.storm import Storm
from tools.rehearsal.table import render_table

FRAMES, SPLITS = "processed_data/wtag/frames", "processed_data/llava/splits"


def write(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode() + b"\n")


def outcome(item: str, status: str, reason: str, run_id: str) -> dict[str, Any]:
    row = {"item": item, "status": status, "reason": reason, "inputs": "i", "run_id": run_id, "attempt": 1}
    return {**row, "task": "000000", "message": f"said in {run_id}", "time": run_id}


def record(run_id: str, **stats: float) -> dict[str, Any]:
    """A task's record as the run ``run_id`` would write it, with one item done and one skipped."""
    entry = {"path": "shards/000000.tar", "sha256": "s", "size": 9, "temp": f"shards/.000000.tar.{run_id}.tmp"}
    done = {"status": "done", "inputs": "i", "digest": "d", "stats": {"frames": 3, **stats}}
    outcomes = {"T1": done, "T2": {"status": "skipped", "inputs": "i", "reason": "no_video", "message": ""}}
    names = {"task": "000000", "items": ["T1", "T2"], "run_id": run_id, "attempt": f"{run_id}-0"}
    return {**names, "files": {"shard": entry}, "outcomes": outcomes, "stats": {"frames": 3, **stats}}


def make_root(root: Path, run_id: str) -> Layout:
    """A data root with one finished folder of frames, as one run leaves it, and the sides of a source of captions."""
    layout = Layout(root)
    unit = UnitLayout(root / FRAMES)
    write(unit.manifest, {"stage": "extract", "created": run_id, "created_by": run_id, "settings": {"fps": 2.0}})
    write(unit.tasks, {"tasks": [{"name": "000000", "items": ["T1", "T2"], "weight": 3.0}]})
    write(unit.shard("000000"), b"the shard")
    write(unit.index("000000"), {"shard": "000000.tar"})
    write(unit.record("000000"), record(run_id))
    write(unit.ledger(f"{run_id}.a"), outcome("T2", "skipped", "no_video", run_id))
    write(unit.done_log(f"{run_id}.a"), {"item": "T1", "seconds": 1.0, "run_id": run_id})
    drop = {"dataset": "wtag", "item": "T1", "recording": "T1", "record": "line 4", "reason": "no text"}
    write(unit.drops(f"{run_id}.a"), {**drop, "attempt": 1, "run_id": run_id})
    write(root / SPLITS / unit.assignment.name, {"recordings": {"00123": "train"}})
    return layout


@pytest.fixture
def roots(tmp_path: Path) -> tuple[Layout, Layout]:
    """The same outputs of two commands; the second was disturbed: a worker died under T1, and jobs held the lock."""
    first, second = make_root(tmp_path / "first", "run-1"), make_root(tmp_path / "second", "run-2")
    unit = UnitLayout(second.data_root / FRAMES)
    write(unit.ledger("run-2.supervisor"), outcome("T1", "failed", "killed", "run-2"))
    write(unit.lock, {"run_id": "run-2", "jobs": ["17"]})
    shutil.copy(unit.drops("run-2.a"), unit.drops("run-2.b"))  # T1 was made again, and told of its record again
    return first, second


def test_who_made_it_and_what_was_tried_before_makes_no_difference(roots: tuple[Layout, Layout]) -> None:
    result = compare_roots(*roots)
    assert result.differences == []
    counts = {Rule.BYTES: 4, Rule.RECORD: 1, Rule.MANIFEST: 1, Rule.LOCK: 1, Rule.LEDGER: 2}  # two folders of ledgers
    assert dict(result.counts) == counts


def change_byte(unit: UnitLayout) -> None:
    write(unit.shard("000000"), b"the sharp")


CHANGES: dict[str, tuple[Callable[[UnitLayout], Any], str, str]] = {
    "one byte": (change_byte, "shards/000000.tar", "differs from byte 8 on (9 and 9 bytes)"),
    "missing": (lambda unit: unit.index("000000").unlink(), "index/000000.json", "is in {first} alone"),
    "extra": (lambda unit: write(unit.shard("000001"), b"x"), "shards/000001.tar", "is in {second} alone"),
    "temporary": (
        lambda unit: write(unit.shard_dir / ".000000.tar.x.tmp", b""),
        "shards/.000000.tar.x.tmp",
        "lies in {second}, where a finished command leaves no such file",
    ),
    "fragment": (
        lambda unit: write(unit.fragment("000001", "T3"), b""),
        "journal/000001/T3.part",
        "lies in {second}, where a finished command leaves no such file",
    ),
    "record": (
        lambda unit: write(unit.record("000000"), record("run-2", partial=1.0)),
        "tasks/000000.json",
        "differs in outcomes.T1.stats.partial, stats.partial",
    ),
    "settings": (
        lambda unit: write(unit.manifest, {"stage": "extract", "settings": {"fps": 1.0}}),
        "manifest.json",
        "differs in settings.fps",
    ),
    "outcome": (
        lambda unit: write(unit.ledger("run-2.c"), outcome("T2", "failed", "timeout", "run-2")),
        "ledger",
        "item T2 is skipped (no_video) in the one and failed (timeout) in the other",
    ),
    "left out": (
        lambda unit: unit.drops("run-2.a").unlink() or unit.drops("run-2.b").unlink(),
        "ledger",
        "line 4 of item T1 is left out (no text) in one alone",
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_difference_is_named(roots: tuple[Layout, Layout], name: str) -> None:
    change, path, what = CHANGES[name]
    change(UnitLayout(roots[1].data_root / FRAMES))
    (found,) = compare_roots(*roots).differences
    told = what.format(first=roots[0].data_root, second=roots[1].data_root)
    assert str(found) == f"{FRAMES}/{path}: {told}"


def test_the_first_difference_is_that_of_the_first_path(roots: tuple[Layout, Layout]) -> None:
    change_byte(UnitLayout(roots[1].data_root / FRAMES))
    write(roots[1].data_root / SPLITS / "assignment.json", {})
    paths = [difference.path for difference in compare_roots(*roots).differences]
    assert paths == [f"{SPLITS}/assignment.json", f"{FRAMES}/shards/000000.tar"]


def write_lives(layout: Layout, *spans: tuple[int, int, str, str]) -> None:
    """A run of extract with lives of the given elements, starts, beginnings and ends (seconds of a minute)."""
    run = RunLayout(layout.runs / "20260101-000000-aaaaaa")
    job = {"job": "extract-wtag-frames", "stage": "extract", "dataset": "wtag", "unit": FRAMES}
    write(run.receipt, {"launcher": "slurm", "jobs": [{**job, "elements": 2, "job_ids": []}]})
    for element, start, began, ended in spans:
        times = [f"2026-01-01T00:00:{second}+00:00" for second in (began, ended)]
        life = {"element": element, "start": start, "started": times[0], "updated": times[1], "ended": times[1]}
        write(run.life(job["job"], element, start), life)


def test_the_table_adds_up(roots: tuple[Layout, Layout]) -> None:
    write_lives(roots[0], (0, 0, "10", "14"))
    write_lives(roots[1], (0, 0, "10", "20"), (1, 0, "15", "25"), (0, 1, "40", "42"))  # the first one began again
    text = io.StringIO()
    Console(file=text, width=120).print(render_table(*roots))
    rows = {line.split()[0]: line.split()[1:] for line in text.getvalue().splitlines() if line.strip()}
    # folders, items, shards, MB, seconds here, seconds there, elements, starts, seconds of all starts
    assert rows["extract"] == ["1", "1", "1", "0.0", "4", "17", "2", "3", "22"]
    assert rows["pack"] == ["0", "0", "0", "0.0", "0", "0", "0", "0", "0"]
    assert rows["all"] == rows["extract"]


def test_a_disturbance_that_was_not_made_is_a_failure() -> None:
    failures = Storm(list(BLOWS), print).list_failures()
    assert len(failures) == len(BLOWS) > 0
    assert failures[0] == (
        "a planned disturbance was not made: a worker is killed: there was no chance for it in extract"
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["dataset=lava"], "error: dataset=lava: there is no such dataset. Did you mean 'llava'?"),
        (["wtag"], "error: 'wtag' is none of the words that this command knows; see --help"),
    ],
)
def test_a_mistake_is_one_line(capsys: pytest.CaptureFixture[str], tmp_path: Path, words: list[str], said: str) -> None:
    assert main([*words, "--root", str(tmp_path)]) == 2
    assert capsys.readouterr().err == f"{said}\n"


def test_a_folder_of_somebody_else_is_left_alone(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    write(tmp_path / "local" / "thesis.tex", b"\\begin")
    assert main(["--root", str(tmp_path)]) == 2
    assert "holds other files" in capsys.readouterr().err
    assert (tmp_path / "local" / "thesis.tex").exists()
