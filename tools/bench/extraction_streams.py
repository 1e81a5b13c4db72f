"""Streams to measure extraction on: what cameras and data sets deliver, made from one clip or from a test picture."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

# Real footage is upscaled, sharpened and gets a sensor's noise, so that its bits are spent as a camera's are.
_FOOTAGE = "scale={width}:{height}:flags=lanczos,unsharp,noise=alls=6:allf=t,fps={fps},format=yuv420p"
_SYNTHETIC = "rotate=t/20,noise=alls=10:allf=t,format=yuv420p"


@dataclass(frozen=True)
class Stream:
    """One kind of stream; ``goal`` is the most that extraction may cost, as a share of decoding everything."""

    name: str
    goal: float | None
    codec: Sequence[str]
    height: int = 540
    fps: int = 30
    is_whole: bool = False  # measured with every picture decoded

    @property
    def width(self) -> int:
        return self.height * 16 // 9


def _x264(gop: int, *more: str, rate: str = "2400k") -> tuple[str, ...]:
    return ("-c:v", "libx264", "-preset", "medium", "-b:v", rate, "-g", str(gop), *more)


FOOTAGE = (
    Stream("540p30 GOP 12", 0.45, _x264(12)),
    Stream("540p30 GOP 30", 0.60, _x264(30)),
    Stream("540p30 GOP 250", 0.75, _x264(250)),
    Stream("540p30 GOP 30, no B frames", None, _x264(30, "-bf", "0")),
    Stream("1080p50 GOP 12", 0.45, _x264(12, rate="20M"), height=1080, fps=50),
    Stream("1080p50 GOP 30", 0.60, _x264(30, rate="20M"), height=1080, fps=50),
    Stream("1080p50 GOP 250", 0.75, _x264(250, rate="20M"), height=1080, fps=50),
    Stream(
        "540p30 HEVC", 0.65, ("-c:v", "libx265", "-preset", "fast", "-b:v", "1500k", "-x265-params", "log-level=none")
    ),
    Stream("540p30 GOP 250, all decoded", 1.20, _x264(250), is_whole=True),
    Stream("1080p50 GOP 250, all decoded", 1.20, _x264(250, rate="20M"), height=1080, fps=50, is_whole=True),
)
SYNTHETIC = (
    Stream("synthetic 540p30 GOP 12", 0.65, _x264(12)),
    Stream("synthetic 540p30 GOP 30", 0.85, _x264(30)),
    Stream("synthetic 540p30 GOP 250", 0.97, _x264(250)),
    Stream("synthetic 540p30 GOP 250, all decoded", 1.20, _x264(250), is_whole=True),
)


def make_stream(stream: Stream, clip: Path | None, length_s: float, target_s: float, folder: Path) -> Path:
    """Encode ``length_s`` seconds once and join them to ``target_s``; what ``folder`` has already is taken."""
    name = "_".join(stream.name.split(",")[0].split()) + ("_noB" if "no B" in stream.name else "")
    short, long = folder / f"{name}.mp4", folder / f"{name}_joined.mkv"
    if not short.exists():
        sizes = {"width": stream.width, "height": stream.height, "fps": stream.fps}
        if clip is not None:
            source = ["-stream_loop", "-1", "-i", str(clip), "-vf", _FOOTAGE.format(**sizes)]
        else:
            test = "testsrc2=size={width}x{height}:rate={fps}".format(**sizes)
            source = ["-f", "lavfi", "-i", test, "-vf", _SYNTHETIC]
        _ffmpeg([*source, "-t", str(length_s), "-an", *stream.codec], short)
    if not long.exists():
        times = max(1, round(target_s / length_s))
        _ffmpeg(["-stream_loop", str(times - 1), "-i", str(short), "-map", "0:v:0", "-c", "copy"], long)
    return long


def cut_second(video: Path) -> Path:
    """The first second of a stream, beside it."""
    short = video.with_name(f"{video.stem}_second.mkv")
    if not short.exists():
        _ffmpeg(["-i", str(video), "-t", "1", "-map", "0:v:0", "-c", "copy"], short)
    return short


def _ffmpeg(words: Sequence[str], target: Path) -> None:
    half_done = target.with_name(f"half_{target.name}")
    subprocess.run(["ffmpeg", "-v", "error", "-nostdin", "-y", *words, str(half_done)], check=True)
    half_done.rename(target)
