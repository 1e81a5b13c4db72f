"""Encode: stored frames to vision features, in chunks that a loader can read one by one."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from mmassist.core.config import Why, build, transient
from mmassist.core.errors import ConfigError, ItemError, Kind
from mmassist.core.fingerprint import canonical_json
from mmassist.core.item import Item, ItemKind
from mmassist.core.stage import Context, ItemReader, Member, Outputs, Section, Stage
from mmassist.core.stage_config import StageConfig
from mmassist.vision import build_encoder_config, check_encoder
from mmassist.vision.config import EncoderConfig
from mmassist.vision.protocol import grid_name

if TYPE_CHECKING:
    import numpy as np

    from mmassist.vision.feature_chunk import ChunkCutter

Features = dict[str, "np.ndarray"]


@dataclass(frozen=True, kw_only=True)
class EncodeConfig(StageConfig):
    """``batch_size`` can change low bits: kernels are chosen by shape. A video's last batch is padded to it."""

    batch_size: int = 64  # frames in one forward pass
    grids: tuple[int, ...] = (2, 3)  # stored beside the pooled token: g x g tokens a frame each
    chunk_frames: int = 120  # frames in one member: a minute at 2 frames a second
    decode_threads: int = transient(4, why=Why.PACE)  # JPEG decoders of one item in flight
    batches_in_flight: int = transient(4, why=Why.PACE)  # of one item: decoded ahead, in the encoder or behind it

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("batch_size", "chunk_frames", "decode_threads", "batches_in_flight"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)!r}; it must be at least 1")
        if len(set(self.grids)) != len(self.grids) or any(grid < 2 for grid in self.grids):
            raise ValueError(f"grids is {list(self.grids)}; it must name numbers from 2 on, each at most once")
        object.__setattr__(self, "grids", tuple(sorted(self.grids)))


