"""Measure reading features back, as packing and training do: bytes per CPU second, from the page cache.

    python -m tools.bench.feature_reading [--rounds 5] [--minutes 20] [--width 1152] [--image-tokens 10]

Each round reads the same shards three ways, in turn: *bytes* are plain reads of whole shards; *members* are the chunk
files through the index, one by one; *rows* are frame ranges of packed samples' length through the reader that
``stage=pack`` uses, as arrays. Goal: rows at 2 GB per CPU second.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from mmassist.io.layout import Layout, UnitLayout
from mmassist.io.reader import UnitReader
from mmassist.packing.features import PARTS, FeatureReader
from mmassist.vision.feature_chunk import SUMMARY_NAME
from tools.bench.encoding_source import write_features
from tools.bench.generation_source import MIN_RECORDINGS, write_recordings

FRAMES_OF_SAMPLE = 350  # of ten tokens in 4,096, beside text
FPS = 2


def read_bytes(unit: UnitLayout) -> int:
    """Read every shard in pieces of 1 MiB; returns the number of bytes."""
    total = 0
    for path in sorted(unit.shard_dir.glob("*.tar")):
        with path.open("rb", buffering=0) as file:
            while piece := file.read(1 << 20):
                total += len(piece)
    return total


def read_members(unit: UnitLayout) -> int:
    """Read every chunk file by its place in the index; returns the number of bytes."""
    reader = UnitReader(unit, "encode")
    total = 0
    for key in list(reader.keys()):
        item = reader.read(key)
        total += sum(len(item.read(name)) for name in item.names)
    reader.close()
    return total


def read_rows(unit: UnitLayout, image_tokens: int) -> int:
    """Read every recording's features as arrays, one packed sample's frames after another; returns their bytes."""
    reader = UnitReader(unit, "encode")
    total = 0
    for key in list(reader.keys()):
        source = reader.read(key)
        features = FeatureReader(source, image_tokens)
        num_frames = int(json.loads(source.read(SUMMARY_NAME))["num_frames"])
        for start in range(0, num_frames, FRAMES_OF_SAMPLE):
            total += features.read(start, min(num_frames, start + FRAMES_OF_SAMPLE)).nbytes
    reader.close()
    return total


def iter_report(unit: UnitLayout, rounds: int, image_tokens: int) -> Iterator[str]:
    """Yield a line per way: median and range of GB per CPU second, and the ratio to plain reads."""
    ways: dict[str, Callable[[], int]] = {
        "bytes": lambda: read_bytes(unit),
        "members": lambda: read_members(unit),
        "rows": lambda: read_rows(unit, image_tokens),
    }
    for read in ways.values():
        read()  # into the page cache
    found: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, read in ways.items():
            begin = time.process_time()
            size = read()
            found[name].append(size / (time.process_time() - begin) / 1e9)
    for name, rates in found.items():
        ratio = statistics.median(a / b for a, b in zip(rates, found["bytes"], strict=True))
        middle = statistics.median(rates)
        yield f"{name}: {middle:.2f} GB per CPU s ({min(rates):.2f} to {max(rates):.2f}), {ratio:.2f} of plain reads"


def measure(rounds: int, minutes: float, width: int, image_tokens: int) -> Iterator[str]:
    """Make features in a temporary folder and yield the report."""
    grid = int(PARTS[image_tokens][-1][0])
    with tempfile.TemporaryDirectory() as folder:
        write_recordings(Path(folder), MIN_RECORDINGS)
        number = write_features(Path(folder), round(minutes * 60 * FPS), width, grid)
        yield f"features of {number} recordings of {minutes:g} minutes, {image_tokens} tokens of {width} a frame"
        yield from iter_report(Layout(Path(folder)).unit("holoassist", "features/tiny"), rounds, image_tokens)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--width", type=int, default=1152)
    parser.add_argument("--image-tokens", type=int, default=10, choices=sorted(set(PARTS) - {1}))
    arguments = parser.parse_args()
    for line in measure(arguments.rounds, arguments.minutes, arguments.width, arguments.image_tokens):
        print(line, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
