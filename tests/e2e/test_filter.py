"""Dialogs selected by expressions of judges' values, as a user asks for it and finds it on disk."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from launchers.run import main
from mmassist.dialog.judgement import values_of
from mmassist.io.layout import Layout
from mmassist.io.reader import UnitReader
from mmassist.stages.split import VALUES
from tests.e2e.commands import contents, fresh_copy, words_of

CHAIN = "stage=generate,judge,split"


@pytest.fixture(scope="module")
def scored(demo_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root with dialogs, the scores by the clock and the selection by these, of one source."""
    root = tmp_path_factory.mktemp("scored")
    (root / "datasets").mkdir()
    shutil.copytree(demo_root / "datasets" / "WTaG", root / "datasets" / "WTaG")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DATA_ROOT_DIR", str(root))
        assert main(words_of(CHAIN, "dataset=wtag")) == 0
    return root


@pytest.fixture
def command(monkeypatch, capsys):
    """Run a command on the source in this process; returns its exit code and what it printed."""

    def call(root: Path, *words: str) -> tuple[int, str]:
        monkeypatch.setenv("DATA_ROOT_DIR", str(root))
        code = main(words_of(*words, "dataset=wtag"))
        out, err = capsys.readouterr()
        return code, out + err

    return call


def read(root: Path, folder: str, name: str) -> dict[str, dict[str, Any]]:
    """The members called ``name`` by item."""
    reader = UnitReader(Layout(root).unit("wtag", folder), folder)
    return {key: json.loads(reader.read(key).read(name)) for key in list(reader.keys())}


def values(root: Path, judge: str) -> dict[tuple[str, int], dict[str, Any]]:
    """What a judge says of each dialog."""
    found = read(root, f"scores/{judge}", "scores.json")
    return {(key, row["index"]): values_of(scores, row) for key, scores in found.items() for row in scores["scores"]}


def dialogs(root: Path, part: str, reason: str = "") -> set[tuple[str, int]]:
    """The dialogs that were kept or dropped, by item and index."""
    selections = read(root, "splits", "selection.json")
    rows = ((key, row) for key, one in selections.items() for row in one[part])
    return {(key, row["index"]) for key, row in rows if not reason or row["reason"] == reason}


def test_a_filter_on_values_of_the_clock_drops_what_does_not_satisfy_it(scored, tmp_path, command) -> None:
    root = fresh_copy(scored, tmp_path / "root")
    clock = values(root, "timing")
    limit = sorted(row["avg_time_diff_p"] for row in clock.values())[len(clock) // 2]
    words = [f"split.filter='timing.no_resp_user_turns == 0 and timing.avg_time_diff_p <= {limit!r}'"]
    code, text = command(root, CHAIN, *words)
    assert code == 2 and "split.filter is null there and 'timing.no_resp_user_turns == 0 and" in text
    code, text = command(root, CHAIN, *words, "on_stale=rebuild")
    assert code == 0 and "filtered_out" in text
    good = {d for d, row in clock.items() if row["no_resp_user_turns"] == 0 and row["avg_time_diff_p"] <= limit}
    kept, dropped = dialogs(root, "kept"), dialogs(root, "dropped", "filtered_out")
    assert kept and dropped and kept <= good and not dropped & good
    assert {row["judge"] for row in read(root, "splits", "selection.json").values()} == {"timing"}
    code, text = command(root, CHAIN, *words)
    assert code == 0 and "nothing to do" in text


def test_the_defaults_said_aloud_change_nothing(scored, tmp_path, command) -> None:
    root = fresh_copy(scored, tmp_path / "root")
    code, text = command(root, CHAIN, "split.score=timing", "split.filter=null")
    assert code == 0 and "all is done: nothing to do" in text
    code, text = command(root, CHAIN, "split.score=timing.final_score", "on_stale=rebuild")
    made = {name: value for name, value in contents(root).items() if ".stale-" not in name}
    assert code == 0 and made == contents(scored)


def test_a_judge_that_nothing_is_known_of_stops_the_command_before_any_work(scored, tmp_path, command) -> None:
    root = fresh_copy(scored, tmp_path / "root")
    for stage in ("stage=split", CHAIN):
        code, text = command(root, stage, "split.score=llm")
        assert code == 2 and "run stage=judge judge=llm first or with it" in text
    assert contents(root) == contents(scored)


def test_two_judges_in_one_command_select_together(scored, tmp_path, command) -> None:
    root = fresh_copy(scored, tmp_path / "root")
    words = [
        "split.filter='llm.correctness >= 3 and timing.no_resp_user_turns == 0'",
        "split.score='llm + timing / 10'",
    ]
    limits = ["split.train_threshold=0", "split.eval_threshold=0", "on_stale=rebuild"]
    code, text = command(root, "stage=judge,split", "judge=timing,llm", *words, *limits)
    assert code == 0, text
    clock, model = values(root, "timing"), values(root, "llm")
    assert all(set(row) == set(VALUES["llm"]) for row in model.values())
    selections = read(root, "splits", "selection.json")
    assert {row["judge"] for row in selections.values()} == {"llm,timing"}
    kept = {(key, row["index"]): row["score"] for key, one in selections.items() for row in one["kept"]}
    assert kept
    for dialog, score in kept.items():
        assert score == pytest.approx(model[dialog]["final_score"] + clock[dialog]["final_score"] / 10)
        assert model[dialog]["correctness"] >= 3 and clock[dialog]["no_resp_user_turns"] == 0
    out = {dialog for dialog in clock if model[dialog]["correctness"] < 3 or clock[dialog]["no_resp_user_turns"]}
    assert dialogs(root, "dropped", "filtered_out") == {dialog for dialog in out if dialog[0] in selections}
    before = contents(root)
    code, text = command(root, "stage=split", *words, *limits[:2])  # composed with judge=timing
    assert code == 0 and "nothing to do" in text and contents(root) == before
    shutil.rmtree(root / "processed_data" / "wtag" / "scores" / "llm")
    code, text = command(root, "stage=split", *words, *limits[:2])
    assert code == 0 and "nothing to do" in text


def test_a_split_waits_for_the_judge_that_is_not_there_yet(scored, tmp_path, command) -> None:
    root = fresh_copy(scored, tmp_path / "root")
    words = ["split.score='min(llm, timing)'", "split.train_threshold=0", "split.eval_threshold=0"]
    code, text = command(root, "stage=split", "judge=llm", *words, "plan=true", "on_stale=rebuild")
    assert code == 0 and "waits: 3 of these for judge (llm), run stage=judge judge=llm first or with it" in text
    code, text = command(root, "stage=split", "judge=llm", *words, "on_stale=rebuild")
    assert code == 1 and "blocked (judge (llm) (not done yet)) 3" in text and "wait for stage=judge: run it" in text
    assert command(root, "stage=judge", "judge=llm")[0] == 0
    code, text = command(root, "stage=split", *words)
    assert code == 0 and "split    wtag              3 done (3 now)" in text
