"""Loading checkpoints in every layout they come in, on the tiny architecture."""

import json

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("open_clip")

from mmassist.core.errors import ConfigError, StageError  # noqa: E402
from mmassist.vision import build_encoder, build_encoder_config, check_encoder, siglip  # noqa: E402
from mmassist.vision.tiny import MODEL, TinyConfig, register_tiny  # noqa: E402
from mmassist.vision.weights import check_weights, find_weights, read_trunk, weights_digest  # noqa: E402

pytestmark = pytest.mark.long

SHAPE = (1, 729, 64)


@pytest.fixture(scope="module")
def trunk_state():
    return {name: value.clone() for name, value in TinyConfig(seed=5).load_trunk().state_dict().items()}


@pytest.fixture(scope="module")
def checkpoint(trunk_state):
    """A whole model's parameters under open_clip's names, text half included."""
    import open_clip

    register_tiny()
    state = dict(open_clip.create_model(MODEL, pretrained=None).state_dict())
    assert {name for name in state if name.startswith("visual.trunk.")} == {f"visual.trunk.{n}" for n in trunk_state}
    assert any(not name.startswith("visual.") for name in state)
    return state | {f"visual.trunk.{name}": value for name, value in trunk_state.items()}


def save(checkpoint, path, layout):
    from safetensors.torch import save_file

    if layout == "folder":
        path = path / "hub"
        path.mkdir()
        save_file(checkpoint, path / "open_clip_model.safetensors")
        preprocess = {"mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bicubic", "resize_mode": "squash"}
        (path / "open_clip_config.json").write_text(json.dumps({"model_cfg": {}, "preprocess_cfg": preprocess}))
        return path
    path = path / f"model{'.safetensors' if layout == 'safetensors' else '.pt'}"
    if layout == "safetensors":
        save_file(checkpoint, path)
    elif layout == "training":
        torch.save({"epoch": 3, "state_dict": {f"module.{k}": v for k, v in checkpoint.items()}}, path)
    elif layout == "legacy":
        torch.save(checkpoint, path, _use_new_zipfile_serialization=False)
    else:
        torch.save(checkpoint, path)
    return path


@pytest.mark.parametrize("layout", ["safetensors", "pt", "legacy", "training", "folder"])
def test_every_layout_gives_the_vision_half(checkpoint, trunk_state, tmp_path, layout):
    path = find_weights(save(checkpoint, tmp_path, layout))
    check_weights(path, MODEL, SHAPE)
    state = read_trunk(path)
    assert state.keys() == trunk_state.keys()
    assert all(torch.equal(state[name], trunk_state[name]) for name in state)


@pytest.mark.parametrize("layout", ["safetensors", "pt", "folder"])
def test_the_siglip_engine_loads_and_runs(checkpoint, tmp_path, layout, monkeypatch, pictures):
    """The real engine's own path from ``encoder.path`` to features, on an architecture that fits a test."""
    monkeypatch.setattr(siglip, "MODEL", MODEL)
    monkeypatch.setattr(siglip, "DIM", 64)
    path = save(checkpoint, tmp_path, layout)
    values = {"engine": "siglip_so400m", "path": str(path), "device": "cpu", "dtype": "fp32"}
    config = build_encoder_config(values, "encoder")
    check_encoder(config)
    encoder = build_encoder(config)
    assert not encoder.is_random and encoder.revision["weights"] == weights_digest(find_weights(path))
    expected = build_encoder(build_encoder_config({"engine": "tiny", "seed": 5}, "encoder")).embed_batch(
        pictures, (2, 3)
    )
    got = encoder.embed_batch(pictures, (2, 3))
    assert all(np.array_equal(got[key], expected[key]) for key in expected)


def test_the_real_architecture_is_built_empty_and_fits_its_published_shape():
    from mmassist.vision.open_clip_model import build_trunk

    trunk = build_trunk(siglip.MODEL)
    assert tuple(trunk.pos_embed.shape) == (1, 729, siglip.DIM)
    assert all(parameter.is_meta for parameter in trunk.parameters())
    assert sum(parameter.numel() for parameter in trunk.parameters()) == pytest.approx(428.2e6, rel=1e-3)


def test_another_architecture_is_refused_before_anything_is_loaded(checkpoint, tmp_path):
    path = save(checkpoint, tmp_path, "safetensors")
    config = build_encoder_config({"engine": "siglip_so400m", "path": str(path)}, "encoder")
    with pytest.raises(ConfigError, match="another model"):
        check_encoder(config)


def test_another_scaling_is_refused(checkpoint, tmp_path):
    folder = save(checkpoint, tmp_path, "folder")
    (folder / "open_clip_config.json").write_text(json.dumps({"preprocess_cfg": {"mean": [0.48, 0.46, 0.41]}}))
    with pytest.raises(ConfigError, match="mean"):
        check_weights(find_weights(folder), MODEL, SHAPE)


def test_checkpoints_of_other_libraries_and_broken_files(tmp_path):
    from safetensors.torch import save_file

    foreign = tmp_path / "foreign.safetensors"
    save_file({"vision_model.embeddings.patch_embedding.weight": torch.zeros(4)}, foreign)
    with pytest.raises(ConfigError, match=r"visual\.trunk"):
        check_weights(foreign, MODEL, SHAPE)
    with pytest.raises(StageError, match=r"visual\.trunk"):
        read_trunk(foreign)
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(foreign.read_bytes()[:20])
    with pytest.raises(ConfigError, match="not a whole"):
        check_weights(cut, MODEL, SHAPE)
    broken = tmp_path / "broken.pt"
    broken.write_bytes(b"nothing at all")
    with pytest.raises(StageError, match="cannot be read"):
        read_trunk(broken)
    other = tmp_path / "weights.npz"
    other.write_bytes(b"")
    with pytest.raises(ConfigError, match=r"\.safetensors"):
        check_weights(other, MODEL, SHAPE)


def test_missing_parameters_stop_the_stage(trunk_state):
    from mmassist.vision.open_clip_model import build_trunk, fill

    register_tiny()
    state = dict(trunk_state)
    del state["norm.bias"]
    with pytest.raises(StageError, match=r"norm\.bias"):
        fill(build_trunk(MODEL), state)


def test_the_digest_follows_the_content_not_the_place(checkpoint, tmp_path):
    path = save(checkpoint, tmp_path, "safetensors")
    moved = tmp_path / "elsewhere.safetensors"
    moved.write_bytes(path.read_bytes())
    assert weights_digest(moved) == weights_digest(path)
    changed = bytearray(path.read_bytes())
    changed[-1] ^= 1
    moved.write_bytes(bytes(changed))
    assert weights_digest(moved) != weights_digest(path)
