"""What frame extraction costs, as a ratio to decoding alone and beside the research release's way, in one run.

    python -m tools.bench.extraction [--clip CLIP] [--rounds 5] [--only WORDS] [--keep FOLDER] [--check]

Makes streams like those of the data sets from a clip of real footage, or without one from a test picture, joins each
to itself until start-up weighs little, and runs three commands in turn on each: the floor ``ffmpeg -threads 1 -i VIDEO
-map 0:v:0 -f null -`` (decode every picture, throw it away), ``tools.frames`` (the code of ``stage=extract``), and the
reference's way. Figures are CPU seconds, user and system, children included. Needs ffmpeg with x264 and x265.
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

from tools.bench.extraction_streams import FOOTAGE, SYNTHETIC, Stream, make_stream

LENGTH_S = {540: 20.0, 1080: 10.0}  # seconds that are encoded
TARGET_S = {540: 120.0, 1080: 30.0}  # seconds that are measured


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
    print("| stream | goal | extraction | range | wall | CPU s | the reference's way | saved | MB |")
    print("|---|---|---|---|---|---|---|---|---|")
    for stream in streams:
        video = make_stream(stream, clip, LENGTH_S[stream.height], TARGET_S[stream.height], folder)
        yield stream, _measure_stream(stream, video, rounds, folder)


def _measure_stream(stream: Stream, video: Path, rounds: int, folder: Path) -> float:
    floors, ours, theirs, walls, peak = [], [], [], [], 0.0
    for number in range(rounds):
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            out = Path(scratch)
            commands = {
                "floor": [
                    "ffmpeg",
                    "-v",
                    "error",
                    "-threads",
                    "1",
                    "-i",
                    str(video),
                    "-map",
                    "0:v:0",
                    "-f",
                    "null",
                    "-",
                ],
                "ours": [sys.executable, "-m", "tools.frames", str(video), str(out / "frames")],
                "theirs": [sys.executable, "-m", "tools.bench.extraction_reference", str(video), str(out / "rows")],
            }
            if stream.is_whole:
                commands["ours"].append("--decode=all")
            names = list(commands)
            found = {name: measure(commands[name]) for name in names[number % 3 :] + names[: number % 3]}
        floors.append(found["floor"][0])
        ours.append(found["ours"][0])
        theirs.append(found["theirs"][0])
        walls.append(found["ours"][1] / found["floor"][1])
        peak = max(peak, found["ours"][2])
    ratios = [a / b for a, b in zip(ours, floors, strict=True)]
    reference = [a / b for a, b in zip(theirs, floors, strict=True)]
    saved = statistics.median(a / b for a, b in zip(theirs, ours, strict=True))
    goal = f"{stream.goal:.2f}" if stream.goal else ""
    print(
        f"| {stream.name} | {goal} | **{statistics.median(ratios):.2f}** | {min(ratios):.2f} to {max(ratios):.2f} "
        f"| {statistics.median(walls):.2f} | {statistics.median(ours):.2f} | {statistics.median(reference):.2f} "
        f"| {saved:.1f} times | {peak:.0f} |",
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
