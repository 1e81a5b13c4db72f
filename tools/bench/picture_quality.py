"""How near stored frames come to an accurate conversion, beside the research release's way, over kinds of sources.

    python -m tools.bench.picture_quality CLIP [--height 540] [--quality 90]

The yardstick: each picture's colours upsampled and converted by the formulas of its own matrix and range in floating
point, the centred square scaled with antialiased Lanczos, nothing compressed. PSNR over red, green and blue, SSIM
(windows of 8 x 8) over the brightness, means over the samples of the clip. Needs ffmpeg.
"""

from __future__ import annotations

import argparse
import io
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mmassist.core.item import Geometry
from mmassist.core.seconds import FRAMES_PER_SECOND
from mmassist.video.picture import PictureEncoder
from mmassist.video.sampling import TimeSampler
from mmassist.video.source_decoder import Picture, SourceDecoder

if TYPE_CHECKING:
    import av

SIZE = 384
_WEIGHTS = {
    1: (0.2126, 0.0722),
    5: (0.299, 0.114),
    6: (0.299, 0.114),
    9: (0.2627, 0.0593),
}  # of red and blue, by matrix
_GREY = np.array([0.299, 0.587, 0.114])
_X264 = ("-c:v", "libx264", "-preset", "veryfast", "-crf", "12")


@dataclass(frozen=True)
class Kind:
    """A kind of source: filters and options of the encoder that make it of any clip."""

    name: str
    filters: str
    options: tuple[str, ...] = _X264


def _tags(matrix: str, colour_range: str = "tv") -> tuple[str, ...]:
    """Convert to a matrix and range, and say so in the stream."""
    name = {"smpte170m": "bt601"}.get(matrix, matrix)
    filters = f"scale=out_color_matrix={name}:out_range={colour_range}:flags=accurate_rnd+full_chroma_int"
    return filters, "-colorspace", matrix, "-color_range", colour_range


def _kind(name: str, matrix: str, colour_range: str = "tv", pix_fmt: str = "yuv420p", more: str = "") -> Kind:
    filters, *options = _tags(matrix, colour_range)
    return Kind(name, f"{filters},format={pix_fmt}{more}", (*_X264, *options))


KINDS = (
    _kind("BT.601", "smpte170m"),
    _kind("BT.709", "bt709"),
    _kind("BT.709, full range", "bt709", "pc"),
    _kind("BT.709, 10 bits", "bt709", pix_fmt="yuv420p10le"),
    _kind("BT.709, portrait", "bt709", more=",transpose=clock"),
)


def make_source(kind: Kind, clip: Path, height: int, folder: Path, length_s: float = 4.0) -> Path:
    """The first seconds of the clip as this kind of source."""
    path = folder / f"{KINDS.index(kind)}.mp4"
    scaled = f"scale=-2:{height}:flags=lanczos,unsharp,{kind.filters}"
    words = ["ffmpeg", "-v", "error", "-y", "-i", str(clip), "-t", str(length_s), "-an", "-vf", scaled, *kind.options]
    subprocess.run([*words, str(path)], check=True)
    return path


def measure(path: Path, make: Callable[[av.VideoFrame], np.ndarray]) -> tuple[float, float, float]:
    """Mean PSNR in dB, its least value and mean SSIM of ``make(picture)``, RGB ``[384, 384, 3]``, over the samples."""
    found = []
    for frame in iter_sampled(path):
        made, wanted = make(frame).astype(float), accurate(frame)
        found.append((psnr(made, wanted), ssim(made @ _GREY, wanted @ _GREY)))
    psnrs, ssims = np.array(found).T
    return float(psnrs.mean()), float(psnrs.min()), float(ssims.mean())


def iter_sampled(path: Path) -> Iterator[av.VideoFrame]:
    """The decoded pictures of the frames at 2 a second."""
    sampler: TimeSampler[Picture] = TimeSampler(Fraction(FRAMES_PER_SECOND))
    source = SourceDecoder(path, lambda: None)
    for picture in source:
        yield from (sample.picture.frame for sample in sampler.add(picture.time, picture))
    yield from (sample.picture.frame for sample in sampler.finish(source.last_s))


