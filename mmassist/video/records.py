"""What the decoder process and its parent say to each other: one request line in, length-prefixed records out."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mmassist.core.item import Geometry, Medium
from mmassist.video.config import VideoConfig

FRAME = b"F"  # index, then the JPEG
PROGRESS = b"P"  # alive and getting on
INFO = b"I"  # the end of a video, with its info as JSON
ERROR = b"E"  # the end of a video that failed: kind and message as JSON

_HEADER = struct.Struct("<cI")
_INDEX = struct.Struct("<I")


@dataclass(frozen=True)
class Request:
    """A video, of one file or several, or a single picture file (``Medium.IMAGES``)."""

    paths: tuple[Path, ...]
    geometry: Geometry
    config: VideoConfig
    compat: bool = False
    medium: Medium = Medium.VIDEO

    def to_line(self) -> bytes:
        """One line of ASCII; names that are no valid text survive as escapes."""
        values = {**asdict(self), "paths": [str(path) for path in self.paths]}
        return json.dumps(values).encode("ascii") + b"\n"

    @classmethod
    def from_line(cls, line: bytes) -> Request:
        values = json.loads(line)
        typed = {
            "paths": tuple(Path(path) for path in values["paths"]),
            "geometry": Geometry(**values["geometry"]),
            "config": VideoConfig(**values["config"]),
            "medium": Medium(values["medium"]),
        }
        return cls(**{**values, **typed})


def pack_record(kind: bytes, *parts: bytes) -> bytes:
    return b"".join((_HEADER.pack(kind, sum(map(len, parts))), *parts))


def pack_frame(index: int, jpeg: bytes) -> bytes:
    return pack_record(FRAME, _INDEX.pack(index), jpeg)


def pack_json(kind: bytes, value: dict[str, Any]) -> bytes:
    return pack_record(kind, json.dumps(value).encode("ascii"))


def parse_frame(payload: bytes) -> tuple[int, bytes]:
    return _INDEX.unpack_from(payload)[0], payload[_INDEX.size :]


class RecordBuffer:
    """Cuts the byte stream of a pipe back into records."""

    def __init__(self) -> None:
        self._data = bytearray()

    def add(self, data: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Take the next bytes and yield the ``(kind, payload)`` pairs they complete."""
        self._data += data
        while len(self._data) >= _HEADER.size:
            kind, length = _HEADER.unpack_from(self._data)
            end = _HEADER.size + length
            if len(self._data) < end:
                return
            payload = bytes(self._data[_HEADER.size : end])
            del self._data[:end]
            yield kind, payload
