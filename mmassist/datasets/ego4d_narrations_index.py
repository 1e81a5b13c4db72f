"""Which videos and narrations Ego4D's two large files hold; only places, digests and a few facts are kept.

``ego4d.json`` has hundreds of megabytes, ``narration.json`` up to a gigabyte; both are walked once, entry by entry.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Any

from mmassist.core.fingerprint import bytes_digest
from mmassist.core.item import Drop
from mmassist.datasets.ego4d_files import ODD_BYTES, is_uid
from mmassist.datasets.source import Source
from mmassist.datasets.span import read_number

_PASS = re.compile(r"narration_pass_([1-9][0-9]{0,2})")
# Opened though only videos are looked at: what is opened is never held as a whole.
_SECTIONS = ("videos", "clips", "concurrent_video_sets", "physical_settings")
_HEAD = ("version", "date", "description")  # beside "videos" in the older release
_TRAIN_MARKS = (None, "", "train")
_KNOWN_MARKS = ("val", "test", "multi")  # "multi": parts of the video are in several splits


@dataclass(slots=True)
class Video:
    """What ``ego4d.json`` says of a video. ``end_s`` is its end on the clock that narrations count on."""

    duration_s: float | None
    end_s: float | None
    is_held_out: bool
    participant: str | None


@dataclass(slots=True)
class Track:
    """One pass over a video: the byte places of the records that hold it, and digests of its narrations."""

    uid: str
    name: str  # narration_pass_<n>
    places: list[tuple[int, int]] = field(default_factory=list)
    digests: list[str] = field(default_factory=list)

    @property
    def key(self) -> str:
        return f"{self.uid}_PASS{self.name.rpartition('_')[2]}"


def read_videos(source: Source, file: str, held_out: Collection[str], drops: list[Drop]) -> dict[str, Video]:
    """Videos by uid; ``held_out`` are the marks that keep a video out of training.

    Raises ConfigError for a file that is absent, no JSON, or without videos.
    """
    videos: dict[str, Video] = {}
    is_empty = True
    for element in source.iter_json(file, opened=_SECTIONS):
        if element.parent != "videos":
            continue
        is_empty = False
        where = f"{file} videos[{element.key}]"
        uid = element.value.get("video_uid") if isinstance(element.value, dict) else None
        if not isinstance(uid, str) or not is_uid(uid):
            drops.append(Drop("", where, "no video uid"))
            continue
        found = _read_video(element.value, uid, where, held_out, drops)
        videos[uid] = _merge(found, videos.get(uid), uid, where, drops)
    if is_empty:
        raise source.refuse(file, "has no videos in a list called 'videos'")
    return videos


def _read_video(record: dict[str, Any], uid: str, where: str, held_out: Collection[str], drops: list[Drop]) -> Video:
    metadata = record.get("video_metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    duration_s = read_number(record.get("duration_sec"))
    if duration_s is None or duration_s <= 0:
        duration_s = read_number(metadata.get("mp4_duration_sec"))
        is_usable = duration_s is not None and duration_s > 0
        duration_s = duration_s if is_usable else None
        told = "that of the file used" if is_usable else "times are not bounded"
        drops.append(Drop(uid, where, f"no usable length, {told}"))
    # Narrations count from where the file begins; its picture begins a little later and lasts duration_sec from there.
    begin_s = max(0.0, read_number(metadata.get("video_start_sec")) or 0.0)
    person = record.get("fb_participant_id")
    return Video(
        duration_s,
        None if duration_s is None else duration_s + begin_s,
        _is_held_out(record, uid, where, held_out, drops),
        None if person in (None, "") or isinstance(person, (dict, list)) else str(person),
    )


def _is_held_out(record: dict[str, Any], uid: str, where: str, held_out: Collection[str], drops: list[Drop]) -> bool:
    """Whether any benchmark's mark is one of those held out, or one that nobody knows."""
    is_held_out = False
    for name, mark in record.items():
        if not name.startswith("split_") or (isinstance(mark, (str, type(None))) and mark in _TRAIN_MARKS):
            continue
        is_known = isinstance(mark, str) and mark in _KNOWN_MARKS
        is_held_out = is_held_out or not is_known or mark in held_out
        if not is_known:
            drops.append(Drop(uid, f"{where} {name}", "unknown mark, held out"))
    return is_held_out


def _merge(found: Video, known: Video | None, uid: str, where: str, drops: list[Drop]) -> Video:
    if known is None:
        return found
    drops.append(Drop(uid, where, "second record of the video, the longer length counts"))
    longer = max(found, known, key=lambda video: (video.end_s or 0.0, video.duration_s or 0.0))
    person = min(filter(None, (found.participant, known.participant)), default=None)
    return Video(longer.duration_s, longer.end_s, found.is_held_out or known.is_held_out, person)


def read_tracks(source: Source, file: str, refused: Collection[str], drops: list[Drop]) -> dict[str, dict[str, Track]]:
    """Passes by uid and name. A video that occurs twice has the narrations of both records.

    ``refused`` are values of ``status`` whose videos are left out; they have no passes. Raises ConfigError for a file
    that is absent, no JSON, or without videos.
    """
    tracks: dict[str, dict[str, Track]] = {}
    is_empty = True
    for element in source.iter_json(file, opened={"videos"}):
        record = element.value
        if not element.parent and element.key in _HEAD:
            continue
        is_empty = False
        uid = record.get("video_uid") if isinstance(record, dict) and isinstance(element.key, int) else element.key
        if not isinstance(record, dict) or not isinstance(uid, str) or not is_uid(uid):
            drops.append(Drop("", f"{file} {element.key}", "no video's record"))
            continue
        if uid in tracks:
            drops.append(Drop(uid, f"{file} {uid}", "second record of the video, narrations of both kept"))
        passes = tracks.setdefault(uid, {})
        if element.is_odd:
            drops.append(Drop(uid, f"{file} {uid}", ODD_BYTES))
        if record.get("status") in refused:
            drops.append(Drop(uid, f"{file} {uid}", f"left out by status: {record['status']}"))
            continue
        for name, narrations in _iter_passes(record, f"{file} {uid}", uid, drops):
            track = passes.setdefault(name, Track(uid, name))
            track.places.append((element.start, element.end))
            track.digests.append(_digest(narrations))
    if is_empty:
        raise source.refuse(file, "has no videos")
    return tracks


def _iter_passes(record: dict[str, Any], where: str, uid: str, drops: list[Drop]) -> Iterator[tuple[str, list[Any]]]:
    """Yield name and narrations of each pass that has any."""
    names = [name for name in record if _PASS.fullmatch(name)]
    if not names:
        drops.append(Drop(uid, where, "no narrations"))
    for name in names:
        value = record[name]
        narrations = value.get("narrations") if isinstance(value, dict) else None
        if isinstance(narrations, list) and narrations:
            yield name, narrations
        else:
            reason = "no narrations" if narrations == [] else "no list of narrations"
            drops.append(Drop(uid, f"{where} {name}", reason))


def _digest(narrations: list[Any]) -> str:
    """Digest of what captions are made of, in any order. Not ``unordered_digest``, which takes three times as long."""
    facts = [
        repr((entry.get("timestamp_sec"), entry.get("narration_text"), entry.get("annotation_uid")))
        if isinstance(entry, dict)
        else repr(entry)
        for entry in narrations
    ]
    return bytes_digest("\n".join(sorted(facts)).encode())
