"""From a packed sample back to its source: over a real run, and after what can happen to its files later."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmassist.core.item import Item, ItemKind
from mmassist.io.atomic import write_json
from mmassist.io.layout import Layout, UnitLayout
from mmassist.io.ledger import append_row
from tests.e2e.commands import ALL_STAGES, FOLDERS, run, words_of
from tools.why.__main__ import main
from tools.why.origin import load_item_row
from tools.why.target import read_target

pytestmark = pytest.mark.long

STAGES = ["pack", "split", "judge", "generate", "extract"]  # encode is not among what pack reads
SAMPLE = "T1/no_talk_0-0000"


@pytest.fixture(scope="module")
def packed(demo_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root after all stages over the three recordings of WTaG."""
    root = tmp_path_factory.mktemp("packed")
    shutil.copytree(demo_root / "datasets" / "WTaG", root / "datasets" / "WTaG")
    run(root, words_of(ALL_STAGES, "dataset=wtag"))
    return root


@pytest.fixture
def copied(packed: Path, tmp_path: Path) -> Layout:
    """The same, to be changed."""
    shutil.copytree(packed, tmp_path / "root", symlinks=True)
    return Layout(tmp_path / "root")


@pytest.fixture
def ask(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    def call(root: Path, *words: str) -> tuple[int, str]:
        code = main([*words, f"paths.data_root={root}"])
        printed = capsys.readouterr()
        return code, printed.out + printed.err

    return call


@pytest.fixture
def trace(ask) -> Callable[..., dict[str, Any]]:
    """``trace(root, words…)`` is the JSON of the answer, its stages by name."""

    def call(root: Path, *words: str) -> dict[str, Any]:
        code, text = ask(root, *words, "--json")
        assert code == 0, text
        row = json.loads(text)
        return {**row, "by": {step["stage"]: step for step in row["stages"]}}

    return call


def unit_of(layout: Layout, stage: str) -> UnitLayout:
    return layout.unit("wtag", FOLDERS[stage])


def task_of(layout: Layout, stage: str, key: str) -> str:
    rows = json.loads(unit_of(layout, stage).tasks.read_text())["tasks"]
    return next(row["name"] for row in rows if key in row["items"])


def test_a_sample_goes_back_to_its_video(packed: Path, trace) -> None:
    row = trace(packed, f"{SAMPLE}.json")
    assert [step["stage"] for step in row["stages"]] == STAGES
    assert (row["key"], row["sample"], row["problem"]) == ("T1", "no_talk_0-0000", "")
    names = [member["name"] for member in row["members"]]
    assert names == [f"{SAMPLE}.{end}" for end in ("input_ids.npy", "json", "labels.npy")]
    for step in row["stages"]:
        manifest = json.loads((packed / step["unit"] / "manifest.json").read_text())
        assert step["status"] == "done" and (packed / step["shard"]).is_file()
        assert step["fingerprint"] == manifest["fingerprint"] and step["versions"]["python"]
        assert step["commit"] == manifest["commit"] and step["attempt"] == 1 and step["time"]
        assert step["run_id"] == manifest["created_by"] and step["element"] == 0 and step["writer"]
        assert step["inputs"]["state"] == ("same" if step["stage"] in STAGES[:3] else "unchecked")
    assert row["by"]["generate"]["revisions"]["llm"] == "scripted/1"
    assert row["by"]["generate"]["drops"][0]["reason"] == "before the start"
    files = {source["kind"]: source["files"] for source in row["sources"]}
    assert [file["path"] for file in files["media"]] == ["datasets/WTaG/T1/Video/Video.mpeg"]
    assert all(file["is_there"] and file["num_bytes"] for file in files["media"] + files["dialog"])


def test_the_same_as_text(packed: Path, ask) -> None:
    code, text = ask(packed, SAMPLE)
    assert code == 0 and text.startswith("wtag T1, sample no_talk_0-0000\n")
    for words in (
        "pack of T1: done",
        "shards/train-000000.tar (task train-000000)",
        "pack.max_seq_len=4096",
        "llm=scripted/1",
        "mmassist 0.1.0",
        "the same as there now (split ",
        "as the run found it",
        "records repaired or left out: before the start",
        "licence   MIT",
        "file      datasets/WTaG/T1/Video/Video.mpeg  ",
        "side train",
    ):
        assert words in text, words


@pytest.mark.parametrize(
    ("word", "first"),
    [
        ("T1", "pack"),
        ("T1/000003.jpg", "extract"),
        ("wtag/prepared/knowledge_L4096_I10/shards/train-000000.tar", "pack"),
        ("train-000000.tar/T1/no_talk_0-0000.json", "pack"),
        ("processed_data/wtag/features/tiny/shards/000000.tar/T1", "encode"),
    ],
)
def test_ways_to_name_it(packed: Path, trace, word: str, first: str) -> None:
    row = trace(packed, word)
    assert (row["key"], row["stages"][0]["stage"]) == ("T1", first)
    absolute = Layout(packed).unit("wtag", FOLDERS["pack"]).shard("train-000000")
    assert trace(packed, str(absolute))["stages"][0]["stage"] == "pack"


def test_encode_reads_what_extract_made(packed: Path, trace) -> None:
    row = trace(packed, "T1", "stage=encode")
    assert [step["stage"] for step in row["stages"]] == ["encode", "extract"]
    assert row["by"]["encode"]["inputs"]["parts"] == {"extract": row["by"]["extract"]["digest"]}
    assert row["by"]["encode"]["revisions"] and [source["kind"] for source in row["sources"]] == ["media"]


def test_what_changed_upstream_is_stale(copied: Layout, trace) -> None:
    unit = unit_of(copied, "generate")
    record = json.loads(unit.record("000000").read_text())
    record["outcomes"]["T1"]["digest"] = "0" * 32
    write_json(unit.record("000000"), record)
    states = {name: step["inputs"]["state"] for name, step in trace(copied.data_root, "T1")["by"].items()}
    assert states == {"pack": "changed", "split": "changed", "judge": "changed", "generate": "unchecked"} | {
        "extract": "unchecked"
    }
    same = trace(copied.data_root, "T5")["by"]
    assert same["pack"]["inputs"]["state"] == "same"


def test_the_source_is_listed_again_on_request(copied: Layout, trace) -> None:
    with (copied.datasets / "WTaG" / "T1" / "Video" / "Video.mpeg").open("ab") as file:
        file.write(b"more")
    row = trace(copied.data_root, "T1", "--check")
    assert row["by"]["extract"]["inputs"]["state"] == "changed"
    assert row["by"]["generate"]["inputs"]["state"] == "same"
    digests = {source["kind"]: source["digest"] == source["digest_now"] for source in row["sources"]}
    assert digests == {"dialog": True, "media": False}


def test_without_the_run_the_source_tells(copied: Layout, trace) -> None:
    shutil.rmtree(copied.runs)
    row = trace(copied.data_root, "T1")
    assert {source["listed_by"] for source in row["sources"]} == {""} and row["problem"] == ""
    assert row["by"]["extract"]["inputs"]["state"] == "same" and not row["by"]["pack"]["run_is_there"]
    shutil.rmtree(copied.datasets / "WTaG")
    gone = trace(copied.data_root, "T1")
    assert gone["sources"] == [] and "WTaG" in gone["problem"]
    assert [step["stage"] for step in gone["stages"]] == STAGES


def test_folders_made_before_there_were_lines_of_what_is_done(copied: Layout, trace) -> None:
    before = trace(copied.data_root, "T1")
    for stage in STAGES:
        shutil.rmtree(unit_of(copied, stage).done_log_dir, ignore_errors=True)
        shutil.rmtree(unit_of(copied, stage).commit_log_dir, ignore_errors=True)
    after = trace(copied.data_root, "T1")
    for stage, step in after["by"].items():
        kept = ("run_id", "attempt", "status", "task", "inputs", "drops", "element", "digest")
        assert [step[name] for name in kept] == [before["by"][stage][name] for name in kept] and step["time"]


def test_earlier_attempts_are_told(copied: Layout, trace, ask) -> None:
    unit = unit_of(copied, "extract")
    task = task_of(copied, "extract", "T1")
    failure = {
        "item": "T1",
        "task": task,
        "status": "failed",
        "reason": "timeout",
        "message": "not finished within 9 s",
    }
    more = {"attempt": 1, "inputs": "", "traceback": "", "run_id": "20200101-000000-abcdef"}
    append_row(
        unit.ledger("20200101-000000-abcdef.0-supervisor"), {**failure, **more, "time": "2020-01-01T00:00:00+00:00"}
    )
    step = trace(copied.data_root, "T1")["by"]["extract"]
    assert step["status"] == "done" and [one["reason"] for one in step["earlier"]] == ["timeout"]
    assert "attempt 1 failed (timeout): not finished within 9 s; run 2020" in ask(copied.data_root, "T1")[1]


def test_the_run_that_made_it_names_its_code(copied: Layout, trace) -> None:
    run_id = trace(copied.data_root, "T1")["by"]["pack"]["run_id"]
    path = copied.run(run_id).receipt
    receipt = json.loads(path.read_text())
    write_json(path, {**receipt, "versions": {"python": "3.11.99", "mmassist": "9.9"}, "commit": "c0ffee"})
    step = trace(copied.data_root, "T1")["by"]["pack"]
    assert (step["commit"], step["versions"]["mmassist"], step["versions_of"]) == ("c0ffee", "9.9", "run")


def test_a_folder_made_again_with_other_settings_is_remarked(copied: Layout, trace) -> None:
    path = unit_of(copied, "generate").manifest
    manifest = json.loads(path.read_text())
    manifest["settings"]["generate"]["seed"] = 43
    write_json(path, {**manifest, "fingerprint": "f" * 32})
    assert "generate.seed was 42, is 43" in trace(copied.data_root, "T1")["by"]["generate"]["remark"]
    shutil.rmtree(unit_of(copied, "generate").root)
    step = trace(copied.data_root, "T1")["by"]["generate"]
    assert step["status"] == "unknown" and "no folder of generate is there any more" in step["remark"]


def test_an_item_that_failed(copied: Layout, trace, ask) -> None:
    unit = unit_of(copied, "pack")
    task = task_of(copied, "pack", "T1")
    unit.record(task).unlink()
    failure = {"item": "T1", "task": task, "status": "failed", "reason": "permanent", "message": "no such thing"}
    more = {"attempt": 2, "inputs": "", "traceback": "", "run_id": "20990101-000000-abcdef"}
    append_row(unit.ledger("20990101-000000-abcdef.x"), {**failure, **more, "time": "2099-01-01T00:00:00+00:00"})
    step = trace(copied.data_root, "T1")["by"]["pack"]
    assert (step["status"], step["reason"], step["shard"], step["is_committed"]) == ("failed", "permanent", "", False)
    assert "pack of T1: failed (permanent): no such thing" in ask(copied.data_root, "T1")[1]


def test_two_setups_are_told_apart(copied: Layout, trace, ask) -> None:
    other = copied.unit("wtag", "prepared/no_knowledge_L4096_I10")
    shutil.copytree(unit_of(copied, "pack").root, other.root)
    manifest = json.loads(other.manifest.read_text())
    manifest["settings"]["setup"]["name"] = "no_knowledge"
    write_json(other.manifest, manifest)
    row = trace(copied.data_root, SAMPLE, "setup=no_knowledge")
    assert row["stages"][0]["unit"] == "processed_data/wtag/prepared/no_knowledge_L4096_I10" and row["also_in"] == []
    assert len(trace(copied.data_root, SAMPLE)["also_in"]) == 1
    assert "say unit=FOLDER or setup=NAME" in ask(copied.data_root, SAMPLE)[1]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["T48"], "did you mean 'T47'?"),
        (["T1/no_talk_0-0009"], "did you mean 'T1/no_talk_0-0000'"),
        (["wtag/frames/shards/000099.tar"], "no such task is committed"),
        (["wtag/features/tiny/shards/000000.tar"], "holds several items; add /KEY with one of T1"),
        (["nowhere/shards/000000.tar/T1"], "no folder in"),
        ([], "give one item key"),
        (["T1", "stage=pak"], "Did you mean 'pack'?"),
        (["T1", "setup=nothing"], "fits setup=nothing"),
        (["T1", "--jsn"], "unknown option '--jsn'"),
    ],
)
def test_a_mistake_is_one_line(packed: Path, ask, words: list[str], message: str) -> None:
    code, text = ask(packed, *words)
    assert code == 2 and text.startswith("error: ") and message in text and text.count("\n") == 1


