"""Plain ustar members with fixed owner, mode and time, so equal input gives equal bytes.

The standard library's writer is correct but hides the offsets that the index needs; a header is 512 bytes.
"""

from __future__ import annotations

import os
from typing import BinaryIO

from mmassist.core.errors import ConfigError, StageError

BLOCK = 512
END = b"\0" * (2 * BLOCK)  # end of archive
MAX_MEMBER_BYTES = 8 * 1024**3 - 1  # eleven octal digits


def padding(size: int) -> int:
    """Bytes from the end of a member's content to the next block."""
    return -size % BLOCK


def header(name: str, size: int) -> bytes:
    """The 512-byte ustar header of a regular file.

    Raises StageError for a name that ustar cannot hold (100 bytes after the last usable slash, 155 before it) or a
    member of 8 GiB or more.
    """
    if size > MAX_MEMBER_BYTES:
        raise StageError(f"tar member {name!r} has {size} bytes; ustar holds {MAX_MEMBER_BYTES}")
    prefix, base = _split_name(name)
    fields = [
        base.ljust(100, b"\0"),
        b"0000644\0",
        b"0000000\0",
        b"0000000\0",
        b"%011o\0" % size,
        b"00000000000\0",
        b" " * 8,  # the checksum counts as blanks while it is computed
        b"0",
        b"\0" * 100,
        b"ustar\x0000",
        b"\0" * 32,
        b"\0" * 32,
        b"\0" * 16,
        prefix.ljust(155, b"\0"),
        b"\0" * 12,
    ]
    block = bytearray(b"".join(fields))
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def list_members(file: BinaryIO, name: str) -> list[tuple[str, int, int]]:
    """Name, offset and size of every member, from the headers alone; ``name`` is the archive's in errors.

    Raises ConfigError for an archive that is cut short, or that holds anything but plain ustar files.
    """
    found: list[tuple[str, int, int]] = []
    end, at = file.seek(0, os.SEEK_END), 0
    while True:
        file.seek(at)
        block = file.read(BLOCK)
        if block == END[:BLOCK]:
            return found
        if len(block) < BLOCK:
            raise ConfigError(f"{name} is cut short: it ends without the archive's end")
        if block[257:262] != b"ustar" or block[156:157] not in (b"0", b"\0"):
            raise ConfigError(f"{name} holds something else than plain ustar files at byte {at}; give it its index")
        parts = [block[start:stop].partition(b"\0")[0] for start, stop in ((345, 500), (0, 100))]
        size = int(block[124:136].strip(b" \0"), 8)
        if at + BLOCK + size > end:
            raise ConfigError(f"{name} is cut short inside {parts[1].decode()!r}")
        found.append((b"/".join(part for part in parts if part).decode(), at + BLOCK, size))
        at += BLOCK + size + padding(size)


def _split_name(name: str) -> tuple[bytes, bytes]:
    raw = name.encode()
    if len(raw) <= 100:
        return b"", raw
    for at in range(len(raw) - 1, 0, -1):
        if raw[at : at + 1] == b"/" and at <= 155 and len(raw) - at - 1 <= 100:
            return raw[:at], raw[at + 1 :]
    raise StageError(f"tar member name of {len(raw)} bytes does not fit into ustar: {name!r}")
