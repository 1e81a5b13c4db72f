"""EgoExoLearn's table of fine actions, read once; only rows of ego videos are kept.

Columns: https://github.com/OpenGVLab/EgoExoLearn, ``annotations/README.md``, which says ``annotation_uid`` where
published tables say ``annotation_id``.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from mmassist.core.item import Drop
from mmassist.datasets.source import Source

SUBSETS = ("train", "val")
_VIDEO_UID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")  # the length of a UUID is 36
_COLUMNS = (
    "video_uid",
    "annotation_uid",
    "subset",
    "view",
    "scene",
    "start_sec",
    "end_sec",
    "narration_en",
    "narration_en_no_hand_prompt",
)


@dataclass(frozen=True, slots=True)
class Row:
    """A row as it is written; ``plain_text`` is the narration rewritten without left and right hand."""

    file: str
    line: int
    uid: str
    subset: str
    scene: str
    start: str
    end: str
    text: str
    plain_text: str

    @property
    def where(self) -> str:
        return f"{self.file} line {self.line}"

    @property
    def name(self) -> str:
        """The source's own id, or the row's place."""
        return " ".join(self.uid.split()) or self.where

    def order(self) -> tuple[str, ...]:
        """Sorts rows the same way wherever they stand in the file."""
        return (self.start, self.end, self.plain_text, self.text, self.uid)

    def to_row(self) -> dict[str, Any]:
        """The publisher's columns."""
        return {
            "annotation_uid": self.uid,
            "subset": self.subset,
            "scene": self.scene,
            "start_sec": self.start,
            "end_sec": self.end,
            "narration_en": self.text,
            "narration_en_no_hand_prompt": self.plain_text,
        }


class Table:
    """Ego rows by video, in the order of the file. Reads nothing until asked; raises ConfigError for a useless file."""

    def __init__(self, source: Source, file: str):
        self._source = source
        self._file = file
        self._drops: list[Drop] = []

    @property
    def drops(self) -> list[Drop]:
        """Rows that belong to no video of ours; those of videos filmed from outside are one entry."""
        _ = self.rows  # reading finds them
        return self._drops

    @cached_property
    def rows(self) -> dict[str, list[Row]]:
        found: dict[str, list[Row]] = {}
        num_exo = 0
        aliases = {"annotation_id": "annotation_uid"}
        for line, cells in self._source.iter_table(self._file, _COLUMNS, self._drops, aliases, owner="video_uid"):
            video = cells["video_uid"]
            is_exo = cells["view"] == "exo"
            num_exo += is_exo
            if is_exo:
                continue
            refusal = _refuse(cells)
            if refusal:
                recording = video if _VIDEO_UID.fullmatch(video) else ""
                self._drops.append(Drop(recording, f"{self._file} line {line}", refusal))
                continue
            found.setdefault(video, []).append(_build_row(self._file, line, cells))
        if not found:
            raise self._source.refuse(self._file, "holds no row of an ego video")
        if num_exo:
            self._drops.append(Drop("", f"{self._file}, {num_exo} rows", "filmed from outside, not used"))
        return found


def _refuse(cells: dict[str, str]) -> str:
    if not _VIDEO_UID.fullmatch(cells["video_uid"]):
        return "no usable video_uid"
    if cells["view"] != "ego":
        return "view is neither ego nor exo"
    return "" if cells["subset"] in SUBSETS else "subset is neither train nor val"


def _build_row(file: str, line: int, cells: dict[str, str]) -> Row:
    return Row(
        file,
        line,
        cells["annotation_uid"],
        sys.intern(cells["subset"]),
        sys.intern(cells["scene"]),
        cells["start_sec"],
        cells["end_sec"],
        cells["narration_en"],
        cells["narration_en_no_hand_prompt"],
    )
