"""Models by name: what is refused before anything runs, and loading weights in every layout."""

import json

import numpy as np
import pytest

from mmassist.core.config import meaning
from mmassist.core.errors import ConfigError, StageError
from mmassist.vision import build_encoder, build_encoder_config, check_encoder

pytestmark = pytest.mark.long


def config_of(engine, **settings):
    return build_encoder_config({"engine": engine, **settings}, "encoder")


@pytest.mark.parametrize(
    ("engine", "settings", "says"),
    [
        ("open_clip", {}, "model is not set.*open_clip"),
        ("timm", {"model": None}, "model is not set.*timm"),
        ("timm", {"model": "test_vit", "mean": [0.5]}, "mean is .0.5.; it must be three numbers"),
        ("timm", {"model": "test_vit", "mean": [0, 0, 0], "std": [1, 1, 0]}, "std is .*above 0"),
        ("timm", {"model": "test_vit", "mean": [0, 0, 0]}, "together"),
        ("timm", {"model": "test_vit", "pretrained": "yes"}, "'encoder.pretrained' is 'yes'"),
        ("timm", {"model": "test_vit", "gelu": "tanh"}, "unknown key 'encoder.gelu'"),
        ("timm", {"model": "test_vit", "layer": 3}, "layer is 3"),
    ],
)
def test_a_wrong_setting_is_named(engine, settings, says):
    with pytest.raises(ConfigError, match=says):
        config_of(engine, **settings)


@pytest.mark.parametrize(
    ("engine", "model", "says"),
    [
        ("open_clip", "ViT-B-16-SigLP", r"open_clip does not have\. Near names: ViT-B-16-SigLIP,"),
        ("open_clip", "vit-b-32", r"Near names: ViT-B-32,"),
        ("open_clip", "zzz", r"open_clip\.list_models\(\) lists the names"),
        ("open_clip", "RN50", "no patch tokens"),
        ("timm", "vit_base_patch14_dino2", r"timm does not have\. Near names: vit_base_patch14_dinov2,"),
        ("timm", "vit_base_patch14_dinov2.lvd", r"knows of vit_base_patch14_dinov2 the weights lvd142m"),
    ],
)
def test_an_unknown_model_is_refused_with_near_names(engine, model, says):
    pytest.importorskip("timm")
    with pytest.raises(ConfigError, match=says):
        check_encoder(config_of(engine, model=model, path="/nowhere"))


@pytest.mark.parametrize(("engine", "model"), [("open_clip", "ViT-B-32"), ("timm", "test_vit.r160_in1k")])
def test_weights_are_wanted_unless_random_ones_are_asked_for(engine, model):
    for path in (None, "/no/such/folder"):
        with pytest.raises(ConfigError, match=r"encoder\.path.*pretrained=random"):
            check_encoder(config_of(engine, model=model, path=path))
    random = config_of(engine, model=model, pretrained="random")
    check_encoder(random)
    assert random.is_random and random.revision()["is_random"] and random.name.endswith("_random")
    assert random.revision()["weights"] == "random, seed 0"
    with pytest.raises(ConfigError, match="leave one out"):
        check_encoder(config_of(engine, model=model, pretrained="random", path="/nowhere"))


def test_names_of_folders_follow_the_model():
    assert config_of("timm", model="vit_base_patch14_dinov2.lvd142m").name == "vit_base_patch14_dinov2-lvd142m"
    assert config_of("open_clip", model="ViT-B-16-SigLIP").name == "ViT-B-16-SigLIP"
    assert config_of("open_clip", model="ViT-B-16-SigLIP", name="mine").name == "mine"


def test_the_layer_is_one_setting_under_two_spellings():
    for spelling, other, depth in ((-1, "last", 1), (-2, "second_last", 2), (-5, -5, 5)):
        config = config_of("timm", model="test_vit", layer=spelling)
        assert (config.layer, config.depth) == (other, depth)
        assert meaning(config) == meaning(config_of("timm", model="test_vit", layer=other))


def test_compiling_is_in_the_fingerprint_where_it_is_asked_for():
    plain = meaning(config_of("tiny"))
    assert "compile" not in plain and plain == meaning(config_of("tiny", compile=False))
    assert meaning(config_of("tiny", compile=True)) == {**plain, "compile": True}
    assert meaning(config_of("tiny", compile="auto")) == {**plain, "compile": "auto"}


def test_every_name_of_the_libraries_is_known_without_importing_them():
    timm = pytest.importorskip("timm")
    open_clip = pytest.importorskip("open_clip")
    from mmassist.vision.catalog import open_clip_models, timm_models

    assert {name for name in timm.list_models() if "mmassist" not in name} == timm_models()
    assert {name for name in open_clip.list_models() if "mmassist" not in name} == set(open_clip_models())


def test_patches_per_side_are_known_early_where_the_name_tells():
    pytest.importorskip("open_clip")
    assert config_of("open_clip", model="ViT-B-32").tokens_per_side == 7
    assert config_of("open_clip", model="ViT-B-16-SigLIP").tokens_per_side is None
    assert config_of("tiny").tokens_per_side == 27


