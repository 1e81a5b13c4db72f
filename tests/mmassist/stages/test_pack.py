"""The pack stage: members that the plain webdataset package reads, sides kept apart, decisions with reasons."""

from __future__ import annotations

import asyncio
import io
import json
import tarfile
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmassist.core.config import meaning
from mmassist.core.errors import ConfigError, ItemError, Skip, StageError
from mmassist.core.item import Item, ItemKind
from mmassist.io.npy import npy_bytes
from mmassist.packing.sample import PackConfig
from mmassist.stages import stage_class
from mmassist.stages.pack import Pack

pytest.importorskip("tokenizers")

ITEM = Item("wtag", "T1-asm", ItemKind.DIALOG, "train", (), "d", "T1", media_key="T1", time_offset_s=10.0)
TURNS = [
    {"role": "user", "time": 1.0, "content": "I want coffee.", "labels": ""},
    *(
        {"role": "assistant", "time": 3.0 + 6 * n, "content": f"Step {n}.", "labels": "initiative|instruction",
         "progress": f"Elapsed {3 + 6 * n} s. The user is at step {n}."}
        for n in range(40)
    ),
]  # fmt: skip

DATASET = {
    "name": "wtag",
    "raw_dir": "WTaG",
    "video_pattern": "{recording}.mpeg",
    "recipe_dirs": ["assets"],
    "ignored": [],
    "domain": "cooking",
    "knowledge_type": "recipe",
    "licence": "MIT",
    "homepage": "",
}


@dataclass
class Stored:
    """What an earlier stage made of one item."""

    members: dict[str, bytes]
    digest: str = "x"

    @property
    def names(self) -> list[str]:
        return sorted(self.members)

    def read(self, name: str) -> bytes:
        return self.members[name]


@dataclass
class Folder:
    """A context whose earlier stages lie in memory."""

    stages: dict[tuple[str, str], Stored]
    compat: bool = False
    counts: dict[str, float] = field(default_factory=dict)

    def read(self, stage: str, key: str) -> Stored:
        return self.stages[stage, key]


def as_json(value: Any) -> bytes:
    return json.dumps(value).encode()


def context(num_frames: int = 600, **kept: Any) -> Folder:
    dialogs = {
        "video_uid": "T1-asm",
        "inferred_goal": "Coffee",
        "inferred_knowledge": "1. Boil.",
        "conversations": [
            {"user_type": "no_talk", "conversation": TURNS},
            {"user_type": "no_talk", "conversation": TURNS},
        ],
        "parsed_video_anns": {"dataset": "wtag", "video_start_time": 0.0},
        "generator": "scripted",
        "is_scripted": True,
    }
    rows = [
        {"index": i, "user_type": "no_talk", "user_id": f"no_talk_{i}", "score": 8.0 - i, "weight": 1.0, **kept}
        for i in (0, 1)
    ]
    rng = np.random.default_rng(0)
    features = {
        f"{chunk:06d}.{part}.npy": npy_bytes(rng.random((120, tokens, 4), dtype=np.float32).astype(np.float16))
        for chunk in range(5)
        for part, tokens in (("2x2", 4), ("cls", 1))
    }
    made_by = {"encoder": "tiny", "is_random": True, "layer": "last", "dim": 4}
    features["features.json"] = as_json({"num_frames": 600, "chunk_frames": 120, "grids": [2], **made_by})
    return Folder(
        {
            ("generate", "T1-asm"): Stored({"dialogs.json": as_json(dialogs)}),
            ("split", "T1-asm"): Stored(
                {"selection.json": as_json({"key": "T1-asm", "side": "val", "kept": rows, "dropped": []})}
            ),
            ("extract", "T1"): Stored({"video.json": as_json({"num_frames": num_frames, "fps": 2, "pts_s": []})}),
            ("encode", "T1"): Stored(features),
        }
    )


def stage(setup: str = "knowledge", tokenizer: dict[str, Any] | None = None, **pack: Any) -> Pack:
    setups = {
        "knowledge": {"knowledge": True, "summary": True},
        "summary_only": {"knowledge": False, "summary": True, "summary_only": True},
        "full_length": {"knowledge": True, "summary": False, "full_length": True},
    }
    sections = {
        "dataset": DATASET,
        "pack": {"max_seq_len": 1200, "image_tokens": 5, **pack},
        "setup": {"name": setup, **setups[setup]},
        "tokenizer": tokenizer or {"name": "tiny"},
    }
    return Pack({name: make(sections[name], name) for name, make in Pack.sections.items()})


