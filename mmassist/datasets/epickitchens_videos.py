"""Where EPIC-KITCHENS' videos lie: two trees, the older one divided by a split that is not today's."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

from mmassist.core.item import Drop, Item
from mmassist.datasets.epickitchens_tables import VIDEO_ID, participant_of
from mmassist.datasets.source import Source

if TYPE_CHECKING:
    from mmassist.datasets.epickitchens import Config

_EXTENSION_ID = re.compile(r"P\d+_\d{3}", re.ASCII)  # videos added in 2020
_SUFFIXES = (".MP4", ".mp4")  # the publisher's, and what copies are renamed to


class Videos:
    """Media items of videos; a folder is listed once, and no other than a needed participant's unless asked for."""

    def __init__(self, config: Config, source: Source):
        self._config = config
        self._source = source
        self.drops: list[Drop] = []  # files that are not used

    def media_item(self, recording: str, split: str, duration_s: float | None = None) -> Item:
        """The video of a recording: the first file found, in the recording's own tree before the other.

        Without any file it is where the publisher's own tree has it.
        """
        found = list(self._iter_paths(recording))
        self.drops += [Drop(recording, path, "another file of the same video, not used") for path in found[1:]]
        expected = f"{self._folders(recording)[0]}/{recording}{_SUFFIXES[0]}"
        return self._source.media_item(
            recording, split, duration_s, participant_of(recording), videos=(found[0] if found else expected,)
        )

    def other_items(self, known: Collection[str]) -> list[Item]:
        """Every other video on disk, as ``test``."""
        names = {name for folder in self._all_folders() for name in self._source.list_names(folder)}
        stems = {name[: -len(suffix)] for name in names for suffix in _SUFFIXES if name.endswith(suffix)}
        others = sorted(stem for stem in stems - set(known) if VIDEO_ID.fullmatch(stem))
        return [self.media_item(name, "test") for name in others if any(self._iter_paths(name))]

    def _iter_paths(self, recording: str) -> Iterator[str]:
        for folder in self._folders(recording):
            names = self._source.list_names(folder)
            for suffix in _SUFFIXES:
                path = f"{folder}/{recording}{suffix}"
                if f"{recording}{suffix}" in names and (self._source.root / path).is_file():
                    yield path

    def _folders(self, recording: str) -> list[str]:
        old, new = self._config.video_folders, self._config.extension_folders
        ordered = (*new, *old) if _EXTENSION_ID.fullmatch(recording) else (*old, *new)
        return [folder.replace("{participant}", participant_of(recording)) for folder in ordered]

    def _all_folders(self) -> Iterator[str]:
        for folder in (*self._config.video_folders, *self._config.extension_folders):
            for path in sorted(self._source.root.glob(folder.replace("{participant}", "*"))):
                yield path.relative_to(self._source.root).as_posix()
