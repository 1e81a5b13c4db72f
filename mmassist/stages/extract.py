"""extract: videos, clips and pictures to square JPEGs, of what moves exactly 2 a second with their times."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any, Literal

from mmassist.core.config import Why, build, transient
from mmassist.core.errors import ItemError, Kind, Skip
from mmassist.core.fingerprint import canonical_json
from mmassist.core.item import Item, ItemKind, Medium
from mmassist.core.stage import Context, Member, Outputs, Stage
from mmassist.core.stage_config import StageConfig
from mmassist.video.config import VideoConfig
from mmassist.video.decoder import Decoder
from mmassist.video.extract import name_of
from mmassist.video.group import CUT_SHORT, MISSING, UNREADABLE, FrameGroup

# How far a source's length and its video's may lie apart, whichever is more: clocks are stopped before cameras.
LENGTH_TOLERANCE_S = 5.0
LENGTH_TOLERANCE = 0.05  # of the source's length


@dataclass(frozen=True, kw_only=True)
class ExtractConfig(StageConfig, VideoConfig):
    """How pictures are taken, which videos are wanted, and how the work is spread."""

    which: Literal["needed", "all"] = transient("needed", why=Why.CHOICE)  # videos of some dialog, or every one

    def __post_init__(self) -> None:
        StageConfig.__post_init__(self)
        VideoConfig.__post_init__(self)

    @property
    def video(self) -> VideoConfig:
        """The part that the decoder needs to know."""
        return VideoConfig(**{f.name: getattr(self, f.name) for f in fields(VideoConfig)})


class Extract(Stage):
    """Members per item: ``000000.jpg`` … and ``video.json`` (where each frame is from, and its time)."""

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
        """Decode the item's sources: a video as one timeline, clips and pictures each on its own.

        Raises Skip(no_video) when nothing is there, ItemError for a damaged video and for a group without one sound
        file; of a group only while its members are read.
        """
        if self._decoder is None:
            self._decoder = Decoder(self.configs["extract"].video)
        if item.medium is not Medium.VIDEO:
            outputs = Outputs(())
            outputs.members = _iter_group(self._decoder, item, ctx, self.configs["extract"], outputs)
            return outputs
        paths = [ctx.data_root / source for source in item.sources]
        for path in paths:
            if not path.exists():
                raise Skip("no_video", f"{path.relative_to(ctx.data_root)} does not exist")
        stats: dict[str, float] = {}
        return Outputs(_iter_members(self._decoder, paths, item, ctx, self.configs["extract"], stats), stats)


def _iter_group(
    decoder: Decoder, item: Item, ctx: Context, config: ExtractConfig, outputs: Outputs
) -> Iterator[Member]:
    group = FrameGroup(decoder, item, ctx.compat)
    for source in item.sources:
        for index, jpeg in group.read(ctx.data_root / source, source):
            yield f"{index:06d}.jpg", jpeg
    group.check()
    problems = group.problems()
    info = {
        "key": item.key,
        "dataset": item.dataset,
        "recording": item.recording,
        "licence": item.licence,
        "medium": item.medium,
        "fps": config.fps if item.medium is Medium.CLIPS else None,
        "size": config.size,
        "num_frames": group.num_frames,
        "members": group.members,
        "problems": problems,
        "partial": bool(problems),
    }
    outputs.drops += group.drops
    outputs.stats |= {
        "frames": group.num_frames,
        "members": len(group.members),
        "video_s": group.readable_s,
        "dropped_clips" if item.medium is Medium.CLIPS else "dropped_pictures": group.num_drops(MISSING, UNREADABLE),
    }
    if item.medium is Medium.CLIPS:
        outputs.stats["partial_videos"] = group.num_drops(CUT_SHORT)
    yield "video.json", canonical_json(info).encode()


def _iter_members(
    decoder: Decoder, paths: list[Path], item: Item, ctx: Context, config: ExtractConfig, stats: dict[str, float]
) -> Iterator[Member]:
    stream = decoder.extract(paths, item.geometry, ctx.compat)
    for index, jpeg in stream:
        yield f"{index:06d}.jpg", jpeg
    info = stream.info()
    for source, relative in zip(info["sources"], item.sources, strict=True):
        source["path"] = relative
    _compare_length(info, paths, item, config.accept_partial, stats)
    info |= {"key": item.key, "dataset": item.dataset, "recording": item.recording, "licence": item.licence}
    stats["frames"] = info["num_frames"]
    stats["video_s"] = info["readable_s"]
    stats["partial_videos"] = float(info["partial"])
    yield "video.json", canonical_json(info).encode()


def _compare_length(
    info: dict[str, Any], paths: list[Path], item: Item, accept_partial: bool, stats: dict[str, float]
) -> None:
    """Hold the video against the length that the source's annotation states.

    Where a container states no length (program and transport streams, live Matroska, fragmented MP4), a cut between
    two pictures shows nowhere else: there a video that ends too early raises ItemError(PERMANENT), or is partial if
    that is accepted. Where the containers do state it, they are believed, and a difference is noted.
    """
    stated_s = item.duration_s
    if not stated_s:
        return
    end_s, readable_s = info["expected_s"], info["readable_s"]
    tolerance_s = max(LENGTH_TOLERANCE_S, LENGTH_TOLERANCE * stated_s)
    if all(source["states_length"] for source in info["sources"]):
        if abs(stated_s - end_s) > tolerance_s:
            info["problems"].append(f"the video lasts {end_s:.2f} s, the source states {stated_s:.2f} s")
            stats["length_differs"] = 1.0
    elif stated_s - end_s > tolerance_s:
        problem = f"only {readable_s:.2f} s of the {stated_s:.2f} s that the source states are readable"
        if not accept_partial:
            raise ItemError(Kind.PERMANENT, f"{problem} in {name_of(paths)}")
        info["problems"].append(problem)
        info["partial"] = True
