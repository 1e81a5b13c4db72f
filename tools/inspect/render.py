"""One item as text and tables; long texts and long lists are shortened, ``--json`` has them whole."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from rich import box
from rich.console import Console, RenderableType
from rich.markup import escape
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from mmassist.core.adapter import RawRecord
from mmassist.core.annotation import Annotation, CaptionTrack
from mmassist.core.item import Drop, Item, ItemKind, Listing
from mmassist.dialog.annotation import Clip
from tools.console import show
from tools.doctor.render import size
from tools.inspect.look import Look, plain_value

MAX_KEYS = 20
MAX_ROWS = 60  # of a table
MAX_SOURCES = 6
MAX_CHARS = 300  # of one raw value


def print_look(console: Console, look: Look) -> None:
    """Facts, what the stages see, the publisher's records, and what was repaired or left out."""
    for part in _iter_parts(look):
        show(console, part)


def print_keys(console: Console, dataset: str, listing: Listing) -> None:
    """The first keys of a source, and how many there are."""
    for kind, items in (("dialog", listing.dialogs), ("media", listing.media)):
        show(console, Text(f"{dataset} has {len(items)} {kind} items; say key=KEY with one of them"))
        for item in items[:MAX_KEYS]:
            show(console, Text(f"  {item.key}  {item.split}  {_length(item.duration_s)}"))
        if len(items) > MAX_KEYS:
            show(console, Text(f"  … and {len(items) - MAX_KEYS} more; --json lists them all"))


def _iter_parts(look: Look) -> Iterator[RenderableType]:
    yield Rule(escape(f"{look.item.dataset} {look.item.key}"), style="bold")
    yield Text("\n".join(_iter_facts(look)))
    if look.annotation:
        yield from _iter_annotation(look, look.annotation)
    if look.captions:
        yield _caption_table(look.captions, look.media)
    if look.records:
        yield _record_table(look.records)
    for title, drops in (("in this item", look.item_drops), ("of this recording in the listing", look.listing_drops)):
        if drops:
            yield _drop_table(f"{len(drops)} records repaired or left out {title}", drops)
    for error in look.errors:
        yield Text.assemble(("problem: ", "red"), error)


def _iter_facts(look: Look) -> Iterator[str]:
    item, media = look.item, look.media
    side = f"side {look.side}" if look.side else "on no side of the split"
    yield f"{item.kind} item of recording {item.recording!r}, official split {item.split}, {side}"
    yield f"participant {item.participant or 'not named'}; length {_length(item.duration_s)}; licence {item.licence}"
    if item.kind is ItemKind.DIALOG:
        yield f"annotation time 0 is second {item.time_offset_s:g} of media item {item.media_key or item.key}"
        yield f"read from {', '.join(item.sources)}"
    if media is None:
        yield "no media item shows it"
        return
    turn = f"turned {media.geometry.rotation_deg} degrees counter-clockwise, " if media.geometry.rotation_deg else ""
    num_there = sum(source["is_there"] for source in look.sources)
    yield f"media: {media.medium}, {turn}fit {media.geometry.fit}, {num_there} of {len(look.sources)} files there"
    for source in look.sources[:MAX_SOURCES]:
        yield f"  {source['path']}  {size(source['num_bytes']) if source['is_there'] else 'MISSING'}"
    if len(look.sources) > MAX_SOURCES:
        yield f"  … and {len(look.sources) - MAX_SOURCES} more"
    others = [one for one in look.shown if one.key != item.key]
    if item.kind is ItemKind.MEDIA:
        yield f"shows {len(look.shown)} dialog items:" if look.shown else "shows no dialog item"
        yield from (f"  {one.key}  from second {one.time_offset_s:g}, {_length(one.duration_s)}" for one in look.shown)
    elif others:
        yield f"the same media shows {', '.join(one.key for one in others[:MAX_KEYS])} as well"


