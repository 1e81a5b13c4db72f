"""Sixty awkward files made from one real clip: everything readable gives the right frames, nothing else gives any."""

from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import simplejpeg

from mmassist.core.errors import ItemError, Kind
from mmassist.core.item import Geometry
from mmassist.video import Decoder, VideoConfig, extract_frames

from .coded import decoded_grey, expected_numbers, probed_times

pytestmark = pytest.mark.long

# the stream that ffmpeg shows, where it is not the first video stream
STREAMS = {"two_video_streams.mp4": 1}

MESSAGES = {
    "zero_bytes.mp4": "the file is empty",
    "truncated_no_moov.mp4": "the file was cut off: its index",
    "html_error_page.mp4": "an HTML page",
    "lfs_pointer.mp4": "a Git LFS pointer",
    "jpeg_inside.mp4": "a JPEG picture",
    "audio_only.mp4": "no video stream",
    "dangling_link.mp4": "a link to missing-target.mp4, which does not exist",
    "a_folder.mp4": "a folder",
}


def of_kind(odd_videos: tuple[Path, dict[str, str]], kind: str) -> list[Path]:
    folder, expected = odd_videos
    return [folder / name for name, expectation in expected.items() if expectation == kind]


def test_readable_files_are_sampled_by_what_ffprobe_says(odd_videos, decoder: Decoder):
    paths = of_kind(odd_videos, "ok")
    assert len(paths) > 40
    for path in paths:
        stream = decoder.extract([path], Geometry())
        frames = list(stream)
        times = probed_times(path, f"v:{STREAMS.get(path.name, 0)}")
        wanted = expected_numbers(times)
        info = stream.info()
        assert info["pts_s"] == [pytest.approx(float(times[i]), abs=2e-6) for i in wanted], path.name
        assert [index for index, _ in frames] == list(range(len(wanted))), path.name
        assert not info["partial"] and info["problems"] == [], path.name
        assert {simplejpeg.decode_jpeg_header(jpeg)[:2] for _, jpeg in frames} == {(384, 384)}, path.name


def test_unreadable_files_say_what_they_are(odd_videos, decoder: Decoder):
    paths = of_kind(odd_videos, "error")
    assert {path.name for path in paths} >= set(MESSAGES)
    for path in paths:
        with pytest.raises(ItemError, match=re.escape(MESSAGES.get(path.name, str(path)))) as caught:
            list(decoder.extract([path], Geometry()))
        assert caught.value.kind == Kind.PERMANENT
        assert "\n" not in caught.value.message and str(path) in caught.value.message


def test_damaged_files_say_how_much_was_readable(odd_videos, decoder: Decoder):
    paths = of_kind(odd_videos, "ok-partial")
    assert paths
    for path in paths:
        with pytest.raises(ItemError, match=r"only \d\.\d\d s of \d\.\d\d s readable") as caught:
            list(decoder.extract([path], Geometry()))
        assert caught.value.kind == Kind.PERMANENT
        stream = extract_frames([path], Geometry(), VideoConfig(accept_partial=True, isolated=False), False)
        frames = list(stream)
        info = stream.info()
        assert info["partial"] and info["problems"]
        assert 2 < info["readable_s"] < info["expected_s"] < 6.1
        assert len(frames) == info["num_frames"] >= 8


@pytest.mark.slow
def test_frames_show_what_the_ffmpeg_program_shows(odd_videos, decoder: Decoder):
    """Every frame is nearer to the picture that the oracle names than to any picture half a second away."""
    for path in of_kind(odd_videos, "ok"):
        number = STREAMS.get(path.name, 0)
        shown = decoded_grey(path, f"0:v:{number}").astype(int)
        wanted = expected_numbers(probed_times(path, f"v:{number}"))
        assert max(wanted) < len(shown), path.name
        for (_, jpeg), index in zip(decoder.extract([path], Geometry()), wanted, strict=True):
            picture = simplejpeg.decode_jpeg(jpeg, colorspace="GRAY").reshape(64, 6, 64, 6).mean((1, 3))
            distances = {i: np.abs(shown[i] - picture).mean() for i in {index, *wanted, max(0, index - 1)}}
            assert distances[index] <= min(distances.values()) + 0.5, path.name
            assert distances[index] < 8, path.name


def test_rates_below_the_target_repeat_pictures(odd_videos, decoder: Decoder):
    folder, _ = odd_videos
    frames = [jpeg for _, jpeg in decoder.extract([folder / "cfr_1fps.mp4"], Geometry())]
    assert len(frames) == 11 and len(set(frames)) == 6
    assert expected_numbers([Fraction(i) for i in range(6)]) == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5]
