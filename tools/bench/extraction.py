"""What frame extraction costs, as a ratio to decoding alone and beside the research release's way, in one run.

    python -m tools.bench.extraction [--clip CLIP] [--rounds 5] [--only WORDS] [--keep FOLDER] [--check]

Makes streams like those of the data sets from a clip of real footage, or without one from a test picture, joins each
to itself until start-up weighs little, and runs three commands in turn on each: the floor ``ffmpeg -threads 1 -i VIDEO
-map 0:v:0 -f null -`` (decode every picture, throw it away), ``tools.frames`` (the code of ``stage=extract``), and the
reference's way. Figures are CPU seconds, user and system, children included, less those of the same command on the
stream's first second: so start-up does not count, since a worker starts once for thousands of videos. Needs ffmpeg
with x264 and x265.
``--check``: exit code 1 where a stream costs more than its goal.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from tools.bench.extraction_streams import FOOTAGE, SYNTHETIC, Stream, cut_second, make_stream

LENGTH_S = {540: 20.0, 1080: 10.0}  # seconds that are encoded
TARGET_S = {540: 120.0, 1080: 20.0}  # seconds that are measured


def measure(words: Sequence[str]) -> tuple[float, float, float]:
    """CPU seconds, wall seconds and peak memory in MB of a command. Raises CalledProcessError when it fails."""
    begin = time.monotonic()
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, list(words))
    return usage.ru_utime + usage.ru_stime, time.monotonic() - begin, usage.ru_maxrss / 1024


def iter_rows(
    streams: Sequence[Stream], clip: Path | None, rounds: int, folder: Path
) -> Iterator[tuple[Stream, float]]:
    """Measure every stream, print its row, yield it with its ratio to the floor."""
    print(
        "| stream | goal | extraction | range | wall | floor, CPU s | start, CPU s | the reference's way | saved | MB |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|")
    for stream in streams:
        video = make_stream(stream, clip, LENGTH_S[stream.height], TARGET_S[stream.height], folder)
        yield stream, _measure_stream(stream, video, rounds, folder)


def _commands(stream: Stream, video: Path, out: Path) -> dict[str, list[str]]:
    whole = ["--decode=all"] if stream.is_whole else []
    return {
        "floor": ["ffmpeg", "-v", "error", "-threads", "1", "-i", str(video), "-map", "0:v:0", "-f", "null", "-"],
        "ours": [sys.executable, "-m", "tools.frames", str(video), str(out / "frames"), *whole],
        "theirs": [sys.executable, "-m", "tools.bench.extraction_reference", str(video), str(out / "rows")],
    }


def _measure_stream(stream: Stream, video: Path, rounds: int, folder: Path) -> float:
    found: dict[str, list[tuple[float, float, float]]] = {"floor": [], "ours": [], "theirs": []}
    starts: dict[str, list[float]] = {name: [] for name in found}
    second = cut_second(video)
    for number in range(rounds):
        names = list(found)
        for name in names[number % 3 :] + names[: number % 3]:
            with tempfile.TemporaryDirectory(dir=folder) as scratch:
                found[name].append(measure(_commands(stream, video, Path(scratch))[name]))
        for name, seen in starts.items():
            with tempfile.TemporaryDirectory(dir=folder) as scratch:
                seen.append(measure(_commands(stream, second, Path(scratch))[name])[0])
    start = {name: statistics.median(seen) for name, seen in starts.items()}
    floors, ours, theirs = ([cpu - start[name] for cpu, _, _ in rows] for name, rows in found.items())
    ratios = [a / b for a, b in zip(ours, floors, strict=True)]
    reference = statistics.median(a / b for a, b in zip(theirs, floors, strict=True))
    saved = statistics.median(a / b for a, b in zip(theirs, ours, strict=True))
    wall = statistics.median(a[1] / b[1] for a, b in zip(found["ours"], found["floor"], strict=True))
    peak = max(memory for _, _, memory in found["ours"])
    goal = f"{stream.goal:.2f}" if stream.goal else ""
    print(
        f"| {stream.name} | {goal} | **{statistics.median(ratios):.2f}** | {min(ratios):.2f} to {max(ratios):.2f} "
        f"| {wall:.2f} | {statistics.median(floors):.2f} | {start['ours']:.2f} | {reference:.2f} | {saved:.1f} times "
        f"| {peak:.0f} |",
        flush=True,
    )
    return statistics.median(ratios)


def main() -> int:
    """Print a table of the streams."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clip", type=Path, help="real footage, some 20 s")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="", help="measure streams whose name has these words")
    parser.add_argument("--keep", type=Path, help="folder for the streams, to be used again")
    parser.add_argument("--check", action="store_true", help="fail where a goal is missed")
    args = parser.parse_args()
    streams = [s for s in (FOOTAGE if args.clip else SYNTHETIC) if args.only in s.name]
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
        folder = args.keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        rows = list(iter_rows(streams, args.clip, args.rounds, folder))
    missed = [stream.name for stream, ratio in rows if stream.goal and ratio > stream.goal]
    print(f"missed: {', '.join(missed)}" if missed else "all goals are met")
    return int(args.check and bool(missed))


if __name__ == "__main__":
    sys.exit(main())
