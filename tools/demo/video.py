"""The sample's videos: numbered pictures, coded so that every one has its exact time."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from mmassist.io.atomic import commit
from tools.demo.frame_code import HEIGHT, WIDTH, draw_picture
from tools.demo.program_stream import ProgramStreamWriter

if TYPE_CHECKING:
    import av

HOLOASSIST_FPS = Fraction(30000, 1001)
WTAG_FPS = Fraction(2446, 100)  # no MPEG-1 or MPEG-2 picture rate comes near: H.264 in a program stream carries it
COLOURS = ((110, 150), (150, 110), (100, 120), (140, 140), (120, 100), (105, 160), (160, 120), (128, 128))


def num_frames(duration_s: float, fps: Fraction) -> int:
    """Number of pictures of a video of about ``duration_s`` seconds."""
    return round(duration_s * fps)


def write_mp4(path: Path, duration_s: float, fps: Fraction, scenes_s: Sequence[float]) -> None:
    """Write an MP4 file. ``scenes_s`` are times at which the background changes."""
    import av

    with commit(path) as file, av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=fps, options=_options())
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.codec_context.time_base = 1 / fps
        stream.codec_context.thread_count = 1  # the same bytes whatever the machine
        for frame in _iter_frames(duration_s, fps, scenes_s):
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def write_mpeg(path: Path, duration_s: float, fps: Fraction, scenes_s: Sequence[float]) -> None:
    """Write an MPEG program stream; otherwise as ``write_mp4``."""
    import av

    coder = av.codec.CodecContext.create("libx264", "w")
    assert isinstance(coder, av.VideoCodecContext)
    coder.width, coder.height, coder.pix_fmt = WIDTH, HEIGHT, "yuv420p"
    coder.time_base, coder.framerate, coder.thread_count = 1 / fps, fps, 1
    coder.options = {**_options(), "x264-params": "aud=1"}  # delimiters let readers cut between pictures
    with commit(path) as file:
        writer = ProgramStreamWriter(file)
        for frame in itertools.chain(_iter_frames(duration_s, fps, scenes_s), (None,)):
            for packet in coder.encode(frame):
                assert packet.pts is not None and packet.time_base is not None
                writer.write(packet.pts * Fraction(packet.time_base), bytes(packet))
        writer.finish()


def _options() -> dict[str, str]:
    return {"preset": "ultrafast", "tune": "zerolatency", "crf": "26", "g": "60", "bf": "0"}


def _iter_frames(duration_s: float, fps: Fraction, scenes_s: Sequence[float]) -> Iterator[av.VideoFrame]:
    import av

    total = num_frames(duration_s, fps)
    for number in range(total):
        scene = sum(start <= number / fps for start in scenes_s)
        planes = draw_picture(number, (number + 1) / total, 60 + 10 * (scene % 7), COLOURS[scene % len(COLOURS)])
        frame = av.VideoFrame.from_ndarray(planes, format="yuv420p")
        frame.pts, frame.time_base = number, 1 / fps
        yield frame
