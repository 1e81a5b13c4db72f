"""The source's item behind an output: as the run saw it, or as the source lists it now."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmassist.core.errors import ConfigError
from mmassist.core.item import Item, ItemKind, Listing
from mmassist.datasets import build_adapter, build_dataset_config
from mmassist.io.layout import Layout
from tools.command import ROOT_KEY
from tools.records.file import Reader, table_of
from tools.records.place import Place
from tools.records.run import Run

_ROW = b'{"attempts":'  # how an item's row begins in the file of an element


@dataclass(frozen=True)
class Origin:
    """An item of the source and who listed it: a run, or "" when it was listed now."""

    item: Item
    run_id: str


class Origins:
    """Finds items, first in the files of the runs that worked on them."""

    def __init__(self, layout: Layout, dataset: str):
        self._layout, self._dataset = layout, dataset
        self._listing: Listing | None = None
        self.problem = ""  # why the source could not be listed
        self.sections: dict[str, Any] = {}  # of the last run looked at

    def find(self, place: Place | None, key: str, kind: ItemKind) -> Origin | None:
        """The item behind an output; None when neither a run's files nor the source have it."""
        for attempt in reversed(place.attempts) if place else ():
            run = Run(self._layout, attempt.run_id)
            if place is None or attempt.element is None or not run.exists:
                continue
            job = run.job_of(place.unit).name
            config = Reader().read_object(run.layout.config(job)) or {}
            self.sections = self.sections or {**table_of(config, "sections"), "compat": bool(config.get("compat"))}
            row = load_item_row(run.layout.element(job, attempt.element), key)
            if "item" in row:
                return Origin(Item.from_row(row["item"]), run.run_id)
        now = self.list_now(key, kind)
        return Origin(now, "") if now else None

    def list_now(self, key: str, kind: ItemKind) -> Item | None:
        """The item as the source has it now, None when it is gone, or when ``problem`` says what is wrong."""
        if self._listing is None and not self.problem:
            try:
                self._listing = self._list()
            except ConfigError as error:
                self.problem = str(error)
        if self._listing is None:
            return None
        items = self._listing.media if kind is ItemKind.MEDIA else self._listing.dialogs
        return next((item for item in items if item.key == key), None)

    def _list(self) -> Listing:
        if self.sections.get("dataset"):
            config = build_dataset_config(self.sections["dataset"], "dataset")
            adapter = build_adapter(config, self._layout.data_root, self.sections["compat"])
            return adapter.list_items(which=table_of(self.sections, "extract").get("which", "needed"))
        from tools.doctor.words import open_jobs  # composing takes a second: only where no run is left to say it

        layout, (job,) = open_jobs([f"dataset={self._dataset}", f"{ROOT_KEY}='{self._layout.data_root}'"], "why")
        return job.adapter(layout).list_items(job.which)


def load_item_row(path: Path, key: str) -> dict[str, Any]:
    """An item's row in the file of an element, empty when it is not there.

    Only the row is parsed: where one process did everything the file holds the whole source.
    """
    try:
        data = path.read_bytes()
    except OSError:
        return {}
    needle = f'"key":"{key}"'.encode()
    at = data.find(needle)
    while at >= 0:
        begin, end = data.rfind(_ROW, 0, at), data.find(_ROW, at)
        row = _decode(data[begin : end if end >= 0 else len(data)]) if begin >= 0 else {}
        if row.get("key") == key and "item" in row:
            return row
        at = data.find(needle, at + len(needle))
    return {}


def _decode(data: bytes) -> dict[str, Any]:
    try:
        row, _ = json.JSONDecoder().raw_decode(data.decode())
    except ValueError:
        return {}
    return row if isinstance(row, dict) else {}


def iter_listing_drops(layout: Layout, run_id: str, item: Item) -> Iterator[Mapping[str, Any]]:
    """What the run repaired or left out of the recording when it listed the source."""
    try:
        rows = json.loads(layout.run(run_id).drops(item.dataset).read_bytes())
    except (OSError, ValueError):
        return
    for row in rows if isinstance(rows, list) else ():
        if isinstance(row, dict) and row.get("recording") == item.recording:
            yield {"record": "", "reason": "", **row}
