"""What the extraction of pictures costs, against Pillow alone: open, crop, scale, save.

    python -m tools.bench.pictures [--number 200] [--rounds 5] [--width 640] [--height 480]

Both work in turn on the same generated JPEG files (smoothed noise, quality 90); figures are pictures per CPU second,
user and system, of all processes together.
"""

from __future__ import annotations

import argparse
import io
import os
import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from mmassist.core.item import UPRIGHT
from mmassist.video import Decoder, VideoConfig


def write_pictures(folder: Path, number: int, width: int, height: int) -> list[Path]:
    """Colour noise without the finest details, which costs about as many bytes as a photograph."""
    noise = np.random.default_rng(0)
    paths = []
    for index in range(number):
        coarse = noise.integers(0, 256, (height // 8, width // 8, 3), np.uint8)
        path = folder / f"{index:06d}.jpg"
        Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC).save(path, quality=90)
        paths.append(path)
    return paths


def extract_all(paths: Sequence[Path], config: VideoConfig) -> None:
    with Decoder(config) as decoder:
        for path in paths:
            list(decoder.extract_picture(path, UPRIGHT))


def convert_all(paths: Sequence[Path], config: VideoConfig) -> None:
    for path in paths:
        with Image.open(path) as picture:
            side = min(picture.size)
            left, top = (picture.width - side) // 2, (picture.height - side) // 2
            square = picture.convert("RGB").crop((left, top, left + side, top + side))
            square.resize((config.size, config.size), Image.Resampling.BICUBIC).save(
                io.BytesIO(), "JPEG", quality=config.jpeg_quality, subsampling="4:2:0"
            )


def per_cpu_second(work: Callable[[Sequence[Path], VideoConfig], None], paths: Sequence[Path]) -> float:
    """Pictures per CPU second, ended children included."""
    begin = sum(os.times()[:4])
    work(paths, VideoConfig())
    return len(paths) / (sum(os.times()[:4]) - begin)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--number", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--width", type=int, default=640)
    parser.add_argument("--height", type=int, default=480)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        paths = write_pictures(Path(scratch), args.number, args.width, args.height)
        print(f"{args.width} x {args.height}, {paths[0].stat().st_size >> 10} kB each")
        rates = [[per_cpu_second(work, paths) for work in (convert_all, extract_all)] for _ in range(args.rounds)]
    for name, found in zip(("Pillow alone", "extraction"), zip(*rates, strict=True), strict=True):
        print(f"{name:<13}{statistics.median(found):6.0f} pictures/s ({min(found):.0f} to {max(found):.0f})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