def run(made: Pack, ctx: Folder, item: Item = ITEM) -> tuple[list[tuple[str, bytes]], dict[str, float]]:
    made.setup(ctx)  # type: ignore[arg-type]
    outputs = asyncio.run(made.process(item, ctx))  # type: ignore[arg-type]
    return list(outputs.members), outputs.stats  # type: ignore[arg-type]


@pytest.mark.parametrize("include_features", [False, True])
def test_a_plain_webdataset_loop_sees_samples_only(tmp_path: Path, include_features: bool) -> None:
    webdataset = pytest.importorskip("webdataset")
    members, stats = run(stage(include_features=include_features), context())
    names = [name for name, _ in members]
    assert names == sorted(names)
    with tarfile.open(tmp_path / "shard.tar", "w") as tar:
        for name, data in members:
            info = tarfile.TarInfo(f"{ITEM.key}/{name}")
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    dataset = webdataset.WebDataset(str(tmp_path / "shard.tar"), shardshuffle=False).decode()
    samples = list(dataset)
    assert len(samples) == stats["samples"] > 4
    for sample in samples:
        record = sample["json"]
        assert sample["__key__"] == f"T1-asm/{record['metadata']['user_id']}-{record['clip_idx']:04d}"
        assert sample["input_ids.npy"].dtype == sample["labels.npy"].dtype == np.int32
        assert sample["input_ids.npy"].shape == sample["labels.npy"].shape == (record["seq_len"],)
        assert record["split"] == "val" and record["frames"]["key"] == "T1"
        if include_features:
            num_frames = record["end_frame_idx"] - record["start_frame_idx"]
            assert sample["features.npy"].shape == (num_frames, 5, 4)


def test_features_are_the_rows_of_the_sample_with_the_pooled_token_first() -> None:
    ctx = context()
    members = dict(run(stage(include_features=True, max_seq_len=4096), ctx)[0])
    stored = ctx.read("encode", "T1").members
    whole = np.concatenate(
        [
            np.concatenate([np.load(io.BytesIO(stored[f"{c:06d}.{p}.npy"])) for p in ("cls", "2x2")], axis=1)
            for c in range(5)
        ]
    )
    checked = 0
    for name, data in members.items():
        if name.endswith(".features.npy"):
            record = json.loads(members[name.replace(".features.npy", ".json")])
            rows = np.load(io.BytesIO(data))
            assert rows.dtype == np.float16
            assert (rows == whole[record["start_frame_idx"] : record["end_frame_idx"]]).all()
            checked += 1
    assert checked == 2  # 490 frames each, over chunk borders


def test_records_say_what_made_their_features() -> None:
    members, _ = run(stage(include_features=True), context())
    records = [json.loads(data) for name, data in members if name.endswith(".json")]
    made_by = {"encoder": "tiny", "is_random": True, "layer": "last", "dim": 4, "parts": ["cls", "2x2"]}
    assert [record["features"] for record in records] == [made_by] * len(records)
    members, _ = run(stage(), context())
    assert all("features" not in json.loads(data) for name, data in members if name.endswith(".json"))


@pytest.mark.parametrize(("image_tokens", "grid"), [(10, 3), (26, 5)])
def test_a_grid_that_was_not_encoded_stops_the_task_and_names_both_settings(image_tokens: int, grid: int) -> None:
    said = rf"pack\.image_tokens={image_tokens} .*encode\.grids=\[2\].*add {grid} to encode\.grids"
    with pytest.raises(StageError, match=said):
        run(stage(include_features=True, image_tokens=image_tokens), context())


def test_times_are_moved_to_the_medias_clock() -> None:
    members, _ = run(stage(), context())
    record = json.loads(dict(members)["no_talk_0-0000.json"])
    assert record["conversation"][1] == {"role": "frames", "start": 20, "end": 22}
    assert record["conversation"][2]["time"] == 11.0


def test_same_bytes_every_time() -> None:
    assert run(stage(), context()) == run(stage(), context())


