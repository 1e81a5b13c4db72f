"""The sample's EPIC-KITCHENS folder: tables of narrated actions, and videos in both trees. All of it is invented."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

from mmassist.core.rng import rng
from tools.demo.publication import Publication, Writer, video_writer
from tools.demo.schedule import cut_time
from tools.demo.video import num_frames

RAW_DIR = "epic-kitchens"
ANNOTATIONS = "epic-kitchens-100-annotations"
FPS_60, FPS_48, FPS_30 = Fraction(60000, 1001), Fraction(48000, 1001), Fraction(30000, 1001)
COLUMNS = (
    "narration_id",
    "participant_id",
    "video_id",
    "narration_timestamp",
    "start_timestamp",
    "stop_timestamp",
    "start_frame",
    "stop_frame",
    "narration",
    "verb",
    "verb_class",
    "noun",
    "noun_class",
    "all_nouns",
    "all_noun_classes",
)

PORRIDGE = (
    "open cupboard",
    "take pot",
    "fill pot",
    "put pot on hob",
    "turn on hob",
    "take oats",
    "pour oats into pot",
    "stir oats",
    "take honey",
    "add honey",
    "turn off hob",
    "pour porridge into bowl",
)
SALAD = (
    "open fridge",
    "take cucumber",
    "close fridge",
    "take knife",
    "peel cucumber",
    "slice cucumber",
    "put slices in bowl",
    "take oil",
    "pour oil",
    "grind pepper",
    "mix salad",
)
WASHING = (
    "turn on tap",
    "take sponge",
    "wash pan",
    "rinse pan",
    "put down pan",
    "wash bowl",
    "rinse bowl",
    "turn off tap",
    "take towel",
    "dry bowl",
)
TOAST = (
    "take bread",
    "cut bread",
    "open toaster",
    "insert bread",
    "press lever",
    "take butter",
    "take plate",
    "remove toast",
    "spread butter",
    "sprinkle salt",
    "eat toast",
)


@dataclass(frozen=True)
class Video:
    """``folder`` is where its file lies; ``split`` the table that holds its actions, "" for a video without any."""

    name: str
    split: str
    folder: str
    fps: Fraction
    duration_s: float
    actions: Iterable[str]

    @property
    def participant(self) -> str:
        return self.name.split("_")[0]

    @property
    def length_s(self) -> float:
        return float(num_frames(self.duration_s, self.fps) / self.fps)

    @property
    def frames_per_second(self) -> int:
        """What the frame columns count, whatever the video's own rate is."""
        return 50 if len(self.name.split("_")[1]) == 3 else 60


VIDEOS = (
    Video("P91_01", "train", "EK55/videos/train/P91", FPS_60, 31.0, PORRIDGE),
    Video("P92_101", "train", "EK100/P92/videos", Fraction(50), 27.0, SALAD),
    Video("P93_02", "train", "EK55/videos/train/P93", FPS_48, 24.0, WASHING),
    # the same person as in training: the whole person moves, and the split's audit says so
    Video("P91_12", "val", "EK55/videos/test/P91", FPS_30, 22.0, WASHING),
    Video("P94_03", "val", "EK55/videos/train/P94", FPS_30, 29.0, TOAST),
    Video("P95_102", "val", "EK100/P95/videos", Fraction(50), 25.0, PORRIDGE),
    Video("P96_01", "", "EK55/videos/test/P96", FPS_30, 20.0, ()),  # of the held-out test set: never needed
)


def publish() -> Publication:
    """Three tables, and the videos of the two tables of actions."""
    files = {
        f"{ANNOTATIONS}/EPIC_100_train.csv": _table(COLUMNS, _action_rows("train")),
        f"{ANNOTATIONS}/EPIC_100_validation.csv": _table(COLUMNS, _action_rows("val")),
        f"{ANNOTATIONS}/EPIC_100_video_info.csv": _table(
            ("video_id", "duration", "fps", "resolution"),
            ([video.name, repr(video.length_s), repr(float(video.fps)), "1920x1080"] for video in VIDEOS),
        ),
        f"{ANNOTATIONS}/license.txt": b"Invented; free to use.\n",
    }
    pictures = {f"{video.folder}/{video.name}.MP4": _writer(video) for video in VIDEOS if video.split}
    return Publication(RAW_DIR, files, pictures)


def _writer(video: Video) -> Writer:
    return video_writer(video.duration_s, video.fps, [start for start, _, _ in _spans(video)])


def _spans(video: Video) -> list[tuple[float, float, str]]:
    """Actions with their seconds; every third reaches into the next, as a quarter of the published ones do."""
    random = rng("demo", video.name)
    actions = list(video.actions)
    spans = cut_time(random, len(actions), 0.6, video.length_s - 0.8, gap=0.15)
    return [
        (start, end + (0.4 if place % 3 == 1 else 0.0), text)
        for place, ((start, end), text) in enumerate(zip(spans, actions, strict=True))
    ]


def _action_rows(split: str) -> list[list[str]]:
    """Rows in the publisher's order: by narration id as text, so 10 comes before 2."""
    rows = [
        _action_row(video, place, *span)
        for video in VIDEOS
        if video.split == split
        for place, span in enumerate(_spans(video))
    ]
    return sorted(rows, key=lambda row: row[0])


def _action_row(video: Video, place: int, start: float, end: float, text: str) -> list[str]:
    verb, _, noun = text.partition(" ")
    told = "" if place == 4 else _clock(start + 0.3, 3)  # a few have no time of narration
    text = f"{text}, slowly" if place == 5 else text  # a comma makes the field quoted
    frames = [str(round(t * video.frames_per_second)) for t in (start, end)]
    times = [told, _clock(start, 2), _clock(end, 2), *frames]
    return [
        f"{video.name}_{place}",
        video.participant,
        video.name,
        *times,
        text,
        verb,
        "0",
        noun,
        "0",
        f"[{noun!r}]",
        "[0]",
    ]


def _clock(time_s: float, digits: int) -> str:
    minutes, seconds = divmod(time_s, 60)
    return f"00:{int(minutes):02d}:{seconds:0{digits + 3}.{digits}f}"


def _table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue().encode()
