"""Where each recording lies in HoloAssist's annotation file, and what listing needs of it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mmassist.core.item import Drop
from mmassist.datasets.holoassist_event import events_digest
from mmassist.datasets.source import Source, record_digest
from mmassist.datasets.span import read_number

Record = dict[str, Any]
_NAME = re.compile(r"[^/\x00-\x1f\x7f\x85\u2028\u2029]{1,150}")  # what a video's folder can be called after


@dataclass(frozen=True)
class Place:
    """The bytes of the file that hold a recording's record."""

    start: int
    end: int
    digest: str  # of the record, whatever the order of its events
    duration_s: float


class Index:
    """The place of every recording in the annotation file, whose 117 MB are read once and never held.

    ``count_usable`` tells how many events of a record can be used; it decides between two records of one recording.
    Raises ConfigError when the file is absent, no JSON list, or without any recording.
    """

    def __init__(self, source: Source, file: str, compat: bool, count_usable: Callable[[Record], int]):
        self._source = source
        self._file = file
        self._count_usable = count_usable
        self.places: dict[str, Place] = {}
        self.drops: list[Drop] = []
        is_odd = False
        for element in source.iter_json(file, outermost="list"):
            is_odd = is_odd or element.is_odd
            record, name = element.value, f"record {element.key}"
            recording = read_name(record.get("video_name")) if isinstance(record, dict) else ""
            if not recording:
                self.drops.append(Drop("", name, "no video_name"))
            elif not isinstance(record.get("events"), list):
                self.drops.append(Drop(recording, name, "no events"))
            else:
                facts = _digest(record, compat)
                place = Place(element.start, element.end, facts, read_duration(record, compat)[0])
                self._add(recording, place, record)
        if not self.places:
            raise source.refuse(file, "holds no recording with events")
        if is_odd:
            self.drops.append(Drop("", file, "not wholly UTF-8, the odd bytes became U+FFFD"))

    def load(self, place: Place) -> Record:
        """The record at a place of this index. Raises ItemError when the file has changed since."""
        record: Record = self._source.read_json_at(self._file, place.start, place.end)
        return record

    def _add(self, recording: str, place: Place, record: Record) -> None:
        known = self.places.get(recording)
        if known is not None:
            self.drops.append(Drop(recording, "second record", "annotated twice, the one with more usable events kept"))
            # at equal counts any rule will do that is free of the file's order
            rank = (-self._count_usable(record), place.digest)
            if rank > (-self._count_usable(self.load(known)), known.digest):
                return
        self.places[recording] = place


def _digest(record: Record, compat: bool) -> str:
    metadata = read_section(record, "videoMetadata")
    length = read_section(metadata, "duration")
    facts = [
        record.get("taskType"),
        length.get("raw"),
        length.get("seconds"),
        read_section(metadata, "video").get("fps"),
    ]
    return record_digest(facts, events_digest(record["events"], compat))


def read_name(value: Any) -> str:
    """A recording's name, "" for what can be none."""
    name = value.strip() if isinstance(value, str) else ""
    return name if _NAME.fullmatch(name) else ""


def read_duration(record: Record, compat: bool) -> tuple[float, str]:
    """Length in seconds and a remark. ``duration.seconds`` is cut to an integer; ``duration.raw`` is the length.

    Without either, or with lengths that make no sense, the last end of an event counts.
    """
    duration = read_section(read_section(record, "videoMetadata"), "duration")
    whole_s = read_number(duration.get("seconds"))
    if compat and whole_s is not None and whole_s >= 0:
        return whole_s, ""
    raw_s = _read_clock(duration.get("raw"))
    if raw_s is not None and raw_s > 0:
        return raw_s, ""
    if whole_s is not None and whole_s > 0:
        return whole_s, "no usable length in duration.raw, duration.seconds used"
    ends = [read_number(event.get("end")) for event in record["events"] if isinstance(event, dict)]
    last_s = max((end for end in ends if end is not None), default=0.0)
    return max(0.0, last_s), "no usable length, the last event's end used"


def read_section(record: Record, name: str) -> Record:
    """The object called ``name`` in a record, empty where there is none."""
    value = record.get(name)
    return value if isinstance(value, dict) else {}


def _read_clock(value: Any) -> float | None:
    """Seconds of ``HH:MM:SS.ss``, or None where there is no sensible time."""
    parts = re.fullmatch(r"\s*(\d+):(\d+):(\d+(?:\.\d+)?)\s*", str(value))
    numbers = [read_number(part) for part in parts.groups()] if parts else [None]
    seconds = [number * unit for number, unit in zip(numbers, (3600, 60, 1), strict=False) if number is not None]
    return read_number(round(sum(seconds), 6)) if len(seconds) == 3 else None
