"""Files that appear whole or not at all: temporary name in the same folder, flush, fsync, rename."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from mmassist.core.errors import ConfigError, StageError
from mmassist.core.fingerprint import canonical_json
from mmassist.io import faults

TEMP_SUFFIX = ".tmp"
_FULL = {errno.ENOSPC, errno.EDQUOT}


def temp_path(path: Path, attempt: str) -> Path:
    """The hidden name under which ``attempt`` writes ``path``."""
    return path.with_name(f".{path.name}.{attempt}{TEMP_SUFFIX}")


@contextlib.contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn a full disk into the StageError it is: no later item could be written either."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise StageError(f"no space left for {path}: {os.strerror(error.errno or 0)}") from error
        raise


@contextlib.contextmanager
def open_temp(path: Path, point: str) -> Iterator[BinaryIO]:
    """Write a temporary file that is on disk when the block ends, and gone if the block raises."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with disk_errors(path), path.open("wb") as file:
            faults.reached(f"{point}:opened")
            yield file
            file.flush()
            faults.reached(f"{point}:written")
            os.fsync(file.fileno())
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    faults.reached(f"{point}:synced")


@contextlib.contextmanager
def commit(path: Path, point: str = "file") -> Iterator[BinaryIO]:
    """Write ``path`` whole: the block gets a file, and the final name appears when the block ends."""
    temp = temp_path(path, uuid.uuid4().hex[:12])
    with open_temp(temp, point) as file:
        yield file
    temp.replace(path)
    sync_folder(path.parent)
    faults.reached(f"{point}:renamed")


def read_json(path: Path) -> Any:
    """The value of a JSON file of ours. Raises ConfigError when it is damaged: only a person can decide what then."""
    try:
        return json.loads(path.read_bytes())
    except ValueError as error:
        raise ConfigError(f"{path} is damaged ({error}); bring it back from a copy, or move its folder away") from error


def write_json(path: Path, value: Any, point: str = "file") -> None:
    """Write ``value`` as canonical JSON with a final newline, atomically."""
    with commit(path, point) as file:
        file.write(canonical_json(value).encode() + b"\n")


def sync_folder(folder: Path) -> None:
    """Make renames in ``folder`` survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
