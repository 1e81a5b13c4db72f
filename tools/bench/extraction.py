"""What frame extraction costs, as a ratio to decoding alone, measured in the same run.

    python -m tools.bench.extraction VIDEO [--rounds 5] [--repeat 10]

The floor is ``ffmpeg -threads 1 -i VIDEO -map 0:v:0 -f null -``: decode every picture, throw it away. Both commands
run in turn on the video joined to itself ``repeat`` times, so that start-up weighs as little as on a long recording;
figures are CPU seconds (user and system, children included). Needs ffmpeg.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path


def cpu_seconds(words: Sequence[str]) -> float:
    """CPU seconds of a command and all it waited for. Raises CalledProcessError when it fails."""
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, list(words))
    return usage.ru_utime + usage.ru_stime


def join_to_itself(video: Path, times: int, folder: Path) -> Path:
    """The video ``times`` times in a row, without decoding. Needs packets with time stamps (mp4, mkv)."""
    joined = folder / "joined.mkv"
    words = ["ffmpeg", "-v", "error", "-stream_loop", str(times - 1), "-i", str(video), "-map", "0:v:0", "-c", "copy"]
    subprocess.run([*words, str(joined)], check=True)
    return joined


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("video", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--repeat", type=int, default=10)
    args = parser.parse_args()
    ratios = []
    with tempfile.TemporaryDirectory() as scratch:
        video = join_to_itself(args.video, args.repeat, Path(scratch))
        floor = ["ffmpeg", "-v", "error", "-threads", "1", "-i", str(video), "-map", "0:v:0", "-f", "null", "-"]
        for number in range(args.rounds):
            out = Path(scratch) / f"frames-{number}"
            ours = [sys.executable, "-m", "tools.frames", str(video), str(out)]
            pair = (cpu_seconds(floor), cpu_seconds(ours))
            ratios.append(pair[1] / pair[0])
            print(f"round {number + 1}: floor {pair[0]:.2f} CPU s, extraction {pair[1]:.2f} CPU s")
    print(f"ratio {statistics.median(ratios):.2f} (range {min(ratios):.2f} to {max(ratios):.2f})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
