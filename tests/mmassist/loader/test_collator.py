"""What a batch holds, for any samples."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmassist.core.errors import ConfigError
from mmassist.loader import Collator

pytestmark = pytest.mark.long

torch = pytest.importorskip("torch")
IMAGE, PAD, HEADER = 9, 7, 5


def make_sample(frames, words, image_tokens=5, dim=4, **tokenizer):
    """``frames`` runs of frames with ``words`` tokens before each."""
    ids, rand = [], np.random.default_rng(len(frames))
    for num, word in zip(frames, words, strict=True):
        ids += [1] * word + [IMAGE] * (num * image_tokens)
    input_ids = np.array([*ids, PAD], np.int32)  # the terminator is the pad id, as in the chat format
    num_rows = sum(frames)
    ids = {"image_id": IMAGE, "start_header_id": HEADER, "pad_id": PAD, "name": "t"} | tokenizer
    sample = {
        "key": f"v/{len(ids)}-{num_rows}",
        "source": "toy/unit",
        "record": {"num_tokens_per_img": image_tokens, "tokenizer": ids},
        "input_ids": input_ids,
        "labels": np.where(input_ids == 1, 3, -100).astype(np.int32),
    }
    if dim:
        sample["features"] = rand.normal(size=(num_rows, image_tokens, dim)).astype(np.float16)
    return sample


RUNS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 6)), max_size=4)


@given(st.lists(RUNS, min_size=1, max_size=4), st.sampled_from([1, 5, 10]), st.one_of(st.none(), st.integers(0, 9)))
def test_a_batch_is_its_samples_padded_on_the_right(runs, image_tokens, more):
    samples = [make_sample([f for f, _ in run], [w for _, w in run], image_tokens) for run in runs]
    lengths = [len(sample["input_ids"]) for sample in samples]
    batch = Collator(None if more is None else max(lengths) + more)(samples)
    shape = (len(samples), max(lengths) + (more or 0))
    types = {
        "input_ids": torch.int64,
        "labels": torch.int64,
        "attention_mask": torch.int64,
        "position_ids": torch.int64,
    }
    for name, dtype in {**types, "image_mask": torch.bool}.items():
        assert batch[name].shape == shape and batch[name].dtype == dtype
    for row, (sample, num) in enumerate(zip(samples, lengths, strict=True)):
        assert batch["input_ids"][row, :num].tolist() == sample["input_ids"].tolist()
        assert batch["labels"][row, :num].tolist() == sample["labels"].tolist()
        assert batch["attention_mask"][row].tolist() == [1] * num + [0] * (shape[1] - num)
        assert batch["position_ids"][row, :num].tolist() == list(range(num))
        assert set(batch["input_ids"][row, num:].tolist()) <= {PAD}
        assert set(batch["labels"][row, num:].tolist()) <= {-100}
    assert batch["keys"] == [sample["key"] for sample in samples] and batch["sources"] == ["toy/unit"] * len(samples)
    features = batch["image_features"]
    assert features.dtype == torch.float16 and features.shape == (int(batch["image_mask"].sum()), 4)
    placed = torch.zeros(*shape, 4, dtype=torch.float16)
    placed[batch["image_mask"]] = features
    for row, sample in enumerate(samples):
        own = placed[row][batch["image_mask"][row]].numpy()
        assert np.array_equal(own, sample["features"].reshape(-1, 4))


def test_an_image_id_that_is_the_pad_id_marks_no_padding():
    batch = Collator(40)([make_sample([2], [3], dim=0, image_id=PAD)])
    assert batch["image_mask"].sum() == 1  # the terminator alone


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"image_tokens": 10}, "num_tokens_per_img of .* is 10, of .* 5; mix sources that were packed alike"),
        ({"dim": 8}, "dim of .* is 8, of .* 4"),
        ({"dim": 0}, "dim of .* is None, of .* 4"),
        ({"pad_id": 8}, "tokenizer of .*'pad_id': 8"),
    ],
)
def test_samples_that_do_not_go_together_are_named(other, message):
    with pytest.raises(ConfigError, match=message):
        Collator()([make_sample([2], [3]), make_sample([2], [4], **other)])


def test_separators_may_differ():
    assert len(Collator()([make_sample([2], [3], separator_id=1), make_sample([2], [3])])["keys"]) == 2


def test_rows_and_image_tokens_must_agree():
    sample = make_sample([2], [3])
    sample["features"] = sample["features"][:1]
    with pytest.raises(ConfigError, match="10 image tokens and 5 rows"):
        Collator()([sample])


def test_a_sample_longer_than_the_fixed_length_is_named():
    with pytest.raises(ConfigError, match="has 14 tokens and pad_to is 13"):
        Collator(13)([make_sample([2], [3])])
    with pytest.raises(ConfigError, match="pad_to is 0"):
        Collator(0)


def test_without_features_there_is_the_mask_alone():
    batch = Collator()([make_sample([2], [3], dim=0)])
    assert "image_features" not in batch and batch["image_mask"].sum() == 10
