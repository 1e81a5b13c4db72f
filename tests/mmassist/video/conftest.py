"""Fixtures of the video tests."""

from __future__ import annotations

import csv
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from mmassist.video import Decoder, VideoConfig


@pytest.fixture(scope="session")
def odd_videos(sample_data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """A folder of awkward files made from a real clip, and what is expected of each: ok, error or ok-partial."""
    script = sample_data.parent / "tools" / "make_odd_videos.sh"
    if not script.is_file():
        pytest.skip(f"no {script}")
    folder = tmp_path_factory.mktemp("odd")
    clip = sample_data / "video" / "ego_kitchen_a.mp4"
    subprocess.run(["bash", str(script), str(clip), str(folder)], check=True, capture_output=True)
    with (folder / "manifest.tsv").open(encoding="utf-8") as file:
        rows = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        return folder, {row["file"]: row["expected"] for row in rows}


@pytest.fixture(scope="session")
def decoder() -> Iterator[Decoder]:
    """One decoder process for all tests that only want frames."""
    with Decoder(VideoConfig()) as kept:
        yield kept
