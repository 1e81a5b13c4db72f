"""The encode stage with the tiny encoder behind a context that lies in memory."""

import asyncio
import dataclasses
import io
import json
import threading

import numpy as np
import pytest

from mmassist.core.config import build, meaning
from mmassist.core.errors import ConfigError, ItemError, Kind
from mmassist.core.item import Item, ItemKind
from mmassist.stages.encode import Encode, EncodeConfig
from mmassist.vision import build_encoder, build_encoder_config

pytestmark = pytest.mark.long

simplejpeg = pytest.importorskip("simplejpeg")

ITEM = Item("demo", "video-1", ItemKind.MEDIA, "train", ("a.mp4",), "d", "video-1")


class FrameStore:
    """An item of the frame store. Frame ``i`` is a flat grey of ``i % 256``."""

    def __init__(self, num_frames: int, says: int | None = None, size: int = 384):
        self.members = {f"{i:06d}.jpg": self.picture(i, size) for i in range(num_frames)}
        video = {"num_frames": num_frames if says is None else says, "size": size}
        self.members["video.json"] = json.dumps(video).encode()
        self.digest = ""
        self.reads: list[str] = []
        self.lock = threading.Lock()

    @staticmethod
    def picture(index: int, size: int) -> bytes:
        return simplejpeg.encode_jpeg(
            np.full((size, size, 3), index % 256, np.uint8), quality=90, colorsubsampling="420"
        )

    @property
    def names(self):
        return sorted(self.members)

    def verify(self) -> None:
        pass

    def read(self, name: str) -> bytes:
        with self.lock:
            self.reads.append(name)
        return self.members[name]


class MeanEncoder:
    """Every token is the picture's mean grey: which row is which frame shows in the values. Not a test of encoders."""

    def __init__(self, watch=None):
        self.batches: list[np.ndarray] = []
        self.watch = watch

    def facts(self, frame_size):
        return {} if frame_size == 384 else {"frame_size": frame_size}

    async def embed(self, images, grids):
        assert images.dtype == np.uint8 and images.shape[1] == images.shape[2] and images.shape[3] == 3
        grey = images[:, ::64, ::64].mean((1, 2, 3))
        self.batches.append(grey)
        if self.watch:
            self.watch(len(self.batches))
        await asyncio.sleep(0)
        shapes = {"cls": 1, **{f"{grid}x{grid}": grid * grid for grid in grids}}
        return {key: np.tile(grey[:, None, None], (1, n, 8)).astype(np.float16) for key, n in shapes.items()}


class LoadedEncoder:
    def __init__(self, encoder):
        self.encoder = encoder

    def facts(self, frame_size):
        return self.encoder.facts(frame_size)

    async def embed(self, images, grids):
        return await asyncio.to_thread(self.encoder.embed_batch, images, grids)


class FakeContext:
    def __init__(self, store, encoder):
        self.store, self.encoder = store, encoder

    def read(self, stage, key):
        assert (stage, key) == ("extract", "video-1")
        return self.store


def make_stage(encoder=None, **encode) -> Encode:
    values = {"encode": encode, "encoder": {"engine": "tiny", **(encoder or {})}}
    return Encode({name: section(values[name], name) for name, section in Encode.sections.items()})


def run(stage: Encode, store: FrameStore, encoder) -> dict[str, bytes]:
    async def collect():
        outputs = await stage.process(ITEM, FakeContext(store, encoder))
        return [member async for member in outputs.members], outputs.stats

    members, stats = asyncio.run(collect())
    names = [name for name, _ in members]
    assert names == sorted(set(names))
    assert stats == {"frames": json.loads(store.members["video.json"])["num_frames"]}
    return dict(members)


def rows_of(members: dict[str, bytes], part: str) -> list[np.ndarray]:
    return [np.load(io.BytesIO(data)) for name, data in members.items() if name.endswith(f".{part}.npy")]


