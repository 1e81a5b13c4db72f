"""Naming and mixing of sources."""

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmassist.core.errors import ConfigError
from mmassist.loader import PreparedDataset, Source, parse_sources
from tests.mmassist.loader.folders import write_prepared

pytestmark = pytest.mark.long

pytest.importorskip("tokenizers")
SIZES = {"holoassist/knowledge_L4096_I10": 12, "llava/caption_L4096_I10": 7}


@pytest.fixture(scope="module")
def processed(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("processed")
    for name, number in SIZES.items():
        dataset, folder = name.split("/")
        shards: dict[str, dict[str, float]] = {}
        for i in range(number):
            shards.setdefault(f"train-{i // 4:06d}", {})[f"{dataset}-{i // 4}/s-{i:04d}"] = 1.0
        write_prepared(root / dataset / "prepared" / folder, shards)
    return root


def test_sources_are_named_in_one_word(processed):
    text = "holoassist/knowledge_L4096_I10@2, llava/prepared/caption_L4096_I10@0.5,wtag/summary_only_L4096_I10"
    found = parse_sources(text, processed)
    assert found == (
        Source(processed / "holoassist/prepared/knowledge_L4096_I10", 2.0),
        Source(processed / "llava/prepared/caption_L4096_I10", 0.5),
        Source(processed / "wtag/prepared/summary_only_L4096_I10", 1.0),
    )
    assert [source.name for source in found][:2] == list(SIZES)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "''.*is not of the form <dataset>/<folder>"),
        ("a/b,", "''.*is not of the form"),
        ("a/b/c", "'a/b/c'.*is not of the form"),
        ("a/b@x", "'x' in 'a/b@x' is no number"),
        ("a/b@", "'' in 'a/b@' is no number"),
        ("a/b@0", "a/b: repeat is 0.0; it must be above 0"),
        ("a/b@nan", "repeat is nan"),
    ],
)
def test_what_cannot_be_a_source_is_named(text, message):
    with pytest.raises(ConfigError, match=message):
        parse_sources(text, "processed")


def test_sources_must_be_there_once(processed):
    with pytest.raises(ConfigError, match="sources is empty"):
        PreparedDataset([], "train")
    with pytest.raises(ConfigError, match="names holoassist/knowledge_L4096_I10 twice"):
        PreparedDataset(
            parse_sources("holoassist/knowledge_L4096_I10,holoassist/knowledge_L4096_I10", processed), "train"
        )
    with pytest.raises(ConfigError, match="no shard at all"):
        PreparedDataset(parse_sources("holoassist/no_knowledge_L4096_I10", processed), "train")


def test_a_source_of_weight_zero_is_named(tmp_path):
    folder = write_prepared(tmp_path / "toy" / "prepared" / "unit", {"train-000000": {"v/a": 0.0}})
    with pytest.raises(ConfigError, match="toy/unit: all 1 samples have weight 0"):
        PreparedDataset(folder, "train")


@given(st.floats(0.1, 4), st.floats(0.1, 4), st.integers(0, 20))
def test_repeats_make_a_declared_epoch(processed, first, second, epoch):
    repeats = dict(zip(SIZES, (first, second), strict=True))
    sources = [(str(processed / name.replace("/", "/prepared/")), repeat) for name, repeat in repeats.items()]
    dataset = PreparedDataset(sources, "train", seed=3)
    found = Counter(name for name, _ in dataset.iter_keys(epoch))
    assert found == Counter(dataset.num_samples) and len(dataset) == dataset.epoch_size == found.total()
    for name, number in SIZES.items():
        assert abs(found[name] - repeats[name] * number) <= 0.5 + 1e-6
        copies = Counter(key for source, key in dataset.iter_keys(epoch) if source == name)
        assert set(copies.values()) <= {int(repeats[name]), int(repeats[name]) + 1}


@given(st.floats(0.1, 4), st.floats(0.1, 4), st.integers(1, 60))
def test_with_an_epoch_size_repeats_are_proportions(processed, first, second, epoch_size):
    weights = dict(zip(SIZES, (first, second), strict=True))
    sources = [(str(processed / name.replace("/", "/prepared/")), weight) for name, weight in weights.items()]
    dataset = PreparedDataset(sources, "train", seed=3, epoch_size=epoch_size)
    assert dataset.epoch_size == sum(dataset.num_samples.values()) == epoch_size
    for name, number in dataset.num_samples.items():
        assert abs(number - epoch_size * weights[name] / (first + second)) < 1 + 1e-9
