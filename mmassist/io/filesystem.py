"""Whether a folder's file system can do what the outputs rely on, found out before anything is submitted."""

from __future__ import annotations

import contextlib
import os
import uuid
from pathlib import Path

from mmassist.core.errors import ConfigError, StageError
from mmassist.io import disk
from mmassist.io.atomic import open_temp, temp_path
from mmassist.io.layout import UnitLayout

_CONTENT = b"probe\n"


def check_filesystem(unit: UnitLayout) -> None:
    """Write, sync, link and rename a small file in the unit's folder, and leave nothing behind.

    Raises ConfigError naming the folder when one of these cannot be done there.
    """
    names = [temp_path(unit.record(f"probe-{uuid.uuid4().hex[:12]}"), str(number)) for number in range(3)]
    made = _missing_folders(unit.record_dir)
    try:
        _probe(*names)
    except StageError as error:
        raise ConfigError(f"{unit.root} cannot hold outputs: {error}") from error
    except OSError as error:
        raise ConfigError(f"{unit.root} cannot hold outputs: {error.strerror}; choose another DATA_ROOT_DIR") from error
    finally:
        for path in names:
            disk.discard(path)
        for folder in made:
            with contextlib.suppress(OSError):  # someone else uses it by now
                folder.rmdir()


def _probe(temp: Path, linked: Path, renamed: Path) -> None:
    with open_temp(temp, "probe") as file:
        file.write(_CONTENT)
    if not disk.link(temp, linked, "probe"):
        raise StageError(f"{linked} appeared by itself")
    # The commit of a task relies on the second of two links being refused.
    with contextlib.suppress(FileExistsError):
        os.link(temp, linked)
        raise StageError("a hard link replaces a file that is there; choose a DATA_ROOT_DIR on another file system")
    disk.replace(linked, renamed, "probe")
    disk.sync_folder(renamed.parent)
    if renamed.read_bytes() != _CONTENT:
        raise StageError(f"{renamed} does not hold what was written; choose a DATA_ROOT_DIR on another file system")


def _missing_folders(folder: Path) -> list[Path]:
    """``folder`` and those above it that do not exist yet, the deepest first."""
    missing = []
    while not disk.is_there(folder) and folder != folder.parent:
        missing.append(folder)
        folder = folder.parent
    return missing
