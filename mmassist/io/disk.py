"""The calls that change a disk, each with one clear error: what went wrong, for which file, and what a person can do.

Only our own calls are covered. What a block pulls from a generator while it writes (a video, an earlier shard) may fail
with the same error numbers, and then it is that input's trouble, not the output folder's.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmassist.core.errors import StageError
from mmassist.io import faults

_SERVER = "have its folder mounted again"
_RIGHTS = "mend the permissions of its folder"
_IN_THE_WAY = "move away the file that is where a folder should be"
_REMEDIES = {
    errno.ENOSPC: "make space",
    errno.EDQUOT: "remove files or ask for more quota",
    errno.EROFS: "have its folder mounted for writing",
    errno.EACCES: _RIGHTS,
    errno.EPERM: _RIGHTS,
    errno.EIO: "have the disk or its file server seen to",
    errno.ESTALE: _SERVER,
    errno.ENOTCONN: _SERVER,
    errno.ETIMEDOUT: _SERVER,
    errno.EHOSTDOWN: _SERVER,
    errno.ENODEV: _SERVER,
    errno.ENOENT: "bring its folder back",
    errno.ENOTDIR: _IN_THE_WAY,
    errno.EEXIST: _IN_THE_WAY,
    errno.EISDIR: "move away the folder of that name",
    errno.EFBIG: "raise the limit of a file's size (ulimit -f) or lower the stage's task_weight",
    errno.ENAMETOOLONG: "choose a shorter DATA_ROOT_DIR",
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
    errno.ENFILE: "close other programs' files on this machine",
}
_LINKS = "allow hard links there, or choose a DATA_ROOT_DIR on a file system that has them"
_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}
_CERTAIN = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.ENAMETOOLONG, errno.ENOENT, *_NO_LINKS}
_NO_FOLDER_SYNC = {errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EBADF}


class DiskError(StageError):
    """A file of ours could not be written. ``number`` is the system's error number, ``path`` the final name."""

    def __init__(self, path: Path, error: OSError, remedy: str = ""):
        self.path, self.number = path, error.errno or 0
        self.is_certain = self.number in _CERTAIN  # else a file server may have done the call all the same
        words = error.strerror or (os.strerror(self.number) if self.number else str(error))
        remedy = remedy or _REMEDIES.get(self.number, "mend the cause")
        super().__init__(f"cannot write {path} ({words}): {remedy}, then run the same command; finished work is kept")


class TempRemoved(StageError):
    """Another process removed a temporary file: it has finished the same work, or a later run has taken over."""

    def __init__(self, path: Path):
        self.path = path
        super().__init__(
            f"the unfinished {path} was removed by another process: the same work is done there, or a later run "
            "has taken over; if neither is so, run the same command again"
        )


@contextlib.contextmanager
def writing(path: Path, point: str = "") -> Iterator[None]:
    """Turn a failed call on our own output into a DiskError that names ``path``, the final name."""
    try:
        if point:
            faults.reached(point)
        yield
    except OSError as error:
        raise DiskError(path, error) from error


class _Output(io.FileIO):
    """A file whose own writes raise DiskError."""

    def __init__(self, path: Path, final: Path, point: str):
        self._final, self._point = final, point
        super().__init__(path, "wb")

    def write(self, data: Any, /) -> int:
        with writing(self._final, f"{self._point}:write"):
            return super().write(data)

    def close(self) -> None:
        if self.closed:
            return
        with writing(self._final):  # a file server may first say here that the disk is full
            super().close()


def create(path: Path, final: Path, point: str) -> io.BufferedWriter:
    """Open ``path``, which will become ``final``, and make its folder. Raises DiskError."""
    with writing(final):
        for is_last in (False, False, True):
            try:
                faults.reached(f"{point}:mkdir")
                path.parent.mkdir(parents=True, exist_ok=True)
                faults.reached(f"{point}:open")
                return io.BufferedWriter(_Output(path, final, point))
            except FileNotFoundError:  # a twin that has committed the task clears its folder just then
                if is_last:
                    raise
    raise AssertionError("not reached")


def sync(file: io.BufferedWriter, final: Path, point: str) -> None:
    """Flush a file to the disk. Raises DiskError."""
    file.flush()
    faults.reached(f"{point}:written")
    with writing(final, f"{point}:fsync"):
        os.fsync(file.fileno())


def replace(temp: Path, final: Path, point: str) -> None:
    """Rename ``temp`` to ``final``. Raises TempRemoved when it is gone, else DiskError."""
    try:
        mine: os.stat_result | None = temp.stat()
    except FileNotFoundError:
        raise TempRemoved(final) from None
    except OSError:
        mine = None
    try:
        faults.reached(f"{point}:rename")
        temp.replace(final)
        faults.reached(f"{point}:replied")
    except OSError as error:
        # A file server that repeats a call whose reply was lost reports the failure of the second.
        if mine is not None and _is(mine, final) and not is_there(temp):
            return
        if isinstance(error, FileNotFoundError) and not is_there(temp):
            raise TempRemoved(final) from error
        raise DiskError(final, error) from error


def link(temp: Path, final: Path, point: str) -> bool:
    """Give ``temp`` the further name ``final``; False when that name is taken by another file.

    Raises TempRemoved when ``temp`` is gone, else DiskError.
    """
    try:
        faults.reached(f"{point}:link")
        os.link(temp, final)
        faults.reached(f"{point}:replied")
    except OSError as error:
        if _is_same(temp, final):  # the reply was lost, and the repeated call found our own link
            return True
        if isinstance(error, FileExistsError):
            return False
        if isinstance(error, FileNotFoundError) and not is_there(temp):
            raise TempRemoved(final) from error
        remedy = _LINKS if error.errno in _NO_LINKS else ""
        raise DiskError(final, error, remedy) from error
    return True


def make_folder(folder: Path, final: Path, point: str) -> None:
    """Make a folder, for the sake of ``final``. Raises DiskError."""
    with writing(final, f"{point}:mkdir"):
        folder.mkdir(parents=True, exist_ok=True)


def sync_folder(folder: Path) -> None:
    """Make renames in ``folder`` survive a power cut, where the file system can.

    Raises TempRemoved when the folder is gone, else DiskError.
    """
    try:
        with writing(folder, "folder:fsync"):
            _sync_handle(os.open(folder, os.O_RDONLY))
    except DiskError:
        if is_there(folder):
            raise
        raise TempRemoved(folder) from None  # a twin that has committed the task has cleared it


def _sync_handle(handle: int) -> None:
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in _NO_FOLDER_SYNC:
            raise
    finally:
        os.close(handle)


def discard(path: Path) -> bool:
    """Remove a file that is of no use; False when it stays. A later run's cleaning tries again."""
    try:
        path.unlink(missing_ok=True)
    except OSError:
        return False
    return True


def is_there(path: Path) -> bool:
    """Whether ``path`` exists, as far as the disk can tell."""
    try:
        path.lstat()
    except OSError:
        return False
    return True


def _is(mine: os.stat_result, path: Path) -> bool:
    try:
        return os.path.samestat(mine, path.stat())
    except OSError:
        return False


def _is_same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False
