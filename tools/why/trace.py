"""The way back from an item: every stage that it went through, each as one row of plain values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from launchers.workspace import SIDED, upstream_key
from mmassist.core.fingerprint import digest, iter_differences
from mmassist.core.item import Item, ItemKind
from mmassist.core.outcome import Status
from mmassist.core.stage import name_of, stage_of, title_of
from mmassist.io.layout import Layout
from mmassist.io.ledger import iter_rows_of
from mmassist.stages import PIPELINE, stage_class
from tools.records.file import Reader, source_rows, table_of, text_of
from tools.records.place import Attempt, Place, find_place
from tools.records.run import Run
from tools.records.unit import Unit, list_units, stage_rank
from tools.why.origin import Origin, Origins, iter_listing_drops
from tools.why.target import Start

SCHEMA_VERSION = 1
_NOT_SETTINGS = ("reads", "revision", "stage", "version")


@dataclass(frozen=True)
class Step:
    """One stage on the way. ``unit`` and ``place`` are None where the folder, or the item in it, is gone.

    ``read`` is the entry in the later stage's ``reads`` that led here.
    """

    read: str
    key: str
    unit: Unit | None
    place: Place | None
    remark: str = ""

    @property
    def stage(self) -> str:
        return stage_of(self.read)


class Trace:
    """Collects the way back from ``start``. ``is_checked``: the source is listed again to see whether it changed."""

    def __init__(self, layout: Layout, start: Start, is_checked: bool):
        self._layout, self._start, self._is_checked = layout, start, is_checked
        self._units = [unit for unit in list_units(layout) if unit.dataset == start.place.unit.dataset]
        self._origins = Origins(layout, start.place.unit.dataset)
        self._found: dict[tuple[ItemKind, str], Origin | None] = {}
        self._steps: dict[tuple[str, str], Step] = {}

    def to_row(self) -> dict[str, Any]:
        """Everything, with the field names of docs/tools.md; the stages from the one asked for to the first."""
        start = self._start
        self._follow(Step(start.place.unit.stage, start.place.key, start.place.unit, start.place))
        steps = sorted(self._steps.values(), key=lambda step: (-stage_rank(step.stage), step.read, step.key))
        rows = [self._step_row(step) for step in steps]
        return {
            "schema_version": SCHEMA_VERSION,
            "dataset": start.place.unit.dataset,
            "key": start.place.key,
            "sample": start.target.sample,
            "members": [{"name": name, "offset": offset, "num_bytes": size} for name, offset, size in start.members],
            "also_in": list(start.others),
            "stages": rows,
            "sources": [self._source_row(origin) for origin in self._found.values() if origin],
            "problem": self._origins.problem,
        }

    def _follow(self, step: Step) -> None:
        if (step.read, step.key) in self._steps:
            return
        self._steps[step.read, step.key] = step
        origin = self._origin(step)
        for read, settings in _reads(step.unit).items():
            unit, remark = self._upstream(read, settings)
            key = upstream_key(origin.item, read) if origin else step.key
            self._follow(Step(read, key, unit, find_place(unit, key) if unit else None, remark))

    def _origin(self, step: Step) -> Origin | None:
        kind = stage_class(step.stage).kind if step.stage in PIPELINE else ItemKind.DIALOG
        name = (kind, step.key)
        if name not in self._found:
            self._found[name] = self._origins.find(step.place, step.key, kind)
        return self._found[name]

    def _upstream(self, read: str, settings: Mapping[str, Any]) -> tuple[Unit | None, str]:
        """The folder of an earlier stage that was made with just these settings, else the nearest to it."""
        wanted = digest(settings)
        units = [unit for unit in self._units if unit.stage == stage_of(read) and _is_named(unit, name_of(read))]
        for unit in units:
            if unit.manifest.get("fingerprint") == wanted:
                return unit, ""
        if not units:
            return None, f"no folder of {title_of(read)} is there any more"
        found = [(list(iter_differences(settings, unit.settings)), unit) for unit in units]
        differences, unit = min(found, key=lambda one: (len(one[0]), one[1].path))
        changed = "; ".join(f"{key} was {old!r}, is {new!r}" for key, old, new in differences[:3])
        return unit, f"this folder has other settings than what was read: {changed}"

    def _step_row(self, step: Step) -> dict[str, Any]:
        row: dict[str, Any] = {"stage": step.stage, "key": step.key, "unit": "", "remark": step.remark}
        if step.unit is None:
            return row | {"status": "unknown"}
        row["unit"] = self._layout.relative(step.unit.layout.root)
        row |= _settings_row(step.unit)
        if step.place is None:
            return row | {"status": "waiting", "remark": step.remark or "the item is not in this folder"}
        made = made_by(step.place)
        run = Run(self._layout, made.run_id) if made and made.run_id else None
        return row | self._place_row(step, step.place, made) | _code_row(step.unit.manifest, run)

    def _place_row(self, step: Step, place: Place, made: Attempt | None) -> dict[str, Any]:
        unit = place.unit
        earlier = [attempt for attempt in place.attempts if attempt is not made]
        numbers = [attempt.number for attempt in earlier if attempt.number and made and attempt.time <= made.time]
        shard = unit.layout.shard(place.task) if place.status == Status.DONE and not place.is_open else None
        return {
            "task": place.task,
            "shard": self._layout.relative(shard) if shard else "",
            "is_committed": not place.is_open,
            "status": place.status,
            "reason": made.reason if made and place.status != Status.DONE else "",
            "message": made.message if made and place.status != Status.DONE else "",
            "run_id": made.run_id if made else "",
            "writer": made.writer if made else "",
            "element": made.element if made else None,
            "node": made.node if made else "",
            "time": made.time if made else "",
            "seconds": made.seconds if made else None,
            "attempt": (made.number or max(numbers, default=0) + 1) if made else None,
            "earlier": [
                {"attempt": a.number, "status": a.status, "reason": a.reason, "message": a.message}
                | {"run_id": a.run_id, "time": a.time}
                for a in earlier
            ],
            "digest": (place.outcome or {}).get("digest", ""),
            "inputs": self._inputs_row(step, place, made),
            "drops": _drop_rows(unit, place.key),
        }

    def _inputs_row(self, step: Step, place: Place, made: Attempt | None) -> dict[str, Any]:
        """What the item was made from, beside what is there now.

        ``state``: ``same``, ``changed`` (stale), ``incomplete`` (something was put away since, which makes nothing
        stale) or ``unchecked`` (only listing the source would tell).
        """
        recorded = (place.outcome or {}).get("inputs") or (made.inputs if made else "")
        origin = self._found.get((stage_class(step.stage).kind, step.key)) if step.stage in PIPELINE else None
        source = {"source": self._source_digest(origin) if origin else None}
        parts = {name: self._digest_now(name, origin) for name in _reads(step.unit)}
        if not parts:
            is_known = self._is_checked or (origin is not None and not origin.run_id)
            same = "same" if source["source"] == recorded else "changed"
            return {
                "recorded": recorded,
                "parts": source,
                "state": same if is_known and source["source"] else "unchecked",
            }
        side = self._side(origin.item) if origin and step.stage in SIDED else ""
        for reads in (parts, source | parts):  # stages over captions read the source's annotations as well
            if recorded == digest({"reads": reads, "side": side}):
                return {"recorded": recorded, "parts": reads, "state": "same"}
        return {"recorded": recorded, "parts": parts, "state": "incomplete" if None in parts.values() else "changed"}

    def _digest_now(self, read: str, origin: Origin | None) -> str | None:
        key = upstream_key(origin.item, read) if origin else self._start.place.key
        step = self._steps.get((read, key))
        outcome = step.place.outcome if step and step.place else None
        return outcome["digest"] if outcome and outcome["status"] == Status.DONE else None

    def _source_digest(self, origin: Origin) -> str | None:
        if not self._is_checked:
            return origin.item.digest
        now = self._origins.list_now(origin.item.key, origin.item.kind)
        return now.digest if now else None

    def _side(self, item: Item) -> str:
        assignment = Reader().read_object(self._layout.unit(item.dataset, "splits").assignment) or {}
        return str(table_of(assignment, "recordings").get(item.recording, ""))

    def _source_row(self, origin: Origin) -> dict[str, Any]:
        item = origin.item
        row: dict[str, Any] = {
            "kind": str(item.kind),
            "key": item.key,
            "recording": item.recording,
            "participant": item.participant,
            "split": item.split,
            "side": self._side(item),
            "licence": item.licence,
            "duration_s": item.duration_s,
            "digest": item.digest,
            "listed_by": origin.run_id,
            "files": source_rows(self._layout.data_root, item.sources),
            "drops": list(iter_listing_drops(self._layout, origin.run_id, item)) if origin.run_id else [],
        }
        if item.kind is ItemKind.MEDIA:
            row |= {"medium": str(item.medium), "rotation_deg": item.geometry.rotation_deg, "fit": item.geometry.fit}
        else:
            row |= {"media_key": item.media_key, "time_offset_s": item.time_offset_s}
        if self._is_checked:
            row["digest_now"] = self._source_digest(origin)
        return row


def made_by(place: Place) -> Attempt | None:
    """The attempt whose bytes lie in the shard; of an item that is not done, the last one."""
    if place.status != Status.DONE:
        return place.attempts[-1] if place.attempts else None
    done = [attempt for attempt in place.attempts if attempt.status == Status.DONE]
    kept = [attempt for attempt in done if place.outcome and attempt.digest == place.outcome.get("digest")]
    return next(reversed(kept or done), None)


def flatten(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Leaves of a tree of settings under their dotted names."""
    for key, value in settings.items():
        if isinstance(value, Mapping) and value:
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _is_named(unit: Unit, name: str) -> bool:
    """Whether a unit is the one of this name among several of its stage; an empty name is anyone's."""
    return not name or table_of(unit.settings, unit.stage).get("name") == name


