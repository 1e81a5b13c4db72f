"""A stage on its folders: what an item is made from, and where earlier stages' outputs are read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from mmassist.core.fingerprint import digest
from mmassist.core.item import Item, ItemKind, Medium
from mmassist.core.stage import Stage, stage_of
from mmassist.io.layout import UnitLayout
from mmassist.io.reader import ShardItem, UnitReader
from mmassist.stages import stage_class

SIDED = ("split", "pack")  # stages whose outputs depend on the side an item's recording is on


class Workspace:
    """Reads the upstream folders as they are when first looked at.

    ``is_listing_late``: folders' listings may lag behind, as a file server's do just after another node has written.
    """

    def __init__(
        self, stage: Stage, upstream: Mapping[str, UnitLayout], data_root: Path, is_listing_late: bool = False
    ):
        self._stage, self._upstream, self._data_root = stage, upstream, data_root
        self._is_listing_late = is_listing_late
        self._readers: dict[str, UnitReader] = {}

    def read(self, read: str, key: str) -> ShardItem:
        """One item of an earlier output, an entry of the stage's ``reads``. Raises Skip or Blocked."""
        return self._reader(read).read(key)

    def inputs(self, item: Item, side: str) -> str:
        """Digest of what the stage makes ``item`` from; changes when any of it changes or appears."""
        if not self._stage.reads:
            return item.digest
        return inputs_digest(self.parts(item), side, self._stage.name)

    def parts(self, item: Item) -> dict[str, str | None]:
        """Digests of what the stage reads of ``item``, None for what is not there; ``source``: its annotation."""
        parts: dict[str, str | None] = {"source": item.digest} if self._stage.reads_source else {}
        return parts | {read: self._digest(item, read) for read in self._stage.reads}

    def is_complete(self, item: Item) -> bool:
        """Whether everything the item is made from is there: only then can a changed digest mean that it is stale.

        What was made from a video that has been put away since, or from an earlier stage's folder, stays good.
        """
        if self._stage.kind is ItemKind.MEDIA and not self._stage.reads:
            there = ((self._data_root / source).exists() for source in item.sources)
            # A group is made of whatever pictures there are: only where all have been put away does it stay good.
            return all(there) if item.medium is Medium.VIDEO else any(there)
        return all(self._digest(item, read) for read in self._stage.reads)

    def missing(self, item: Item) -> list[str]:
        """The entries of the stage's ``reads`` that are not there for the item, but may come: they did not skip it."""
        absent = [read for read in self._stage.reads if self._digest(item, read) is None]
        return [read for read in absent if not self._reader(read).is_skipped(upstream_key(item, read))]

    def close(self) -> None:
        for reader in self._readers.values():
            reader.close()

    def _digest(self, item: Item, read: str) -> str | None:
        return self._reader(read).digest(upstream_key(item, read))

    def _reader(self, read: str) -> UnitReader:
        if read not in self._readers:
            self._readers[read] = UnitReader(self._upstream[read], read, self._is_listing_late)
        return self._readers[read]


def inputs_digest(parts: Mapping[str, str | None], side: str, stage: str) -> str:
    """Digest of everything that a stage with ``reads`` makes an item from."""
    return digest({"reads": parts, "side": side if stage in SIDED else ""})


def upstream_key(item: Item, read: str) -> str:
    """The key under which what is read keeps what belongs to ``item``: the video's for stages over videos."""
    if stage_class(stage_of(read)).kind is ItemKind.MEDIA and item.media_key:
        return item.media_key
    return item.key
