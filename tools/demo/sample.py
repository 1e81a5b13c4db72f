"""Make the sample: a complete DATA_ROOT_DIR in the publishers' layouts. Made once; an interrupted making goes on."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mmassist.core.errors import ConfigError
from mmassist.core.fingerprint import digest
from mmassist.io.atomic import commit, write_json
from mmassist.io.layout import Layout
from tools.demo import holoassist, wtag
from tools.demo.publication import publish, write_publication

STAMP = "sample.json"
GENERATOR_VERSION = 1  # raise it when pictures or coding change; texts are compared as they are
DATASETS = ("holoassist", "wtag")


@dataclass(frozen=True)
class Sample:
    """What the sample holds."""

    recordings: tuple[holoassist.Recording, ...]
    sessions: tuple[wtag.Session, ...]


FULL = Sample(holoassist.RECORDINGS, wtag.SESSIONS)


def shortened(names: tuple[str, ...], share: float) -> Sample:
    """The named recordings of the full sample, each ``share`` as long: for tests."""
    return Sample(
        tuple(replace(r, duration_s=r.duration_s * share) for r in FULL.recordings if r.name in names),
        tuple(replace(s, duration_s=s.duration_s * share) for s in FULL.sessions if s.name in names),
    )


SMALL = shortened(("R902-3May-Watch", "R904-6May-Lamp", "R905-6May-Plant", "T1", "T47", "T5"), 0.4)

Track = Callable[[list[Path]], Iterator[Path]]


def make_sample(root: Path, sample: Sample = FULL, track: Track = iter) -> bool:
    """Write the sample below ``root``; False when it was already there.

    ``track`` wraps the loop over the videos, for a progress bar. Raises ConfigError when ``root`` holds other data,
    which this must not mix with.
    """
    layout = Layout(root)
    texts = _texts(layout, sample)
    videos = _videos(layout, sample)
    stamp = {"version": _version(layout, sample, texts), "is_complete": False}
    known = _read_stamp(root)
    if known is None and layout.datasets.exists():
        raise ConfigError(f"{layout.datasets} exists and was not made by the demonstration; use another folder")
    is_same = known is not None and known["version"] == stamp["version"]
    if is_same and known is not None and known["is_complete"] and all(p.is_file() for p in (*texts, *videos)):
        return False
    write_json(root / STAMP, stamp)
    for path, content in texts.items():
        with commit(path) as file:
            file.write(content)
    missing = [path for path in videos if not (is_same and path.is_file())]
    for path in track(missing):
        videos[path](path)
    write_json(root / STAMP, {**stamp, "is_complete": True})
    return True


def make_sources(root: Path, datasets: Sequence[str], sample: Sample = FULL, track: Track = iter) -> bool:
    """Write what these sources publish below ``root``, in small; False when all of it was there. Raises ConfigError."""
    is_new = bool({*DATASETS} & {*datasets}) and make_sample(root, sample, track)
    for name in datasets:
        if name not in DATASETS:
            is_new = write_publication(root, publish(name)) or is_new
    return is_new


def _texts(layout: Layout, sample: Sample) -> dict[Path, bytes]:
    made: dict[Path, bytes] = {}
    for name, content in holoassist.build_texts(sample.recordings).items():
        made[layout.datasets / holoassist.RAW_DIR / name] = _encode(content, name.endswith(".json"))
    for name, content in wtag.build_texts(sample.sessions).items():
        made[layout.datasets / wtag.RAW_DIR / name] = _encode(content, is_json=False)
    return made


def _videos(layout: Layout, sample: Sample) -> dict[Path, Callable[[Path], None]]:
    return {
        **holoassist.video_writers(sample.recordings, layout.datasets / holoassist.RAW_DIR),
        **wtag.video_writers(sample.sessions, layout.datasets / wtag.RAW_DIR),
    }


def _encode(content: Any, is_json: bool) -> bytes:
    """JSON without line breaks and without a final one, as the publisher writes it; lines otherwise."""
    if is_json:
        return json.dumps(content, separators=(",", ":")).encode()
    return "".join(f"{line}\n" for line in content).encode()


def _version(layout: Layout, sample: Sample, texts: dict[Path, bytes]) -> str:
    contents = {layout.relative(path): content.decode() for path, content in texts.items()}
    lengths = {r.name: r.duration_s for r in sample.recordings} | {s.name: s.duration_s for s in sample.sessions}
    return digest({"generator": GENERATOR_VERSION, "texts": contents, "lengths": lengths})


def _read_stamp(root: Path) -> dict[str, Any] | None:
    try:
        stamp: dict[str, Any] = json.loads((root / STAMP).read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return None
    return stamp
