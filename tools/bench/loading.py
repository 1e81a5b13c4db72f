"""How fast prepared samples reach training, against reading the same files and against the webdataset package.

    python -m tools.bench.loading [--rounds 5] [--dialogs 400] [--recordings 16] [--dim 1152] [--folder FOLDER]

Packs made-up dialogs of ten minutes (4,096 tokens, 10 tokens a frame), with features of random numbers in a features
folder and in the samples, and reads all of it in this process: in 1 MiB pieces, with the webdataset package, and with
the loader, in turn, ``rounds`` times. What is read lies in the page cache, so this is what the software costs, not
what a disk gives. ``collated`` are
batches of 4, made in this thread, in one of their own, or in 2 worker processes, whose CPU seconds count too.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import webdataset as wds

from mmassist.loader import PreparedDataset, PreparedLoader, list_shards
from tools.bench.loading_data import pack_dialogs, write_features, write_prepared

PIECE = 1 << 20
BATCH = 4


@dataclass(frozen=True)
class Amount:
    samples: int
    tokens: int
    num_bytes: int


@dataclass
class Way:
    """One way to read; ``read`` returns the number of samples, 0 where it knows of none."""

    name: str
    read: Callable[[], int]
    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    def measure(self) -> int:
        begin, cpu = time.perf_counter(), _cpu_seconds()
        found = self.read()
        self.wall.append(time.perf_counter() - begin)
        self.cpu.append(_cpu_seconds() - cpu)
        return found


def read_pieces(paths: Sequence[Path]) -> int:
    buffer = bytearray(PIECE)
    for path in paths:
        with path.open("rb", buffering=0) as file:
            while file.readinto(buffer):
                pass
    return 0


def read_webdataset(paths: Sequence[Path]) -> int:
    return sum(1 for _ in wds.WebDataset([str(path) for path in paths], shardshuffle=False).decode())


def read_samples(folder: Path, **settings: Any) -> int:
    return sum(1 for _ in PreparedDataset(folder, "train", seed=0, **settings))


def read_batches(folder: Path, num_workers: int = 0, prefetch: int = 0, **settings: Any) -> int:
    dataset = PreparedDataset(folder, "train", seed=0, batch_size=BATCH, **settings)
    return sum(len(batch["keys"]) for batch in PreparedLoader(dataset, num_workers=num_workers, prefetch=prefetch))


def compare(title: str, ways: Sequence[Way], amount: Amount, rounds: int) -> None:
    """Take all ways in turn, and print each with the ratio of its CPU seconds to the first one's."""
    for number in range(rounds + 1):
        for way in ways:
            found = way.measure()
            assert found in (0, amount.samples), f"{way.name} read {found} samples of {amount.samples}"
            if not number:  # the page cache, and everything that is imported on the way
                way.wall.clear()
                way.cpu.clear()
    size = amount.num_bytes / 1e6
    print(f"\n{title}: {amount.samples} samples, {amount.tokens} tokens, {size:.0f} MB")
    print(f"{'':<24}{'samples/s':>10}{'tokens/s':>12}{'MB/s':>8}{'wall s':>8}{'CPU s':>8}{'ratio':>7}  (range)")
    for way in ways:
        wall, cpu = statistics.median(way.wall), statistics.median(way.cpu)
        ratios = [mine / first for mine, first in zip(way.cpu, ways[0].cpu, strict=True)]
        print(
            f"{way.name:<24}{amount.samples / wall:10.0f}{amount.tokens / wall:12.0f}{size / wall:8.0f}"
            f"{wall:8.3f}{cpu:8.3f}{statistics.median(ratios):7.1f}  ({min(ratios):.1f} to {max(ratios):.1f})"
        )


def measure_without_features(root: Path, dialogs: int, rounds: int) -> None:
    folder = root / "bench" / "prepared" / "text_L4096_I10"
    packed = pack_dialogs(dialogs)
    write_prepared(folder, packed, per_shard=40)
    shards = list_shards(folder, "train")
    ways = [
        Way("1 MiB pieces", lambda: read_pieces(shards)),
        Way("webdataset", lambda: read_webdataset(shards)),
        Way("loader", lambda: read_samples(folder)),
        Way("loader, silence 0.1", lambda: read_samples(folder, neg_frame_sampling_rate=0.1)),
        Way("collated", lambda: read_batches(folder)),
        Way("collated in a thread", lambda: read_batches(folder, prefetch=2)),
        Way("collated in 2 workers", lambda: read_batches(folder, 2)),
    ]
    compare("without features", ways, _amount(packed, shards), rounds)
    opening = Way("opening", lambda: len(PreparedDataset(folder, "train", seed=0).draw(0)))
    found = [opening.measure() for _ in range(rounds)]
    each = statistics.median(opening.cpu) / found[0]
    print(f"opening the folder and drawing an epoch: {each * 1e6:.0f} CPU us a sample")


def measure_with_features(root: Path, recordings: int, dim: int, rounds: int) -> None:
    dataset_dir = root / "bench"
    packed = pack_dialogs(recordings)
    apart, inside = (dataset_dir / "prepared" / name for name in ("apart_L4096_I10", "inside_L4096_I10"))
    write_prepared(apart, packed, per_shard=8)
    write_prepared(inside, packed, per_shard=2, dim=dim)
    write_features(dataset_dir / "features" / "bench", packed, per_shard=4, dim=dim)
    shards = list_shards(inside, "train")
    stored = [*list_shards(apart, "train"), *sorted((dataset_dir / "features" / "bench" / "shards").glob("*.tar"))]
    ways = [
        Way("1 MiB pieces", lambda: read_pieces(shards)),
        Way("webdataset", lambda: read_webdataset(shards)),
        Way("loader", lambda: read_samples(inside)),
        Way("collated", lambda: read_batches(inside)),
        Way("collated in a thread", lambda: read_batches(inside, prefetch=2)),
        Way("collated in 2 workers", lambda: read_batches(inside, 2)),
    ]
    compare("features in the samples", ways, _amount(packed, shards), rounds)
    ways = [
        Way("1 MiB pieces", lambda: read_pieces(stored)),
        Way("loader", lambda: read_samples(apart, encoder="bench")),
        Way("collated", lambda: read_batches(apart, encoder="bench")),
        Way("collated in a thread", lambda: read_batches(apart, prefetch=2, encoder="bench")),
        Way("collated in 2 workers", lambda: read_batches(apart, 2, encoder="bench")),
    ]
    compare("features in their folder", ways, _amount(packed, stored), rounds)


def _amount(packed: dict[str, Any], paths: Sequence[Path]) -> Amount:
    samples = [sample for found in packed.values() for sample in found]
    tokens = sum(len(sample.input_ids) for sample in samples)
    return Amount(len(samples), tokens, sum(path.stat().st_size for path in paths))


def _cpu_seconds() -> float:
    """User and system, of this process and of children that have ended."""
    both = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in both)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--dialogs", type=int, default=400, help="of the samples without features")
    parser.add_argument("--recordings", type=int, default=16, help="with features, of 28 MB each, twice")
    parser.add_argument("--dim", type=int, default=1152)
    parser.add_argument("--folder", type=Path, help="where the data is made, and removed again (the system's)")
    args = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(dir=args.folder) as scratch:
        measure_without_features(Path(scratch), args.dialogs, args.rounds)
        measure_with_features(Path(scratch), args.recordings, args.dim, args.rounds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
