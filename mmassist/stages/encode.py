"""Encode: stored frames to vision features, in chunks that a loader can read one by one."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from mmassist.core.config import build, transient
from mmassist.core.errors import ItemError, Kind, StageError
from mmassist.core.fingerprint import canonical_json
from mmassist.core.item import Item, ItemKind
from mmassist.core.stage import Context, ItemReader, Member, Outputs, Section, Stage
from mmassist.core.stage_config import StageConfig
from mmassist.vision import build_encoder_config, check_encoder
from mmassist.vision.config import EncoderConfig
from mmassist.vision.protocol import GRIDS, IMAGE_SIZE, grid_name

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True, kw_only=True)
class EncodeConfig(StageConfig):
    """``batch_size`` can change low bits: kernels are chosen by shape. A video's last batch is padded to it."""

    batch_size: int = 64  # frames in one forward pass
    grids: tuple[int, ...] = (2, 3)  # stored beside the pooled token: g x g tokens a frame each
    chunk_frames: int = 120  # frames in one member: a minute at 2 frames a second
    decode_threads: int = transient(4)  # JPEG decoders of one item in flight

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("batch_size", "chunk_frames", "decode_threads"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)!r}; it must be at least 1")
        wrong = [grid for grid in self.grids if grid not in GRIDS]
        if wrong or len(set(self.grids)) != len(self.grids):
            raise ValueError(
                f"grids is {list(self.grids)}; it must name each of {', '.join(map(str, GRIDS))} at most once"
            )
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

    def revision(self) -> dict[str, Any]:
        return self._encoder.revision()

    async def process(self, item: Item, ctx: Context) -> Outputs:
        source = ctx.read("extract", item.key)
        source.verify()  # a flipped bit in a picture would pass into features unseen
        frames = list_frames(source)
        return Outputs(members=self._iter_members(source, frames, ctx), stats={"frames": len(frames)})

    async def _iter_members(self, source: ItemReader, frames: list[str], ctx: Context) -> AsyncIterator[Member]:
        from mmassist.vision.feature_chunk import SUMMARY_NAME, ChunkCutter

        parts = ["cls", *map(grid_name, self._config.grids)]
        cutter = ChunkCutter(self._config.chunk_frames, parts)
        dim = 0
        async with aclosing(self._iter_batches(source, frames)) as batches:
            async for images, count in batches:
                features = await ctx.encoder.embed(images)
                rows = {part: features[part][:count] for part in parts}
                _check_finite(rows, first_frame=cutter.num_rows)
                dim = rows["cls"].shape[-1]
                for member in cutter.add(rows):
                    yield member
        for member in cutter.finish():
            yield member
        if cutter.num_rows != len(frames):
            raise ItemError(Kind.PERMANENT, f"{cutter.num_rows} feature rows for {len(frames)} frames")
        yield SUMMARY_NAME, canonical_json(self._summary(len(frames), dim)).encode()

    async def _iter_batches(self, source: ItemReader, frames: list[str]) -> AsyncGenerator[tuple[np.ndarray, int]]:
        """Yield padded batches and how many of their rows are frames, decoding one batch ahead."""
        from mmassist.vision.frame_batch import decode_frame, new_batch

        def decode(name: str, row: np.ndarray) -> None:
            decode_frame(source.read(name), name, row)

        def start(first: int) -> tuple[np.ndarray, list[Future[None]]]:
            batch = new_batch(self._config.batch_size)
            names = frames[first : first + self._config.batch_size]
            return batch, [pool.submit(decode, name, row) for name, row in zip(names, batch, strict=False)]

        pool = ThreadPoolExecutor(self._config.decode_threads, thread_name_prefix="jpeg")
        try:
            ahead = start(0)
            for first in range(0, len(frames), self._config.batch_size):
                batch, jobs = ahead
                for job in jobs:
                    await asyncio.wrap_future(job)
                ahead = start(first + self._config.batch_size)
                yield batch, len(jobs)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)  # at most a few pictures are still being decoded

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


def list_frames(source: ItemReader) -> list[str]:
    """Names of the stored frames, in order.

    Raises ItemError when they are not what video.json says, StageError when they were made in a size that no encoder
    takes: then all items were.
    """
    video = json.loads(source.read("video.json"))
    num_frames, size = video["num_frames"], video["size"]
    if size != IMAGE_SIZE:
        raise StageError(
            f"extract.size={size}: the encoders take pictures of {IMAGE_SIZE}; set extract.size={IMAGE_SIZE}"
        )
    frames = [name for name in source.names if name.endswith(".jpg")]
    if num_frames < 1 or frames != [f"{index:06d}.jpg" for index in range(num_frames)]:
        raise ItemError(Kind.PERMANENT, f"video.json says {num_frames} frames, the frame store holds {len(frames)}")
    return frames


def _check_finite(rows: dict[str, np.ndarray], first_frame: int) -> None:
    """float16 ends at 65504: a feature beyond it must fail here, not as a loss of NaN weeks later."""
    import numpy as np

    for part, values in rows.items():
        bad = np.flatnonzero(~np.isfinite(values).all(axis=(1, 2)))
        if len(bad):
            raise ItemError(Kind.PERMANENT, f"feature {part} of frame {first_frame + int(bad[0])} is not finite")
