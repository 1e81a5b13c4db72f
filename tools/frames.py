"""Extract the frames of a video into a folder, by the code of the extract stage.

    python -m tools.frames VIDEO OUT_DIR
    python -m tools.frames PART_1 PART_2 OUT_DIR        # several files joined into one timeline

Writes 000000.jpg, 000001.jpg, ... and video.json. The folder appears when everything is done, or not at all. Exit
code 0, 1 for a video that cannot be read whole, 2 for a mistake in the command.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from pathlib import Path

from launchers.ending import end_command
from mmassist.core.errors import ConfigError, ItemError
from mmassist.core.item import Geometry
from mmassist.video import VideoConfig, extract_frames


def main(arguments: list[str] | None = None) -> int:
    return end_command(lambda: _run(arguments), "stopped; nothing was written", (ItemError,))


def _run(arguments: list[str] | None) -> int:
    args = _parser().parse_args(arguments)
    config = _config(args)
    out_dir: Path = args.out_dir
    for video in args.videos:
        if not video.is_file():
            what = "is a folder, not a video file" if video.is_dir() else "does not exist"
            raise ConfigError(f"{video} {what}; give the path of a video file")
    if out_dir.exists() and not (out_dir.is_dir() and not any(out_dir.iterdir())):
        raise ConfigError(f"{out_dir} exists already; name a folder that is empty or does not exist")
    if args.rotate % 90:
        raise ConfigError(f"--rotate is {args.rotate}; it must be a multiple of 90 degrees")

    out_dir.parent.mkdir(parents=True, exist_ok=True)
    half_done = Path(tempfile.mkdtemp(prefix=f".{out_dir.name}.", dir=out_dir.parent))
    try:
        stream = extract_frames(args.videos, Geometry(args.rotate), config, args.compat_reference)
        for index, jpeg in stream:
            (half_done / f"{index:06}.jpg").write_bytes(jpeg)
        info = stream.info()
        (half_done / "video.json").write_text(json.dumps(info, indent=1) + "\n", encoding="utf-8")
        half_done.chmod(0o755)
        half_done.replace(out_dir)
    finally:
        shutil.rmtree(half_done, ignore_errors=True)
    partial = ", PARTIAL: " + "; ".join(info["problems"]) if info["partial"] else ""
    print(f"{out_dir}: {info['num_frames']} frames of {info['readable_s']:.2f} s{partial}")
    return 0


def _config(args: argparse.Namespace) -> VideoConfig:
    try:
        return VideoConfig(
            fps=args.fps,
            size=args.size,
            jpeg_quality=args.quality,
            accept_partial=args.accept_partial,
            decode=args.decode,
            isolated=not args.in_process,
        )
    except ValueError as error:
        raise ConfigError(str(error)) from error


def _parser() -> argparse.ArgumentParser:
    defaults = VideoConfig()
    parser = argparse.ArgumentParser(prog="python -m tools.frames", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("videos", metavar="VIDEO", nargs="+", type=Path, help="one file, or several to join")
    parser.add_argument("out_dir", metavar="OUT_DIR", type=Path, help="empty or new folder")
    parser.add_argument("--fps", type=float, default=defaults.fps, help="frames per second (%(default)s)")
    parser.add_argument("--size", type=int, default=defaults.size, help="side of the square, pixels (%(default)s)")
    parser.add_argument("--quality", type=int, default=defaults.jpeg_quality, help="JPEG quality (%(default)s)")
    parser.add_argument("--rotate", type=int, default=0, metavar="DEG", help="turn counter-clockwise, multiple of 90")
    parser.add_argument("--accept-partial", action="store_true", help="keep what is readable of a damaged file")
    parser.add_argument("--compat-reference", action="store_true", help="every n-th frame, as the reference does")
    parser.add_argument(
        "--decode",
        choices=("needed", "all"),
        default=defaults.decode,
        help="pictures to decode: those that frames need, or all; the frames are the same (%(default)s)",
    )
    parser.add_argument("--in-process", action="store_true", help="without a decoder process, for a debugger")
    return parser


if __name__ == "__main__":
    sys.exit(main())