def _reads(unit: Unit | None) -> dict[str, Any]:
    """Settings of what a unit reads, by the entry in its stage's ``reads``, the latest stage first."""
    reads = table_of(unit.settings, "reads") if unit else {}
    return {read: table_of(reads, read) for read in sorted(reads, key=lambda r: stage_rank(stage_of(r)), reverse=True)}


def _settings_row(unit: Unit) -> dict[str, Any]:
    settings = unit.settings
    return {
        "fingerprint": text_of(unit.manifest, "fingerprint"),
        "settings": {key: value for key, value in settings.items() if key not in _NOT_SETTINGS},
        "stage_version": settings.get("version"),
        "revisions": table_of(settings, "revision"),
    }


def _code_row(manifest: Mapping[str, Any], run: Run | None) -> dict[str, Any]:
    """Versions of the run that made the item; of the folder's beginning where the run did not note them."""
    receipt = run.receipt if run else {}
    versions = table_of(receipt, "versions") or table_of(manifest, "versions")
    is_run = bool(table_of(receipt, "versions")) or manifest.get("created_by") == (run.run_id if run else None)
    return {
        "versions": versions,
        "commit": text_of(receipt, "commit") or text_of(manifest, "commit"),
        "versions_of": "run" if is_run else "folder",
        "run_is_there": run.exists if run else False,
    }


def _drop_rows(unit: Unit, key: str) -> list[dict[str, Any]]:
    """Records that the item was made without; an item made again has them again, and the latest run's count."""
    rows = [row for _, row in iter_rows_of(unit.layout.drops("").parent, key)]
    last = max((str(row.get("run_id", "")) for row in rows), default="")
    return [{name: row.get(name, "") for name in ("record", "reason")} for row in rows if row.get("run_id") == last]
