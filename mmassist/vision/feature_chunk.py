"""Cut a video's feature rows into chunk files: reading frames [a, b) must not need the whole video."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from mmassist.io.npy import npy_bytes

SUMMARY_NAME = "features.json"  # sorts behind every chunk


def chunk_name(chunk: int, part: str) -> str:
    """``000002.3x3.npy``: rows ``[2 * chunk_frames, 3 * chunk_frames)`` of grid ``3x3``."""
    return f"{chunk:06d}.{part}.npy"


class ChunkCutter:
    """Take rows in frame order and hand out members, sorted by name, as soon as a chunk is full.

    Holds less than one chunk plus what is added at once. ``parts`` are the arrays to keep (``cls``, ``3x3``).
    """

    def __init__(self, chunk_frames: int, parts: Sequence[str]):
        self.num_rows = 0
        self._chunk_frames = chunk_frames
        self._waiting: dict[str, list[np.ndarray]] = {part: [] for part in sorted(parts)}
        self._num_waiting = 0
        self._chunk = 0

    def add(self, rows: Mapping[str, np.ndarray]) -> Iterator[tuple[str, bytes]]:
        """Append ``[n, tokens, dim]`` arrays of equal ``n`` and yield the members that became complete."""
        count = {len(rows[part]) for part in self._waiting}
        assert len(count) == 1, "all parts describe the same frames"
        start, (end,) = 0, count
        while start < end:
            take = min(end - start, self._chunk_frames - self._num_waiting)
            for part, waiting in self._waiting.items():
                waiting.append(rows[part][start : start + take])
            start += take
            self.num_rows += take
            self._num_waiting += take
            if self._num_waiting == self._chunk_frames:
                yield from self.finish()

    def finish(self) -> Iterator[tuple[str, bytes]]:
        """Yield what is left as the last, shorter chunk."""
        if not self._num_waiting:
            return
        for part, waiting in self._waiting.items():
            yield chunk_name(self._chunk, part), npy_bytes(np.concatenate(waiting))
            waiting.clear()
        self._chunk += 1
        self._num_waiting = 0
