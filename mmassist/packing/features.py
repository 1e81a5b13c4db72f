"""The vision features of one sample, put together from the chunks of its recording."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from mmassist.core.errors import ItemError, Kind, StageError
from mmassist.core.stage import ItemReader
from mmassist.io.npy import view_npy

# Tokens of a frame -> stored parts in their order: the pooled token first.
PARTS = {1: ("cls",), 5: ("cls", "2x2"), 10: ("cls", "3x3"), 26: ("cls", "5x5")}


class FeatureReader:
    """Rows of one recording's features; the chunks of the last range stay in memory, samples follow on each other.

    ``description`` says for the samples' records what made the features, and whether they are random. Raises
    StageError when the features lack a grid: all recordings of the folder were encoded with the same ones.
    """

    def __init__(self, source: ItemReader, image_tokens: int):
        self._source = source
        self._parts = PARTS[image_tokens]
        summary = json.loads(source.read("features.json"))
        self._chunk_frames = int(summary["chunk_frames"])
        self._num_frames = int(summary["num_frames"])
        self._chunks: dict[int, list[np.ndarray]] = {}  # arrays of each part
        missing = [part for part in self._parts if f"000000.{part}.npy" not in source.names]
        if missing:
            raise StageError(
                f"pack.image_tokens={image_tokens} needs {missing[0]} features, but encode was run with "
                f"encode.grids={summary['grids']}; add {missing[0][0]} to encode.grids or set another pack.image_tokens"
            )
        made_by = {name: summary[name] for name in ("encoder", "is_random", "layer", "dim")}
        self.description: dict[str, Any] = {**made_by, "parts": list(self._parts)}

    def read(self, start: int, end: int) -> np.ndarray:
        """Frames ``[start, end)``: float16 ``[end - start, tokens, dim]``. Raises ItemError beyond the last row."""
        if end > self._num_frames:
            raise ItemError(Kind.PERMANENT, f"frame {end - 1} has no features; there are {self._num_frames} rows")
        size = self._chunk_frames
        wanted = range(start // size, (end - 1) // size + 1)
        self._chunks = {c: self._chunks[c] if c in self._chunks else self._load(c) for c in wanted}
        tokens = sum(part.shape[1] for part in self._chunks[wanted[0]])
        rows = np.empty((end - start, tokens, self.description["dim"]), np.float16)
        for chunk, parts in self._chunks.items():
            first, last = max(start, chunk * size), min(end, (chunk + 1) * size)
            column = 0
            for part in parts:
                place = rows[first - start : last - start, column : column + part.shape[1]]
                place[...] = part[first - chunk * size : last - chunk * size]
                column += part.shape[1]
        return rows

    def _load(self, chunk: int) -> list[np.ndarray]:
        return [view_npy(self._source.read(f"{chunk:06d}.{part}.npy")) for part in self._parts]
