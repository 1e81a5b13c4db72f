"""What encoders answer: shapes, independence of rows, exactness against other implementations."""

import subprocess
import sys

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("open_clip")

from mmassist.vision import build_encoder, build_encoder_config  # noqa: E402
from mmassist.vision.tower import pool_grid  # noqa: E402

KEYS = {"cls": 1, "2x2": 4, "3x3": 9, "5x5": 25}


def build_tiny(**settings):
    return build_encoder(build_encoder_config({"engine": "tiny", **settings}, "encoder"))


def same(left, right) -> bool:
    return all(left[key].tobytes() == right[key].tobytes() for key in KEYS)


def test_shapes_types_and_marks(tiny_encoder, pictures):
    features = tiny_encoder.embed_batch(pictures)
    assert {key: value.shape for key, value in features.items()} == {k: (5, n, 64) for k, n in KEYS.items()}
    assert all(value.dtype == np.float16 and np.isfinite(value).all() for value in features.values())
    assert tiny_encoder.is_random and tiny_encoder.revision["is_random"] is True
    assert tiny_encoder.revision["weights"] == "random, seed 0"


def test_different_pictures_have_clearly_different_features(tiny_encoder, pictures):
    features = tiny_encoder.embed_batch(pictures)
    for key in KEYS:
        flat = features[key].reshape(5, -1).astype(np.float64)
        distances = [np.abs(flat[i] - flat[j]).mean() for i in range(5) for j in range(i)]
        assert min(distances) > 0.02, key


def test_a_row_does_not_depend_on_the_others(tiny_encoder, pictures):
    whole = tiny_encoder.embed_batch(pictures)
    padded = pictures.copy()
    padded[3:] = 0
    assert all((tiny_encoder.embed_batch(padded)[key][:3] == whole[key][:3]).all() for key in KEYS)
    others = pictures.copy()
    others[[0, 1, 3, 4]] = 255 - others[[4, 3, 1, 0]]
    assert all((tiny_encoder.embed_batch(others)[key][2] == whole[key][2]).all() for key in KEYS)


def test_a_permuted_batch_gives_permuted_rows(tiny_encoder, pictures):
    order = [3, 0, 4, 2, 1]
    whole, turned = tiny_encoder.embed_batch(pictures), tiny_encoder.embed_batch(pictures[order])
    assert all((turned[key] == whole[key][order]).all() for key in KEYS)


def test_read_only_and_strided_batches_are_taken(tiny_encoder, pictures):
    frozen = pictures.copy()
    frozen.flags.writeable = False
    assert same(tiny_encoder.embed_batch(frozen), tiny_encoder.embed_batch(pictures))
    assert same(tiny_encoder.embed_batch(pictures[::-2]), tiny_encoder.embed_batch(pictures[::-2].copy()))
    with pytest.raises(ValueError, match="uint8"):
        tiny_encoder.embed_batch(pictures.astype(np.float32))


def test_two_processes_give_the_same_bytes():
    code = """
import hashlib, numpy as np
from mmassist.vision import build_encoder, build_encoder_config
encoder = build_encoder(build_encoder_config({"engine": "tiny"}, "encoder"))
images = np.arange(2 * 384 * 384 * 3, dtype=np.uint32).astype(np.uint8).reshape(2, 384, 384, 3)
features = encoder.embed_batch(images)
print(hashlib.sha256(b"".join(features[k].tobytes() for k in sorted(features))).hexdigest())
"""
    runs = [subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True) for _ in range(2)]
    assert runs[0].stdout == runs[1].stdout and len(runs[0].stdout) == 65


def test_weights_are_a_function_of_the_seed_alone(pictures):
    torch.manual_seed(99)
    first = build_tiny(seed=1).embed_batch(pictures[:1])
    torch.manual_seed(7)
    assert same(first, build_tiny(seed=1).embed_batch(pictures[:1]))
    assert not same(first, build_tiny(seed=2).embed_batch(pictures[:1]))


def test_no_setting_is_ignored(pictures):
    base = build_tiny().embed_batch(pictures[:2])
    for setting in ({"gelu": "exact"}, {"dtype": "bf16"}):
        assert not same(base, build_tiny(**setting).embed_batch(pictures[:2])), setting
    second_last = build_tiny(layer="second_last").embed_batch(pictures[:2])
    assert (second_last["cls"] == base["cls"]).all()
    assert not (second_last["3x3"] == base["3x3"]).all()


def test_the_grids_of_a_map_of_row_numbers():
    rows = torch.arange(27.0).repeat_interleave(27).reshape(1, 729, 1)
    assert pool_grid(rows, 3).flatten().tolist() == [4, 4, 4, 13, 13, 13, 22, 22, 22]
    columns = torch.arange(27.0).repeat(27).reshape(1, 729, 1)
    assert pool_grid(columns, 3).flatten().tolist() == [4, 13, 22] * 3


@pytest.mark.parametrize(
    ("grid", "bins"),
    [
        (2, [(0, 14), (13, 27)]),
        (3, [(0, 9), (9, 18), (18, 27)]),
        (5, [(0, 6), (5, 11), (10, 17), (16, 22), (21, 27)]),
    ],
)
def test_grids_are_means_over_their_bins(grid, bins):
    tokens = np.random.default_rng(grid).standard_normal((2, 27, 27, 4)).astype(np.float32)
    expected = np.stack([tokens[:, a:b, c:d].mean((1, 2)) for a, b in bins for c, d in bins], 1)
    got = pool_grid(torch.from_numpy(tokens.reshape(2, 729, 4)), grid).numpy()
    np.testing.assert_allclose(got, expected, atol=1e-5)


