"""Plain ustar members with fixed owner, mode and time, so equal input gives equal bytes.

The standard library's writer is correct but hides the offsets that the index needs; a header is 512 bytes.
"""

from __future__ import annotations

from mmassist.core.errors import StageError

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


def _split_name(name: str) -> tuple[bytes, bytes]:
    raw = name.encode()
    if len(raw) <= 100:
        return b"", raw
    for at in range(len(raw) - 1, 0, -1):
        if raw[at : at + 1] == b"/" and at <= 155 and len(raw) - at - 1 <= 100:
            return raw[:at], raw[at + 1 :]
    raise StageError(f"tar member name of {len(raw)} bytes does not fit into ustar: {name!r}")