class Encode(Stage):
    """Features of one video: ``<chunk>.{2x2,3x3,cls}.npy`` and ``features.json`` last.

    Batches are fixed positions in the video's frame order, always of ``batch_size`` rows, so a feature does not depend
    on which other videos are at work.
    """

    name: ClassVar[str] = "encode"
    version: ClassVar[int] = 1
    kind: ClassVar[ItemKind] = ItemKind.MEDIA
    reads: ClassVar[tuple[str, ...]] = ("extract",)
    sections: ClassVar[dict[str, Section]] = {
        "encode": partial(build, EncodeConfig),
        "encoder": build_encoder_config,
    }

    def __init__(self, configs: dict[str, Any]):
        super().__init__(configs)
        self._config: EncodeConfig = configs["encode"]
        self._encoder: EncoderConfig = configs["encoder"]

    @classmethod
    def folder(cls, configs: dict[str, Any]) -> str:
        return f"features/{configs['encoder'].name}"

    def check(self) -> None:
        check_encoder(self._encoder)
        side, grids = self._encoder.tokens_per_side, self._config.grids
        if side is not None and grids and max(grids) > side:
            raise ConfigError(
                f"'encode.grids' is {list(grids)}; {self._encoder.name} has {side}x{side} tokens, so at most {side}"
            )

    def revision(self) -> dict[str, Any]:
        return self._encoder.revision()

    async def process(self, item: Item, ctx: Context) -> Outputs:
        source = ctx.read("extract", item.key)
        await asyncio.to_thread(source.verify)  # a flipped bit in a picture would pass into features unseen
        frames, size = list_frames(source)
        return Outputs(members=self._iter_members(source, frames, size, ctx), stats={"frames": len(frames)})

    async def _iter_members(
        self, source: ItemReader, frames: list[str], size: int, ctx: Context
    ) -> AsyncIterator[Member]:
        from mmassist.vision.feature_chunk import SUMMARY_NAME, ChunkCutter

        cutter = ChunkCutter(self._config.chunk_frames, ["cls", *map(grid_name, self._config.grids)])
        dim = 0
        async with aclosing(self._iter_features(source, frames, size, ctx)) as batches:
            async for features, count in batches:
                dim = features["cls"].shape[-1]
                for member in await asyncio.to_thread(_cut, cutter, features, count):
                    yield member
        for member in cutter.finish():
            yield member
        if cutter.num_rows != len(frames):
            raise ItemError(Kind.PERMANENT, f"{cutter.num_rows} feature rows for {len(frames)} frames")
        summary = self._summary(len(frames), dim) | ctx.encoder.facts(size)
        yield SUMMARY_NAME, canonical_json(summary).encode()

    async def _iter_features(
        self, source: ItemReader, frames: list[str], size: int, ctx: Context
    ) -> AsyncGenerator[tuple[Features, int]]:
        """Yield the features of each batch, and how many of their rows are frames, in order.

        Later batches are decoded and encoded meanwhile, so that the encoder has work while members are written.
        """
        from mmassist.vision.frame_batch import decode_frame, new_batch

        def decode(name: str, row: np.ndarray) -> None:
            decode_frame(source.read(name), name, row)

        async def encode(first: int) -> tuple[Features, int]:
            names = frames[first : first + self._config.batch_size]
            images = new_batch(self._config.batch_size, size)
            jobs = [pool.submit(decode, name, row) for name, row in zip(names, images, strict=False)]
            await asyncio.gather(*map(asyncio.wrap_future, jobs))
            return await ctx.encoder.embed(images, self._config.grids), len(names)

        pool = ThreadPoolExecutor(self._config.decode_threads, thread_name_prefix="jpeg")
        under_way: deque[asyncio.Task[tuple[Features, int]]] = deque()
        try:
            for first in range(0, len(frames), self._config.batch_size):
                under_way.append(asyncio.create_task(encode(first)))
                if len(under_way) == self._config.batches_in_flight:
                    yield await under_way.popleft()
            while under_way:
                yield await under_way.popleft()
        finally:
            for task in under_way:
                task.cancel()
            pool.shutdown(wait=True, cancel_futures=True)  # at most a few pictures are still being decoded
            await asyncio.gather(*under_way, return_exceptions=True)

    def _summary(self, num_frames: int, dim: int) -> dict[str, Any]:
        return {
            "num_frames": num_frames,
            "chunk_frames": self._config.chunk_frames,
            "dim": dim,
            "grids": list(self._config.grids),
            "dtype": "float16",
            "encoder": self._encoder.name,
            "is_random": self._encoder.is_random,
            "layer": self._encoder.layer,
        }


def list_frames(source: ItemReader) -> tuple[list[str], int]:
    """Names of the stored frames, in order, and the pixels of their sides.

    Raises ItemError when they are not what video.json says.
    """
    video = json.loads(source.read("video.json"))
    num_frames, size = video["num_frames"], video["size"]
    frames = [name for name in source.names if name.endswith(".jpg")]
    if num_frames < 1 or frames != [f"{index:06d}.jpg" for index in range(num_frames)]:
        raise ItemError(Kind.PERMANENT, f"video.json says {num_frames} frames, the frame store holds {len(frames)}")
    return frames, size


def _cut(cutter: ChunkCutter, features: Features, count: int) -> list[Member]:
    """Members that the first ``count`` rows of a batch complete."""
    rows = {part: values[:count] for part, values in features.items()}
    _check_finite(rows, first_frame=cutter.num_rows)
    return list(cutter.add(rows))


def _check_finite(rows: dict[str, np.ndarray], first_frame: int) -> None:
    """float16 ends at 65504: a feature beyond it must fail here, not as a loss of NaN weeks later."""
    import numpy as np

    for part, values in rows.items():
        bad = np.flatnonzero(~np.isfinite(values).all(axis=(1, 2)))
        if len(bad):
            raise ItemError(Kind.PERMANENT, f"feature {part} of frame {first_frame + int(bad[0])} is not finite")
