"""Two data roots after the same command: which of their files must agree, in what, and whether they do."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path, PurePosixPath
from typing import Any

from mmassist.core.fingerprint import iter_differences
from mmassist.core.outcome import Status
from mmassist.io.atomic import read_json
from mmassist.io.layout import Layout, UnitLayout
from mmassist.io.ledger import iter_rows, load_outcomes
from mmassist.io.records import load_records
from tools.records.unit import list_units

_UNIT = UnitLayout(Path())  # for the names of what lies in an output folder
_LEDGER = _UNIT.ledger_dir.name
_DROP_KEYS = ("dataset", "item", "recording", "record", "reason")  # the others say who wrote the line


class Rule(StrEnum):
    """What has to agree in a file of either root."""

    BYTES = "every byte of shards, indices, tasks.json, assignment.json and audit.json"
    RECORD = "task records, without run_id, attempt and temporary names"
    MANIFEST = "manifests, without created and created_by"
    LEDGER = "outcomes of items not done, and records left out, by the ledgers of a folder"
    LOCK = "nothing of locks, which jobs leave behind"


_FOLDER_RULES = {
    _UNIT.shard_dir.name: Rule.BYTES,
    _UNIT.index_dir.name: Rule.BYTES,
    _UNIT.record_dir.name: Rule.RECORD,
}
_FILE_RULES = {
    _UNIT.tasks.name: Rule.BYTES,
    _UNIT.assignment.name: Rule.BYTES,
    _UNIT.audit.name: Rule.BYTES,
    _UNIT.manifest.name: Rule.MANIFEST,
    _UNIT.lock.name: Rule.LOCK,
}


@dataclass(frozen=True)
class Difference:
    """A file below the data roots, or a folder's ledger, and in what it differs."""

    path: str
    what: str

    def __str__(self) -> str:
        return f"{self.path}: {self.what}"


@dataclass
class Comparison:
    """``counts`` by rule: files; of ledgers, output folders. ``differences`` are sorted by path."""

    counts: Counter[Rule] = field(default_factory=Counter)
    differences: list[Difference] = field(default_factory=list)


def compare_roots(first: Layout, second: Layout) -> Comparison:
    """Compare everything below ``processed_data``; a file that no rule knows is a difference wherever it lies."""
    result = Comparison()
    left, right = _list_files(first), _list_files(second)
    units = sorted({*_iter_units(first), *_iter_units(second)})
    for path in sorted({*left, *right}):
        rule = _rule_of(path, units)
        if rule is Rule.LEDGER:
            continue  # their names say who wrote them: below, by output folder
        if rule is not None:
            result.counts[rule] += 1
        what = _compare_file(rule, left.get(path), right.get(path), (first, second))
        result.differences += [Difference(path, what)] if what else []
    for unit in units:
        result.counts[Rule.LEDGER] += 1
        for what in _compare_ledgers(UnitLayout(first.processed / unit), UnitLayout(second.processed / unit)):
            result.differences.append(Difference(f"{first.relative(first.processed)}/{unit}/{_LEDGER}", what))
    result.differences.sort(key=lambda difference: difference.path)
    return result


def _iter_units(layout: Layout) -> Iterator[str]:
    """Output folders below ``processed_data``; of captions there is a folder that holds an assignment alone."""
    yield from (unit.path for unit in list_units(layout))
    for path in layout.processed.glob(f"*/*/{_UNIT.assignment.name}"):
        yield path.parent.relative_to(layout.processed).as_posix()


def _list_files(layout: Layout) -> dict[str, Path]:
    found = (Path(folder) / name for folder, _, names in os.walk(layout.processed) for name in names)
    return {layout.relative(path): path for path in found}


def _rule_of(path: str, units: Sequence[str]) -> Rule | None:
    """None for what a finished command leaves nowhere: temporary and retired files, fragments, whole other folders."""
    inside = path.partition("/")[2]
    unit = next((unit for unit in units if inside.startswith(f"{unit}/")), None)
    *folders, name = PurePosixPath(inside.removeprefix(f"{unit}/")).parts
    if unit is None or name.startswith("."):
        return None
    if folders[:1] == [_LEDGER]:
        return Rule.LEDGER
    return _FOLDER_RULES.get(folders[0]) if len(folders) == 1 else _FILE_RULES.get(name) if not folders else None


def _compare_file(
    rule: Rule | None, left: Path | None, right: Path | None, layouts: tuple[Layout, Layout]
) -> str | None:
    if rule is None:
        where = " and ".join(str(layout.data_root) for layout, path in zip(layouts, (left, right), strict=True) if path)
        return f"lies in {where}, where a finished command leaves no such file"
    if rule is Rule.LOCK:
        return None
    if left is None or right is None:
        layout = layouts[0] if right is None else layouts[1]
        return f"is in {layout.data_root} alone"
    if rule is Rule.BYTES:
        return _compare_bytes(left.read_bytes(), right.read_bytes())
    clean = _clean_record if rule is Rule.RECORD else _clean_manifest
    differing = [key for key, _, _ in iter_differences(clean(read_json(left)), clean(read_json(right)))]
    return f"differs in {', '.join(differing)}" if differing else None


def _compare_bytes(left: bytes, right: bytes) -> str | None:
    if left == right:
        return None
    pairs = enumerate(zip(left, right, strict=False))
    at = next((at for at, (a, b) in pairs if a != b), min(len(left), len(right)))
    return f"differs from byte {at} on ({len(left)} and {len(right)} bytes)"


def _clean_record(record: dict[str, Any]) -> dict[str, Any]:
    files = {name: {k: v for k, v in entry.items() if k != "temp"} for name, entry in record["files"].items()}
    return {**{key: value for key, value in record.items() if key not in ("run_id", "attempt")}, "files": files}


def _clean_manifest(manifest: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in manifest.items() if key not in ("created", "created_by")}


def _compare_ledgers(left: UnitLayout, right: UnitLayout) -> Iterator[str]:
    a, b = _load_undone(left), _load_undone(right)
    for item in sorted({*a, *b}):
        if a.get(item) != b.get(item):
            yield f"item {item} is {_shown(a.get(item))} in the one and {_shown(b.get(item))} in the other"
    for row in sorted(_load_drops(left) ^ _load_drops(right)):
        yield f"{row[3] or row[2]} of item {row[1]} is left out ({row[4]}) in one alone"


def _load_undone(unit: UnitLayout) -> dict[str, tuple[str, str, str]]:
    """Status, reason and digest of the inputs of every item that is not done; failed attempts before do not count."""
    records = load_records(unit).values()
    done = {key for record in records for key, row in record["outcomes"].items() if row["status"] == Status.DONE}
    outcomes = load_outcomes(unit.ledger_dir)
    return {key: (str(o.status), o.reason, o.inputs) for key, o in outcomes.items() if key not in done}


def _load_drops(unit: UnitLayout) -> set[tuple[str, ...]]:
    """The records left out, each once: an item that was made twice has told of them twice."""
    paths = unit.drops("*").parent.glob(unit.drops("*").name)
    return {tuple(str(row[key]) for key in _DROP_KEYS) for path in paths for row in iter_rows(path)}


def _shown(outcome: tuple[str, str, str] | None) -> str:
    return "done" if outcome is None else f"{outcome[0]} ({outcome[1]})"
