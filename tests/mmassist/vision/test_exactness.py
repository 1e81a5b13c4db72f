"""Encoders against other implementations of the same models, with the same random weights."""

import copy
import json

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("open_clip")

from mmassist.vision import build_encoder, build_encoder_config  # noqa: E402
from mmassist.vision.backbone import Preprocessing, TimmBackbone  # noqa: E402
from mmassist.vision.open_clip_engine import OpenClipConfig  # noqa: E402
from mmassist.vision.open_clip_model import fill_randomly, set_gelu  # noqa: E402
from mmassist.vision.pooling import pool_grid  # noqa: E402
from mmassist.vision.tower import VisionTower  # noqa: E402

pytestmark = pytest.mark.long

GRIDS = (2, 3, 5)


def build_tiny(**settings):
    return build_encoder(build_encoder_config({"engine": "tiny", **settings}, "encoder"))


def scaled(pictures, mean=0.5, std=0.5):
    pixels = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255
    return (pixels - torch.tensor(mean).reshape(-1, 1, 1)) / torch.tensor(std).reshape(-1, 1, 1)


def least_cosine(left, right) -> float:
    """The smallest cosine between vectors of equal place."""
    left, right = (torch.as_tensor(np.asarray(one)).double() for one in (left, right))
    return torch.nn.functional.cosine_similarity(left, right, dim=-1).min().item()


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
    got = build_tiny(gelu="exact").embed_batch(pictures, GRIDS)["cls"][:, 0].astype(np.float32)
    np.testing.assert_allclose(got, expected, atol=2e-3)  # float16 has 11 bits