def _iter_annotation(look: Look, annotation: Annotation) -> Iterator[RenderableType]:
    enough = "enough" if annotation.ann_ratio >= (look.min_ann_ratio or 0) else "too little"
    yield Rule("annotation", style="dim")
    yield Text(
        f"goal: {annotation.goal or '(none)'}\ndomain: {annotation.domain}; knowledge: {annotation.knowledge_type}\n"
        f"length {_length(annotation.duration_s)} from {annotation.start_s:g} s; coverage {annotation.ann_ratio:.3f}, "
        f"{enough} for min_ann_ratio {look.min_ann_ratio}; {'has' if annotation.has_mistake else 'no'} mistakes"
    )
    if look.unusable:
        yield Text(f"generate would leave it out: {look.unusable}", style="yellow")
    for title, text in (("knowledge", annotation.knowledge), ("summary", annotation.summary)):
        if text:
            yield Text(f"{title}: {text}")
    for task in annotation.known_tasks[:MAX_ROWS]:
        yield Text(f"known task {task.title}: {'; '.join(task.steps)}")
    yield _step_table(annotation)
    yield Text(f"as the model reads it:\n{_first_lines(look.description)}")
    yield _window_table(look.windows)


def _first_lines(text: str) -> str:
    lines = text.splitlines()
    rest = f"\n… and {len(lines) - MAX_ROWS} more lines" if len(lines) > MAX_ROWS else ""
    return "\n".join(lines[:MAX_ROWS]) + rest


def _step_table(annotation: Annotation) -> Table:
    num_substeps = sum(len(step.substeps) for step in annotation.steps)
    rows: list[tuple[str, ...]] = []
    for number, step in enumerate(annotation.steps):
        kind = "marker" if step.is_marker else "step"
        rows.append((str(number), kind, f"{step.start_s:.2f}", f"{step.end_s:.2f}", step.text, step.note))
        for sub in step.substeps:
            end = "" if sub.end_s is None else f"{sub.end_s:.2f}"
            rows.append(("", sub.role or "action", f"{sub.start_s:.2f}", end, sub.text, sub.note))
    title = f"{len(annotation.steps)} steps, {num_substeps} actions and utterances"
    return _table(title, ("", "kind", "start", "end", "text", "note"), rows)


def _window_table(windows: Sequence[Clip]) -> Table:
    rows = [
        (f"{w.start_s:.1f}", f"{w.end_s:.1f}", f"{w.first_step} to {w.last_step - 1}", str(len(w.text)))
        for w in windows
    ]
    return _table(f"{len(windows)} generation windows", ("start", "end", "steps", "characters of text"), rows)


def _caption_table(track: CaptionTrack, media: Item | None) -> Table:
    rows = []
    for caption in track.captions:
        sources = media.sources if media else ()
        shown = sources[caption.member] if caption.member < len(sources) else f"member {caption.member}"
        where = shown if caption.time_s is None else f"{caption.time_s:.2f} s"
        rows.append((caption.record, where, caption.text))
    return _table(f"{len(rows)} captions", ("record", "where", "text"), rows)


def _record_table(records: Sequence[RawRecord]) -> Table:
    rows = [(record.where, shorten(record.value)) for record in records[:MAX_ROWS]]
    table = _table(f"{len(records)} records of the publisher", ("where", "value"), rows)
    if len(records) > MAX_ROWS:
        table.add_row(f"… and {len(records) - MAX_ROWS} more", "--json has them all")
    return table


def _drop_table(title: str, drops: Sequence[Drop]) -> Table:
    return _table(title, ("record", "reason"), [(drop.record, drop.reason) for drop in drops])


def shorten(value: Any) -> str:
    """A raw value in one line of at most MAX_CHARS characters."""
    text = json.dumps(plain_value(value), ensure_ascii=False)
    return text if len(text) <= MAX_CHARS else f"{text[:MAX_CHARS]} … ({len(text)} characters)"


def _length(duration_s: float | None) -> str:
    return "unknown" if duration_s is None else f"{duration_s:.1f} s"


def _table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    table = Table(title=title, title_justify="left", title_style="", box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold", justify="right" if column in ("start", "end") else "left")
    for row in rows[:MAX_ROWS]:
        table.add_row(*(Text(cell) for cell in row))
    if len(rows) > MAX_ROWS:
        table.add_row(*["…"] * (len(columns) - 1), f"{len(rows) - MAX_ROWS} more, see --json")
    return table
