"""Streaming prepared samples: order, repeats, silence, shares of ranks and workers."""

import shutil
from collections import Counter

import numpy as np
import pytest

from mmassist.core.errors import ConfigError
from mmassist.loader import PreparedDataset, Source, iter_samples, list_shards
from mmassist.packing.labels import IGNORE
from tests.mmassist.loader.folders import NUM_FRAMES, SILENT, keys, sample_members, write_features, write_prepared
from tools.bench.loading_data import write_unit

pytestmark = pytest.mark.long

pytest.importorskip("tokenizers")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    shards = {f"train-{s:06d}": {f"video-{s}/talk-0-{i:04d}": 1.0 for i in range(4)} for s in range(5)}
    root = tmp_path_factory.mktemp("data") / "toy" / "prepared" / "unit"
    return write_prepared(root, shards | {"val-000000": {"video-9/talk-0-0000": 1.0}}, features=True)


def test_samples_come_as_stored(folder):
    samples = list(iter_samples(folder, "train"))
    assert keys(samples) == [f"video-{s}/talk-0-{i:04d}" for s in range(5) for i in range(4)]
    first = samples[0]
    assert set(first) == {"key", "source", "record", "input_ids", "labels", "features"}
    assert first["source"] == "toy/unit"
    assert first["input_ids"].dtype == first["labels"].dtype == np.int32
    assert first["features"].shape == (NUM_FRAMES, 5, 8) and (first["features"] == 1).all()
    assert first["record"]["name"] == first["key"].partition("/")[2]
    assert len(first["labels"]) == first["record"]["seq_len"]
    assert keys(iter_samples(folder, "val")) == ["video-9/talk-0-0000"]
    assert "features" not in next(iter_samples(folder, "train", with_features=False))


def test_the_arrays_are_those_that_webdataset_reads(folder):
    wds = pytest.importorskip("webdataset")
    stored = wds.WebDataset([str(p) for p in list_shards(folder, "train")], shardshuffle=False).decode()
    for sample, other in zip(iter_samples(folder, "train"), stored, strict=True):
        assert sample["key"] == other["__key__"] and sample["record"] == other["json"]
        for name in ("input_ids", "labels", "features"):
            assert np.array_equal(sample[name], other[f"{name}.npy"]) and sample[name].flags.writeable


def test_a_seed_shuffles_and_every_epoch_differs(folder):
    dataset = PreparedDataset(folder, "train", seed=1, window=2)
    first, again = keys(dataset), keys(dataset)
    dataset.epoch = 1
    second = keys(dataset)
    stored = keys(iter_samples(folder, "train"))
    assert first == again == [key for _, key in dataset.iter_keys(0)]
    assert len({tuple(first), tuple(second), tuple(stored)}) == 3
    assert sorted(first) == sorted(second) == stored
    assert keys(PreparedDataset(folder, "train", seed=1, window=2)) == first
    assert keys(PreparedDataset(folder, "train", seed=2, window=2)) != first
    assert all(len({key.split("/")[0] for key in first[start : start + 8]}) == 2 for start in (0, 8))