@pytest.mark.parametrize("num_frames", [1, 7, 8, 9, 16, 19, 20, 21, 40, 63])
def test_every_frame_has_its_row_in_its_chunk(num_frames):
    encoder = MeanEncoder()
    members = run(make_stage(batch_size=8, chunk_frames=20), FrameStore(num_frames), encoder)
    chunks = rows_of(members, "3x3")
    assert [len(chunk) for chunk in chunks] == [20] * (num_frames // 20) + [num_frames % 20] * (num_frames % 20 > 0)
    assert all(chunk.shape[1:] == (9, 8) and chunk.dtype == np.float16 for chunk in chunks)
    np.testing.assert_allclose(np.concatenate(chunks)[:, 0, 0], np.arange(num_frames), atol=0.5)
    assert list(members)[-1] == "features.json"
    assert {len(batch) for batch in encoder.batches} == {8}
    padding = -num_frames % 8
    last = max(encoder.batches, key=lambda greys: greys.max())
    assert not last[8 - padding :].any() if padding else True


def test_names_and_summary_of_250_frames():
    members = run(make_stage(batch_size=64), FrameStore(250), MeanEncoder())
    parts = ("2x2", "3x3", "cls")
    assert list(members) == [f"{c:06d}.{p}.npy" for c in range(3) for p in parts] + ["features.json"]
    assert [len(rows) for rows in rows_of(members, "cls")] == [120, 120, 10]
    assert json.loads(members["features.json"]) == {
        "num_frames": 250,
        "chunk_frames": 120,
        "dim": 8,
        "grids": [2, 3],
        "dtype": "float16",
        "encoder": "tiny",
        "is_random": True,
        "layer": "last",
    }


def test_grids_on_request():
    members = run(make_stage(batch_size=4, grids=[7, 5]), FrameStore(3), MeanEncoder())
    assert list(members) == ["000000.5x5.npy", "000000.7x7.npy", "000000.cls.npy", "features.json"]
    assert json.loads(members["features.json"])["grids"] == [5, 7]
    assert [rows.shape for rows in rows_of(members, "7x7")] == [(3, 49, 8)]
    members = run(make_stage(batch_size=4, grids=[]), FrameStore(3), MeanEncoder())
    assert list(members) == ["000000.cls.npy", "features.json"]


@pytest.mark.parametrize("most", [1, 2, 5])
def test_decoding_goes_ahead_as_far_as_it_may(most):
    """What is read never is more than the batches in flight beyond those whose features were taken."""
    store = FrameStore(60)
    taken, ahead = 0, []

    async def go():
        nonlocal taken
        stage = make_stage(batch_size=6, decode_threads=2, batches_in_flight=most, chunk_frames=6, grids=[])
        outputs = await stage.process(ITEM, FakeContext(store, MeanEncoder()))
        async for name, _ in outputs.members:
            await asyncio.sleep(0.01)
            ahead.append(len(store.reads) - 1 - 6 * taken)
            taken += name.endswith("cls.npy")

    asyncio.run(go())
    assert 6 * (most - 1) <= max(ahead) <= 6 * most
    assert sorted(store.reads) == store.names  # each member once


def test_batches_that_end_out_of_order_give_the_same_bytes():
    class Hasty(MeanEncoder):
        async def embed(self, images, grids):
            await asyncio.sleep(0.02 if len(self.batches) % 3 == 0 else 0)
            return await super().embed(images, grids)

    settings = {"batch_size": 4, "chunk_frames": 7}
    expected = run(make_stage(**settings, batches_in_flight=1), FrameStore(41), MeanEncoder())
    assert run(make_stage(**settings, batches_in_flight=6), FrameStore(41), Hasty()) == expected


def test_the_tiny_encoder_gives_the_same_bytes_again_and_the_same_rows_in_a_longer_video():
    from mmassist.vision.torchvision_shim import ensure_torchvision

    pytest.importorskip("torch")
    ensure_torchvision()
    pytest.importorskip("open_clip")
    encoder = LoadedEncoder(build_encoder(build_encoder_config({"engine": "tiny"}, "encoder")))
    stage = make_stage(batch_size=4, chunk_frames=5)
    first, again = run(stage, FrameStore(7), encoder), run(stage, FrameStore(7), encoder)
    assert first == again
    other = make_stage(batch_size=4, chunk_frames=5, decode_threads=1, num_workers=3)
    assert run(other, FrameStore(7), encoder) == first
    longer = run(stage, FrameStore(9), encoder)
    for part in ("cls", "2x2", "3x3"):
        left, right = np.concatenate(rows_of(first, part)), np.concatenate(rows_of(longer, part))
        assert np.array_equal(left, right[:7])  # the padded tail changed nothing
    assert rows_of(first, "cls")[0].shape == (5, 1, 64)


@pytest.mark.parametrize(("store", "says"), [(FrameStore(3, says=4), "4 frames"), (FrameStore(0), "0 frames")])
def test_a_frame_store_that_contradicts_itself(store, says):
    with pytest.raises(ItemError, match=says) as error:
        run(make_stage(), store, MeanEncoder())
    assert error.value.kind is Kind.PERMANENT


def test_frames_of_another_size_are_encoded_and_the_summary_says_so():
    members = run(make_stage(batch_size=2), FrameStore(3, size=224), MeanEncoder())
    np.testing.assert_allclose(np.concatenate(rows_of(members, "cls"))[:, 0, 0], np.arange(3), atol=0.5)
    assert json.loads(members["features.json"])["frame_size"] == 224


def test_a_frame_of_another_size_than_the_store_says_fails_the_item():
    store = FrameStore(3, size=224)
    store.members["000001.jpg"] = FrameStore.picture(1, 192)
    with pytest.raises(ItemError, match=r"000001\.jpg is 192x192, not 224x224"):
        run(make_stage(), store, MeanEncoder())


def test_a_gap_in_the_frames():
    store = FrameStore(3)
    store.members["000005.jpg"] = store.members.pop("000001.jpg")
    with pytest.raises(ItemError, match="3 frames"):
        run(make_stage(), store, MeanEncoder())


def test_a_bad_picture_fails_the_item_and_ends_the_decoding():
    store = FrameStore(80)
    store.members["000013.jpg"] = b"\xff\xd8 not a picture"
    threads = threading.active_count()
    with pytest.raises(ItemError, match=r"000013\.jpg") as error:
        run(make_stage(batch_size=8), store, MeanEncoder())
    assert error.value.kind is Kind.PERMANENT
    assert threading.active_count() <= threads
    assert "000079.jpg" not in store.reads


def test_features_that_are_not_finite_fail_the_item():
    class Overflowing(MeanEncoder):
        async def embed(self, images, grids):
            features = await super().embed(images, grids)
            features["2x2"][1, 2, 3] = np.inf
            return features

    with pytest.raises(ItemError, match="2x2 of frame 1 "):
        run(make_stage(batch_size=8), FrameStore(10), Overflowing())


def test_closing_the_members_early_leaves_nothing_running():
    async def take_one():
        outputs = await make_stage(batch_size=4, chunk_frames=4).process(
            ITEM, FakeContext(FrameStore(40), MeanEncoder())
        )
        async for name, _ in outputs.members:
            await outputs.members.aclose()
            return name

    threads = threading.active_count()
    assert asyncio.run(take_one()) == "000000.2x2.npy"
    assert threading.active_count() <= threads


def test_folder_revision_and_meaning():
    stage = make_stage(encoder={"name": "tiny-b", "seed": 3})
    assert stage.folder(stage.configs) == "features/tiny-b"
    assert stage.revision() == {"model": "mmassist-tiny-SigLIP-384", "weights": "random, seed 3", "is_random": True}
    stage.check()
    assert meaning(stage.configs["encode"]) == {"batch_size": 64, "grids": [2, 3], "chunk_frames": 120}
    assert Encode.kind is ItemKind.MEDIA and Encode.reads == ("extract",)


def test_a_grid_finer_than_the_patches_is_found_by_the_check():
    make_stage(grids=[27]).check()
    with pytest.raises(ConfigError, match=r"'encode.grids' is \[2, 28\]; tiny has 27x27"):
        make_stage(grids=[2, 28]).check()


def test_a_model_by_name_is_recorded_with_its_scaling_and_layer():
    encoder = {"engine": "timm", "model": "test_vit", "pretrained": "random", "device": "cpu", "layer": -2}
    stage = make_stage(encoder, batch_size=4, grids=[3])
    assert stage.folder(stage.configs) == "features/test_vit_random"
    members = run(stage, FrameStore(3), LoadedEncoder(build_encoder(stage.configs["encoder"])))
    assert json.loads(members["features.json"]) == {
        "num_frames": 3,
        "chunk_frames": 120,
        "dim": 64,
        "grids": [3],
        "dtype": "float16",
        "encoder": "test_vit_random",
        "is_random": True,
        "layer": "second_last",
        "model": "timm/test_vit",
        "mean": [0.5, 0.5, 0.5],
        "std": [0.5, 0.5, 0.5],
        "image_size": 160,
        "tokens_per_side": 10,
        "frame_size": 384,
    }


def test_absent_weights_are_found_by_the_check():
    with pytest.raises(ConfigError, match=r"encoder\.path"):
        make_stage(encoder={"engine": "siglip_so400m"}).check()


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"grids": [2, 1]}, "grids"),
        ({"batches_in_flight": 0}, "batches_in_flight"),
        ({"grids": [3, 3]}, "grids"),
        ({"batch_size": 0}, "batch_size"),
        ({"batchsize": 8}, "Did you mean 'batch_size'"),
        ({"decode_threads": 0}, "decode_threads"),
    ],
)
def test_wrong_settings(values, says):
    with pytest.raises(ConfigError, match=says):
        build(EncodeConfig, values, "encode")


def test_the_order_of_grids_has_no_meaning():
    assert build(EncodeConfig, {"grids": [5, 2]}, "encode").grids == (2, 5)


def test_the_shipped_settings_are_valid():
    from pathlib import Path

    yaml = pytest.importorskip("yaml")
    conf = Path(__file__).parents[3] / "conf"
    build(EncodeConfig, yaml.safe_load((conf / "stages/encode.yaml").read_text()), "encode")
    for path in sorted((conf / "encoder").glob("*.yaml")):
        values = yaml.safe_load(path.read_text())
        model = {"model": "test_vit"} if "model" in values else {}
        config = build_encoder_config({**values, **model}, "encoder")
        assert config.engine == path.stem
        assert config == build_encoder_config({"engine": path.stem, **model}, "encoder")
        assert set(values) == {field.name for field in dataclasses.fields(config)}
