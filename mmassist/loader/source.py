"""Which prepared folders an epoch is mixed from, and how often each comes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np

from mmassist.core.errors import ConfigError
from mmassist.loader.catalog import Catalog

FORM = "<dataset>/<folder>[@<repeat>], with commas between them"


@dataclass(frozen=True)
class Source:
    """A prepared folder, ``processed_data/<dataset>/prepared/<folder>``; ``repeat`` 2: every sample twice an epoch."""

    folder: Path
    repeat: float = 1.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.repeat) and 0 < self.repeat <= 10000):
            raise ConfigError(f"{self.name}: repeat is {self.repeat}; it must be above 0 and at most 10000")

    @property
    def name(self) -> str:
        """``holoassist/knowledge_L4096_I10``."""
        return f"{self.dataset_dir.name}/{self.folder.name}"

    @property
    def dataset_dir(self) -> Path:
        """``processed_data/<dataset>``, where the features lie too."""
        return self.folder.absolute().parent.parent


# One folder, one or several sources, or pairs of folder and repeat.
Sources: TypeAlias = str | Path | Source | Sequence[Source | tuple[str | Path, float]]


def parse_sources(text: str, processed: Path | str) -> tuple[Source, ...]:
    """Read ``holoassist/knowledge_L4096_I10@2,llava/caption_L4096_I10``, folders below ``processed``.

    ``prepared/`` may be written between data set and folder, or left out. Raises ConfigError.
    """
    found = []
    for word in text.split(","):
        path, at, repeat = word.strip().partition("@")
        parts = [part for part in path.split("/") if part]
        if len(parts) == 3 and parts[1] == "prepared":
            del parts[1]
        if len(parts) != 2:
            raise ConfigError(f"sources: {word.strip()!r} in {text!r} is not of the form {FORM}")
        try:
            times = float(repeat) if at else 1.0
        except ValueError:
            raise ConfigError(f"sources: {repeat!r} in {word.strip()!r} is no number; the form is {FORM}") from None
        found.append(Source(Path(processed) / parts[0] / "prepared" / parts[1], times))
    return tuple(found)


def list_sources(sources: Sources) -> tuple[Source, ...]:
    """Bring all ways to name sources to one. Raises ConfigError for none, and for one that is named twice."""
    if isinstance(sources, (str, Path)):
        return (Source(Path(sources)),)
    if isinstance(sources, Source):
        return (sources,)
    found = tuple(one if isinstance(one, Source) else Source(Path(one[0]), float(one[1])) for one in sources)
    if not found:
        raise ConfigError("sources is empty; it must name at least one prepared folder")
    names = [source.name for source in found]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise ConfigError(
            f"sources names {twice[0]} twice; give it a repeat instead, or one of two folders another name"
        )
    return found


def expected_copies(sources: Sequence[Source], catalogs: Sequence[Catalog], epoch_size: int | None) -> list[np.ndarray]:
    """How often every sample of every source is expected in an epoch.

    Without ``epoch_size`` its record's weight times the source's repeat. With it, repeats are proportions: an epoch has
    that many samples, of each source its share, in a source by the records' weights. Raises ConfigError for a source
    whose samples all have weight 0.
    """
    for source, catalog in zip(sources, catalogs, strict=True):
        if not catalog.weights.sum() > 0:
            raise ConfigError(f"{source.name}: all {len(catalog)} samples have weight 0; leave the source out")
    if epoch_size is None:
        pairs = zip(sources, catalogs, strict=True)
        return [catalog.weights * source.repeat for source, catalog in pairs]
    shares = _apportion([source.repeat for source in sources], epoch_size)
    return [catalog.weights * (n / catalog.weights.sum()) for catalog, n in zip(catalogs, shares, strict=True)]


def _apportion(weights: Sequence[float], total: int) -> list[int]:
    """Whole numbers in the proportion of ``weights`` with that total; the largest rests are rounded up."""
    exact = [total * weight / sum(weights) for weight in weights]
    counts = [math.floor(value) for value in exact]
    by_rest = sorted(range(len(exact)), key=lambda i: (counts[i] - exact[i], i))
    for i in by_rest[: total - sum(counts)]:
        counts[i] += 1
    return counts
