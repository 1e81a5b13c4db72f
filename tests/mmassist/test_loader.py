"""Streaming prepared samples: order, repeats, silence, shares of ranks and workers."""

import io
import json
import tarfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from mmassist.core.errors import ConfigError
from mmassist.loader import PreparedDataset, iter_samples, list_shards
from mmassist.packing.chat_format import ChatFormat
from mmassist.packing.conversation import Frames, Message
from mmassist.packing.labels import IGNORE, build_labels
from mmassist.packing.tokenizer import TokenizerConfig, build_tokenizer

pytest.importorskip("tokenizers")

TURNS = (
    Message("system", "You help."),
    Frames(3, 14),  # 10 silent frames
    Message("user", "What now?"),
    Frames(14, 15),  # none
    Message("assistant", "Pour the water."),
    Frames(15, 46),  # 30
    Message("assistant", "Stop."),
)
SILENT = (10, 30)


def sample_files(name: str, weight: float, separator: str, features: bool) -> dict[str, bytes]:
    chat = ChatFormat(build_tokenizer(TokenizerConfig("tiny")), 5, separator)
    input_ids, ranges = chat.assemble(TURNS)
    labels = build_labels(input_ids, TURNS, ranges, chat)
    ids = {"image_id": chat.tokenizer.image_id, "start_header_id": chat.tokenizer.start_header_id}
    record = {"weight": weight, "seq_len": len(input_ids), "num_tokens_per_img": 5, "tokenizer": ids, "name": name}
    arrays = {"input_ids": input_ids, "labels": labels}
    if features:
        arrays["features"] = np.ones((43, 5, 8), np.float16)
    files = {f"{name}.json": json.dumps(record).encode()}
    for part, array in arrays.items():
        out = io.BytesIO()
        np.save(out, array)
        files[f"{name}.{part}.npy"] = out.getvalue()
    return files


def write_folder(root: Path, shards: dict[str, dict[str, float]], separator="none", features=False) -> Path:
    """``shards``: name -> sample -> weight."""
    (root / "shards").mkdir(parents=True)
    for shard, samples in shards.items():
        with tarfile.open(root / "shards" / f"{shard}.tar", "w") as tar:
            for name, weight in samples.items():
                for path, data in sorted(sample_files(name, weight, separator, features).items()):
                    info = tarfile.TarInfo(path)
                    info.size = len(data)
                    tar.addfile(info, io.BytesIO(data))
    return root


@pytest.fixture
def folder(tmp_path):
    shards = {f"train-{s:06d}": {f"video-{s}/talk-0-{i:04d}": 1.0 for i in range(4)} for s in range(5)}
    return write_folder(tmp_path / "unit", shards | {"val-000000": {"video-9/talk-0-0000": 1.0}}, features=True)


def keys(samples) -> list[str]:
    return [sample["key"] for sample in samples]


def test_samples_come_as_stored(folder):
    samples = list(iter_samples(folder, "train"))
    assert keys(samples) == [f"video-{s}/talk-0-{i:04d}" for s in range(5) for i in range(4)]
    first = samples[0]
    assert set(first) == {"key", "record", "input_ids", "labels", "features"}
    assert first["input_ids"].dtype == first["labels"].dtype == np.int32
    assert first["features"].shape == (43, 5, 8)
    assert first["record"]["name"] == first["key"]
    assert len(first["labels"]) == first["record"]["seq_len"]
    assert keys(iter_samples(folder, "val")) == ["video-9/talk-0-0000"]


def test_a_seed_shuffles_shards_and_samples_and_every_epoch_differs(folder):
    dataset = PreparedDataset(folder, "train", seed=1, buffer_size=6)
    first, again = keys(dataset), keys(dataset)
    dataset.epoch = 1
    second = keys(dataset)
    stored = keys(iter_samples(folder, "train"))
    assert first == again
    assert len({tuple(first), tuple(second), tuple(stored)}) == 3
    assert sorted(first) == sorted(second) == stored
    assert keys(PreparedDataset(folder, "train", seed=1, buffer_size=6)) == first
    assert keys(PreparedDataset(folder, "train", seed=2, buffer_size=6)) != first
    assert [key.split("/")[0] for key in first] != sorted(key.split("/")[0] for key in first)


@pytest.mark.parametrize("seed", [None, 3])
def test_ranks_share_the_samples(folder, seed):
    shares = [keys(iter_samples(folder, "train", seed=seed, rank=r, world_size=3)) for r in range(3)]
    assert sorted(key for share in shares for key in share) == keys(iter_samples(folder, "train"))
    assert min(map(len, shares)) == 4


