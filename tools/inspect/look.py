"""What there is to know about one item, gathered without writing anything."""

from __future__ import annotations

import difflib
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from launchers.jobs import Job, build_stage
from launchers.prepare import Sides
from mmassist.core.adapter import Adapter, Content, RawRecord
from mmassist.core.annotation import Annotation, CaptionTrack
from mmassist.core.errors import ConfigError, ItemError
from mmassist.core.item import Drop, Item, ItemKind, Listing
from mmassist.datasets.json_file import replace_surrogates
from mmassist.datasets.source import item_key
from mmassist.dialog.annotation import Clip, cut_clips, render_description
from mmassist.io.layout import Layout
from mmassist.stages.generate import GenerateConfig
from tools.doctor.records import drop_rows, why_unusable
from tools.doctor.sides import look_at_sides
from tools.records.file import source_rows

SCHEMA_VERSION = 1


@dataclass
class Look:
    """One item. ``shown`` are the dialog items over the same media, this one included when it is one itself.

    Of a media item there is neither annotation nor captions nor records. ``errors`` say what could not be read;
    ``unusable`` is the reason for which generate would skip it ("" = none).
    """

    item: Item
    side: str
    sources: list[dict[str, Any]]
    media: Item | None
    shown: list[Item]
    annotation: Annotation | None = None
    description: str = ""
    min_ann_ratio: float | None = None
    unusable: str = ""
    windows: list[Clip] = field(default_factory=list)
    captions: CaptionTrack | None = None
    records: Sequence[RawRecord] = ()
    listing_drops: list[Drop] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    @property
    def item_drops(self) -> tuple[Drop, ...]:
        found = self.annotation or self.captions
        return found.drops if found else ()

    def to_row(self) -> dict[str, Any]:
        """Plain values with the field names of docs/tools.md; everything whole."""
        row = {
            "schema_version": SCHEMA_VERSION,
            "kind": str(self.item.kind),
            "item": self.item.to_row(),
            "side": self.side,
            "sources": self.sources,
            "media": self.media.to_row() if self.media else None,
            "dialogs": [item.key for item in self.shown],
            "annotation": asdict(self.annotation) if self.annotation else None,
            "description": self.description,
            "min_ann_ratio": self.min_ann_ratio,
            "unusable": self.unusable,
            "windows": [asdict(window) for window in self.windows],
            "captions": [asdict(caption) for caption in self.captions.captions] if self.captions else None,
            "records": [asdict(record) for record in self.records],
            "drops": {"listing": drop_rows(self.listing_drops), "item": drop_rows(self.item_drops, self.item.key)},
            "errors": self.errors,
        }
        plain: dict[str, Any] = plain_value(row)
        return plain


def plain_value(value: Any) -> Any:
    """``value`` as every JSON reader takes it: no NaN or infinity (their names instead), no lone surrogates."""
    return replace_surrogates(_finite(value))


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, dict):
        return {str(key): _finite(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(entry) for entry in value]
    return value if value is None or isinstance(value, (str, int)) else str(value)


def find_item(listing: Listing, key: str, dataset: str) -> Item:
    """The dialog item, else the media item, that ``key`` names; a source's own id of a recording will do.

    Raises ConfigError with the nearest key.
    """
    items = (*listing.dialogs, *listing.media)
    for name in dict.fromkeys((key, item_key(key))):
        for item in items:
            if item.key == name:
                return item
    of_recording = [item for item in items if item.recording == key]
    if of_recording:
        return of_recording[0]
    close = difflib.get_close_matches(key, {name for item in items for name in (item.key, item.recording)}, n=3)
    advice = f"did you mean {' or '.join(map(repr, close))}?" if close else "leave key= out to see the first keys"
    raise ConfigError(f"key={' '.join(key.split())}: {dataset} has no such item; {advice}")


def look_at_item(layout: Layout, job: Job, adapter: Adapter, listing: Listing, item: Item) -> Look:
    """Everything about ``item``; what cannot be read becomes a line in ``errors``."""
    media_key = item.key if item.kind is ItemKind.MEDIA else item.media_key
    media = next((one for one in listing.media if one.key == media_key), None)
    table, sides = look_at_sides(layout, job, listing)
    look = Look(
        item=item,
        side=_side_of(item, sides),
        sources=source_rows(layout.data_root, media.sources if media else ()),
        media=media,
        shown=[one for one in listing.dialogs if (one.media_key or one.key) == media_key],
        listing_drops=[drop for drop in listing.drops if drop.recording == item.recording],
    )
    if table.conflict:
        look.errors.append(table.conflict)
    if item.kind is ItemKind.DIALOG:
        _add_contents(look, job, adapter)
    return look


def _side_of(item: Item, sides: Sides | None) -> str:
    if sides is None:
        return ""
    return sides.recordings.get(item.recording, "")


def _add_contents(look: Look, job: Job, adapter: Adapter) -> None:
    try:
        if adapter.content is Content.CAPTION:
            look.captions = adapter.load_captions(look.item)
        else:
            look.annotation = adapter.load_annotation(look.item)
            _add_windows(look, job)
    except ItemError as error:
        look.errors.append(error.message)
    try:
        look.records = adapter.load_records(look.item)
    except ItemError as error:
        look.errors.append(error.message)


def _add_windows(look: Look, job: Job) -> None:
    assert look.annotation is not None
    config: GenerateConfig = build_stage("generate", job.sections).configs["generate"]
    look.description = render_description(look.annotation, job.compat)
    look.min_ann_ratio = config.min_ann_ratio
    look.unusable = why_unusable(look.annotation, config)
    look.windows = cut_clips(look.annotation, config.clip_rule, job.compat)
