"""How many bytes the stages will write, roughly, and whether they fit."""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mmassist.core.adapter import Content
from mmassist.core.item import Item, Listing, Medium
from mmassist.core.stage import Stage
from mmassist.datasets import adapter_class
from mmassist.dialog.usertype import parse_user_types
from mmassist.io.layout import Layout

FRAME_BYTES = 30_000  # of a JPEG of 384 x 384 at quality 90
DIALOG_BYTES = 40_000  # of one conversation with its prompts' text; published ones have 12 to 78 kB
TEXT_SHARE = 1.2  # tokens of a sample over those of its frames
TOKEN_BYTES = 8  # an id and a label
WIDTHS = {"siglip_so400m": 1152, "tiny": 64}  # of the engines' vectors
SPARE_INODES = 10_000
ESTIMATED = ("extract", "generate", "encode", "pack")  # the others write little


@dataclass(frozen=True)
class StageBytes:
    """What a stage's folder will hold with the pictures at hand, with all pictures, and what it holds now."""

    stage: str
    expected: int
    expected_all: int
    present: int

    @property
    def missing(self) -> int:
        """Bytes still to be written for the pictures at hand."""
        return max(0, self.expected - self.present)


@dataclass(frozen=True)
class Disk:
    """Space where outputs go. ``free_inodes`` is None where the file system does not count them."""

    free_bytes: int
    free_inodes: int | None


def measure_disk(layout: Layout) -> Disk:
    """Free space below ``processed_data``, or below the nearest folder above that exists."""
    folder = next(path for path in (layout.processed, *layout.processed.parents) if path.exists())
    counts = os.statvfs(folder)
    return Disk(shutil.disk_usage(folder).free, counts.f_favail if counts.f_files else None)


def estimate_bytes(
    layout: Layout, dataset: str, stages: Mapping[str, Stage], listing: Listing, usable: Collection[str]
) -> list[StageBytes]:
    """One row per stage that writes much; ``usable`` are the keys of media items whose pictures are there."""
    content = adapter_class(dataset).content
    media = {item.key: item for item in listing.media}
    rows = []
    for stage in (name for name in ESTIMATED if name in stages):
        here = _expected(stage, content, stages, listing.dialogs, media, usable)
        everything = _expected(stage, content, stages, listing.dialogs, media, media.keys())
        unit = layout.unit(dataset, type(stages[stage]).folder(stages[stage].configs))
        rows.append(StageBytes(stage, here, everything, _bytes_in(unit.shard_dir) + _bytes_in(unit.journal_dir)))
    return rows


def _expected(
    stage: str,
    content: Content,
    stages: Mapping[str, Stage],
    dialogs: Sequence[Item],
    media: Mapping[str, Item],
    usable: Collection[str],
) -> int:
    extract, encode = stages["extract"].configs["extract"], stages["encode"].configs
    width = WIDTHS.get(encode["encoder"].engine, max(WIDTHS.values()))
    frames = {key: _num_frames(media[key], extract.fps) for key in usable}
    if stage == "extract":
        return round(sum(frames.values()) * FRAME_BYTES * (extract.size / 384) ** 2)
    if stage == "encode":
        tokens = 1 + sum(grid * grid for grid in encode["encode"].grids)
        return round(sum(frames.values()) * tokens * width * 2)
    num_conversations = 1.0
    if content is Content.DIALOG:
        num_conversations = float(len(parse_user_types(stages["generate"].configs["generate"].user_types)))
        if stage == "generate":
            return round(len(dialogs) * num_conversations * DIALOG_BYTES)
        num_conversations *= min(1.0, stages["split"].configs["split"].sampling_ratio)
    pack = stages["pack"].configs["pack"]
    per_frame = pack.image_tokens * (TOKEN_BYTES * TEXT_SHARE + (2 * width if pack.include_features else 0))
    shown = sum(_shown_frames(item, media, frames, extract.fps) for item in dialogs)
    return round(shown * per_frame * num_conversations)


def _num_frames(item: Item, fps: float) -> float:
    return len(item.sources) if item.medium is Medium.IMAGES else item.weight_s * fps


def _shown_frames(item: Item, media: Mapping[str, Item], frames: Mapping[str, float], fps: float) -> float:
    key = item.media_key or item.key
    if key not in frames:
        return 0.0
    if media[key].medium is Medium.VIDEO and item.duration_s:
        return min(frames[key], item.duration_s * fps)
    return frames[key]


def _bytes_in(folder: Path) -> int:
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(f"{place}/{name}").st_size
            except OSError:  # gone since, in a folder that a run is writing
                continue
    return total
