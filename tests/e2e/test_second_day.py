"""Re-running, changing one setting, one broken video, a typo: what the user sees and what is on disk."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from launchers.run import main
from mmassist.io.layout import Layout
from mmassist.io.ledger import load_outcomes
from mmassist.io.reader import UnitReader
from tests.e2e.commands import ALL_STAGES, SMALL_TASKS, contents, fresh_copy, words_of

CHAIN = "stage=extract,generate,judge,split,pack"  # everything that is quick


@pytest.fixture
def command(monkeypatch, capsys):
    """Run a command in this process; returns its exit code and what it printed."""

    def call(root: Path, *words: str, launcher: str = "basic") -> tuple[int, str]:
        monkeypatch.setenv("DATA_ROOT_DIR", str(root))
        code = main(words_of(*words, launcher=launcher))
        out, err = capsys.readouterr()
        return code, out + err

    return call


@pytest.fixture
def own_sources(sources, tmp_path) -> Path:
    """A data root whose sources may be damaged."""
    root = tmp_path / "root"
    shutil.copytree(sources / "datasets", root / "datasets")
    return root


def wtag_video(root: Path, name: str) -> Path:
    return root / "datasets" / "WTaG" / name / "Video" / "Video.mpeg"


def outcomes(root: Path, dataset: str, folder: str):
    return load_outcomes(Layout(root).unit(dataset, folder).ledger_dir)


def test_a_changed_setting_stops_names_itself_and_rebuilds_on_request(finished, tmp_path, command):
    root = fresh_copy(finished, tmp_path / "root")
    before = contents(root)
    code, text = command(root, "stage=extract", "dataset=wtag", "extract.jpeg_quality=80")
    assert code == 2
    assert (
        "processed_data/wtag/frames was made with other settings: extract.jpeg_quality is 90 there and 80 now" in text
    )
    assert "on_stale=rebuild" in text
    code, text = command(root, "stage=extract", "dataset=wtag", "extract.untagged_matrix=bt709")
    assert code == 2 and "extract.untagged_matrix is its default there and 'bt709' now" in text
    assert contents(root) == before
    code, text = command(root, "stage=extract", "dataset=wtag", "extract.jpeg_quality=80", "on_stale=rebuild")
    assert code == 0 and "3 done (3 now)" in text
    (aside,) = (root / "processed_data" / "wtag").glob("frames.stale-*")
    assert (aside / "manifest.json").exists() and not (aside / "lock").exists()
    code, text = command(root, "stage=encode", "dataset=wtag")
    assert code == 2
    assert "processed_data/wtag/frames, which encode reads, was made with other settings" in text


def test_settings_that_cannot_change_data_change_nothing(finished, tmp_path, command):
    root = fresh_copy(finished, tmp_path / "root")
    code, text = command(root, "stage=extract", "dataset=wtag", "extract.mem_gb=7", "extract.max_stall_s=99")
    assert code == 0 and "nothing to do" in text


def test_one_broken_video_is_one_row_and_is_taken_up_when_mended(own_sources, finished, command):
    video = wtag_video(own_sources, "T47")
    whole = video.read_bytes()
    video.write_bytes(b"<html>403</html>")
    code, text = command(own_sources, CHAIN, "dataset=wtag", *SMALL_TASKS)
    assert code == 1
    assert "failed (permanent) 1: T47" in text and "waiting for extract (failed: permanent)" in text
    row = outcomes(own_sources, "wtag", "frames")["T47"]
    assert row.status == "failed" and row.attempt == 1 and (own_sources / row.traceback).exists()
    code, text = command(own_sources, CHAIN, "dataset=wtag", *SMALL_TASKS)
    assert code == 1 and "extract  wtag              2 done, 1 failed (nothing to do)" in text
    video.write_bytes(whole)
    code, text = command(own_sources, CHAIN, "dataset=wtag", *SMALL_TASKS)
    assert code == 0
    made = {k: v for k, v in contents(own_sources).items() if "features" not in k}
    wanted = {k: v for k, v in contents(finished).items() if "/wtag/" in k and "features" not in k}
    assert made == wanted  # nothing was made of its tasks before, so they were filled in place


def test_a_missing_video_is_skipped_and_comes_back_by_itself(own_sources, command):
    video = wtag_video(own_sources, "T5")
    video.rename(video.with_suffix(".away"))
    code, text = command(own_sources, CHAIN, "dataset=wtag")
    assert code == 0
    assert "skipped (no_video) 1: T5" in text
    assert outcomes(own_sources, "wtag", "prepared/knowledge_L4096_I10")["T5"].reason == "no_video"
    video.with_suffix(".away").rename(video)
    code, text = command(own_sources, CHAIN, "dataset=wtag")
    assert (
        code == 0
        and "extract  wtag              3 done (1 now)" in text
        and "pack     wtag              3 done (1 now)" in text
    )


def test_a_replaced_video_makes_only_itself_stale(own_sources, command):
    words = ["stage=extract,encode", "dataset=wtag", "limit=2"]
    assert command(own_sources, *words)[0] == 0
    shutil.copy(wtag_video(own_sources, "T5"), wtag_video(own_sources, "T1"))
    code, text = command(own_sources, *words)
    path = wtag_video(own_sources, "T1").relative_to(own_sources)
    assert (
        code == 2
        and f"inputs of 1 finished items changed since (first: T1, by path, size or geometry of {path})" in text
    )
    code, text = command(own_sources, *words, "on_stale=rebuild")
    assert code == 0
    assert "extract  wtag              2 done (1 now)" in text and "encode   wtag              2 done (1 now)" in text
    frames = UnitReader(Layout(own_sources).unit("wtag", "frames"), "extract")
    assert sorted(frames.keys()) == ["T1", "T47"]
    again = fresh_copy(own_sources, own_sources.parent / "again")
    shutil.rmtree(again / "processed_data")
    assert command(again, *words)[0] == 0
    assert contents(again) == contents(own_sources)


def test_items_and_limit_choose_what_runs(sources, tmp_path, command):
    root = fresh_copy(sources, tmp_path / "root")
    code, text = command(root, CHAIN, "dataset=wtag", "items=[T5]")
    assert code == 0 and "pack     wtag              1 done (1 now)" in text
    code, text = command(root, CHAIN, "dataset=wtag", "limit=1")
    assert code == 0 and "pack     wtag              1 done (1 now)" in text
    code, text = command(root, CHAIN, "dataset=wtag", "items=[T55]")
    assert code == 2 and "wtag has no item 'T55'. Did you mean 'T5'?" in text
    code, text = command(root, CHAIN, "dataset=wtag")
    assert code == 0 and "pack     wtag              3 done (1 now)" in text


def test_a_plan_shows_what_would_run_and_touches_nothing(sources, tmp_path, command):
    root = fresh_copy(sources, tmp_path / "root")
    code, text = command(root, ALL_STAGES, "dataset=wtag", "plan=true")
    assert code == 0 and "extract-wtag-frames: 3 items in 1 tasks to do" in text and "runs: 3 new" in text
    assert not (root / "processed_data").exists() and not (root / "runs").exists()


def test_setups_and_token_counts_get_folders_of_their_own(finished, tmp_path, command):
    root = fresh_copy(finished, tmp_path / "root")
    words = ["dataset=wtag", "setup=knowledge,no_knowledge,summary_only,full_length", "pack.image_tokens=1,5"]
    code, _ = command(root, "stage=pack", *words, "pack.separator=EOS")
    assert code == 0
    names = sorted(p.name for p in (root / "processed_data" / "wtag" / "prepared").iterdir())
    assert "full_length_L0_I1+SEP" in names and "summary_only_L4096_I5+SEP" in names and len(names) == 9


def test_mistakes_are_found_before_any_work(sources, tmp_path, command, monkeypatch):
    root = fresh_copy(sources, tmp_path / "root")
    for words, expected in (
        (["stage=encode", "dataset=wtag", "encoder=siglip_so400m"], "encoder.path"),
        (["stage=generate", "dataset=wtag", "llm=vllm"], "not in the hub cache"),
        (["stage=pack", "dataset=wtag", "tokenizer=llama3"], "tokenizer.path"),
        (["stage=extract", "dataset=captaincook4d"], "captaincook4d"),
        (["stage=extract", "dataset=wtag", "extract.jpeg_quality=300"], "jpeg_quality is 300"),
    ):
        code, text = command(root, *words)
        assert code == 2 and expected in text and text.count("\n") == 1, text
    monkeypatch.setenv("PATH", str(tmp_path))
    code, text = command(root, "stage=extract", "dataset=wtag", launcher="slurm")
    assert code == 2 and "there is no sbatch on this machine; say hydra/launcher=local" in text
    monkeypatch.delenv("DATA_ROOT_DIR")
    assert main(words_of("stage=extract", "dataset=wtag")) == 2
    assert not (root / "processed_data").exists()


def test_an_unset_data_root_is_one_line(monkeypatch, capsys):
    monkeypatch.delenv("DATA_ROOT_DIR", raising=False)
    assert main(words_of("stage=extract", "dataset=wtag")) == 2
    assert capsys.readouterr().err.startswith(
        "error: DATA_ROOT_DIR is not set; export DATA_ROOT_DIR=/folder/that/holds/datasets"
    )


def test_a_run_folder_says_what_was_done(finished):
    (run_dir, *_) = sorted((finished / "runs").iterdir())
    receipt = json.loads((run_dir / "receipt.json").read_text())
    assert receipt["command"][:3] == ["python", "-m", "launchers.run"] and len(receipt["jobs"]) == 12
    plan = json.loads((run_dir / "plan.json").read_text())
    assert plan["extract-wtag-frames"]["runs"] == {"new": 3}
    assert (run_dir / "code" / "launchers" / "run.py").exists()
    lines = (run_dir / "logs" / "extract-wtag-frames.00000.0.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    assert all({"time", "level", "logger", "message"} <= set(row) for row in rows)
    assert sum("is done after" in row["message"] for row in rows) == 3
