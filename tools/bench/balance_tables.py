"""Lengths of recordings to balance: the publishers' own tables where there are any, and invented ones."""

from __future__ import annotations

import csv
import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist

import yaml

from mmassist.core.item import Item, ItemKind
from mmassist.datasets import build_adapter, build_dataset_config

CONF = Path(__file__).resolve().parents[2] / "conf" / "dataset"
EPIC_VIDEOS = "epic-kitchens/epic-kitchens-100-annotations/EPIC_100_video_info.csv"
CAPTAINCOOK_VIDEOS = "captaincook4d/annotations/metadata/video_information.csv"
# Name, recordings, hours as published, and the spread (sigma of the logarithm) that is assumed.
PUBLISHED = (
    ("ego4d", 851, 368.0, 0.9),
    ("holoassist", 2221, 166.0, 0.6),
    ("egoexolearn", 432, 96.0, 0.5),
    ("assembly101", 356, 42.0, 0.6),
    ("wtag", 56, 10.0, 0.3),
    ("captaincook4d", 384, 94.5, 0.4),
    ("epickitchens", 700, 100.0, 1.1),
    ("ego4d_narrations", 9611, 3670.0, 0.9),
)


@dataclass(frozen=True)
class Table:
    """Recordings of a source and their lengths in seconds, in key order."""

    name: str
    is_real: bool
    lengths: dict[str, float]

    @property
    def total_s(self) -> float:
        return sum(self.lengths.values())

    @property
    def longest_s(self) -> float:
        return max(self.lengths.values())

    def items(self, kind: ItemKind) -> dict[str, Item]:
        """The recordings as items to plan with; there are no files behind them."""
        return {key: _item(self.name, kind, key, length) for key, length in self.lengths.items()}


def iter_real(datasets: Path) -> Iterator[Table]:
    """Yield the tables that lie below ``datasets``, a folder in the publishers' layouts."""
    if (datasets / EPIC_VIDEOS).is_file():
        yield Table("epickitchens", True, load_epickitchens(datasets / EPIC_VIDEOS))
    if (datasets / CAPTAINCOOK_VIDEOS).is_file():
        yield Table("captaincook4d", True, load_captaincook4d(datasets))


def load_epickitchens(path: Path) -> dict[str, float]:
    """All videos of the table: also those without a narrated action, which the adapter would leave out."""
    with path.open(newline="") as file:
        rows = {row["video_id"]: float(row["duration"]) for row in csv.DictReader(file)}
    return dict(sorted(rows.items()))


def load_captaincook4d(datasets: Path) -> dict[str, float]:
    """The recordings that the adapter lists."""
    values = yaml.safe_load((CONF / "captaincook4d.yaml").read_text())["dataset"]
    values["raw_dir"] = str((datasets / values["raw_dir"]).resolve())
    adapter = build_adapter(build_dataset_config(values, "dataset"), datasets, False)
    return {item.key: item.weight_s for item in adapter.list_items(which="needed").media}


def iter_synthetic(seed: int = 0) -> Iterator[Table]:
    """Yield a table per source of its published number of recordings and hours; the distribution is invented."""
    for name, count, hours, sigma in PUBLISHED:
        yield Table(name, False, draw_lengths(name, count, hours, sigma, seed))


def draw_lengths(name: str, count: int, hours: float, sigma: float, seed: int) -> dict[str, float]:
    """Log-normal lengths, one from each of ``count`` equal shares of the distribution, in an order set by ``seed``."""
    normal = NormalDist(0.0, sigma)
    drawn = [math.exp(normal.inv_cdf((number + 0.5) / count)) for number in range(count)]
    scale = hours * 3600 / sum(drawn)
    random.Random(f"{name} {seed}").shuffle(drawn)
    return {f"{name}-{number:06d}": length * scale for number, length in enumerate(drawn)}


def _item(dataset: str, kind: ItemKind, key: str, length: float) -> Item:
    return Item(dataset, key, kind, "train", (), key, key, length, media_key=key if kind is ItemKind.DIALOG else None)
