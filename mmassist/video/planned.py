"""Decode only what the wanted pictures need: one pass over the packets, then the needed ones through the decoder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import TYPE_CHECKING

from mmassist.video.bitstream import ReadRole, role_reader
from mmassist.video.demuxer_log import collect_errors
from mmassist.video.packet_plan import Choose, PacketPlan, PacketTable

if TYPE_CHECKING:
    import av
    from av.container import InputContainer
    from av.video.stream import VideoStream

# Containers that keep presentation times with every packet. AVI has decoding times only, program streams few.
_FORMATS_WITH_PTS = ("mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "mpegts", "flv")


class PlanFailed(Exception):
    """What came out of the decoder is not what the packets promised: the rest is to be had by decoding everything."""


def packet_reader(container: InputContainer, stream: VideoStream) -> ReadRole | None:
    """How to read the packets of a file whose structure is known; None for all others: they are decoded whole."""
    return role_reader(stream) if container.format.name in _FORMATS_WITH_PTS else None


def plan_packets(
    container: InputContainer,
    stream: VideoStream,
    read_role: ReadRole,
    choose: Choose,
    time_of: Callable[[int], Fraction],
    note: Callable[[av.Packet], None],
    progress: Callable[[], None],
) -> PacketPlan | None:
    """Read all packets of a fresh container; None where everything is to be decoded, at the first sign of damage too.

    ``note`` is told of every packet of every stream. Whoever decodes then opens the file again.
    """
    import av

    table = PacketTable()
    try:
        with collect_errors(container.format.name) as logged:
            for packet in container.demux():
                progress()
                if packet.size:
                    note(packet)
                    if packet.stream_index == stream.index:
                        table.add(packet, read_role(packet))
    except (av.error.FFmpegError, ValueError):
        return None
    return None if logged else table.plan(choose, time_of)


def decode_planned(
    container: InputContainer, stream: VideoStream, plan: PacketPlan, progress: Callable[[], None]
) -> Iterator[av.VideoFrame]:
    """The wanted pictures of a fresh container, as they come.

    Raises PlanFailed when one does not come, comes out of order or comes damaged. Those before it are right: decoding
    began at places from which it is exact, and nothing that they are built on was left out.
    """
    import av

    context = stream.codec_context
    missing = iter([*plan.wanted, None])
    expected = next(missing)

    def decode(packet: av.Packet | None) -> Iterator[av.VideoFrame]:
        nonlocal expected
        try:
            frames = context.decode(packet)
        except av.error.FFmpegError as error:
            if isinstance(error, MemoryError):
                raise
            raise PlanFailed(str(error)) from error
        for frame in frames:
            progress()
            if frame.pts is None or frame.is_corrupt or (expected is not None and frame.pts > expected):
                raise PlanFailed(f"picture {expected} did not come out whole")
            if frame.pts == expected:
                expected = next(missing)
                yield frame

    number = -1
    for number, packet in enumerate(_iter_packets(container, stream)):
        if number >= len(plan.needed):
            raise PlanFailed("the file has more packets than before")
        if not plan.needed[number]:
            progress()
            continue
        if number in plan.fresh:
            yield from decode(None)
            context.flush_buffers()
        yield from decode(packet)
    yield from decode(None)
    if expected is not None or number + 1 != len(plan.needed):
        raise PlanFailed(f"picture {expected} did not come out")


def _iter_packets(container: InputContainer, stream: VideoStream) -> Iterator[av.Packet]:
    import av

    try:
        for packet in container.demux(stream):
            if packet.size:
                yield packet
    except av.error.FFmpegError as error:
        if isinstance(error, MemoryError):
            raise
        raise PlanFailed(str(error)) from error
