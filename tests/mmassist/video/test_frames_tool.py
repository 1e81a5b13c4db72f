"""The tool ``tools.frames``, which is the extractor on the command line."""

from __future__ import annotations

import json
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import pytest

from tools.frames import main

from .coded import constant_times, expected_numbers, read_jpeg_number, write_coded


@pytest.fixture
def video(tmp_path: Path) -> Path:
    times, time_base = constant_times(Fraction(30000, 1001), 4)
    write_coded(tmp_path / "v.mp4", times, time_base)
    return tmp_path / "v.mp4"


def test_writes_frames_and_record(video: Path, tmp_path: Path):
    command = [sys.executable, "-m", "tools.frames", str(video), str(tmp_path / "out" / "frames"), "--size", "128"]
    done = subprocess.run(command, cwd=Path(__file__).resolve().parents[3], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    out = tmp_path / "out" / "frames"
    assert sorted(path.name for path in out.iterdir()) == [f"{i:06}.jpg" for i in range(8)] + ["video.json"]
    times, _ = constant_times(Fraction(30000, 1001), 4)
    numbers = [read_jpeg_number((out / f"{i:06}.jpg").read_bytes()) for i in range(8)]
    assert numbers == expected_numbers(times)
    info = json.loads((out / "video.json").read_text())
    assert info["num_frames"] == 8 and len(info["pts_s"]) == 8 and not info["partial"]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["frames"]


def test_compat_and_other_rate(video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main([str(video), str(tmp_path / "c"), "--compat-reference", "--in-process"]) == 0
    assert len(list((tmp_path / "c").glob("*.jpg"))) == 9  # every 14th of 119
    assert main([str(video), str(tmp_path / "one"), "--fps", "1", "--in-process"]) == 0
    assert "4 frames of 3.97 s" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["absent.mp4", "out"], "error: absent.mp4 does not exist; give the path"),
        ([".", "out"], "error: . is a folder, not a video file"),
        (["v.mp4", "."], "error: . exists already; name a folder"),
        (["v.mp4", "out", "--size", "383"], "size is 383; it must be an even number"),
        (["v.mp4", "out", "--rotate", "45"], "--rotate is 45"),
    ],
)
def test_mistakes_are_one_line(video, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(video.parent)
    assert main(arguments) == 2
    errors = capsys.readouterr().err
    assert message in errors and errors.count("\n") == 1
    assert not (video.parent / "out").exists()


def test_an_undecodable_video_leaves_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "v.mp4").write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    assert main([str(tmp_path / "v.mp4"), str(tmp_path / "out")]) == 1
    assert "Git LFS pointer" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["v.mp4"]
