"""The outermost boxes of an MP4 file: the one place where a cut fragmented file shows."""

from __future__ import annotations

import struct
from pathlib import Path


def cut_box(path: Path) -> str | None:
    """Name the outermost box that a file ends inside of, None when the boxes fill the file exactly.

    A fragmented MP4 has no table of all its pictures, and FFmpeg passes silently over a last fragment whose header is
    cut. Box layout: ISO/IEC 14496-12, section 4.2. Bytes after the last box that are no box are not counted as a cut.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        at = 0
        while at + 8 <= size:
            file.seek(at)
            length, kind = struct.unpack(">I4s", file.read(8))
            if length == 1:  # a 64-bit length follows
                large = file.read(8)
                if len(large) < 8:
                    return kind.decode("latin-1")
                (length,) = struct.unpack(">Q", large)
            if length == 0:  # to the end of the file
                return None
            if length < 8 or not kind.isalnum():
                return None
            if at + length > size:
                return kind.decode("latin-1")
            at += length
    return None
