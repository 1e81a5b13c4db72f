"""Choosing an encoder: configs and their errors, without anything heavy."""

import dataclasses
import json
import subprocess
import sys

import pytest

from mmassist.core.config import meaning
from mmassist.core.errors import ConfigError, StageError
from mmassist.vision import build_encoder_config, check_encoder

pytestmark = pytest.mark.long


def test_defaults_of_both_engines():
    tiny = build_encoder_config({"engine": "tiny"}, "encoder")
    assert (tiny.name, tiny.device, tiny.is_random) == ("tiny", "cpu", True)
    siglip = build_encoder_config({"engine": "siglip_so400m", "path": "/weights"}, "encoder")
    assert (siglip.name, siglip.device, siglip.is_random) == ("siglip_so400m", "cuda", False)


def test_every_setting_but_the_place_of_the_weights_has_a_meaning():
    for engine in ("tiny", "siglip_so400m", "open_clip", "timm"):
        model = {} if engine in ("tiny", "siglip_so400m") else {"model": "ViT-B-32"}
        config = build_encoder_config({"engine": engine, "compile": True, **model}, "encoder")
        names = {field.name for field in dataclasses.fields(config)} - {"path"}
        assert set(meaning(config)) == names


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({}, "'encoder.engine' is not set"),
        ({"engine": "tinny"}, "Did you mean 'tiny'"),
        ({"engine": "tiny", "layers": "last"}, "Did you mean 'layer'"),
        ({"engine": "tiny", "layer": "middle"}, "layer is 'middle'; it must be last, second_last or a number"),
        ({"engine": "tiny", "dtype": "float16"}, "'encoder.dtype' is 'float16'"),
        ({"engine": "tiny", "num_threads": 0}, "num_threads is 0"),
        ({"engine": "tiny", "name": "../tiny"}, "name is '../tiny'"),
        ({"engine": "tiny", "path": "/weights"}, "unknown key 'encoder.path'"),
    ],
)
def test_a_wrong_setting_is_named(values, says):
    with pytest.raises(ConfigError, match=says.replace("(", r"\(")) as error:
        build_encoder_config(values, "encoder")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("path", [None, "/no/such/folder", "relative/folder"])
def test_absent_weights_say_what_to_do(path):
    config = build_encoder_config({"engine": "siglip_so400m", "path": path}, "encoder")
    for act in (lambda: check_encoder(config), config.revision):
        with pytest.raises(ConfigError, match=r"encoder\.path") as error:
            act()
        assert "\n" not in str(error.value)
    if path != "relative/folder":
        assert "timm/ViT-SO400M-14-SigLIP-384" in str(error.value)


def test_a_folder_without_weights_counts_as_absent(tmp_path):
    (tmp_path / "open_clip_config.json").write_text("{}")
    config = build_encoder_config({"engine": "siglip_so400m", "path": str(tmp_path)}, "encoder")
    with pytest.raises(ConfigError, match="no weights"):
        check_encoder(config)


def test_nothing_heavy_is_imported_before_an_encoder_is_built():
    code = """
import json, sys
import mmassist.vision, mmassist.stages.encode
config = mmassist.vision.build_encoder_config({"engine": "tiny"}, "encoder")
mmassist.vision.check_encoder(config), config.revision()
heavy = ("torch", "torchvision", "open_clip", "timm", "transformers", "safetensors", "simplejpeg", "PIL", "av")
print(json.dumps([name for name in heavy if name in sys.modules]))
"""
    answer = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert json.loads(answer) == []


def test_a_gpu_that_is_not_there_is_named(monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)  # on every machine
    from mmassist.vision import build_encoder

    with pytest.raises(StageError, match=r"encoder\.device=cpu"):
        build_encoder(build_encoder_config({"engine": "tiny", "device": "cuda"}, "encoder"))
    assert (
        build_encoder(build_encoder_config({"engine": "tiny", "device": "auto"}, "encoder")).revision["device"] == "cpu"
    )
