"""Real egocentric footage whose scene changes at known frames."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import simplejpeg

from mmassist.core.item import Geometry
from mmassist.video import Decoder, VideoConfig, extract_frames


@pytest.mark.parametrize("name", ["a.mp4", "b.mp4", "c.webm", "d.mpeg"])
def test_scene_changes_fall_exactly_on_5_10_15_and_20_seconds(sample_data: Path, decoder: Decoder, name: str):
    stream = decoder.extract([sample_data / "video" / f"ego_kitchen_{name}"], Geometry())
    small = [
        simplejpeg.decode_jpeg(jpeg, colorspace="GRAY")[:, :, 0].reshape(48, 8, 48, 8).mean((1, 3))
        for _, jpeg in stream
    ]
    assert len(small) == 50
    change = [np.abs(b - a).mean() for a, b in zip(small, small[1:], strict=False)]
    assert sorted(np.argsort(change)[-4:] + 1) == [10, 20, 30, 40]
    info = stream.info()
    assert info["pts_s"] == [pytest.approx(j / 2, abs=6e-4) for j in range(50)]
    assert info["sources"][0]["start_s"] == pytest.approx(0.533333 if name == "d.mpeg" else 0, abs=1e-6)


@pytest.mark.parametrize("name", ["a.mp4", "c.webm"])
@pytest.mark.parametrize("fps", [30.0, 5.0])
def test_every_picture_at_the_native_rate(sample_data: Path, name: str, fps: float):
    path = sample_data / "video" / f"ego_kitchen_{name}"
    stream = extract_frames([path], Geometry(), VideoConfig(fps=fps, size=48, isolated=False), False)
    pictures = [simplejpeg.decode_jpeg(jpeg, colorspace="GRAY").astype(int) for _, jpeg in stream]
    change = [np.abs(b - a).mean() for a, b in zip(pictures, pictures[1:], strict=False)]
    if name == "a.mp4":  # its times are exact; those of Matroska are rounded to a millisecond, up or down
        assert len(pictures) == 25 * fps
        assert sorted(np.argsort(change)[-4:] + 1) == [5 * fps, 10 * fps, 15 * fps, 20 * fps]
    assert abs(len(pictures) - 25 * fps) <= 1


def test_the_stream_that_players_show(sample_data: Path, decoder: Decoder):
    stream = decoder.extract([sample_data / "video" / "nasa_13013.mp4"], Geometry())
    assert len(list(stream)) == 26
    [source] = stream.info()["sources"]
    assert (source["stream"], source["width"], source["height"]) == (3, 480, 270)
    assert source["native_fps"] == pytest.approx(29.97, abs=1e-3)


def test_rotation_in_the_file_is_honoured(sample_data: Path, decoder: Decoder):
    path = sample_data / "video" / "rotated_90.mov"
    stream = decoder.extract([path], Geometry())
    [(_, jpeg)] = stream
    assert stream.info()["sources"][0]["rotation_deg"] == 270  # clockwise by 90
    [(_, turned)] = decoder.extract([path], Geometry(rotation_deg=90))
    upright, stored = (simplejpeg.decode_jpeg(j, colorspace="GRAY")[:, :, 0].astype(int) for j in (jpeg, turned))
    assert np.abs(np.rot90(stored, -1) - upright).mean() < 2


def test_facts_about_the_file(sample_data: Path, decoder: Decoder):
    path = sample_data / "video" / "cc4d_order_error_mosaic_3200x360.mp4"
    stream = decoder.extract([path], Geometry())
    assert len(list(stream)) == 10  # the sound is 16 ms longer than the picture
    assert stream.info()["sources"] == [
        {
            "path": str(path),
            "digest": "c9202d6d6d1c096dbf12061b9b903925",
            "size_bytes": 1877011,
            "container": "mov,mp4,m4a,3gp,3g2,mj2",
            "stream": 0,
            "codec": "h264",
            "native_fps": 30.0,
            "start_s": 0.0,
            "sample_aspect": "1",
            "width": 3200,
            "height": 360,
            "pix_fmt": "yuv420p",
            "rotation_deg": 0,
            "mirrored": False,
            "duration_s": 5.0,
        }
    ]
