"""Which videos and pictures are there, and how many bytes they have. None is opened."""

from __future__ import annotations

import os
import stat
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mmassist.core.item import Item, Medium

SIZES_ASKED = 200  # of a group's files; asking a file server for half a million sizes takes hours


@dataclass(frozen=True)
class Pictures:
    """Counts of distinct files and of media items; ``missing`` and ``empty`` are paths below DATA_ROOT_DIR.

    ``usable`` are keys of the media items of which something can be extracted: of a video every part must be there, of
    a group one file, and not of 0 bytes. ``is_estimate``: of groups the sizes of a few files were asked for, ``empty``
    names those among them, and the bytes are theirs, times the number of files.
    """

    num_files: int = 0
    num_bytes: int = 0
    is_estimate: bool = False
    missing: list[str] = field(default_factory=list)
    empty: list[str] = field(default_factory=list)
    usable: frozenset[str] = frozenset()

    @property
    def num_there(self) -> int:
        return self.num_files - len(self.missing)


def look_for_pictures(data_root: Path, media: Sequence[Item]) -> Pictures:
    """Find the files of all media items. A video is looked at one by one, the files of groups folder by folder."""
    videos = list(dict.fromkeys(s for item in media if item.medium is Medium.VIDEO for s in item.sources))
    members = list(dict.fromkeys(s for item in media if item.medium is not Medium.VIDEO for s in item.sources))
    sizes = {path: _num_bytes(data_root / path) for path in videos}
    there = {path for path, size in sizes.items() if size is not None} | _listed(data_root, members)
    present = [path for path in members if path in there]
    asked = present[:: max(1, len(present) // SIZES_ASKED)]
    looked = {path: _num_bytes(data_root / path) for path in asked}
    known = [size for size in looked.values() if size is not None]
    empty = sorted(path for path, size in (sizes | looked).items() if size == 0)
    estimate = round(sum(known) / len(known) * len(present)) if known else 0
    return Pictures(
        num_files=len(videos) + len(members),
        num_bytes=sum(size for size in sizes.values() if size) + estimate,
        is_estimate=len(asked) < len(present),
        missing=sorted(path for path in (*videos, *members) if path not in there),
        empty=empty,
        usable=frozenset(item.key for item in media if _is_usable(item, there.difference(empty))),
    )


def _is_usable(item: Item, there: set[str]) -> bool:
    enough = all if item.medium is Medium.VIDEO else any
    return bool(item.sources) and enough(source in there for source in item.sources)


def _num_bytes(path: Path) -> int | None:
    """Size of a file; None for anything that is not one, or cannot be asked."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_size if stat.S_ISREG(status.st_mode) else None


def _listed(data_root: Path, paths: Iterable[str]) -> set[str]:
    wanted: dict[str, list[str]] = defaultdict(list)
    for path in paths:
        wanted[path.rpartition("/")[0]].append(path)
    there: set[str] = set()
    for folder, inside in wanted.items():
        try:
            names = set(os.listdir(data_root / folder))  # noqa: PTH208 - no Path per name
        except OSError:
            continue
        there.update(path for path in inside if path.rpartition("/")[2] in names)
    return there
