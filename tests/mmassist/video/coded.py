"""Small videos whose pictures carry their own number, and an oracle that does not share code with the extractor.

The centred square of a coded picture is a grid of 4 x 4 blocks, dark for 0 and light for 1, row by row: twelve bits of
the number, lowest first, then four bits of checksum. It survives crop, scaling and JPEG, and a picture that is turned,
mixed from two or cut wrongly fails the checksum.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import simplejpeg

WIDTH, HEIGHT = 96, 64
_DARK, _LIGHT, _BESIDE = 40, 215, 128
UNREADABLE = -1


def _bits(number: int) -> list[int]:
    check = (sum(number >> shift & 15 for shift in (0, 4, 8)) + 5) % 16
    return [(number | check << 12) >> i & 1 for i in range(16)]


def coded_picture(number: int) -> np.ndarray:
    """A grey picture ``[HEIGHT, WIDTH]`` carrying ``number`` (0 to 4095)."""
    picture = np.full((HEIGHT, WIDTH), _BESIDE, np.uint8)
    grid = np.array([_LIGHT if bit else _DARK for bit in _bits(number)], np.uint8).reshape(4, 4)
    left, block = (WIDTH - HEIGHT) // 2, HEIGHT // 4
    picture[:, left : left + HEIGHT] = np.kron(grid, np.ones((block, block), np.uint8))
    return picture


def read_number(square: np.ndarray) -> int:
    """The number in a square grey picture, UNREADABLE if the blocks are unclear or the checksum is wrong."""
    block = square.shape[0] // 4
    edge = block // 4
    bits = []
    for i in range(16):
        y, x = i // 4 * block, i % 4 * block
        mean = square[y + edge : y + block - edge, x + edge : x + block - edge].mean()
        if abs(mean - (_DARK + _LIGHT) / 2) < 40:
            return UNREADABLE
        bits.append(int(mean > (_DARK + _LIGHT) / 2))
    number = sum(bit << i for i, bit in enumerate(bits[:12]))
    return number if _bits(number) == bits else UNREADABLE


def read_jpeg_number(jpeg: bytes) -> int:
    return read_number(simplejpeg.decode_jpeg(jpeg, colorspace="GRAY")[:, :, 0])


def write_coded(
    path: Path,
    times: Sequence[Fraction],
    time_base: Fraction,
    *,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    first_number: int = 0,
    container_options: dict[str, str] | None = None,
    codec_options: dict[str, str] | None = None,
) -> None:
    """Write a video whose picture i has number ``first_number + i`` and is presented at ``times[i]`` seconds."""
    with av.open(str(path), "w", options=container_options or {}) as out:
        rate = Fraction(len(times) - 1) / (times[-1] - times[0]) if len(times) > 1 else Fraction(30)
        stream = out.add_stream(codec, rate=rate.limit_denominator(1001), options=codec_options or {})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, pix_fmt
        stream.codec_context.time_base = time_base
        stream.codec_context.gop_size = 48
        if codec == "libx264":
            stream.codec_context.options = {"preset": "veryfast", "bf": "3", **(codec_options or {})}
        for i, time in enumerate(times):
            frame = av.VideoFrame.from_ndarray(coded_picture(first_number + i), format="gray")
            frame = frame.reformat(format=pix_fmt)
            frame.pts, frame.time_base = int(time / time_base), time_base
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))


def constant_times(rate: Fraction, seconds: float) -> tuple[list[Fraction], Fraction]:
    """Presentation times at a constant rate, and a time base in which they are exact."""
    num = int(seconds * rate)
    return [i / rate for i in range(num)], 1 / Fraction(rate.numerator)


def expected_numbers(times: Sequence[Fraction], fps: Fraction = Fraction(2), first_number: int = 0) -> list[int]:
    """The number on a player's screen at 0, 1/fps, 2/fps, ... up to the last picture; ``times`` on its clock."""
    samples = max(1, int(times[-1] * fps) + 1)
    numbers = []
    for j in range(samples):
        earlier = [i for i, time in enumerate(times) if time * fps <= j]
        numbers.append(first_number + (earlier[-1] if earlier else 0))
    return numbers


def probed_times(path: Path, stream: str = "v:0") -> list[Fraction]:
    """When ffprobe says that the pictures of a file are shown, on a player's clock (from the start of the file)."""
    command = ["ffprobe", "-v", "error", "-of", "json", "-show_format", "-show_streams", f"file:{path}"]
    header = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    command = ["ffprobe", "-v", "error", "-of", "json", "-select_streams", stream]
    command += ["-show_entries", "frame=best_effort_timestamp:stream=time_base", f"file:{path}"]
    shown = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    time_base = Fraction(shown["streams"][0]["time_base"])
    start = Fraction(header["format"].get("start_time", "0"))
    # the format's start is rounded to a microsecond; the stream that sets it has it exactly
    exact = [Fraction(s["start_pts"]) * Fraction(s["time_base"]) for s in header["streams"] if "start_pts" in s]
    zero = min(exact, key=lambda time: abs(time - start), default=start)
    if abs(zero - start) > Fraction(1, 10**6):
        zero = start
    times: list[Fraction] = []
    for frame in shown["frames"]:
        stamp = frame.get("best_effort_timestamp")  # absent for the last picture of a program stream
        times.append(int(stamp) * time_base - zero if stamp is not None else 2 * times[-1] - times[-2])
    return sorted(times)


def decoded_grey(path: Path, stream: str = "0:v:0", size: int = 64) -> np.ndarray:
    """Every picture of a file as the ffmpeg program shows it: square, grey, ``[n, size, size]``."""
    graph = f"scale=iw*sar:ih,setsar=1,crop='min(iw,ih)':'min(iw,ih)',scale={size}:{size},format=gray"
    command = ["ffmpeg", "-v", "error", "-i", f"file:{path}", "-map", stream, "-vf", graph, "-vsync", "passthrough"]
    raw = subprocess.run([*command, "-f", "rawvideo", "-"], check=True, capture_output=True).stdout
    return np.frombuffer(raw, np.uint8).reshape(-1, size, size)
