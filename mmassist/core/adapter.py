"""What the rest of the project knows of a source."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from mmassist.core.annotation import Annotation, CaptionTrack, Request
from mmassist.core.item import Item, Listing


class Content(StrEnum):
    """What a source's dialog items are; it decides which stages apply."""

    DIALOG = "dialog"  # annotated tasks, from which dialogs are simulated: all stages
    CAPTION = "caption"  # texts that are packed as they are: extract, encode, pack


@dataclass(frozen=True)
class Need:
    """A file or folder of the publisher that a source is read from.

    ``path`` is relative to the source's folder; with a ``*`` in it at least one such path must exist. ``page`` says
    where to get it, where that is not the source's ``homepage``.
    """

    path: str
    what: str
    is_required: bool = True
    page: str = ""


@dataclass(frozen=True)
class RawRecord:
    """A record as the publisher ships it: where it lies (``file``, and row or key in it) and its plain values."""

    where: str
    value: Any


class Adapter(Protocol):
    """One source: publisher's files to items and annotations. Built by ``mmassist.datasets.build_adapter``."""

    name: str
    content: Content
    request: Request | None  # what is asked about the pictures (``Content.CAPTION``)

    def list_needs(self) -> Sequence[Need]:
        """What the source is read from, pictures aside. Reads nothing."""
        ...

    def list_items(self, which: str = "needed") -> Listing:
        """Everything the source holds. Raises ConfigError for an absent or useless file."""
        ...

    def load_annotation(self, item: Item) -> Annotation:
        """The annotation of a dialog item (``Content.DIALOG``). Raises ItemError."""
        ...

    def load_captions(self, item: Item) -> CaptionTrack:
        """The captions of a dialog item (``Content.CAPTION``). Raises ItemError."""
        ...

    def load_records(self, item: Item) -> Sequence[RawRecord]:
        """The raw records a dialog item was made from, for people to look at. Raises ItemError."""
        ...