@pytest.mark.parametrize("seed", [None, 3])
def test_ranks_share_the_samples(folder, seed):
    shares = [keys(iter_samples(folder, "train", seed=seed, rank=r, world_size=3)) for r in range(3)]
    whole = keys(iter_samples(folder, "train", seed=seed))
    assert [len(share) for share in shares] == [7, 7, 6]
    assert [shares[i % 3][i // 3] for i in range(20)] == whole
    even = [keys(iter_samples(folder, "train", rank=r, world_size=3, batch_size=2, drop_last=True)) for r in range(3)]
    assert [len(share) for share in even] == [6, 6, 6]


def test_workers_of_a_plain_torch_loader_keep_the_order(folder):
    data = pytest.importorskip("torch.utils.data")
    whole = keys(iter_samples(folder, "train", seed=5))
    for num_workers in (0, 1, 2):
        one = data.DataLoader(PreparedDataset(folder, "train", seed=5), batch_size=None, num_workers=num_workers)
        assert keys(one) == whole
        dataset = PreparedDataset(folder, "train", seed=5, batch_size=3)
        batches = list(data.DataLoader(dataset, batch_size=3, num_workers=num_workers, collate_fn=keys))
        assert batches == [whole[start : start + 3] for start in range(0, 20, 3)]


def test_weights_are_expected_repeats(tmp_path):
    weights = {"v/a": 0.0, "v/b": 0.25, "v/c": 1.0, "v/d": 2.5, "v/e": 0.25}
    folder = write_prepared(tmp_path / "unit", {"train-000000": weights})
    dataset = PreparedDataset(folder, "train", seed=0)
    assert dataset.epoch_size == len(dataset) == 4
    total = Counter()
    for epoch in range(200):
        seen = Counter(key for _, key in dataset.iter_keys(epoch))
        assert seen["v/c"] == 1 and seen["v/d"] in (2, 3) and seen["v/b"] in (0, 1) and "v/a" not in seen
        assert seen.total() == 4
        total += seen
    assert total["v/b"] / 200 == pytest.approx(0.25, abs=0.1)
    assert total["v/d"] / 200 == pytest.approx(2.5, abs=0.12)
    assert Counter(keys(iter_samples(folder, "train", use_weights=False))) == dict.fromkeys(weights, 1)


def test_the_weight_is_the_records_own_wherever_it_stands(tmp_path):
    inner = {"z": {"a": "x" * 80, "weight": 3.0}}  # the record's last bytes are `,"weight":3.0}}`
    tricky = {"z": 'x","weight":4.0}'}
    members = {"train-000000": {"a": sample_members("s", 2.0, **inner), "b": sample_members("s", 1.0, **tricky)}}
    write_unit(tmp_path / "unit", members)
    assert keys(iter_samples(tmp_path / "unit", "train")) == ["a/s", "b/s", "a/s"]


@pytest.mark.parametrize("separator", ["none", "EOS"])
@pytest.mark.parametrize(
    ("rate", "expected"), [(1.0, SILENT), (0.5, (5, 15)), (0.1, (1, 3)), (0.01, (1, 1)), (0.0, (0, 0)), (-1.0, (0, 0))]
)
def test_silence_is_thinned_in_every_run_and_speech_never(tmp_path, separator, rate, expected):
    folder = write_prepared(tmp_path / "unit", {"train-000000": {"v/a": 1.0}}, separator=separator)
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
    folder = write_prepared(tmp_path / "unit", {"train-000000": {"v/a": 2.0}})
    dataset = PreparedDataset(folder, "train", neg_frame_sampling_rate=0.3)
    first = [sample["labels"] for sample in dataset]
    again = [sample["labels"] for sample in dataset]
    dataset.epoch = 1
    later = [sample["labels"] for sample in dataset]
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0], first[1]) and not np.array_equal(first[0], later[0])


def test_features_come_from_their_folder_and_are_checked_before_training(tmp_path):
    toy = tmp_path / "toy"
    folder = write_prepared(toy / "prepared" / "unit", {"train-000000": {"v/a": 1.0, "w/b": 1.0}})
    write_features(toy / "features" / "enc", {"video": NUM_FRAMES + 3})
    dataset = PreparedDataset(folder, "train", encoder="enc")
    assert dataset.check() == 2
    assert {sample["features"].shape for sample in dataset} == {(NUM_FRAMES, 5, 8)}
    with pytest.raises(ConfigError, match=r"video has no features in .*other, which does not exist.*dataset=toy"):
        PreparedDataset(folder, "train", encoder="other").check()
    packed = write_prepared(toy / "prepared" / "packed", {"train-000000": {"v/a": 1.0}}, features=True)
    with pytest.raises(ConfigError, match="encoder is 'enc', but toy/packed"):
        PreparedDataset(packed, "train", encoder="enc").check()


