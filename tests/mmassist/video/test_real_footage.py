"""Real egocentric footage whose scene changes at known frames."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import simplejpeg

from mmassist.core.item import Geometry
from mmassist.video import Decoder, FrameStream, VideoConfig, extract_frames

pytestmark = pytest.mark.long


def greys(stream: FrameStream) -> list[np.ndarray]:
    return [simplejpeg.decode_jpeg(jpeg, colorspace="GRAY").astype(int) for _, jpeg in stream]


@pytest.mark.parametrize("name", ["a.mp4", "b.mp4", "c.webm", "d.mpeg"])
def test_scene_changes_fall_exactly_on_their_frames(sample_data: Path, name: str):
    path = sample_data / "video" / f"ego_kitchen_{name}"
    full_rate = extract_frames([path], Geometry(), VideoConfig(fps=30.0, size=48), False)
    pictures = greys(full_rate)
    change = [np.abs(b - a).mean() for a, b in pairwise(pictures)]
    assert sorted(np.argsort(change)[-4:] + 1) == [150, 300, 450, 600]
    assert abs(len(pictures) - 750) <= 1  # Matroska rounds times to a millisecond, some of them up

    stream = extract_frames([path], Geometry(), VideoConfig(size=48), False)
    at_2_fps = greys(stream)
    assert len(at_2_fps) == 50
    for j, picture in enumerate(at_2_fps):
        assert np.array_equal(picture, pictures[15 * j])
    info = stream.info()
    assert info["pts_s"] == [pytest.approx(j / 2, abs=1e-6) for j in range(50)]
    assert info["sources"][0]["start_s"] == pytest.approx(0.533333 if name == "d.mpeg" else 0, abs=1e-6)


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
            "states_length": True,
            "duration_s": 5.0,
        }
    ]
