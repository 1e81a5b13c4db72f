"""Files that appear whole or not at all: temporary name in the same folder, flush, fsync, rename."""

from __future__ import annotations

import contextlib
import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from mmassist.core.errors import ConfigError, StageError
from mmassist.core.fingerprint import canonical_json
from mmassist.io import disk, faults
from mmassist.io.disk import sync_folder

__all__ = ["TEMP_SUFFIX", "commit", "open_temp", "read_json", "sync_folder", "temp_path", "write_json"]

TEMP_SUFFIX = ".tmp"


def temp_path(path: Path, attempt: str) -> Path:
    """The hidden name under which ``attempt`` writes ``path``."""
    return path.with_name(f".{path.name}.{attempt}{TEMP_SUFFIX}")


@contextlib.contextmanager
def open_temp(path: Path, point: str, final: Path | None = None) -> Iterator[BinaryIO]:
    """Write a temporary file that is on disk when the block ends, and gone if the block raises.

    ``final`` is the name for people to read in an error. What the block itself raises passes through; our own calls
    raise DiskError.
    """
    final = final or path
    file = disk.create(path, final, point)
    try:
        faults.reached(f"{point}:opened")
        yield file
        disk.sync(file, final, point)
        file.close()
    except BaseException:
        with contextlib.suppress(StageError):
            file.raw.close()  # not the buffer: its rest would be written once more, and hide the first error
        disk.discard(path)
        raise
    faults.reached(f"{point}:synced")


@contextlib.contextmanager
def commit(path: Path, point: str = "file") -> Iterator[BinaryIO]:
    """Write ``path`` whole: the block gets a file, and the final name appears when the block ends.

    Raises DiskError, or TempRemoved when another process cleared the folder meanwhile; then no trace is left.
    """
    temp = temp_path(path, uuid.uuid4().hex[:12])
    with open_temp(temp, point, path) as file:
        yield file
    try:
        disk.replace(temp, path, point)
    except StageError:
        disk.discard(temp)
        raise
    sync_folder(path.parent)
    faults.reached(f"{point}:renamed")


def read_json(path: Path) -> Any:
    """The value of a JSON file of ours. Raises ConfigError when it is damaged: only a person can decide what then."""
    try:
        return json.loads(path.read_bytes())
    except ValueError as error:
        raise ConfigError(f"{path} is damaged ({error}); bring it back from a copy, or move its folder away") from error


def write_json(path: Path, value: Any, point: str = "file") -> None:
    """Write ``value`` as canonical JSON with a final newline, atomically. Raises as ``commit`` does."""
    with commit(path, point) as file:
        file.write(canonical_json(value).encode() + b"\n")
