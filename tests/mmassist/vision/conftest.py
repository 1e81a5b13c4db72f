from importlib.util import find_spec

import numpy as np
import pytest

if find_spec("torchvision") and find_spec("open_clip"):
    from mmassist.vision.torchvision_shim import ensure_torchvision

    ensure_torchvision()  # before pytest.importorskip("open_clip")


@pytest.fixture
def pictures() -> np.ndarray:
    """Five smooth, different pictures, uint8 ``[5, 384, 384, 3]``."""
    y, x = np.mgrid[0:384, 0:384]
    planes = [[127 + 120 * np.sin((x * (c + 1) + y * k) / (20 + 9 * k)) for c in range(3)] for k in range(5)]
    return np.stack([np.stack(plane, -1) for plane in planes]).astype(np.uint8)


@pytest.fixture(scope="session")
def tiny_encoder():
    pytest.importorskip("open_clip")
    from mmassist.vision import build_encoder, build_encoder_config

    return build_encoder(build_encoder_config({"engine": "tiny"}, "encoder"))
