"""Write an MPEG program stream in which every picture carries its presentation time.

FFmpeg's own writer packs several small pictures into one packet and stamps the first alone; the readers then guess the
others from the nearest rate they know, and none knows 24.46. Structure after ITU-T H.222.0, clause 2.5.
"""

from __future__ import annotations

import binascii
import struct
from fractions import Fraction
from typing import BinaryIO

CLOCK_HZ = 90_000
START_TICKS = 45_000  # program streams begin above 0, usually half a second
MUX_RATE = 10_000  # in units of 50 bytes per second; only a player's buffer looks at it
VIDEO_ID = 0xE0
H264 = 0x1B
MAX_PAYLOAD = 60_000  # a packet's length has 16 bits


class ProgramStreamWriter:
    """Writes coded H.264 pictures, given in presentation order (no B pictures)."""

    def __init__(self, file: BinaryIO):
        self._file = file
        self._file.write(_pack_header(0) + _system_header() + _stream_map())

    def write(self, time_s: Fraction, picture: bytes) -> None:
        """Append one coded picture that is shown at ``time_s`` seconds, rounded to the format's 1/90000 s."""
        ticks = START_TICKS + round(time_s * CLOCK_HZ)
        self._file.write(_pack_header(max(0, ticks - START_TICKS)))
        for start in range(0, len(picture), MAX_PAYLOAD):
            stamp = _stamp(ticks) if start == 0 else b""
            self._file.write(_packet(picture[start : start + MAX_PAYLOAD], stamp))

    def finish(self) -> None:
        """Write the end code."""
        self._file.write(b"\0\0\1\xb9")


def _packet(payload: bytes, stamp: bytes) -> bytes:
    flags = 0x80 if stamp else 0
    length = 3 + len(stamp) + len(payload)
    return struct.pack(">3sBHBBB", b"\0\0\1", VIDEO_ID, length, 0x80, flags, len(stamp)) + stamp + payload


def _stamp(ticks: int) -> bytes:
    """33 bits in groups of 3, 15 and 15, each closed by a marker bit; the leading 0010 says that no DTS follows."""
    high, middle, low = ticks >> 30 & 7, ticks >> 15 & 0x7FFF, ticks & 0x7FFF
    return struct.pack(">BHH", 0x21 | high << 1, middle << 1 | 1, low << 1 | 1)


def _pack_header(ticks: int) -> bytes:
    """Clock reference (33 bits, extension 0) and rate, 10 bytes after the start code."""
    high, middle, low = ticks >> 30 & 7, ticks >> 15 & 0x7FFF, ticks & 0x7FFF
    clock = 1 << 46 | high << 43 | 1 << 42 | middle << 27 | 1 << 26 | low << 11 | 1 << 10 | 1
    return b"\0\0\1\xba" + clock.to_bytes(6, "big") + (MUX_RATE << 2 | 3).to_bytes(3, "big") + b"\xf8"


def _system_header() -> bytes:
    rate = (1 << 23 | MUX_RATE << 1 | 1).to_bytes(3, "big")
    body = rate + bytes([0, 0xE1, 0x7F]) + bytes([VIDEO_ID]) + struct.pack(">H", 0xC000 | 1 << 13 | 512)
    return b"\0\0\1\xbb" + struct.pack(">H", len(body)) + body


def _stream_map() -> bytes:
    """Says that the one stream is H.264, which a program stream cannot otherwise express."""
    body = bytes([0xE0, 0xFF]) + struct.pack(">HH", 0, 4) + bytes([H264, VIDEO_ID]) + struct.pack(">H", 0)
    head = b"\0\0\1\xbc" + struct.pack(">H", len(body) + 4) + body
    return head + struct.pack(">I", _crc(head))


def _crc(data: bytes) -> int:
    """CRC-32 of MPEG: polynomial 0x04C11DB7, high bit first, neither reflected nor inverted at the end.

    ``binascii`` offers the reflected form of the same polynomial: mirror the input's bytes and the result's bits.
    """
    mirrored = bytes(int(f"{byte:08b}"[::-1], 2) for byte in data)
    return int(f"{binascii.crc32(mirrored) ^ 0xFFFFFFFF:032b}"[::-1], 2)
