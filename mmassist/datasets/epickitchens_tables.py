"""EPIC-KITCHENS' tables, read once: actions with their split, and lengths of the videos.

Columns and formats: https://github.com/epic-kitchens/epic-kitchens-100-annotations. Frames are never read from there:
they count 50 or 60 per second whatever the video's own rate is.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from mmassist.core.item import Drop
from mmassist.datasets.source import Source
from mmassist.datasets.span import read_number

if TYPE_CHECKING:
    from mmassist.datasets.epickitchens import Config

VIDEO_ID = re.compile(r"(P\d{1,9})_\d{1,9}", re.ASCII)
_CLOCK = re.compile(r"(\d+):(\d+):(\d+(?:\.\d*)?)", re.ASCII)
_COLUMNS = ("narration_id", "participant_id", "video_id", "start_timestamp", "stop_timestamp", "narration")


@dataclass(frozen=True, slots=True)
class Action:
    """A row of a table of actions; ``start``, ``stop`` and ``narration`` as they are written there."""

    file: str
    line: int
    id: str
    start: str
    stop: str
    narration: str

    @property
    def where(self) -> str:
        return f"{self.file} line {self.line}"

    @property
    def name(self) -> str:
        """The source's own id, or the row's place."""
        return " ".join(self.id.split()) or self.where

    def order(self) -> tuple[str, ...]:
        """Sorts rows the same way wherever they stand in the file."""
        return (self.start, self.stop, self.narration, self.id)

    def to_row(self) -> dict[str, Any]:
        """The publisher's columns."""
        return {
            "narration_id": self.id,
            "start_timestamp": self.start,
            "stop_timestamp": self.stop,
            "narration": self.narration,
        }


@dataclass(frozen=True, slots=True)
class Video:
    """A row of the table of videos; None for what is no sensible number."""

    line: int
    duration_s: float | None
    fps: float | None

    def to_row(self) -> dict[str, Any]:
        return {"duration": self.duration_s, "fps": self.fps}


class Tables:
    """The three tables by video. Reads nothing until asked; every property raises ConfigError for a useless file."""

    def __init__(self, config: Config, source: Source):
        self._config = config
        self._source = source
        self._splits: dict[str, str] = {}
        self._drops: list[Drop] = []

    @property
    def drops(self) -> list[Drop]:
        """Rows of all tables that were left out or repaired."""
        _ = self.actions, self.videos  # reading finds them
        return self._drops

    @property
    def splits(self) -> dict[str, str]:
        """Video -> train or val; a video in both tables is val, whose videos must not be trained on."""
        _ = self.actions  # reading fills them in
        return self._splits

    @cached_property
    def actions(self) -> dict[str, list[Action]]:
        """Video -> its rows in the order of the files."""
        found: dict[str, list[Action]] = {}
        for split, file in (("train", self._config.train_file), ("val", self._config.val_file)):
            self._read_actions(split, file, found)
        return found

    @cached_property
    def videos(self) -> dict[str, Video]:
        """Video -> its row; of several the one with the greatest length."""
        file = self._config.videos_file
        videos: dict[str, Video] = {}
        columns = ("video_id", "duration", "fps")
        for line, cells in self._source.iter_table(file, columns, self._drops, owner="video_id"):
            name = cells["video_id"]
            if not VIDEO_ID.fullmatch(name):
                self._drops.append(Drop("", f"{file} line {line}", "no video_id of the form P01_01"))
                continue
            video = Video(line, _positive(cells["duration"]), _positive(cells["fps"]))
            if name in videos:
                self._drops.append(Drop(name, f"{file} line {line}", "second row of a video, the longest counts"))
            if name not in videos or _rank(video) > _rank(videos[name]):
                videos[name] = video
        return videos

    def duration(self, recording: str) -> tuple[float, str]:
        """Length in seconds, and a remark; without a length in the table the last end of an action counts."""
        video = self.videos.get(recording)
        if video and video.duration_s:
            return video.duration_s, ""
        times = [read_clock(text) for action in self.actions[recording] for text in (action.start, action.stop)]
        return max((t for t in times if t is not None), default=0.0), "no usable length, the last action's end used"

    def _read_actions(self, split: str, file: str, found: dict[str, list[Action]]) -> None:
        num_usable = 0
        for line, cells in self._source.iter_table(file, _COLUMNS, self._drops, owner="video_id"):
            video = cells["video_id"]
            action = Action(
                file, line, cells["narration_id"], cells["start_timestamp"], cells["stop_timestamp"], cells["narration"]
            )
            if not VIDEO_ID.fullmatch(video):
                self._drops.append(Drop("", action.where, "no video_id of the form P01_01"))
                continue
            if cells["participant_id"] != participant_of(video):
                self._drops.append(Drop(video, action.name, "another participant_id than the video's, which counts"))
            if self._splits.setdefault(video, split) != split:
                self._drops.append(Drop(video, self._config.train_file, f"also in {file}, which wins"))
                self._splits[video] = split
            found.setdefault(video, []).append(action)
            num_usable += 1
        if not num_usable:
            raise self._source.refuse(file, "holds no action of any video")


def participant_of(recording: str) -> str:
    """``P01`` of ``P01_101``."""
    return recording.partition("_")[0]


def read_clock(text: str) -> float | None:
    """Seconds of ``HH:MM:SS.ss``, or None for anything else."""
    parts = _CLOCK.fullmatch(text.strip())
    if parts is None:
        return None
    hours, minutes, seconds = parts.groups()
    return read_number(int(hours) * 3600 + int(minutes) * 60 + float(seconds))


def _positive(text: str) -> float | None:
    number = read_number(text)
    return number if number is not None and number > 0 else None


def _rank(video: Video) -> tuple[float, float]:
    return (video.duration_s or 0.0, video.fps or 0.0)