@pytest.fixture(scope="module")
def test_vit():
    """timm's smallest transformer with seeded weights and a classifier, as its tensors."""
    pytest.importorskip("torch")
    timm = pytest.importorskip("timm")
    from mmassist.vision.open_clip_model import fill_randomly

    return fill_randomly(timm.create_model("test_vit"), seed=5).state_dict()


@pytest.mark.parametrize("layout", ["folder", "pth", "training"])
def test_timms_weights_are_read_in_every_layout_and_the_classifier_left_out(test_vit, tmp_path, layout, pictures):
    import torch
    from safetensors.torch import save_file

    scaling = {"mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6]} if layout == "folder" else {}
    if layout == "folder":
        path = tmp_path
        save_file({name: value.contiguous() for name, value in test_vit.items()}, path / "model.safetensors")
        told = {"architecture": "test_vit", "pretrained_cfg": scaling}
        (path / "config.json").write_text(json.dumps(told))
    else:
        path = tmp_path / f"weights.{'pth' if layout == 'pth' else 'bin'}"
        torch.save(test_vit if layout == "pth" else {"epoch": 1, "state_dict": test_vit}, path)
    config = config_of("timm", model="test_vit", path=str(path), device="cpu", dtype="fp32")
    check_encoder(config)
    assert config.revision().items() >= scaling.items()
    assert len(config.revision()["weights"]) == 32 and not config.is_random
    encoder = build_encoder(config)
    assert encoder.facts(160)["mean"] == (scaling.get("mean") or [0.5, 0.5, 0.5])
    random = config_of("timm", model="test_vit", pretrained="random", seed=5, device="cpu", dtype="fp32", **scaling)
    got, expected = (one.embed_batch(pictures, (2, 3)) for one in (encoder, build_encoder(random)))
    assert all(np.array_equal(got[key], expected[key]) for key in ("cls", "2x2", "3x3"))


def test_another_architectures_folder_is_refused(tmp_path):
    pytest.importorskip("timm")
    (tmp_path / "model.safetensors").write_bytes(b"")
    (tmp_path / "config.json").write_text(json.dumps({"architecture": "test_vit2"}))
    with pytest.raises(ConfigError, match="another model: test_vit2, not test_vit"):
        check_encoder(config_of("timm", model="test_vit", path=str(tmp_path)))


def test_weights_that_do_not_fit_stop_the_stage(test_vit, tmp_path):
    import torch

    torch.save(test_vit, tmp_path / "weights.pt")
    config = config_of("timm", model="test_vit2", path=str(tmp_path / "weights.pt"), device="cpu")
    with pytest.raises(StageError, match=r"do not fit the model: .*reg_token"):
        build_encoder(config)


@pytest.mark.parametrize(
    ("model_cfg", "says"),
    [
        ({"vision_cfg": {"image_size": 256, "layers": 12}}, "another model: image_size 256, ViT-B-32 has 224"),
        ({"vision_cfg": {"image_size": 224}, "quick_gelu": True}, "with or without -quickgelu"),
    ],
)
def test_another_model_in_the_folder_of_open_clip_is_refused(tmp_path, model_cfg, says):
    pytest.importorskip("open_clip")
    (tmp_path / "open_clip_pytorch_model.bin").write_bytes(b"")
    (tmp_path / "open_clip_config.json").write_text(json.dumps({"model_cfg": model_cfg}))
    with pytest.raises(ConfigError, match=says):
        check_encoder(config_of("open_clip", model="ViT-B-32", path=str(tmp_path)))


def test_a_checkpoint_without_a_vision_half_is_refused(tmp_path):
    pytest.importorskip("open_clip")
    torch = pytest.importorskip("torch")
    from safetensors.torch import save_file

    save_file({"pos_embed": torch.zeros(4)}, tmp_path / "weights.safetensors")
    with pytest.raises(ConfigError, match=r"no 'visual\.\*' tensors"):
        check_encoder(config_of("open_clip", model="ViT-B-32", path=str(tmp_path / "weights.safetensors")))


def test_scalings_that_open_clip_cannot_decide_are_asked_for():
    pytest.importorskip("open_clip")
    from mmassist.vision.open_clip_model import published_scaling

    assert published_scaling("ViT-B-16-SigLIP") == {((0.5,) * 3, (0.5,) * 3)}
    for model, number in (("ViT-L-14", 2), ("ViT-S-32", 0)):
        with pytest.raises(StageError, match=rf"{number} scalings.*encoder\.mean"):
            config_of("open_clip", model=model, pretrained="random")._preprocessing(224)
    told = config_of("open_clip", model="ViT-L-14", pretrained="random", mean=[0.5] * 3, std=[0.5] * 3)
    assert told._preprocessing(224).mean == (0.5, 0.5, 0.5)
    assert told.revision()["mean"] == [0.5] * 3