def test_workers_of_a_torch_loader_share_the_samples(folder):
    data = pytest.importorskip("torch.utils.data")
    loader = data.DataLoader(PreparedDataset(folder, "train", seed=5), batch_size=None, num_workers=2)
    first, again = keys(loader), keys(loader)
    assert first == again
    assert sorted(first) == keys(iter_samples(folder, "train"))


def test_weights_are_expected_repeats(tmp_path):
    weights = {"v/a": 0.0, "v/b": 0.25, "v/c": 1.0, "v/d": 2.5}
    folder = write_folder(tmp_path / "unit", {"train-000000": weights})
    dataset = PreparedDataset(folder, "train", seed=0)
    total: Counter[str] = Counter()
    for epoch in range(200):
        dataset.epoch = epoch
        seen = Counter(keys(dataset))
        assert seen["v/c"] == 1 and seen["v/d"] in (2, 3) and seen["v/b"] in (0, 1) and "v/a" not in seen
        total += seen
    assert total["v/b"] / 200 == pytest.approx(0.25, abs=0.1)
    assert total["v/d"] / 200 == pytest.approx(2.5, abs=0.12)
    assert Counter(keys(iter_samples(folder, "train", use_weights=False))) == dict.fromkeys(weights, 1)


@pytest.mark.parametrize("separator", ["none", "EOS"])
@pytest.mark.parametrize(
    ("rate", "expected"), [(1.0, SILENT), (0.5, (5, 15)), (0.1, (1, 3)), (0.01, (1, 1)), (0.0, (0, 0)), (-1.0, (0, 0))]
)
def test_silence_is_thinned_in_every_run_and_speech_never(tmp_path, separator, rate, expected):
    folder = write_folder(tmp_path / "unit", {"train-000000": {"v/a": 1.0}}, separator)
    (stored,) = iter_samples(folder, "train")
    (thinned,) = iter_samples(folder, "train", neg_frame_sampling_rate=rate)
    header = stored["record"]["tokenizer"]["start_header_id"]
    image = stored["record"]["tokenizer"]["image_id"]
    ids, before, after = stored["input_ids"], stored["labels"], thinned["labels"]
    silent = (ids == image) & (before != IGNORE) & (before != header)
    assert silent.sum() == sum(SILENT)
    assert np.array_equal(before[~silent], after[~silent])
    kept = np.flatnonzero(silent & (after != IGNORE))
    assert (after[kept] == before[kept]).all()
    user = np.flatnonzero(ids == header)[1]  # header of the user's message: between the two runs
    assert ((kept < user).sum(), (kept > user).sum()) == expected


def test_silence_is_drawn_anew_per_epoch_and_per_repeat(tmp_path):
    folder = write_folder(tmp_path / "unit", {"train-000000": {"v/a": 2.0}})
    dataset = PreparedDataset(folder, "train", neg_frame_sampling_rate=0.3)
    first = [sample["labels"] for sample in dataset]
    again = [sample["labels"] for sample in dataset]
    dataset.epoch = 1
    later = [sample["labels"] for sample in dataset]
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0], first[1]) and not np.array_equal(first[0], later[0])


def test_an_empty_split_and_wrong_settings_are_refused(folder, tmp_path):
    with pytest.raises(ConfigError, match=r"'test'.*there: train, val"):
        PreparedDataset(folder, "test")
    with pytest.raises(ConfigError, match="no shard at all"):
        list_shards(tmp_path, "train")
    for settings in ({"rank": 2, "world_size": 2}, {"buffer_size": 0}, {"neg_frame_sampling_rate": 10}):
        with pytest.raises(ConfigError, match=next(iter(settings))):
            PreparedDataset(folder, "train", **settings)


def test_a_shard_cut_short_is_an_error_not_a_shorter_epoch(folder):
    shard = list_shards(folder, "train")[2]
    shard.write_bytes(shard.read_bytes()[:3000])
    with pytest.raises(Exception, match="unexpected end of data"):
        list(iter_samples(folder, "train"))


def test_a_sample_that_contradicts_itself_is_named(tmp_path):
    root = tmp_path / "unit"
    (root / "shards").mkdir(parents=True)
    files = sample_files("v/a", 1.0, "none", False)
    files["v/a.labels.npy"] = sample_files("v/a", 1.0, "EOS", False)["v/a.labels.npy"]
    with tarfile.open(root / "shards/val-000000.tar", "w") as tar:
        for path, data in sorted(files.items()):
            info = tarfile.TarInfo(path)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    with pytest.raises(ValueError, match=r"v/a of .*val-000000\.tar"):
        list(iter_samples(root, "val"))
