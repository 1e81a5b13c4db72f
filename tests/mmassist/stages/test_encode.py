"""The encode stage with the tiny encoder behind a context that lies in memory."""

import asyncio
import io
import json
import threading

import numpy as np
import pytest

from mmassist.core.config import build, meaning
from mmassist.core.errors import ConfigError, ItemError, Kind, StageError
from mmassist.core.item import Item, ItemKind
from mmassist.stages.encode import Encode, EncodeConfig
from mmassist.vision import build_encoder, build_encoder_config

simplejpeg = pytest.importorskip("simplejpeg")

ITEM = Item("demo", "video-1", ItemKind.MEDIA, "train", ("a.mp4",), "d", "video-1")


class FrameStore:
    """An item of the frame store. Frame ``i`` is a flat grey of ``i % 256``."""

    def __init__(self, num_frames: int, says: int | None = None, size: int = 384):
        self.members = {f"{i:06d}.jpg": self.picture(i) for i in range(num_frames)}
        video = {"num_frames": num_frames if says is None else says, "size": size}
        self.members["video.json"] = json.dumps(video).encode()
        self.digest = ""
        self.reads: list[str] = []
        self.lock = threading.Lock()

    @staticmethod
    def picture(index: int) -> bytes:
        return simplejpeg.encode_jpeg(np.full((384, 384, 3), index % 256, np.uint8), quality=90, colorsubsampling="420")

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

    async def embed(self, images):
        assert images.dtype == np.uint8 and images.shape[1:] == (384, 384, 3)
        grey = images[:, ::64, ::64].mean((1, 2, 3))
        self.batches.append(grey)
        if self.watch:
            self.watch(len(self.batches))
        await asyncio.sleep(0)
        shapes = {"cls": 1, "2x2": 4, "3x3": 9, "5x5": 25}
        return {key: np.tile(grey[:, None, None], (1, n, 8)).astype(np.float16) for key, n in shapes.items()}


class LoadedEncoder:
    def __init__(self, encoder):
        self.encoder = encoder

    async def embed(self, images):
        return await asyncio.to_thread(self.encoder.embed_batch, images)


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
    assert not encoder.batches[-1][8 - padding :].any() if padding else True


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
    members = run(make_stage(batch_size=4, grids=[5]), FrameStore(3), MeanEncoder())
    assert list(members) == ["000000.5x5.npy", "000000.cls.npy", "features.json"]
    members = run(make_stage(batch_size=4, grids=[]), FrameStore(3), MeanEncoder())
    assert list(members) == ["000000.cls.npy", "features.json"]


def test_decoding_stays_one_batch_ahead():
    store = FrameStore(60)
    most_ahead = []
    encoder = MeanEncoder(watch=lambda done: most_ahead.append(len(store.reads) - 1 - 6 * done))
    run(make_stage(batch_size=6, decode_threads=2), store, encoder)
    assert max(most_ahead) <= 6
    assert sorted(store.reads) == store.names  # each member once


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


def test_frames_of_another_size_stop_the_task():
    with pytest.raises(StageError, match=r"extract\.size=224: .*extract\.size=384"):
        run(make_stage(), FrameStore(3, size=224), MeanEncoder())


def test_a_gap_in_the_frames():
    store = FrameStore(3)
    store.members["000005.jpg"] = store.members.pop("000001.jpg")
    with pytest.raises(ItemError, match="3 frames"):
        run(make_stage(), store, MeanEncoder())


def test_a_bad_picture_fails_the_item_and_ends_the_decoding():
    store = FrameStore(30)
    store.members["000013.jpg"] = b"\xff\xd8 not a picture"
    threads = threading.active_count()
    with pytest.raises(ItemError, match=r"000013\.jpg") as error:
        run(make_stage(batch_size=8), store, MeanEncoder())
    assert error.value.kind is Kind.PERMANENT
    assert threading.active_count() <= threads
    assert "000029.jpg" not in store.reads


def test_features_that_are_not_finite_fail_the_item():
    class Overflowing(MeanEncoder):
        async def embed(self, images):
            features = await super().embed(images)
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


def test_absent_weights_are_found_by_the_check():
    with pytest.raises(ConfigError, match=r"encoder\.path"):
        make_stage(encoder={"engine": "siglip_so400m"}).check()


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"grids": [2, 4]}, "grids"),
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
    for name in ("tiny", "siglip_so400m"):
        config = build_encoder_config(yaml.safe_load((conf / f"encoder/{name}.yaml").read_text()), "encoder")
        assert config.engine == name
        assert config == build_encoder_config({"engine": name}, "encoder")
