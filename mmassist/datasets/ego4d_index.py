"""Which videos Goal-Step's two annotation files hold and where in them; records are decoded one at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mmassist.core.errors import ItemError, Kind
from mmassist.core.item import Drop
from mmassist.datasets.ego4d_files import ODD_BYTES, is_uid
from mmassist.datasets.ego4d_record import count_essential, facts_digest, read_stretch
from mmassist.datasets.source import Source

_VIDEOS = "videos"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a video's record lies, and what planning needs of it."""

    file: str
    position: str  # ``videos[3]``
    start: int
    end: int
    digest: str
    duration_s: float
    num_essential: int

    @property
    def where(self) -> str:
        return f"{self.file} {self.position}"

    def load(self, source: Source) -> dict[str, Any]:
        """The record. Raises ItemError when the file has changed since."""
        record = source.read_json_at(self.file, self.start, self.end)
        if not isinstance(record, dict):
            raise ItemError(Kind.PERMANENT, f"{self.where} has changed since it was listed")
        return record


def index_videos(source: Source, file: str, compat: bool, drops: list[Drop]) -> dict[str, Place]:
    """Places by uid. Of several records of a video the one with more essential steps counts.

    Raises ConfigError for a file that is absent, no JSON, or without videos.
    """
    places: dict[str, Place] = {}
    is_empty = True
    for element in source.iter_json(file, opened={_VIDEOS}):
        if element.parent != _VIDEOS:
            continue
        is_empty = False
        position = f"{_VIDEOS}[{element.key}]"
        uid = element.value.get("video_uid") if isinstance(element.value, dict) else None
        if not isinstance(uid, str) or not is_uid(uid):
            drops.append(Drop("", f"{file} {position}", "no video uid"))
            continue
        if element.is_odd:
            drops.append(Drop(uid, f"{file} {position}", ODD_BYTES))
        found = Place(
            file,
            position,
            element.start,
            element.end,
            facts_digest(element.value, compat),
            read_stretch(element.value).duration_s,
            count_essential(element.value),
        )
        places[uid] = _choose(uid, found, places.get(uid), drops)
    if is_empty:
        raise source.refuse(file, "has no videos in a list called 'videos'")
    return places


def _choose(uid: str, found: Place, known: Place | None, drops: list[Drop]) -> Place:
    if known is None:
        return found
    better, other = sorted((known, found), key=lambda place: (-place.num_essential, place.digest))
    is_copy = better.digest == other.digest
    reason = "copy of another record" if is_copy else "second record of the video, the fuller one is kept"
    drops.append(Drop(uid, other.where, reason))
    return better


def find_file(source: Source, names: Sequence[str], drops: list[Drop]) -> str:
    """The first of a file's names that is there, else the first; others that are there too become drops."""
    there = [name for name in names if (source.root / name).is_file()]
    drops += [Drop("", name, f"not read, {there[0]} is there") for name in there[1:]]
    return there[0] if there else names[0]