def test_open_clip_gives_the_same_pooled_vector(pictures):
    """The tower alone equals ``encode_image`` of a whole open_clip model with the same weights."""
    import open_clip

    from mmassist.vision.tiny import MODEL, TinyConfig

    trunk = TinyConfig().load_trunk()
    model = open_clip.create_model(MODEL, pretrained=None).eval()
    model.visual.trunk.load_state_dict(trunk.state_dict())
    pixels = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 127.5 - 1
    with torch.inference_mode():
        expected = model.encode_image(pixels).numpy()
    got = build_tiny(gelu="exact").embed_batch(pictures)["cls"][:, 0].astype(np.float32)
    np.testing.assert_allclose(got, expected, atol=2e-3)  # float16 has 11 bits


@pytest.mark.parametrize("gelu", ["tanh", "exact"])
def test_transformers_gives_the_same_tokens_and_pooled_vector(pictures, gelu):
    """The same weights in transformers' SigLIP: last_hidden_state, hidden_states[-2] and pooler_output agree."""
    transformers = pytest.importorskip("transformers")
    from mmassist.vision.open_clip_model import set_gelu
    from mmassist.vision.tiny import TinyConfig

    trunk = TinyConfig().load_trunk().eval()
    set_gelu(trunk, {"tanh": "tanh", "exact": "none"}[gelu])
    model = transformers.SiglipVisionModel(
        transformers.SiglipVisionConfig(
            hidden_size=64,
            intermediate_size=256,
            num_hidden_layers=2,
            num_attention_heads=2,
            image_size=384,
            patch_size=14,
            hidden_act={"tanh": "gelu_pytorch_tanh", "exact": "gelu"}[gelu],
        )
    ).eval()
    missing = model.load_state_dict(to_transformers(trunk.state_dict(), model), strict=False)
    assert not missing.unexpected_keys
    assert all("position_ids" in key for key in missing.missing_keys)
    pixels = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 127.5 - 1
    with torch.inference_mode():
        expected = model(pixel_values=pixels, output_hidden_states=True)
        tokens = trunk.forward_features(pixels)
        torch.testing.assert_close(tokens, expected.last_hidden_state, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(trunk.forward_head(tokens), expected.pooler_output, atol=1e-4, rtol=1e-4)
    for layer, hidden in (("last", expected.last_hidden_state), ("second_last", expected.hidden_states[-2])):
        features = build_tiny(gelu=gelu, layer=layer).embed_batch(pictures)
        np.testing.assert_allclose(features["cls"][:, 0], expected.pooler_output.numpy(), atol=2e-3, rtol=1e-3)
        for grid in (2, 3, 5):
            pooled = pool_grid(hidden, grid).numpy()
            np.testing.assert_allclose(features[f"{grid}x{grid}"], pooled, atol=2e-3, rtol=1e-3)


def to_transformers(state, model):
    """Rename timm's parameters; fused query, key, value are cut in three."""
    prefix = "vision_model." if any(key.startswith("vision_model.") for key in model.state_dict()) else ""
    names = {
        "patch_embed.proj": "embeddings.patch_embedding",
        "norm": "post_layernorm",
        "attn_pool.norm": "head.layernorm",
        "attn_pool.mlp": "head.mlp",
        "attn_pool.proj": "head.attention.out_proj",
    }
    out = {
        "embeddings.position_embedding.weight": state["pos_embed"][0],
        "head.probe": state["attn_pool.latent"],
    }
    for kind in ("weight", "bias"):
        for ours, theirs in names.items():
            for part in (".fc1", ".fc2") if ours.endswith("mlp") else ("",):
                out[f"{theirs}{part}.{kind}"] = state[f"{ours}{part}.{kind}"]
        out[f"head.attention.in_proj_{kind}"] = torch.cat([state[f"attn_pool.q.{kind}"], state[f"attn_pool.kv.{kind}"]])
        for block in range(2):
            ours, theirs = f"blocks.{block}", f"encoder.layers.{block}"
            for part, value in zip("qkv", state[f"{ours}.attn.qkv.{kind}"].chunk(3), strict=True):
                out[f"{theirs}.self_attn.{part}_proj.{kind}"] = value
            for mine, other in {
                "attn.proj": "self_attn.out_proj",
                "norm1": "layer_norm1",
                "norm2": "layer_norm2",
                "mlp.fc1": "mlp.fc1",
                "mlp.fc2": "mlp.fc2",
            }.items():
                out[f"{theirs}.{other}.{kind}"] = state[f"{ours}.{mine}.{kind}"]
    return {prefix + key: value for key, value in out.items()}


def test_the_thread_setting_reaches_threads_of_the_caller(tiny_encoder, pictures):
    """Torch's setting is per thread in part; an answer must not depend on the thread that asked."""
    from concurrent.futures import ThreadPoolExecutor

    torch.set_num_threads(2)
    here = tiny_encoder.embed_batch(pictures)
    with ThreadPoolExecutor(1) as pool:
        there = pool.submit(tiny_encoder.embed_batch, pictures).result()
        assert pool.submit(torch.get_num_threads).result() == 1
    assert same(here, there)
    assert torch.get_num_threads() == 1
