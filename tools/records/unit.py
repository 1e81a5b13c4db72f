"""Output folders as they lie below ``processed_data/``, and what each is for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from mmassist.core.errors import ConfigError
from mmassist.datasets import list_datasets
from mmassist.io.layout import Layout, UnitLayout
from mmassist.stages import list_stages, stage_class
from tools.command import advise, check_values
from tools.records.file import Reader, table_of, text_of

MAX_DEPTH = 2  # folders below a source's
UNIT_KEYS = ("dataset", "stage", "unit")


@dataclass(frozen=True)
class Unit:
    """One output folder; ``path`` is below ``processed_data/``, as ``unit=`` takes it."""

    path: str
    layout: UnitLayout
    reader: Reader

    @property
    def dataset(self) -> str:
        return self.path.partition("/")[0]

    @property
    def folder(self) -> str:
        """The path without the source: ``features/tiny``."""
        return self.path.partition("/")[2]

    @cached_property
    def manifest(self) -> dict[str, Any]:
        return self.reader.read_object(self.layout.manifest) or {}

    @cached_property
    def settings(self) -> dict[str, Any]:
        """The manifest's, empty where it cannot be read."""
        return table_of(self.manifest, "settings")

    @property
    def stage(self) -> str:
        """The manifest's, or where that cannot be read the one whose home the folder is in."""
        top = self.folder.partition("/")[0]
        homes = {stage_class(name).home: name for name in list_stages()}
        return text_of(self.manifest, "stage") or homes.get(top, top)

    @property
    def rank(self) -> tuple[str, int, str]:
        """Sorts by source, then in pipeline order."""
        return (self.dataset, stage_rank(self.stage), self.path)

    def is_called(self, name: str) -> bool:
        """Whether ``name`` is its path, with or without the source."""
        return name.strip("/").removeprefix("processed_data/") in (self.path, self.folder)


def stage_rank(stage: str) -> int:
    """Place in the pipeline, the last for what is none of its stages."""
    stages = list_stages()
    return stages.index(stage) if stage in stages else len(stages)


def list_units(layout: Layout, reader: Reader | None = None) -> list[Unit]:
    """All output folders by source and in pipeline order, those moved aside left out."""
    reader = reader or Reader()
    found = []
    for dataset in reader.list_folders(layout.processed):
        for folder in _iter_folders(reader, layout.processed / dataset, MAX_DEPTH):
            path = folder.relative_to(layout.processed).as_posix()
            found.append(Unit(path, UnitLayout(folder), reader))
    return sorted(found, key=lambda unit: unit.rank)


def choose_units(units: Sequence[Unit], filters: Mapping[str, Sequence[str]]) -> list[Unit]:
    """Those that fit ``dataset=``, ``stage=`` and ``unit=``. Raises ConfigError for names that nothing has."""
    datasets, stages = filters.get("dataset", ()), filters.get("stage", ())
    check_values("stage", stages, list_stages())
    check_values("dataset", datasets, {*list_datasets(), *(unit.dataset for unit in units)})
    names = filters.get("unit", ())
    for name in names:
        if not any(unit.is_called(name) for unit in units):
            near = advise(name.strip("/"), [unit.path for unit in units], "leave it out to look into all")
            raise ConfigError(f"unit={name}: there is no such folder; {near}")
    return [
        unit
        for unit in units
        if (not datasets or unit.dataset in datasets)
        and (not stages or unit.stage in stages)
        and (not names or any(unit.is_called(name) for name in names))
    ]


def _iter_folders(reader: Reader, folder: Path, depth: int) -> Iterator[Path]:
    for name in reader.list_folders(folder):
        path = folder / name
        if ".stale-" in name:
            continue
        unit = UnitLayout(path)
        if unit.manifest.exists() or unit.tasks.exists():
            yield path
        elif depth > 1:
            yield from _iter_folders(reader, path, depth - 1)
