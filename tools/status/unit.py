"""Which output folders there are, and what each is for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mmassist.io.layout import Layout, UnitLayout
from mmassist.stages import PIPELINE
from tools.status.files import Reader

STAGE_OF_FOLDER = {
    "frames": "extract",
    "generated_dialogs": "generate",
    "scores": "judge",
    "splits": "split",
    "features": "encode",
    "prepared": "pack",
}  # for folders whose manifest cannot be read
MAX_DEPTH = 2  # folders below a source's


@dataclass(frozen=True)
class Unit:
    """An output folder and what it is for."""

    layout: UnitLayout
    path: str  # below DATA_ROOT_DIR
    dataset: str
    stage: str

    @property
    def rank(self) -> tuple[str, int, str]:
        """Sorts by source, then in pipeline order."""
        place = PIPELINE.index(self.stage) if self.stage in PIPELINE else len(PIPELINE)
        return (self.dataset, place, self.path)


def find_units(layout: Layout, reader: Reader) -> list[Unit]:
    """All output folders below ``processed_data``, those moved aside left out."""
    found = []
    for dataset in reader.list_names(layout.processed):
        for folder in _iter_folders(reader, layout.processed / dataset, MAX_DEPTH):
            found.append(_unit(layout, reader, dataset, folder))
    return sorted(found, key=lambda unit: unit.rank)


def _iter_folders(reader: Reader, folder: Path, depth: int) -> Iterator[Path]:
    for name in reader.list_names(folder):
        path = folder / name
        if ".stale-" in name or not path.is_dir():
            continue
        unit = UnitLayout(path)
        if unit.manifest.exists() or unit.tasks.exists():
            yield path
        elif depth > 1:
            yield from _iter_folders(reader, path, depth - 1)


def _unit(layout: Layout, reader: Reader, dataset: str, folder: Path) -> Unit:
    manifest = reader.read_object(UnitLayout(folder).manifest) or {}
    stage = manifest.get("stage")
    if not isinstance(stage, str):
        top = folder.relative_to(layout.processed / dataset).parts[0]
        stage = STAGE_OF_FOLDER.get(top, top)
    return Unit(UnitLayout(folder), layout.relative(folder), dataset, stage)
