"""One finished item of an open task: its tar members, then what the shard's index and record need to know.

Layout: tar members | JSON trailer | 8-byte length of the trailer | magic. The tar part is copied into the shard as it
is, so an adopted item gives the same bytes as a fresh one.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import json
import struct
import sys
from collections.abc import AsyncIterable, AsyncIterator, Iterable
from contextlib import AbstractContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from mmassist.core.errors import StageError
from mmassist.core.fingerprint import canonical_json
from mmassist.core.stage import Member, Outputs
from mmassist.io import faults, tar
from mmassist.io.atomic import commit

MAGIC = b"mmpart01"
GONE = {errno.ENOENT, errno.ENOTDIR, errno.ESTALE}  # the last: removed by another machine while open here
REMADE = "its item is then made again"
T = TypeVar("T")
_LENGTH = struct.Struct(">Q")
_WORTH_A_THREAD = 1 << 18  # bytes: less is written sooner than a thread is woken


class DamagedBytes(StageError):
    """Bytes on disk are not the ones that were written."""


@dataclass(frozen=True)
class Fragment:
    """``members`` are ``(name, offset, size)`` of contents, offsets from the fragment's first byte."""

    path: Path
    item: str
    inputs: str
    digest: str  # of the tar bytes
    size: int  # of the tar bytes
    members: list[tuple[str, int, int]]
    stats: dict[str, float]


async def write_fragment(path: Path, item: str, inputs: str, outputs: Outputs) -> Fragment:
    """Write an item's members as they come and commit the file; other items go on while the disk is waited for.

    Raises whatever making a member raises, DiskError when it cannot be written, TempRemoved when a twin has committed
    the task meanwhile; then nothing stays behind.
    """
    sha, offset, previous = hashlib.sha256(), 0, ""
    members: list[tuple[str, int, int]] = []
    async with _leave_in_thread(commit(path, "fragment")) as file:
        async for name, content in _iterate(outputs):
            assert name > previous, f"member {name!r} of {item} comes after {previous!r}"
            previous = name
            full = f"{item}/{name}"
            parts = tar.header(full, len(content)), content, b"\0" * tar.padding(len(content))
            if len(content) < _WORTH_A_THREAD:
                _write(file, sha, parts)
            else:
                await asyncio.to_thread(_write, file, sha, parts)
            members.append((full, offset + tar.BLOCK, len(content)))
            offset += sum(map(len, parts))
            faults.reached("fragment:member")
        fragment = Fragment(path, item, inputs, sha.hexdigest()[:32], offset, members, dict(outputs.stats))
        _write_trailer(file, fragment)
    return fragment


def _write(file: BinaryIO, sha: Any, parts: Iterable[bytes]) -> None:
    chunk = b"".join(parts)
    file.write(chunk)
    sha.update(chunk)


@asynccontextmanager
async def _leave_in_thread(manager: AbstractContextManager[T]) -> AsyncIterator[T]:
    """``manager``, left in a thread where all went well: that is when a disk takes its time."""
    value = manager.__enter__()
    try:
        yield value
    except BaseException:
        if not manager.__exit__(*sys.exc_info()):
            raise
    else:
        await asyncio.to_thread(manager.__exit__, None, None, None)


def copy_fragment(path: Path, fragment: Fragment, source: BinaryIO, start: int) -> None:
    """Make a fragment again from an item's bytes in a shard, beginning at ``start``. Raises DamagedBytes."""
    with commit(path, "fragment") as file:
        source.seek(start)
        copy_checked(source, file, fragment)
        _write_trailer(file, fragment)


def _write_trailer(file: BinaryIO, fragment: Fragment) -> None:
    trailer = canonical_json(
        {
            "item": fragment.item,
            "inputs": fragment.inputs,
            "digest": fragment.digest,
            "size": fragment.size,
            "members": [list(m) for m in fragment.members],
            "stats": fragment.stats,
        }
    ).encode()
    file.write(trailer + _LENGTH.pack(len(trailer)) + MAGIC)


async def _iterate(outputs: Outputs) -> AsyncIterator[Member]:
    if isinstance(outputs.members, AsyncIterable):
        async for member in outputs.members:
            yield member
    else:
        for member in outputs.members:
            yield member


def read_fragment(path: Path) -> Fragment | None:
    """What ``path`` holds, or None when there is no whole fragment (never the case after a plain kill).

    Raises StageError when the disk cannot tell.
    """
    try:
        with path.open("rb") as file:
            return load_fragment(path, file)
    except OSError as error:
        if error.errno in GONE:
            return None
        raise StageError(f"cannot read {path} ({error.strerror}); if it stays so, remove it: {REMADE}") from error


def load_fragment(path: Path, file: BinaryIO) -> Fragment | None:
    """The fragment in an open file, or None when it is not whole. OSError passes through."""
    tail = _LENGTH.size + len(MAGIC)
    end = file.seek(0, 2)
    if end < tail:
        return None
    file.seek(end - tail)
    length, magic = _LENGTH.unpack(file.read(_LENGTH.size))[0], file.read(len(MAGIC))
    if magic != MAGIC or length > end - tail:
        return None
    file.seek(end - tail - length)
    return _parse(path, file.read(length), end - tail - length)


def _parse(path: Path, trailer: bytes, size: int) -> Fragment | None:
    try:
        values: dict[str, Any] = json.loads(trailer)
        members = [(name, offset, size) for name, offset, size in values.pop("members")]
        found = Fragment(path=path, members=members, **values)
    except (ValueError, KeyError, TypeError, AttributeError):  # the disk gave other bytes back
        return None
    return found if found.size == size else None


def copy_checked(source: BinaryIO, target: BinaryIO, fragment: Fragment, sha: Any = None) -> None:
    """Copy a fragment's tar bytes from where ``source`` stands; ``sha`` is a running hash to feed as well.

    Raises DamagedBytes when they are not the bytes that were written.
    """
    own, left = hashlib.sha256(), fragment.size
    while left:
        chunk = source.read(min(left, 1 << 20))
        if not chunk:
            raise DamagedBytes(f"{fragment.item} ends {left} bytes early")
        target.write(chunk)
        own.update(chunk)
        if sha is not None:
            sha.update(chunk)
        left -= len(chunk)
    if own.hexdigest()[:32] != fragment.digest:
        raise DamagedBytes(f"the bytes of {fragment.item} have changed since they were written")
