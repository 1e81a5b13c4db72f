"""What packing has to know of an item's stored frames: how many there are, and what they show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mmassist.core.errors import ItemError, Kind
from mmassist.core.seconds import FRAMES_PER_SECOND
from mmassist.packing.conversation import Frames


@dataclass(frozen=True)
class FrameStore:
    """The frames of a recording. ``is_partial``: only what could be read of a damaged video."""

    key: str
    num_frames: int
    fps: float = FRAMES_PER_SECOND
    is_partial: bool = False


@dataclass(frozen=True)
class GroupStore:
    """The frames of images or clips that are kept together: member i is shown by ``runs[i]``, None by no frame at all.

    ``fps`` is None for images. ``is_partial``: some members could not be read whole.
    """

    key: str
    num_frames: int
    fps: float | None
    runs: tuple[Frames | None, ...]
    is_partial: bool = False
    files: tuple[str, ...] = ()  # the members' paths


def load_frame_store(key: str, video: Mapping[str, Any]) -> FrameStore:
    """The frames of a recording as its ``video.json`` describes them."""
    return FrameStore(key, int(video["num_frames"]), float(video["fps"]), bool(video.get("partial", False)))


def load_store(key: str, video: Mapping[str, Any]) -> FrameStore | GroupStore:
    """The frames of a recording, or of a group of images or clips, whichever ``video.json`` describes.

    Raises ItemError for a member whose frames are not among those stored.
    """
    if "members" not in video:
        return load_frame_store(key, video)
    num_frames, fps = int(video["num_frames"]), video["fps"]
    runs = tuple(_load_run(member, num_frames, key) for member in video["members"])
    files = tuple(str(member["path"]) for member in video["members"])
    is_partial = bool(video.get("partial", False))
    return GroupStore(key, num_frames, None if fps is None else float(fps), runs, is_partial, files)


def _load_run(member: Mapping[str, Any], num_frames: int, key: str) -> Frames | None:
    start, end = int(member["start"]), int(member["end"])
    if not 0 <= start <= end <= num_frames:
        raise ItemError(Kind.PERMANENT, f"{key} has {num_frames} frames, {member['path']} claims {start} to {end}")
    return Frames(start, end) if start < end else None
