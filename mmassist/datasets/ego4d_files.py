"""What the two Ego4D sources share: groups of videos, where a video lies, and sides of the held-out recordings."""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from mmassist.core.item import Drop
from mmassist.core.rng import seed_of
from mmassist.datasets.source import Source

GROUP_PREFIX = "grp-"
ODD_BYTES = "not wholly UTF-8, the odd bytes became U+FFFD"
_UID = re.compile(r"[A-Za-z0-9_-]{1,90}")


def eval_side(recording: str) -> str:
    """``val`` or ``test`` for a held-out recording: a draw that depends on its name alone.

    Both sources ask here, whatever else they hold, so what is narrated of a recording is on the side of its dialogs.
    """
    return ("val", "test")[seed_of(42, "ego4d evaluation", recording) % 2]


def is_uid(value: Any) -> bool:
    """Whether this can name a video; the publisher's are UUIDs, with ``grp-`` before that of a group."""
    return isinstance(value, str) and _UID.fullmatch(value) is not None


@dataclass(frozen=True)
class Groups:
    """Videos that are one recording.

    ``members`` maps the first video of a group to all of them in playing order, ``first`` each video to the first.
    """

    members: Mapping[str, tuple[str, ...]]
    first: Mapping[str, str]
    drops: tuple[Drop, ...] = ()

    def recording(self, uid: str) -> str:
        """What is never divided between sides: the first video of the group, or the video itself; without ``grp-``."""
        bare = uid.removeprefix(GROUP_PREFIX)
        return self.first.get(bare, bare)

    def videos(self, uid: str) -> tuple[tuple[str, ...], str]:
        """Videos that an annotation's times run over, and why there are none.

        A plain uid means that video alone, also where it is listed as a group. ``grp-`` and a uid mean the group that
        begins with that video; without it nobody knows what the times count from.
        """
        if not uid.startswith(GROUP_PREFIX):
            return (uid,), ""
        bare = uid.removeprefix(GROUP_PREFIX)
        if bare in self.members:
            return self.members[bare], ""
        return (
            (),
            "its group begins with another video" if bare in self.first else "its group is not in the group table",
        )


def load_groups(source: Source, file: str) -> Groups:
    """Groups of a table whose column ``video_group`` holds Python lists of uids.

    Of groups that share a video the longest is kept. Raises ConfigError for an absent or useless table.
    """
    drops: list[Drop] = []
    rows: list[tuple[tuple[str, ...], int]] = []
    for line, cells in source.iter_table(file, ("video_group",), drops, delimiter="\t"):
        members, remark = _read_group(cells["video_group"])
        if remark:
            drops.append(Drop("", f"{file} line {line}", remark))
        if members:
            rows.append((members, line))
    kept: dict[str, tuple[str, ...]] = {}
    first: dict[str, str] = {}
    for members, line in sorted(rows, key=lambda row: (-len(row[0]), *row)):
        shared = [uid for uid in members if uid in first]
        if shared:
            is_copy = kept.get(members[0]) == members
            reason = "copy of another group" if is_copy else "shares a video with another group"
            drops.append(Drop(first[shared[0]], f"{file} line {line}", reason))
            continue
        kept[members[0]] = members
        first |= dict.fromkeys(members, members[0])
    return Groups(kept, first, tuple(drops))


def _read_group(cell: str) -> tuple[tuple[str, ...], str]:
    """Uids of a cell, and a remark."""
    try:
        listed = ast.literal_eval(cell)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):  # what its documentation names
        listed = None
    if not isinstance(listed, (list, tuple)) or not listed or not all(map(is_uid, listed)):
        return (), "no list of video uids"
    members = tuple(dict.fromkeys(listed))
    return members, "" if len(members) == len(listed) else "a video twice in its group, counted once"


@dataclass(frozen=True)
class Folders:
    """Where videos lie: ``patterns`` are relative to ``raw_dir``, the preferred one first."""

    source: Source
    patterns: tuple[str, ...]

    def path(self, uid: str) -> str:
        """The video's file in the first folder that has it; in the preferred one when none has."""
        paths = [pattern.replace("{recording}", uid) for pattern in self.patterns]
        return next((path for path in paths if self._is_there(path)), paths[0])

    def iter_others(self, known: Collection[str]) -> Iterator[str]:
        """Uids of the videos on disk that are not ``known``, sorted."""
        found = set()
        for pattern in self.patterns:
            folder, _, name = pattern.rpartition("/")
            shape = re.compile(re.escape(name).replace(re.escape("{recording}"), "(.+)"))
            found |= {match[1] for match in map(shape.fullmatch, self.source.list_names(folder)) if match}
        yield from sorted(uid for uid in found if is_uid(uid) and uid not in known)

    def _is_there(self, path: str) -> bool:
        folder, _, name = path.rpartition("/")
        return name in self.source.list_names(folder)


def check_pattern(name: str, pattern: str) -> None:
    """Raise ValueError for a pattern whose last part does not hold the recording's name."""
    folder, _, file = pattern.rpartition("/")
    if file.count("{recording}") != 1 or "{recording}" in folder:
        raise ValueError(f"{name} is {pattern!r}; its last part, and only that, must hold {{recording}}")
