"""The outermost boxes of an MP4 file: whether it has fragments, and whether it was cut inside of one."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path


def cut_box(path: Path) -> str | None:
    """Name the outermost box that a file ends inside of, None when the boxes fill the file exactly.

    A fragmented MP4 has no table of all its pictures, and FFmpeg passes silently over a last fragment whose header is
    cut. Bytes after the last box that are no box are not counted as a cut.
    """
    return next((kind for kind, is_whole in _iter_boxes(path) if not is_whole), None)


def has_fragments(path: Path) -> bool:
    """Tell whether pictures lie in movie fragments, so that no header states the length of all of them."""
    return any(kind == "moof" for kind, _ in _iter_boxes(path))


def _iter_boxes(path: Path) -> Iterator[tuple[str, bool]]:
    """Yield the kind of every outermost box and whether it ends inside the file (ISO/IEC 14496-12, section 4.2)."""
    size = path.stat().st_size
    with path.open("rb") as file:
        at = 0
        while at + 8 <= size:
            file.seek(at)
            length, kind = struct.unpack(">I4s", file.read(8))
            if length == 1:  # a 64-bit length follows
                large = file.read(8)
                if len(large) < 8:
                    yield kind.decode("latin-1"), False
                    return
                (length,) = struct.unpack(">Q", large)
            if length == 0:  # to the end of the file
                yield kind.decode("latin-1"), True
                return
            if length < 8 or not kind.isalnum():
                return
            yield kind.decode("latin-1"), at + length <= size
            at += length