def test_an_empty_split_and_wrong_settings_are_refused(folder, tmp_path):
    with pytest.raises(ConfigError, match=r"'test'.*there: train, val"):
        PreparedDataset(folder, "test")
    with pytest.raises(ConfigError, match="no shard at all"):
        list_shards(tmp_path, "train")
    wrong = ({"rank": 2, "world_size": 2}, {"window": 0}, {"batch_size": 0}, {"neg_frame_sampling_rate": 10})
    with pytest.raises(ConfigError, match="an epoch has 20 samples, which leaves rank 0 of 7 with batch_size 3 none"):
        PreparedDataset(folder, "train", world_size=7, batch_size=3, drop_last=True)
    for settings in (*wrong, {"epoch_size": 0}):
        with pytest.raises(ConfigError, match=next(iter(settings))):
            PreparedDataset(folder, "train", **settings)


def test_sources_for_different_models_are_refused_at_once(folder, tmp_path):
    other = write_prepared(tmp_path / "toy" / "prepared" / "one", {"train-000000": {"v/a": 1.0}}, image_tokens=1)
    with pytest.raises(ConfigError, match="num_tokens_per_img is 1 in toy/one and 5 in toy/unit"):
        PreparedDataset([Source(folder), Source(other)], "train")
    same = write_prepared(tmp_path / "toy" / "prepared" / "sep", {"train-000000": {"v/a": 1.0}}, separator="EOS")
    assert len(PreparedDataset([Source(folder), Source(same)], "train")) == 21


def test_shards_copied_alone_are_read_by_their_headers(folder, tmp_path):
    shutil.copytree(folder / "shards", tmp_path / "shards")
    assert keys(iter_samples(tmp_path, "train", seed=4)) == keys(iter_samples(folder, "train", seed=4))


@pytest.mark.parametrize("has_index", [True, False])
def test_a_shard_cut_short_is_an_error_not_a_shorter_epoch(folder, tmp_path, has_index):
    copy = shutil.copytree(folder, tmp_path / "unit")
    if not has_index:
        shutil.rmtree(copy / "index")
    shard = list_shards(copy, "train")[2]
    shard.write_bytes(shard.read_bytes()[:3000])
    with pytest.raises(ConfigError, match=r"train-000002\.tar.*(has 3000 bytes|cut short)"):
        PreparedDataset(copy, "train")


def test_a_shard_that_shrinks_while_it_is_read_is_an_error(folder, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "unit")
    samples = iter_samples(copy, "train")
    next(samples)
    shard = list_shards(copy, "train")[0]
    with shard.open("r+b") as file:
        file.truncate(9000)
    with pytest.raises(ConfigError, match="cut short"):
        list(samples)


def test_a_sample_that_contradicts_itself_is_named(tmp_path):
    members = dict(sample_members("a"))
    members["a.labels.npy"] = dict(sample_members("a", separator="EOS"))["a.labels.npy"]
    write_unit(tmp_path / "unit", {"val-000000": {"v": sorted(members.items())}})
    with pytest.raises(ValueError, match=r"v/a of .*val-000000\.tar contradicts itself"):
        list(iter_samples(tmp_path / "unit", "val"))
    members["a.labels.npy"] = b"nothing of the kind"
    write_unit(tmp_path / "other", {"val-000000": {"v": sorted(members.items())}})
    with pytest.raises(ValueError, match=r"v/a of .*val-000000\.tar is damaged"):
        list(iter_samples(tmp_path / "other", "val"))
    del members["a.labels.npy"]
    write_unit(tmp_path / "third", {"val-000000": {"v": sorted(members.items())}})
    with pytest.raises(ConfigError, match=r"v/a of .*val-000000\.tar has no labels\.npy"):
        list(iter_samples(tmp_path / "third", "val"))
