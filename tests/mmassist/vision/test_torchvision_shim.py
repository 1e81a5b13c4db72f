"""The shim, in processes of its own: what is imported stays imported."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.long

pytest.importorskip("torch")


def run_python(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.strip()


def test_open_clip_imports_after_the_shim():
    code = """
from mmassist.vision.torchvision_shim import ensure_torchvision
first = ensure_torchvision()
assert ensure_torchvision() is first
import open_clip, timm
from torchvision import transforms
print(len(transforms.Compose([]).transforms), "ViT-SO400M-14-SigLIP-384" in open_clip.list_models())
"""
    assert run_python(code) == "0 True"


def test_it_recovers_a_process_in_which_the_bare_import_failed():
    code = """
try:
    import torchvision
except RuntimeError:
    pass
from mmassist.vision.torchvision_shim import ensure_torchvision
print(ensure_torchvision().__name__)
import timm
"""
    assert run_python(code) == "torchvision"
