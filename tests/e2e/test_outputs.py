"""What a user finds after the six stages: frames, features and samples that agree with each other and the sources."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
import simplejpeg
import webdataset

from mmassist.core.stage import ItemReader
from mmassist.io.layout import Layout
from mmassist.io.reader import UnitReader
from mmassist.packing.chat_format import ChatFormat, decode_conversation
from mmassist.packing.tokenizer import build_tokenizer, build_tokenizer_config
from tools.demo.frame_code import read_number

DATASETS = ("holoassist", "wtag")
PREPARED = "prepared/knowledge_L4096_I10"


def reader(root: Path, dataset: str, folder: str, stage: str) -> UnitReader:
    return UnitReader(Layout(root).unit(dataset, folder), stage)


def read_json(item: ItemReader, name: str):
    return json.loads(item.read(name))


def samples(root: Path, dataset: str):
    for path in sorted(Layout(root).unit(dataset, PREPARED).shard_dir.glob("*.tar")):
        for sample in webdataset.WebDataset(str(path), shardshuffle=False, empty_check=False):
            arrays = {name: np.load(io.BytesIO(sample[f"{name}.npy"])) for name in ("input_ids", "labels")}
            yield path.stem.split("-")[0], sample["__key__"], json.loads(sample["json"]), arrays


def brief(turn) -> tuple:
    is_frames = turn["role"] == "frames"
    return ("frames", turn["end"] - turn["start"]) if is_frames else (turn["role"], turn["content"].strip())


@pytest.mark.parametrize("dataset", DATASETS)
def test_every_frame_is_the_one_a_player_shows(finished, dataset):
    rates = {"holoassist": 30000 / 1001, "wtag": 24.46}
    frames = reader(finished, dataset, "frames", "extract")
    for key in frames.keys():  # noqa: SIM118
        item = frames.read(key)
        info = read_json(item, "video.json")
        pictures = [name for name in item.names if name.endswith(".jpg")]
        assert len(pictures) == info["num_frames"] == len(info["pts_s"])
        for index, name in enumerate(pictures):
            picture = simplejpeg.decode_jpeg(item.read(name), colorspace="GRAY")[:, :, 0]
            assert picture.shape == (384, 384)
            assert read_number(picture) == int(index / 2 * rates[dataset] + 1e-3), (key, name)
            assert index / 2 - 1 / rates[dataset] < info["pts_s"][index] <= index / 2 + 1e-6


@pytest.mark.parametrize("dataset", DATASETS)
def test_features_have_a_row_per_frame(finished, dataset):
    frames, features = (
        reader(finished, dataset, "frames", "extract"),
        reader(finished, dataset, "features/tiny", "encode"),
    )
    assert list(frames.keys()) == list(features.keys())
    for key in features.keys():  # noqa: SIM118
        item = features.read(key)
        for part, tokens in (("cls", 1), ("2x2", 4), ("3x3", 9)):
            chunks = [np.load(io.BytesIO(item.read(n))) for n in item.names if n.endswith(f".{part}.npy")]
            rows = np.concatenate(chunks)
            assert rows.shape == (read_json(frames.read(key), "video.json")["num_frames"], tokens, 64)
            assert rows.dtype == np.float16 and np.isfinite(rows).all()


@pytest.mark.parametrize("dataset", DATASETS)
def test_samples_agree_with_dialogs_and_frames(finished, dataset):
    tokenizer = build_tokenizer(build_tokenizer_config({"name": "tiny"}, "tokenizer"))
    chat = ChatFormat(tokenizer, 10, "none")
    frames = reader(finished, dataset, "frames", "extract")
    seen = set()
    for side, key, record, arrays in samples(finished, dataset):
        ids, labels = arrays["input_ids"], arrays["labels"]
        seen.add(side)
        assert record["split"] == side and key.startswith(record["frames"]["key"])
        assert ids.dtype == labels.dtype == np.int32 and ids.shape == labels.shape == (record["seq_len"],)
        assert record["seq_len"] <= 4096
        num_frames = record["end_frame_idx"] - record["start_frame_idx"]
        assert (ids == record["tokenizer"]["image_id"]).sum() == 10 * num_frames
        store = read_json(frames.read(record["frames"]["key"]), "video.json")
        assert 0 <= record["start_frame_idx"] < record["end_frame_idx"] <= store["num_frames"]
        wanted = [
            ("frames", turn["end"] - turn["start"])
            if turn["role"] == "frames"
            else (turn["role"], turn["content"].strip())
            for turn in record["conversation"]
        ]
        assert [tuple(part) for part in decode_conversation(ids, chat)] == wanted
        taught = labels[labels != -100]
        assert len(taught) and (labels[:-1][labels[:-1] != -100] == ids[1:][labels[:-1] != -100])[-1]
    assert seen == {"train", "val", "test"}


@pytest.mark.parametrize("dataset", DATASETS)
def test_everything_made_without_models_says_so(finished, dataset):
    dialogs = reader(finished, dataset, "generated_dialogs/scripted", "generate")
    for key in dialogs.keys():  # noqa: SIM118
        record = read_json(dialogs.read(key), "dialogs.json")
        assert record["generator"] == "scripted"
        assert len(record["conversations"]) == 10
    assert all(record["generator"] == "scripted" for _, _, record, _ in samples(finished, dataset))
    manifest = json.loads(Layout(finished).unit(dataset, "features/tiny").manifest.read_text())
    assert manifest["settings"]["revision"]["is_random"] is True


@pytest.mark.parametrize("dataset", DATASETS)
def test_no_recording_or_participant_is_on_two_sides(finished, dataset):
    unit = Layout(finished).unit(dataset, "splits")
    audit = json.loads(unit.audit.read_text())
    assert audit["shared_participants"] == {}
    sides = json.loads(unit.assignment.read_text())["recordings"]
    by_side = {side: {r for r, s in sides.items() if s == side} for side in ("train", "val", "test")}
    assert all(by_side.values())
    for side, _, record, _ in samples(finished, dataset):
        assert record["video_uid"] in by_side[side]
