"""What happens around the model: pictures of another size, and batches that do not fit."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("open_clip")

from mmassist.core.errors import StageError  # noqa: E402
from mmassist.vision import build_encoder, build_encoder_config  # noqa: E402
from mmassist.vision.device import CpuDevice, is_out_of_memory  # noqa: E402
from mmassist.vision.tower import VisionTower  # noqa: E402

pytestmark = pytest.mark.long


def config_of(engine="tiny", **settings):
    return build_encoder_config({"engine": engine, **settings}, "encoder")


class SmallDevice(CpuDevice):
    """Runs out of memory, as the CPU or a GPU words it, for batches of more than ``most`` pictures."""

    def __init__(self, most, error):
        self.most, self.error = most, error
        self.num_released = 0

    def start(self, images, compute):
        if len(images) > self.most:
            raise self.error
        return super().start(images, compute)

    def release(self):
        self.num_released += 1


GPU = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB")
CPU = RuntimeError("[enforce fail at alloc_cpu.cpp:117] data. DefaultCPUAllocator: can't allocate memory")
CUBLAS = RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate")


@pytest.mark.parametrize("error", [GPU, CPU, CUBLAS])
def test_a_batch_that_does_not_fit_says_which_would(error):
    images = np.zeros((40, 384, 384, 3), np.uint8)
    device = SmallDevice(6, error)
    with pytest.raises(StageError, match=r"encode\.batch_size=40: .*encode\.batch_size=5 would fit") as caught:
        VisionTower(config_of(), device).launch(images, (2,))
    assert str(error).split()[-1] in str(caught.value) and "\n" not in str(caught.value)
    assert device.num_released == 3  # 20, 10, 5


def test_where_not_even_one_picture_fits():
    with pytest.raises(StageError, match="nor does one of 1"):
        VisionTower(config_of(), SmallDevice(0, GPU)).launch(np.zeros((3, 384, 384, 3), np.uint8), ())


def test_other_errors_of_the_device_are_not_taken_for_lack_of_memory():
    other = RuntimeError("CUDA error: an illegal memory access was encountered")
    assert not is_out_of_memory(other)
    with pytest.raises(RuntimeError, match="illegal"):
        VisionTower(config_of(), SmallDevice(0, other)).launch(np.zeros((3, 384, 384, 3), np.uint8), ())


def test_pictures_of_another_size_are_scaled_without_aliasing(pictures):
    image = pytest.importorskip("PIL.Image")
    tower = build_encoder(config_of("timm", model="test_vit", pretrained="random", device="cpu", dtype="fp32"))
    small = np.stack([np.asarray(image.fromarray(one).resize((160, 160), image.BILINEAR)) for one in pictures])
    got, expected = tower.embed_batch(pictures, (4,)), tower.embed_batch(small, (4,))
    for part in ("cls", "4x4"):
        np.testing.assert_allclose(got[part], expected[part], atol=0.05)  # Pillow rounds to whole numbers
    assert tower.facts(384)["frame_size"] == 384
    assert "frame_size" not in tower.facts(160)


def test_the_built_in_encoders_take_other_sizes_and_say_so(tiny_encoder, pictures):
    assert tiny_encoder.facts(384) == {}
    assert tiny_encoder.facts(192) == {"frame_size": 192}
    assert tiny_encoder.embed_batch(pictures[:, ::2, ::2], (2,))["2x2"].shape == (5, 4, 64)


def test_a_grid_finer_than_the_patches_is_refused(tiny_encoder, pictures):
    assert tiny_encoder.embed_batch(pictures[:1], (27,))["27x27"].shape == (1, 729, 64)
    with pytest.raises(StageError, match=r"encode\.grids has 28: .* 27x27"):
        tiny_encoder.embed_batch(pictures[:1], (2, 28))


def test_only_the_wanted_grids_are_made(tiny_encoder, pictures):
    assert set(tiny_encoder.embed_batch(pictures[:1], (7,))) == {"cls", "7x7"}
    assert set(tiny_encoder.embed_batch(pictures[:1], ())) == {"cls"}


@pytest.mark.parametrize(("layer", "says"), [(-3, "has 2 layers")])
def test_a_layer_that_is_not_there(layer, says):
    with pytest.raises(StageError, match=says):
        build_encoder(config_of(layer=layer))


def test_networks_without_equal_layers_or_tokens_are_refused_by_name():
    convolutions = {"engine": "timm", "model": "test_convnext", "pretrained": "random", "device": "cpu"}
    with pytest.raises(StageError, match=r"timm's test_convnext is no plain transformer.*layer=last"):
        build_encoder(config_of(**{**convolutions, "layer": -2}))
    with pytest.raises(StageError, match=r"timm's mobilenetv3_small_050 pools to 1024 numbers.*288"):
        build_encoder(config_of(**{**convolutions, "model": "mobilenetv3_small_050"}))
