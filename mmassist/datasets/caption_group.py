"""Captions of single pictures and short clips: hundreds of thousands of records in groups, one frame store each."""

from __future__ import annotations

import posixpath
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, NamedTuple, TypeVar

from mmassist.core.adapter import RawRecord
from mmassist.core.annotation import Caption, CaptionTrack
from mmassist.core.errors import ItemError, Kind
from mmassist.core.item import UPRIGHT, Drop, Geometry, Item, Listing, Medium
from mmassist.datasets.base import CaptionAdapter
from mmassist.datasets.source import unordered_digest

COPY = "copy of another record"
SECOND = "second record of its id"
ODD_BYTES = "not wholly UTF-8, the odd bytes became U+FFFD"

_MAX_DIGITS = 18  # an id of more digits is a name, not a number
# Bytes of a name and of a whole path; file systems take 255 and 4095, and ours have a folder before them.
_MAX_NAME, _MAX_PATH = 240, 1000

T = TypeVar("T")


class CaptionRecord(NamedTuple):
    """One annotated picture or clip.

    ``file`` is relative to ``raw_dir``; ``places`` are the byte offsets of the raw values it was made from in the
    annotation file: start, end, start, end and so on.
    """

    id: str
    file: str
    text: str
    places: tuple[int, ...]


@dataclass(slots=True)
class CaptionGroup:
    """The records of one frame store, and what was repaired or left out of it."""

    key: str
    split: str
    annotation_file: str
    records: list[CaptionRecord] = field(default_factory=list)
    drops: list[Drop] = field(default_factory=list)

    def drop(self, record: str, reason: str) -> None:
        self.drops.append(Drop(self.key, record, reason))

    def digest(self) -> str:
        """Digest of what is said of which file."""
        return unordered_digest(record[:3] for record in self.records)


class Groups:
    """All groups of a source by key, and the drops that belong to none."""

    def __init__(self) -> None:
        self.by_key: dict[str, CaptionGroup] = {}
        self.drops: list[Drop] = []

    def at(self, key: str, split: str, annotation_file: str) -> CaptionGroup:
        """The group called ``key``, made when it is new."""
        group = self.by_key.get(key)
        if group is None:
            group = self.by_key[key] = CaptionGroup(key, split, annotation_file)
        return group

    def finish(self) -> Groups:
        """Sort every group by id and keep one record of each id; groups without a record give up their drops."""
        for key, group in sorted(self.by_key.items()):
            kept = []
            for record, reason in mark_repeated(group.records, lambda r: r.id, lambda r: (r.file, r.text)):
                if reason:
                    group.drop(record.id, reason)
                else:
                    kept.append(record)
            group.records = kept
            if not kept:
                self.drops += self.by_key.pop(key).drops
        return self


class GroupedCaptions(CaptionAdapter):
    """A source of captioned pictures or clips; subclasses have ``read_groups``.

    Media item and dialog item of a group have the same key, and caption ``i`` belongs to file ``i``: both follow the
    order of the ids. Where an id occurs twice, the record that comes first by file and text counts.
    """

    medium: ClassVar[Medium]
    geometry: ClassVar[Geometry] = UPRIGHT
    member_s: ClassVar[float]  # expected work of one member, in seconds of video

    @abstractmethod
    def read_groups(self) -> Groups:
        """Everything the annotation files say. Raises ConfigError for an absent or useless file."""

    def list_items(self, which: str = "needed") -> Listing:
        """One media and one dialog item per group. Nothing else is on disk that could be meant by ``which="all"``."""
        media, dialogs = [], []
        for key, group in self._groups.by_key.items():
            weight_s = self.member_s * len(group.records)
            files = [record.file for record in group.records]
            media.append(self.source.group_item(key, group.split, self.medium, files, weight_s, self.geometry))
            dialogs.append(
                self.source.dialog_item(key, group.split, (group.annotation_file,), group.digest(), duration_s=weight_s)
            )
        return self.source.listing(dialogs, self._groups.drops, which, media)

    def load_captions(self, item: Item) -> CaptionTrack:
        """The group's captions by member. Raises ItemError when the annotation file has changed since the listing."""
        group = self._group(item)
        captions = (
            Caption(record.text, member, self.source.relative(record.file), record=record.id)
            for member, record in enumerate(group.records)
        )
        drops = sorted(group.drops, key=lambda drop: (drop.record, drop.reason))
        return CaptionTrack(self.name, item.key, tuple(captions), tuple(drops))

    def load_records(self, item: Item) -> Sequence[RawRecord]:
        """The raw records of the group's members, those of a member one after the other. Raises ItemError."""
        group = self._group(item)
        file = group.annotation_file
        return [
            RawRecord(f"{file} at byte {start}, for {record.id}", self.source.read_json_at(file, start, end))
            for record in group.records
            for start, end in zip(record.places[::2], record.places[1::2], strict=True)
        ]

    @cached_property
    def _groups(self) -> Groups:
        return self.read_groups().finish()

    def _group(self, item: Item) -> CaptionGroup:
        group = self._groups.by_key.get(item.recording)
        # Captions are joined to frames by position, so a list that is not the planned one would shift them all.
        if group is None or group.digest() != item.digest:
            raise ItemError(Kind.TRANSIENT, f"the records of {item.key} have changed since it was listed; run again")
        return group


def mark_repeated(
    records: Iterable[T], id_of: Callable[[T], str], facts_of: Callable[[T], Any]
) -> Iterator[tuple[T, str]]:
    """Yield the records in order of their ids, then facts, with why one should be left out ("" = the id's first).

    Records without id ("") are never repetitions. The result is the same whatever the order of ``records``.
    """
    first: T | None = None
    for record in sorted(records, key=lambda record: (id_order(id_of(record)), facts_of(record))):
        if first is None or not id_of(record) or id_of(record) != id_of(first):
            first = record
            yield record, ""
        else:
            yield record, COPY if facts_of(record) == facts_of(first) else SECOND


def id_order(record_id: str) -> tuple[bool, int, str]:
    """Sort key of ids: numbers by value, then names as text."""
    is_number = record_id.isdecimal() and record_id.isascii() and len(record_id) <= _MAX_DIGITS
    return (not is_number, int(record_id) if is_number else 0, record_id)


def read_id(value: Any) -> str:
    """An id as text, be it written as text or as a whole number; "" for anything else."""
    if isinstance(value, str):
        return " ".join(value.split())
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else ""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else ""


def read_path(value: Any) -> str:
    """A relative file path in its plainest form, "" for what is none or leads out of its folder."""
    if not isinstance(value, str) or not value.strip() or "\0" in value:
        return ""
    path = posixpath.normpath(value.strip())
    is_outside = path in (".", "..") or path.startswith(("/", "../"))
    sizes = [len(part.encode(errors="replace")) for part in path.split("/")]
    is_too_long = max(sizes) > _MAX_NAME or sum(sizes) > _MAX_PATH
    return "" if is_outside or is_too_long else path


def join_path(folder: str, path: str) -> str:
    """``path`` in ``folder``, which may be "" or "." where the pictures lie in the source's folder itself."""
    return posixpath.normpath(posixpath.join(folder, path))
