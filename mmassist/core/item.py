"""What the pipeline works on: a media item (pictures) or a dialog item (what is said about a stretch of them)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

KEY_PATTERN = re.compile(r"[A-Za-z0-9_-]{1,100}")


class ItemKind(StrEnum):
    MEDIA = "media"
    DIALOG = "dialog"


class Medium(StrEnum):
    """What the sources of a media item are."""

    VIDEO = "video"  # one recording; several files are its parts in playing order, joined into one timeline
    CLIPS = "clips"  # short videos that have nothing to do with each other, each with a clock of its own
    IMAGES = "images"  # one frame each


@dataclass(frozen=True, slots=True)
class Geometry:
    """How a source's pictures must be turned and fitted into the square before use.

    ``rotation_deg`` is counter-clockwise, a multiple of 90, on top of the file's own display matrix. ``fit``: ``crop``
    takes the centred square, ``squash`` scales both sides, whatever becomes of the proportions.
    """

    rotation_deg: int = 0
    fit: str = "crop"


UPRIGHT = Geometry()


@dataclass(frozen=True, slots=True)
class Item:
    """One unit of work, listed from annotations alone.

    ``sources`` are paths relative to DATA_ROOT_DIR in playing order; of clips and images one per annotated record, so a
    file may occur twice. ``digest`` covers everything the item's first stage reads (annotation records, or path and
    size of the video), so a changed input is seen before any work.
    """

    dataset: str
    key: str
    kind: ItemKind
    split: str  # the source's own split: train, val or test
    sources: tuple[str, ...]
    digest: str
    recording: str
    duration_s: float | None = None
    participant: str | None = None
    geometry: Geometry = UPRIGHT
    licence: str = ""
    medium: Medium = Medium.VIDEO  # media items
    media_key: str | None = None  # dialog items: the media item that shows this stretch
    time_offset_s: float = 0.0  # dialog items: annotation time 0 on the media's clock

    def __post_init__(self) -> None:
        assert KEY_PATTERN.fullmatch(self.key), f"item key {self.key!r} must match {KEY_PATTERN.pattern}"

    def to_row(self) -> dict[str, Any]:
        """Plain values for a file; not ``dataclasses.asdict``, which takes ten times as long over a million items."""
        row = {name: getattr(self, name) for name in self.__slots__}
        return row | {"geometry": {"rotation_deg": self.geometry.rotation_deg, "fit": self.geometry.fit}}

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Item:
        """The item that ``to_row`` made the values of."""
        typed = {
            "kind": ItemKind(row["kind"]),
            "medium": Medium(row["medium"]),
            "sources": tuple(row["sources"]),
            "geometry": Geometry(**row["geometry"]),
        }
        return cls(**{**row, **typed})

    @property
    def weight_s(self) -> float:
        """Expected work, in seconds of video; unknown lengths count as ten minutes."""
        return self.duration_s if self.duration_s else 600.0


@dataclass(frozen=True, slots=True)
class Drop:
    """A record of a source that was repaired or left out, and by which rule."""

    recording: str
    record: str  # the source's own id or position of the record
    reason: str


@dataclass(frozen=True)
class Listing:
    """Everything an adapter finds in a source's annotations; both lists sorted by key."""

    media: tuple[Item, ...]
    dialogs: tuple[Item, ...]
    drops: tuple[Drop, ...] = ()