def test_usage_is_shown(capsys) -> None:
    assert main([]) == 0 and "python -m tools.why T1" in capsys.readouterr().out


NAMES = st.sampled_from(["a", "b", "key", "T1", "attempts", "item"])


@given(keys=st.lists(NAMES, unique=True, max_size=6), asked=NAMES, media=NAMES)
@settings(max_examples=50, deadline=None)
def test_the_row_of_an_item_is_found_without_parsing_all(tmp_path_factory, keys, asked: str, media: str) -> None:
    path = tmp_path_factory.mktemp("element") / "00000.json"
    items = [Item("toy", key, ItemKind.DIALOG, "train", (f'a"key":"{key}',), "0", key, media_key=media) for key in keys]
    rows = [{"key": i.key, "item": i.to_row(), "side": "", "todo": True, "attempts": 0} for i in items]
    write_json(path, {"tasks": [{"name": "000000", "weight": 1.0, "items": rows}]})
    row = load_item_row(path, asked)
    assert bool(row) == (asked in keys) and row.get("key", asked) == asked


@given(
    key=st.from_regex(r"[A-Za-z0-9_-]{1,20}", fullmatch=True), sample=st.from_regex(r"[a-z_0-9-]{1,9}", fullmatch=True)
)
def test_a_sample_is_read_from_every_form(tmp_path_factory, key: str, sample: str) -> None:
    layout = Layout(tmp_path_factory.getbasetemp())
    for word in (f"{key}/{sample}", f"{key}/{sample}.json", f"{key}/{sample}.input_ids.npy"):
        assert (read_target(layout, word).key, read_target(layout, word).sample) == (key, sample)
        inside = read_target(layout, f"toy/frames/shards/train-000001.tar/{word}")
        assert (inside.key, inside.sample, inside.task, inside.unit) == (key, sample, "train-000001", "toy/frames")
