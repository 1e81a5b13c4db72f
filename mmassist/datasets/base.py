"""What every source's module begins with: its config and its adapter."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from mmassist.core.adapter import Content, Need, RawRecord
from mmassist.core.annotation import Annotation, CaptionTrack, Request
from mmassist.core.errors import ItemError, Kind
from mmassist.core.item import Item, Listing
from mmassist.datasets.source import Source


@dataclass(frozen=True)
class SourceConfig:
    """What every source's config says; the YAML of each explains the values."""

    name: str
    raw_dir: str
    licence: str
    homepage: str


@dataclass(frozen=True)
class DialogConfig(SourceConfig):
    """What the config of every source of dialogs says."""

    video_pattern: str
    domain: str
    knowledge_type: str


class SourceAdapter(ABC):
    """What every adapter begins with. Reads nothing yet."""

    content: ClassVar[Content]
    request: ClassVar[Request | None] = None

    def __init__(self, config: Any, data_root: Path, compat: bool):
        self.name: str = config.name
        self.config = config
        self.compat = compat
        pattern = getattr(config, "video_pattern", "")
        self.source = Source(config.name, data_root, config.raw_dir, pattern, config.licence)

    @abstractmethod
    def list_needs(self) -> Sequence[Need]:
        """What the source is read from, pictures aside; reads nothing."""

    @abstractmethod
    def list_items(self, which: str = "needed") -> Listing:
        """Everything the source holds. Raises ConfigError for an absent or useless file."""

    def load_annotation(self, item: Item) -> Annotation:
        raise ItemError(Kind.PERMANENT, f"{self.name} has captions, no annotated tasks")

    def load_captions(self, item: Item) -> CaptionTrack:
        raise ItemError(Kind.PERMANENT, f"{self.name} has annotated tasks, no captions")

    @abstractmethod
    def load_records(self, item: Item) -> Sequence[RawRecord]:
        """The raw records a dialog item was made from. Raises ItemError."""


class DialogAdapter(SourceAdapter):
    """A source of annotated tasks; subclasses have ``load_annotation``."""

    content = Content.DIALOG
    config: DialogConfig


class CaptionAdapter(SourceAdapter):
    """A source of texts that are packed as they are; subclasses have ``request`` and ``load_captions``."""

    content = Content.CAPTION
