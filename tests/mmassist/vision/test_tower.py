"""What encoders answer: shapes, independence of rows, exactness against other implementations."""

import subprocess
import sys

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("open_clip")

from mmassist.vision import build_encoder, build_encoder_config  # noqa: E402

pytestmark = pytest.mark.long

GRIDS = (2, 3, 5)
KEYS = {"cls": 1, "2x2": 4, "3x3": 9, "5x5": 25}


def build_tiny(**settings):
    return build_encoder(build_encoder_config({"engine": "tiny", **settings}, "encoder"))


def same(left, right) -> bool:
    return all(left[key].tobytes() == right[key].tobytes() for key in KEYS)


def test_shapes_types_and_marks(tiny_encoder, pictures):
    features = tiny_encoder.embed_batch(pictures, GRIDS)
    assert {key: value.shape for key, value in features.items()} == {k: (5, n, 64) for k, n in KEYS.items()}
    assert all(value.dtype == np.float16 and np.isfinite(value).all() for value in features.values())
    assert tiny_encoder.is_random and tiny_encoder.revision["is_random"] is True
    assert tiny_encoder.revision["weights"] == "random, seed 0"


def test_different_pictures_have_clearly_different_features(tiny_encoder, pictures):
    features = tiny_encoder.embed_batch(pictures, GRIDS)
    for key in KEYS:
        flat = features[key].reshape(5, -1).astype(np.float64)
        distances = [np.abs(flat[i] - flat[j]).mean() for i in range(5) for j in range(i)]
        assert min(distances) > 0.02, key


def test_a_row_does_not_depend_on_the_others(tiny_encoder, pictures):
    whole = tiny_encoder.embed_batch(pictures, GRIDS)
    padded = pictures.copy()
    padded[3:] = 0
    assert all((tiny_encoder.embed_batch(padded, GRIDS)[key][:3] == whole[key][:3]).all() for key in KEYS)
    others = pictures.copy()
    others[[0, 1, 3, 4]] = 255 - others[[4, 3, 1, 0]]
    assert all((tiny_encoder.embed_batch(others, GRIDS)[key][2] == whole[key][2]).all() for key in KEYS)


def test_a_permuted_batch_gives_permuted_rows(tiny_encoder, pictures):
    order = [3, 0, 4, 2, 1]
    whole, turned = tiny_encoder.embed_batch(pictures, GRIDS), tiny_encoder.embed_batch(pictures[order], GRIDS)
    assert all((turned[key] == whole[key][order]).all() for key in KEYS)


def test_read_only_and_strided_batches_are_taken(tiny_encoder, pictures):
    frozen = pictures.copy()
    frozen.flags.writeable = False
    assert same(tiny_encoder.embed_batch(frozen, GRIDS), tiny_encoder.embed_batch(pictures, GRIDS))
    assert same(tiny_encoder.embed_batch(pictures[::-2], GRIDS), tiny_encoder.embed_batch(pictures[::-2].copy(), GRIDS))
    with pytest.raises(ValueError, match="uint8"):
        tiny_encoder.embed_batch(pictures.astype(np.float32), GRIDS)


def test_two_processes_give_the_same_bytes():
    code = """
import hashlib, numpy as np
from mmassist.vision import build_encoder, build_encoder_config
encoder = build_encoder(build_encoder_config({"engine": "tiny"}, "encoder"))
images = np.arange(2 * 384 * 384 * 3, dtype=np.uint32).astype(np.uint8).reshape(2, 384, 384, 3)
features = encoder.embed_batch(images, (2, 3, 5))
print(hashlib.sha256(b"".join(features[k].tobytes() for k in sorted(features))).hexdigest())
"""
    runs = [subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True) for _ in range(2)]
    assert runs[0].stdout == runs[1].stdout and len(runs[0].stdout) == 65


def test_weights_are_a_function_of_the_seed_alone(pictures):
    torch.manual_seed(99)
    first = build_tiny(seed=1).embed_batch(pictures[:1], GRIDS)
    torch.manual_seed(7)
    assert same(first, build_tiny(seed=1).embed_batch(pictures[:1], GRIDS))
    assert not same(first, build_tiny(seed=2).embed_batch(pictures[:1], GRIDS))


def test_no_setting_is_ignored(pictures):
    base = build_tiny().embed_batch(pictures[:2], GRIDS)
    for setting in ({"gelu": "exact"}, {"dtype": "bf16"}):
        assert not same(base, build_tiny(**setting).embed_batch(pictures[:2], GRIDS)), setting
    second_last = build_tiny(layer="second_last").embed_batch(pictures[:2], GRIDS)
    assert (second_last["cls"] == base["cls"]).all()
    assert not (second_last["3x3"] == base["3x3"]).all()


def test_the_thread_setting_reaches_threads_of_the_caller(tiny_encoder, pictures):
    """Torch's setting is per thread in part; an answer must not depend on the thread that asked."""
    from concurrent.futures import ThreadPoolExecutor

    torch.set_num_threads(2)
    here = tiny_encoder.embed_batch(pictures, GRIDS)
    with ThreadPoolExecutor(1) as pool:
        there = pool.submit(tiny_encoder.embed_batch, pictures, GRIDS).result()
        assert pool.submit(torch.get_num_threads).result() == 1
    assert same(here, there)
    assert torch.get_num_threads() == 1