def stored(frame: av.VideoFrame, quality: int = 90) -> np.ndarray:
    """What a reader of the frame store sees."""
    import simplejpeg

    return np.asarray(simplejpeg.decode_jpeg(PictureEncoder(SIZE, quality, Geometry()).encode(frame, None)))


def as_reference(frame: av.VideoFrame) -> np.ndarray:
    """The release's way: full-size RGB by default conversion, Pillow's resize, JPEG of quality 75."""
    from PIL import Image

    data = io.BytesIO()
    picture = Image.fromarray(frame.to_ndarray(format="rgb24"))
    factor = max(SIZE / picture.width, SIZE / picture.height)
    picture = picture.resize((int(picture.width * factor), int(picture.height * factor)))
    left, top = (picture.width - SIZE) // 2, (picture.height - SIZE) // 2
    picture.crop((left, top, left + SIZE, top + SIZE)).save(data, "JPEG")
    return np.asarray(Image.open(data).convert("RGB"))


def accurate(frame: av.VideoFrame) -> np.ndarray:
    """The yardstick: float RGB ``[384, 384, 3]`` from 0 to 255."""
    from PIL import Image

    planes = frame.reformat(format="yuv444p16le", src_colorspace=frame.colorspace, dst_colorspace=frame.colorspace)
    y, u, v = (
        np.frombuffer(memoryview(p), "<u2").reshape(-1, p.line_size // 2)[: p.height, : p.width] / 256.0
        for p in planes.planes
    )
    if int(frame.color_range) == 2:
        y, u, v = y / 255, (u - 128) / 255, (v - 128) / 255
    else:
        y, u, v = (y - 16) / 219, (u - 128) / 224, (v - 128) / 224
    red_weight, blue_weight = _WEIGHTS.get(int(frame.colorspace), _WEIGHTS[5])
    red, blue = y + 2 * (1 - red_weight) * v, y + 2 * (1 - blue_weight) * u
    green = (y - red_weight * red - blue_weight * blue) / (1 - red_weight - blue_weight)
    side = min(y.shape)
    top, left = (y.shape[0] - side) // 2, (y.shape[1] - side) // 2
    box = (left - left % 2, top - top % 2, left - left % 2 + side, top - top % 2 + side)
    channels = [
        np.asarray(Image.fromarray((255 * c).astype(np.float32)).resize((SIZE, SIZE), Image.Resampling.LANCZOS, box))
        for c in (red, green, blue)
    ]
    return np.clip(np.stack(channels, 2), 0, 255)


def psnr(left: np.ndarray, right: np.ndarray) -> float:
    """Peak signal to noise of two pictures from 0 to 255, dB."""
    return float(10 * np.log10(255**2 / max(np.mean((left - right) ** 2), 1e-9)))


def ssim(left: np.ndarray, right: np.ndarray) -> float:
    """Structural similarity of two grey pictures (Wang et al. 2004), windows of 8 x 8, each weighed alike."""
    a, b = (np.lib.stride_tricks.sliding_window_view(p, (8, 8)) for p in (left, right))
    mean_a, mean_b = a.mean((2, 3)), b.mean((2, 3))
    var_a, var_b = a.var((2, 3)), b.var((2, 3))
    both = (a * b).mean((2, 3)) - mean_a * mean_b
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    top = (2 * mean_a * mean_b + c1) * (2 * both + c2)
    return float((top / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2))).mean())


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clip", type=Path)
    parser.add_argument("--height", type=int, default=540)
    parser.add_argument("--quality", type=int, default=90)
    args = parser.parse_args()
    print(
        "| source | PSNR, dB | least | SSIM | the reference's way: PSNR | least | SSIM |\n|---|---|---|---|---|---|---|"
    )
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        for kind in KINDS:
            path = make_source(kind, args.clip, args.height, Path(folder))
            ours = measure(path, lambda frame: stored(frame, args.quality))
            theirs = measure(path, as_reference)
            rows = (f"{mean:.1f} | {least:.1f} | {similar:.3f}" for mean, least, similar in (ours, theirs))
            print(f"| {kind.name}, {args.height} lines | {' | '.join(rows)} |", flush=True)


if __name__ == "__main__":
    main()