@pytest.mark.parametrize("gelu", ["tanh", "exact"])
def test_transformers_gives_the_same_tokens_and_pooled_vector(pictures, gelu):
    """The same weights in transformers' SigLIP: last_hidden_state, hidden_states[-2] and pooler_output agree."""
    from mmassist.vision.tiny import TinyConfig

    trunk = TinyConfig().load_trunk().eval()
    set_gelu(trunk, {"tanh": "tanh", "exact": "none"}[gelu])
    model = build_transformers(trunk, {"tanh": "gelu_pytorch_tanh", "exact": "gelu"}[gelu])
    pixels = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 127.5 - 1
    with torch.inference_mode():
        expected = model(pixel_values=pixels, output_hidden_states=True)
        tokens = trunk.forward_features(pixels)
        torch.testing.assert_close(tokens, expected.last_hidden_state, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(trunk.forward_head(tokens), expected.pooler_output, atol=1e-4, rtol=1e-4)
    for layer, hidden in (("last", expected.last_hidden_state), ("second_last", expected.hidden_states[-2])):
        features = build_tiny(gelu=gelu, layer=layer).embed_batch(pictures, GRIDS)
        np.testing.assert_allclose(features["cls"][:, 0], expected.pooler_output.numpy(), atol=2e-3, rtol=1e-3)
        for grid in (2, 3, 5):
            pooled = pool_grid(hidden, grid).numpy()
            np.testing.assert_allclose(features[f"{grid}x{grid}"], pooled, atol=2e-3, rtol=1e-3)


@pytest.fixture(scope="module")
def real_width():
    """SigLIP so400m as it is, but for its depth: two of 27 blocks."""
    from timm.models.vision_transformer import VisionTransformer

    sizes = {"img_size": 384, "patch_size": 14, "embed_dim": 1152, "depth": 2, "num_heads": 16, "mlp_ratio": 3.7362}
    trunk = VisionTransformer(**sizes, class_token=False, global_pool="map", num_classes=0)
    assert trunk.blocks[0].mlp.fc1.out_features == 4304
    trunk = fill_randomly(trunk, seed=3).eval()
    set_gelu(trunk, "tanh")
    return trunk


@pytest.mark.parametrize(("dtype", "least"), [("float32", 0.9999), ("bfloat16", 0.999)])
def test_every_token_of_the_real_width_points_where_that_of_transformers_does(real_width, pictures, dtype, least):
    """Against transformers in float32, whatever the encoder computes in."""
    model = build_transformers(real_width, "gelu_pytorch_tanh")
    trunk = copy.deepcopy(real_width).to(getattr(torch, dtype))
    pixels = scaled(pictures[:1])
    for depth, hidden in ((1, "last_hidden_state"), (2, None)):
        backbone = TimmBackbone("so400m", Preprocessing(384), trunk, depth)
        with torch.inference_mode():
            tokens, pooled = backbone(pixels.to(getattr(torch, dtype)))
            expected = model(pixel_values=pixels, output_hidden_states=True)
        wanted = expected.last_hidden_state if hidden else expected.hidden_states[-2]
        assert tokens.shape == (1, 729, 1152) and pooled.shape == (1, 1152)
        assert least_cosine(tokens.float(), wanted) > least
        assert least_cosine(pooled.float(), expected.pooler_output) > least
        for grid in (2, 3):
            assert least_cosine(pool_grid(tokens, grid), pool_grid(wanted, grid)) > least


CLIP = {
    "embed_dim": 32,
    "quick_gelu": True,
    "vision_cfg": {"image_size": 96, "layers": 3, "width": 64, "head_width": 32, "patch_size": 16},
    "text_cfg": {"context_length": 8, "vocab_size": 64, "width": 32, "heads": 2, "layers": 1},
}


@pytest.fixture
def clip(tmp_path):
    """A small CLIP under a name that open_clip knows, with its weights in a file."""
    import open_clip

    (tmp_path / "mmassist-small-CLIP.json").write_text(json.dumps(CLIP))
    open_clip.add_model_config(tmp_path / "mmassist-small-CLIP.json")
    model = fill_randomly(open_clip.create_model("mmassist-small-CLIP", pretrained=None), seed=1).eval()
    torch.save(model.state_dict(), tmp_path / "clip.pt")
    return model, tmp_path / "clip.pt"


def test_open_clips_own_transformer_is_what_encode_image_gives(clip, pictures):
    model, path = clip
    mean, std = (0.48, 0.46, 0.41), (0.27, 0.26, 0.28)
    pictures = pictures[:, ::4, ::4].copy()
    pixels = scaled(pictures, mean, std)
    with torch.inference_mode():
        expected = model.encode_image(pixels)
        blocks = model.visual.forward_intermediates(pixels, output_fmt="NLC")["image_intermediates"]
        last = model.visual.ln_post(blocks[-1])
    projection = model.visual.proj.detach()
    settings = {"model": "mmassist-small-CLIP", "path": str(path), "mean": mean, "std": std}
    for layer, tokens in (("last", last), ("second_last", blocks[-2]), (-3, blocks[-3])):
        config = OpenClipConfig(**settings, layer=layer, dtype="fp32", device="cpu")
        tower = VisionTower(config)
        assert (tower.dim, tower.tokens_per_side) == (64, 6)
        features = tower.embed_batch(pictures, (2, 6))
        pooled = torch.from_numpy(features["cls"][:, 0]).float()
        torch.testing.assert_close(pooled @ projection, expected, atol=5e-3, rtol=5e-3)
        np.testing.assert_allclose(features["6x6"], tokens.numpy(), atol=4e-3, rtol=2e-3)
        np.testing.assert_allclose(features["2x2"], pool_grid(tokens, 2).numpy(), atol=4e-3, rtol=2e-3)


@pytest.mark.parametrize("model", ["test_vit", "test_vit2", "test_convnext"])
def test_models_of_timm_are_what_timm_gives(model, pictures):
    timm = pytest.importorskip("timm")
    settings = {"model": model, "pretrained": "random", "seed": 5, "dtype": "fp32", "device": "cpu"}
    tower = build_encoder(build_encoder_config({"engine": "timm", **settings}, "encoder"))
    pictures = pictures[:, 100:260, 100:260].copy()  # 160 pixels, the model's own size
    features = tower.embed_batch(pictures, (tower.tokens_per_side,))
    own = fill_randomly(timm.create_model(model, num_classes=0), seed=5).eval()
    known = own.pretrained_cfg
    pixels = scaled(pictures, known["mean"], known["std"])
    with torch.inference_mode():
        pooled, tokens = own(pixels), own.forward_features(pixels)
    tokens = tokens.flatten(2).transpose(1, 2) if tokens.ndim == 4 else tokens[:, own.num_prefix_tokens :]
    np.testing.assert_allclose(features["cls"][:, 0], pooled.numpy(), atol=4e-3, rtol=2e-3)
    side = tower.tokens_per_side
    np.testing.assert_allclose(features[f"{side}x{side}"], tokens.numpy(), atol=4e-3, rtol=2e-3)
    facts = {"mean": list(known["mean"]), "std": list(known["std"]), "image_size": 160, "tokens_per_side": side}
    assert tower.facts(160) == {"model": f"timm/{model}", **facts}


def build_transformers(trunk, activation):
    """transformers' SigLIP with the weights of ``trunk``."""
    transformers = pytest.importorskip("transformers")
    model = transformers.SiglipVisionModel(
        transformers.SiglipVisionConfig(
            hidden_size=trunk.embed_dim,
            intermediate_size=trunk.blocks[0].mlp.fc1.out_features,
            num_hidden_layers=len(trunk.blocks),
            num_attention_heads=trunk.blocks[0].attn.num_heads,
            image_size=384,
            patch_size=14,
            hidden_act=activation,
        )
    ).eval()
    missing = model.load_state_dict(to_transformers(trunk.state_dict(), model), strict=False)
    assert not missing.unexpected_keys
    assert all("position_ids" in key for key in missing.missing_keys)
    return model


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
        for block in range(model.config.num_hidden_layers):
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
