"""Rows of a features folder by random access, put where they belong without a copy in between.

``mmassist.packing.features`` serves the stage, which reads a recording once from its first sample to its last. Here
samples come in any order, so only the rows asked for are read: the kernel scatters each part's rows into the places
that they have in ``[frames, tokens, dim]``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mmassist.core.errors import ConfigError
from mmassist.io.layout import UnitLayout
from mmassist.io.ledger import load_outcomes
from mmassist.io.lookup import ItemLookup, OpenFiles
from mmassist.packing.features import PARTS

DTYPE = np.dtype("<f2")
MAX_HEADER_BYTES = 4096


@dataclass(frozen=True)
class _Video:
    shard: Path
    num_frames: int
    chunk_frames: int
    dim: int
    grids: list[int]
    starts: dict[str, np.ndarray]  # part -> where the numbers of every chunk begin, int64 [chunks]


class FeatureStore:
    """``processed_data/<dataset>/features/<encoder>``, read without its ledgers and task records."""

    def __init__(self, folder: Path, files: OpenFiles):
        self.folder = folder
        self._files = files
        self._lookup = ItemLookup(UnitLayout(folder))
        self._videos: dict[str, _Video] = {}

    def read(self, key: str, start: int, end: int, image_tokens: int) -> np.ndarray:
        """Frames ``[start, end)`` of a recording: float16 ``[end - start, image_tokens, dim]``, pooled token first.

        Raises ConfigError when the recording has no features, fewer rows, or not the grid of ``image_tokens``.
        """
        video = self._video(key)
        if not 0 <= start < end <= video.num_frames:
            raise ConfigError(
                f"frames {start} to {end} of {key} have no features in {self.folder}, which has {video.num_frames} "
                "rows: the samples were packed from other frames; run stage=encode and stage=pack again"
            )
        out = np.empty((end - start, image_tokens, video.dim), DTYPE)
        size = video.chunk_frames
        first = 0
        for part in self._parts(key, video, image_tokens):
            tokens = _num_tokens(part)
            for chunk in range(start // size, (end - 1) // size + 1):
                begin, stop = max(start, chunk * size), min(end, (chunk + 1) * size)
                at = int(video.starts[part][chunk]) + (begin - chunk * size) * tokens * video.dim * DTYPE.itemsize
                views = _views(out[begin - start : stop - start], first, tokens)
                self._files.read_into(video.shard, at, views)
            first += tokens
        return out

    def _parts(self, key: str, video: _Video, image_tokens: int) -> tuple[str, ...]:
        if image_tokens not in PARTS:
            raise ConfigError(f"a sample has {image_tokens} tokens a frame; features give {', '.join(map(str, PARTS))}")
        for part in PARTS[image_tokens]:
            if part not in video.starts:
                raise ConfigError(
                    f"samples with {image_tokens} tokens a frame need {part} features, and {self.folder} holds "
                    f"encode.grids={video.grids} of {key}; encode with {part[0]} in encode.grids, or take samples "
                    "that were packed with another pack.image_tokens"
                )
        return PARTS[image_tokens]

    def _video(self, key: str) -> _Video:
        if key not in self._videos:
            found = self._lookup.find(key)
            if found is None:
                raise ConfigError(f"{key} has no features in {self.folder}{self._reason(key)}: {self._command(key)}")
            self._videos[key] = self._load(key, *found)
        return self._videos[key]

    def _load(self, key: str, shard: Path, members: dict[str, tuple[int, int]]) -> _Video:
        summary = json.loads(self._files.read(shard, *members["features.json"]).tobytes())
        if summary["dtype"] != "float16":
            raise ConfigError(f"features of {key} in {self.folder} are {summary['dtype']}; float16 is read")
        num_frames, chunk_frames, dim = (int(summary[name]) for name in ("num_frames", "chunk_frames", "dim"))
        starts: dict[str, np.ndarray] = {}
        for part in sorted({name.split(".")[1] for name in members if name.endswith(".npy")}):
            starts[part] = np.zeros(-(-num_frames // chunk_frames), np.int64)
            for chunk in range(len(starts[part])):
                rows = min(chunk_frames, num_frames - chunk * chunk_frames)
                offset, size = members.get(f"{chunk:06d}.{part}.npy", (0, 0))
                # The array's header says nothing that is not known, so it is not read.
                header = size - rows * _num_tokens(part) * dim * DTYPE.itemsize
                if not 0 < header <= MAX_HEADER_BYTES or header % 64:
                    raise ConfigError(
                        f"{chunk:06d}.{part}.npy of {key} in {shard} has {size} bytes, which is not float16 "
                        f"[{rows}, {_num_tokens(part)}, {dim}]; encode the recording again: {self._command(key)}"
                    )
                starts[part][chunk] = offset + header
        return _Video(shard, num_frames, chunk_frames, dim, summary["grids"], starts)

    def _reason(self, key: str) -> str:
        """What the ledger says of an item that is not there; it is opened for this alone."""
        unit = UnitLayout(self.folder)
        if not unit.root.is_dir():
            return ", which does not exist"
        outcome = load_outcomes(unit.ledger_dir).get(key)
        return f" ({outcome.status}: {outcome.message or outcome.reason})" if outcome else " (not encoded yet)"

    def _command(self, key: str) -> str:
        dataset = self.folder.absolute().parent.parent.name
        return (
            f"run python -m launchers.run stage=encode dataset={dataset} 'items=[{key}]' with the encoder's settings "
            f"that made {self.folder.name}"
        )


def _num_tokens(part: str) -> int:
    """``cls`` is one, ``3x3`` nine."""
    return 1 if part == "cls" else int(part.partition("x")[0]) ** 2


def _views(rows: np.ndarray, first: int, tokens: int) -> list[memoryview]:
    """The bytes of tokens ``[first, first + tokens)`` of every row, ``[n, I, dim]``, one view a row."""
    flat = rows.reshape(-1).view(np.uint8).data
    token_bytes = rows.shape[2] * rows.itemsize
    if tokens == rows.shape[1]:
        return [flat]
    step, skip, size = rows.shape[1] * token_bytes, first * token_bytes, tokens * token_bytes
    return [flat[at : at + size] for at in range(skip, len(flat), step)]
