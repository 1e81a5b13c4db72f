"""extract: a recording's video to square JPEGs at exactly 2 FPS, with the presentation time of every picture."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any, Literal

from mmassist.core.config import build
from mmassist.core.errors import Skip
from mmassist.core.fingerprint import canonical_json
from mmassist.core.item import Item, ItemKind
from mmassist.core.stage import Context, Member, Outputs, Stage
from mmassist.core.stage_config import StageConfig
from mmassist.video.config import VideoConfig
from mmassist.video.decoder import Decoder


@dataclass(frozen=True, kw_only=True)
class ExtractConfig(StageConfig, VideoConfig):
    """How pictures are taken, which videos are wanted, and how the work is spread."""

    which: Literal["needed", "all"] = "needed"  # needed: videos of some dialog; all: every video of the source

    def __post_init__(self) -> None:
        StageConfig.__post_init__(self)
        VideoConfig.__post_init__(self)

    @property
    def video(self) -> VideoConfig:
        """The part that the decoder needs to know."""
        return VideoConfig(**{f.name: getattr(self, f.name) for f in fields(VideoConfig)})


class Extract(Stage):
    """Members per item: ``000000.jpg`` … and ``video.json`` (source, geometry, ``pts_s`` per frame)."""

    name = "extract"
    version = 1
    kind = ItemKind.MEDIA
    reads = ()
    sections = {"extract": partial(build, ExtractConfig)}  # noqa: RUF012

    def __init__(self, configs: dict[str, Any]):
        super().__init__(configs)
        self._decoder: Decoder | None = None

    @classmethod
    def folder(cls, configs: dict[str, Any]) -> str:
        return "frames"

    def close(self) -> None:
        if self._decoder is not None:
            self._decoder.close()
            self._decoder = None

    async def process(self, item: Item, ctx: Context) -> Outputs:
        """Decode the item's sources as one timeline. Raises Skip(no_video), or ItemError for a damaged file."""
        paths = [ctx.data_root / source for source in item.sources]
        for path in paths:
            if not path.exists():
                raise Skip("no_video", f"{path.relative_to(ctx.data_root)} does not exist")
        if self._decoder is None:
            self._decoder = Decoder(self.configs["extract"].video)
        stats: dict[str, float] = {}
        return Outputs(_iter_members(self._decoder, paths, item, ctx, stats), stats)


def _iter_members(
    decoder: Decoder, paths: list[Path], item: Item, ctx: Context, stats: dict[str, float]
) -> Iterator[Member]:
    stream = decoder.extract(paths, item.geometry, ctx.compat)
    for index, jpeg in stream:
        yield f"{index:06d}.jpg", jpeg
    info = stream.info()
    for source, relative in zip(info["sources"], item.sources, strict=True):
        source["path"] = relative
    info |= {"key": item.key, "dataset": item.dataset, "recording": item.recording, "licence": item.licence}
    stats["frames"] = info["num_frames"]
    stats["video_s"] = info["readable_s"]
    stats["partial_videos"] = float(info["partial"])
    yield "video.json", canonical_json(info).encode()