def test_summaries_take_the_first_dialog_of_each_type() -> None:
    members, stats = run(stage("summary_only"), context())
    assert {name.split("-")[0] for name, _ in members} == {"no_talk_0"}
    assert stats["dropped_dialogs_not_first"] == 1


def test_folder_says_what_is_in_it() -> None:
    assert Pack.folder(stage().configs) == "prepared/knowledge_L1200_I5"
    assert Pack.folder(stage(separator="EOS").configs) == "prepared/knowledge_L1200_I5+SEP"
    assert Pack.folder(stage("full_length", image_tokens=1).configs) == "prepared/full_length_L0_I1"


def test_sides_never_share_a_shard() -> None:
    assert [stage().group(ITEM, side) for side in ("train", "val", "test")] == ["train", "val", "test"]


def test_features_are_read_only_where_asked_for() -> None:
    assert stage().reads == ("extract", "generate", "split")
    assert stage(include_features=True).reads == ("extract", "generate", "split", "encode")
    assert stage_class("pack") is Pack


def test_the_sources_settings_count_through_generate_alone() -> None:
    assert set(stage().configs) == {"pack", "setup", "tokenizer"}
    assert not stage().reads_source


def test_nothing_left_is_a_decision_with_its_reason() -> None:
    with pytest.raises(Skip, match="turns_after_end 82") as caught:
        run(stage(), context(num_frames=15))
    assert caught.value.reason == "no_samples"
    ctx = context()
    ctx.stages["split", "T1-asm"] = Stored({"selection.json": as_json({"side": "val", "kept": []})})
    with pytest.raises(Skip):
        run(stage(), ctx)


@pytest.mark.parametrize(
    ("kept", "said"),
    [
        ({"index": 7}, "dialog 7"),
        ({"user_id": "a.b"}, "user_id 'a.b'"),
        ({"index": -1}, "dialog -1"),
        ({"user_id": "a"}, "twice"),
    ],
)
def test_broken_selections_fail_the_item(kept: dict[str, Any], said: str) -> None:
    with pytest.raises(ItemError, match=said):
        run(stage(), context(**kept))


def test_broken_dialogs_fail_the_item() -> None:
    ctx = context()
    stored = json.loads(ctx.read("generate", "T1-asm").members["dialogs.json"])
    for change, said in (({"time": "soon"}, "turn 0: time"), ({"role": "narrator"}, "role 'narrator'")):
        broken = {**stored, "conversations": [{"user_type": "no_talk", "conversation": [{**TURNS[0], **change}]}] * 2}
        ctx.stages["generate", "T1-asm"] = Stored({"dialogs.json": as_json(broken)})
        with pytest.raises(ItemError, match=said):
            run(stage(), ctx)


def test_an_absent_tokenizer_stops_before_any_work() -> None:
    with pytest.raises(ConfigError, match=r"tokenizer\.path"):
        stage(tokenizer={"name": "llama3"}).check()
    stage().check()
    assert set(stage().revision()) == {"tokenizer", "wording"}


def test_a_partial_store_is_marked() -> None:
    ctx = context()
    ctx.stages["extract", "T1"] = Stored({"video.json": as_json({"num_frames": 300, "fps": 2, "partial": True})})
    members, stats = run(stage(), ctx, replace(ITEM, time_offset_s=0.0))
    assert json.loads(members[1][1])["frames"]["is_partial"] is True
    assert stats["samples"] > 0


CONF = Path(__file__).parents[3] / "conf"


def test_shipped_settings_build() -> None:
    yaml = pytest.importorskip("yaml")
    setups = {path.stem: yaml.safe_load(path.read_text()) for path in (CONF / "setup").glob("*.yaml")}
    assert set(setups) == {"knowledge", "no_knowledge", "summary_only", "full_length"}
    for name, values in setups.items():
        assert Pack.sections["setup"](values, "setup").name == name
    for path in (CONF / "tokenizer").glob("*.yaml"):
        assert Pack.sections["tokenizer"](yaml.safe_load(path.read_text()), "tokenizer").name == path.stem
    text = (CONF / "stages" / "pack.yaml").read_text()
    assert text.startswith("# @package pack\n")
    values = yaml.safe_load(text)
    config = Pack.sections["pack"](values, "pack")
    assert set(values) == {f.name for f in fields(config)}  # everything that can be set is shown
    assert meaning(config) == meaning(PackConfig())
