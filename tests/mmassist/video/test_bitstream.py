"""The role of a packet, from bytes put together by hand after the two standards."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from mmassist.video.bitstream import Role, role_reader


@dataclass
class Codec:
    canonical_name: str


@dataclass
class Context:
    codec: Codec
    extradata: bytes | None


@dataclass
class Stream:
    codec_context: Context


class Packet(bytes):
    is_keyframe = False


def role(codec: str, extradata: bytes | None, data: bytes) -> Role:
    read = role_reader(Stream(Context(Codec(codec), extradata)))
    assert read
    return read(Packet(data))


AVCC = b"\x01\x64\x00\x1e\xff\xe1\x00\x19"  # four bytes of length
HVCC = b"\x01" + bytes(20) + b"\x03" + bytes(4)


def lengths(*units: bytes) -> bytes:
    return b"".join(len(unit).to_bytes(4, "big") + unit for unit in units)


def start_codes(*units: bytes) -> bytes:
    return b"".join(b"\0\0\0\1" + unit for unit in units)


IDR, REFERENCE, DISPOSABLE = b"\x65\x88\x80", b"\x41\x9a\x00", b"\x01\x9e\x00"
RECOVERY_NOW = b"\x06\x06\x01\xc4\x80"  # recovery_frame_cnt 0, exact_match_flag 1
RECOVERY_LATER = b"\x06\x06\x02\x0f\x40\x80"  # after 29 pictures
RECOVERY_ROUGH = b"\x06\x06\x01\xa4\x80"  # exact_match_flag 0
OTHER_MESSAGE = b"\x06\x05\x04abcd\x80"


@pytest.mark.parametrize("pack", [lengths, start_codes])
@pytest.mark.parametrize(
    ("units", "expected"),
    [
        ([b"\x67\x64", b"\x68\xee", IDR], Role(True, True)),
        ([REFERENCE], Role(False, True)),
        ([DISPOSABLE, DISPOSABLE], Role(False, False)),
        ([DISPOSABLE, REFERENCE], Role(False, True)),  # two fields, of which one is needed
        ([RECOVERY_NOW, REFERENCE], Role(True, True)),
        ([OTHER_MESSAGE, REFERENCE], Role(False, True)),
        ([b"\x06\x05\x04abcd" + RECOVERY_NOW[1:], REFERENCE], Role(True, True)),
        ([RECOVERY_LATER, REFERENCE], Role(False, True)),
        ([RECOVERY_ROUGH, REFERENCE], Role(False, True)),
        ([DISPOSABLE, b"\x74\x00"], Role(False, True)),  # a second view
    ],
)
def test_h264(pack, units, expected):
    assert role("h264", AVCC if pack is lengths else None, pack(*units)) == expected


@pytest.mark.parametrize("pack", [lengths, start_codes])
@pytest.mark.parametrize(
    ("kind", "layer", "expected"),
    [
        (19, 0, Role(True, True, 0)),  # IDR
        (21, 0, Role(True, True, 0)),  # CRA
        (1, 0, Role(False, True, 0)),  # TRAIL_R
        (0, 0, Role(False, False, 0)),  # TRAIL_N
        (8, 2, Role(False, False, 2)),  # RASL_N of the third temporal layer
        (9, 0, Role(False, True, 0)),  # RASL_R
        (12, 0, Role(False, True, 0)),  # reserved: who knows
    ],
)
def test_hevc(pack, kind, layer, expected):
    unit = bytes([kind << 1, layer + 1, 0x80])
    parameter_set = bytes([33 << 1, 1, 7])
    assert role("hevc", HVCC if pack is lengths else b"\0\0\0\1\x40", pack(parameter_set, unit)) == expected


@pytest.mark.parametrize("codec", ["h264", "hevc"])
@pytest.mark.parametrize("data", [b"\0\0\0\x09\x65", b"\0\0\0\0", lengths(b"\x67\x64"), b"\0\0\0\1"])
def test_a_packet_that_does_not_add_up_is_an_error(codec, data):
    with pytest.raises(ValueError, match=r"packet|unit"):
        role(codec, AVCC if codec == "h264" else HVCC, data)


def test_unknown_codecs_have_no_reader():
    assert role_reader(Stream(Context(Codec("mpeg2video"), None))) is None
    assert role_reader(Stream(Context(Codec("av1"), None))) is None
