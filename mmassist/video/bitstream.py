"""What a compressed picture is for, read from the bytes of its packet: where decoding can begin, and what others need.

Containers do not say it: of H.264 no packet is marked as one that can be left out, and some key flags stand where
pictures only become right after a while (periodic intra refresh). Sources: ITU-T H.264 (7.3.1, 7.4.1, D.2.8) and H.265
(7.3.1, 7.4.2.2).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import av
    from av.video.stream import VideoStream


class Role(NamedTuple):
    """What the pictures of one packet mean to others.

    ``is_entry``: every picture shown after this one can be decoded from here on, exactly. ``is_reference``: others may
    be built on it; at temporal layer ``layer``, whose non-references can still serve higher layers.
    """

    is_entry: bool
    is_reference: bool
    layer: int = 0


ReadRole = Callable[["av.Packet"], Role]

# Their key pictures forget all that came before; which of the others are references is not looked at.
_KEY_FORGETS = {"vp8", "vp9", "mjpeg", "prores", "dnxhd"}


def role_reader(stream: VideoStream) -> ReadRole | None:
    """How to tell the role of this stream's packets; None for codecs whose structure is not known here.

    The reader raises ValueError for a packet that is not put together as the stream says.
    """
    context = stream.codec_context
    codec = context.codec.canonical_name
    if codec in _KEY_FORGETS:
        return lambda packet: Role(packet.is_keyframe, True)
    extradata = bytes(context.extradata or b"")
    if codec == "h264":
        size = (extradata[4] & 3) + 1 if len(extradata) > 6 and extradata[0] == 1 else 0
        return lambda packet: _h264_role(_iter_units(bytes(packet), size))
    if codec == "hevc":
        size = (extradata[21] & 3) + 1 if len(extradata) > 22 and extradata[:2] != b"\0\0" else 0
        return lambda packet: _hevc_role(_iter_units(bytes(packet), size))
    return None


def _iter_units(data: bytes, length_size: int) -> Iterator[bytes]:
    """The NAL units of a packet, each up to its first 64 bytes; ``length_size`` 0 stands for start codes."""
    at = 0
    if length_size:
        while at < len(data):
            begin = at + length_size
            at = begin + int.from_bytes(data[at:begin], "big")
            if at > len(data) or at == begin:
                raise ValueError("the lengths of a packet's units do not add up")
            yield data[begin : min(at, begin + 64)]
        return
    at = data.find(b"\0\0\1")
    if at < 0:
        raise ValueError("a packet without a start code")
    while at >= 0:
        begin = at + 3
        at = data.find(b"\0\0\1", begin)
        if unit := data[begin : min(at if at >= 0 else len(data), begin + 64)]:
            yield unit


def _h264_role(units: Iterator[bytes]) -> Role:
    is_entry = is_reference = has_slice = False
    for unit in units:
        kind = unit[0] & 31
        if 1 <= kind <= 5:
            has_slice = True
            is_reference |= bool(unit[0] & 0x60)
            is_entry |= kind == 5
        elif kind == 6:
            is_entry |= _is_exact_recovery_point(unit[1:])
        elif kind in (14, 20, 21):  # a second layer or view: not looked into
            is_reference = True
    if not has_slice:
        raise ValueError("a packet without a picture")
    return Role(is_entry, is_reference)


def _is_exact_recovery_point(payload: bytes) -> bool:
    """Whether a supplemental message says that pictures are exact from here on, without any to wait for first."""
    data, at = payload.replace(b"\0\0\3", b"\0\0"), 0
    while at + 2 < len(data):
        numbers = []
        for _ in range(2):  # type and size, each as a run of 255 and a rest
            number = 0
            while at < len(data) and data[at] == 255:
                number, at = number + 255, at + 1
            if at >= len(data):
                return False
            numbers.append(number + data[at])
            at += 1
        kind, size = numbers
        if kind == 6:
            # recovery_frame_cnt in Exp-Golomb code, 0 is one set bit; then exact_match_flag
            return at < len(data) and data[at] & 0xC0 == 0xC0
        at += size
    return False


def _hevc_role(units: Iterator[bytes]) -> Role:
    is_entry = is_reference = has_slice = False
    layer = 0
    for unit in units:
        if len(unit) < 2:
            raise ValueError("a unit without a header")
        kind = unit[0] >> 1 & 63
        if kind < 32:
            has_slice = True
            is_entry |= 16 <= kind <= 21
            is_reference |= kind > 9 or bool(kind & 1)
            layer = (unit[1] & 7) - 1
    if not has_slice:
        raise ValueError("a packet without a picture")
    return Role(is_entry, is_reference, layer)
