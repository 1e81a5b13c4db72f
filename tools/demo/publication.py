"""A publisher's folder in small: what every source's generator makes, and how it gets onto disk."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from mmassist.io.atomic import commit
from tools.demo.video import write_mp4

Writer = Callable[[Path], None]  # makes one video or picture at a path, whole or not at all


@dataclass(frozen=True)
class Publication:
    """Paths are relative to ``raw_dir``, the source's folder below ``datasets/``."""

    raw_dir: str
    files: Mapping[str, bytes]
    pictures: Mapping[str, Writer]


def publish(dataset: str) -> Publication:
    """The small, invented publication of a source: ``publish()`` of ``tools.demo.<dataset>``."""
    made: Publication = importlib.import_module(f"tools.demo.{dataset}").publish()
    return made


def list_publications() -> list[str]:
    """Sources that have a generator of this kind, sorted."""
    modules = (path for path in Path(__file__).parent.glob("*.py") if "\ndef publish() ->" in path.read_text())
    return sorted(path.stem for path in modules)


def write_publication(root: Path, publication: Publication) -> bool:
    """Write a publication below ``root/datasets``; what is there already stays. False when all of it was there."""
    folder = root / "datasets" / publication.raw_dir
    missing = [name for name in (*publication.files, *publication.pictures) if not (folder / name).exists()]
    for name, content in publication.files.items():
        path = folder / name
        if not path.exists():
            with commit(path) as file:
                file.write(content)
    for name, write in publication.pictures.items():
        path = folder / name
        if not path.exists():
            write(path)
    return bool(missing)


def video_writer(duration_s: float, fps: Fraction, scenes_s: Sequence[float] = ()) -> Writer:
    """Writes an MP4 file of numbered pictures; ``scenes_s`` are times at which the background changes."""
    return lambda path: write_mp4(path, duration_s, fps, scenes_s)
