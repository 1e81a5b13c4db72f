from __future__ import annotations

import io
import struct
import subprocess
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import simplejpeg
from PIL import Image

from mmassist.core.errors import ItemError, Kind
from mmassist.core.item import Geometry
from mmassist.video import Decoder, VideoConfig, extract_frames

from .coded import (
    constant_times,
    decoded_grey,
    expected_numbers,
    probed_times,
    read_jpeg_number,
    read_number,
    write_coded,
)

pytestmark = pytest.mark.long

NTSC = Fraction(30000, 1001)


def numbers_of(stream):
    frames = list(stream)
    assert [index for index, _ in frames] == list(range(len(frames)))
    return [read_jpeg_number(jpeg) for _, jpeg in frames]


def extract(path, config=None, geometry=None, compat=False):
    config = config or VideoConfig(isolated=False)
    return extract_frames([path], geometry or Geometry(), config, compat)


@pytest.mark.parametrize("rate", ["24000/1001", "24", "25", "30000/1001", "30", "50", "60000/1001", "1", "3/2"])
def test_constant_rate_is_sampled_exactly(tmp_path: Path, rate):
    times, time_base = constant_times(Fraction(rate), 20.3)
    write_coded(tmp_path / "v.mp4", times, time_base)
    stream = extract(tmp_path / "v.mp4")
    expected = expected_numbers(times)
    assert numbers_of(stream) == expected
    info = stream.info()
    assert info["pts_s"] == [pytest.approx(float(times[n]), abs=1e-6) for n in expected]
    assert info["num_frames"] == int(times[-1] * 2) + 1
    assert info["sources"][0]["native_fps"] == pytest.approx(float(Fraction(rate)), abs=1e-3)
    assert not info["partial"]


def test_squashed_frames_show_the_sides_that_the_crop_loses(tmp_path: Path):
    times, time_base = constant_times(Fraction(25), 1)
    write_coded(tmp_path / "v.mp4", times, time_base)
    for isolated in (False, True):
        config = VideoConfig(isolated=isolated)
        for fit, is_beside in (("crop", False), ("squash", True)):
            ((_, jpeg), *_) = extract(tmp_path / "v.mp4", config, Geometry(fit=fit))
            column = simplejpeg.decode_jpeg(jpeg, colorspace="GRAY")[:, 30, 0].astype(int)
            assert bool(np.abs(column - 128).max() < 20) == is_beside


@pytest.mark.parametrize("fps", [0.5, 1.0, 5.0, 29.97, 60.0])
def test_other_target_rates(tmp_path: Path, fps):
    times, time_base = constant_times(NTSC, 6)
    write_coded(tmp_path / "v.mp4", times, time_base)
    stream = extract(tmp_path / "v.mp4", VideoConfig(fps=fps, isolated=False))
    assert numbers_of(stream) == expected_numbers(times, Fraction(str(fps)))


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt"),
    [
        ("v.mkv", "libx264", "yuv420p"),
        ("v.ts", "libx264", "yuv420p"),
        ("v.mpeg", "mpeg2video", "yuv420p"),
        ("v.avi", "mjpeg", "yuvj420p"),
        ("v.webm", "libvpx-vp9", "yuv420p"),
        ("v.mov", "libx264", "yuv444p"),
    ],
)
def test_containers_and_codecs(tmp_path: Path, name, codec, pix_fmt):
    times, time_base = constant_times(Fraction(25), 8)
    write_coded(tmp_path / name, times, time_base, codec=codec, pix_fmt=pix_fmt)
    probed = probed_times(tmp_path / name)
    assert len(probed) == len(times)
    assert numbers_of(extract(tmp_path / name)) == expected_numbers(probed)


def test_variable_rate(tmp_path: Path):
    ticks = np.cumsum([0, *np.random.default_rng(5).integers(200, 30000, 150)])
    times = [Fraction(int(tick), 90000) for tick in ticks]
    write_coded(tmp_path / "v.mp4", times, Fraction(1, 90000))
    assert numbers_of(extract(tmp_path / "v.mp4")) == expected_numbers(times)


def test_a_frozen_picture_stays_for_as_long_as_it_is_shown(tmp_path: Path):
    times = [Fraction(i, 30) for i in (*range(31), *range(150, 181))]
    write_coded(tmp_path / "v.mp4", times, Fraction(1, 30))
    assert numbers_of(extract(tmp_path / "v.mp4")) == [0, 15, 30, 30, 30, 30, 30, 30, 30, 30, 31, 46, 61]


@pytest.mark.parametrize("name", ["v.mkv", "v.mp4", "v.ts"])
def test_time_0_is_where_the_file_starts(tmp_path: Path, name):
    times = [Fraction(5, 2) + Fraction(i, 25) for i in range(100)]
    write_coded(tmp_path / name, times, Fraction(1, 50))
    stream = extract(tmp_path / name)
    assert numbers_of(stream) == [0, 12, 25, 37, 50, 62, 75, 87]
    assert stream.info()["sources"][0]["start_s"] >= 2.5


def test_sound_that_starts_earlier_sets_the_clock(tmp_path: Path):
    times, time_base = constant_times(Fraction(25), 4)
    write_coded(tmp_path / "v.mp4", times, time_base)
    sound = ["-f", "lavfi", "-i", "sine=duration=6"]
    late = ["-itsoffset", "1.2", "-i", str(tmp_path / "v.mp4")]
    command = ["ffmpeg", "-v", "error", *sound, *late, "-map", "1:v", "-map", "0:a", "-c:v", "copy"]
    subprocess.run([*command, "-c:a", "pcm_s16le", str(tmp_path / "late.mkv")], check=True)
    # the picture begins at 1.2 s: samples at 0, 0.5 and 1.0 show the first picture there is, 1.5 shows 0.3 s of it
    stream = extract(tmp_path / "late.mkv")
    assert numbers_of(stream) == [0, 0, 0, 7, 20, 32, 45, 57, 70, 82, 95]
    assert stream.info()["pts_s"][:4] == [1.2, 1.2, 1.2, 1.48]


@pytest.mark.parametrize("cut_s", ["1.3", "2.02", "0.9"])
def test_edit_list_hides_the_lead_in(tmp_path: Path, cut_s):
    times, time_base = constant_times(Fraction(30), 8)
    write_coded(tmp_path / "v.mp4", times, time_base)
    cut = ["-ss", cut_s, "-i", str(tmp_path / "v.mp4"), "-c", "copy", "-avoid_negative_ts", "disabled"]
    subprocess.run(["ffmpeg", "-v", "error", *cut, str(tmp_path / "cut.mp4")], check=True)
    probed = probed_times(tmp_path / "cut.mp4")
    shown = [read_number(picture) for picture in decoded_grey(tmp_path / "cut.mp4")]
    assert len(probed) == len(shown) and shown[0] > 0
    stream = extract(tmp_path / "cut.mp4")
    assert numbers_of(stream) == [shown[i] for i in expected_numbers(probed)]
    assert not stream.info()["partial"]


def test_joined_files_make_one_timeline(tmp_path: Path):
    first, time_base = constant_times(NTSC, 3.3)
    write_coded(tmp_path / "a.mp4", first, time_base)
    second, other_base = constant_times(Fraction(25), 4)
    write_coded(tmp_path / "b.mkv", second, other_base, first_number=1000)
    end = len(first) / NTSC
    probed = probed_times(tmp_path / "b.mkv")
    joined = [*first, *(end + time for time in probed)]
    names = [*range(len(first)), *range(1000, 1000 + len(second))]

    stream = extract_frames([tmp_path / "a.mp4", tmp_path / "b.mkv"], Geometry(), VideoConfig(isolated=False), False)
    assert numbers_of(stream) == [names[i] for i in expected_numbers(joined)]
    info = stream.info()
    assert [source["path"] for source in info["sources"]] == [str(tmp_path / "a.mp4"), str(tmp_path / "b.mkv")]
    assert info["readable_s"] == info["expected_s"] == pytest.approx(float(end + 4), abs=2e-3)
    assert info["pts_s"] == sorted(info["pts_s"])


def test_compat_keeps_every_stride_th_picture(tmp_path: Path):
    times, time_base = constant_times(NTSC, 10)
    write_coded(tmp_path / "v.mp4", times, time_base)
    numbers = numbers_of(extract(tmp_path / "v.mp4", compat=True))
    assert numbers == list(range(0, len(times), 14))
    assert len(numbers) == 22  # 2.14 a second, where the exact rule gives 20


def test_geometry_turns_counter_clockwise(tmp_path: Path):
    write_coded(tmp_path / "v.mp4", [Fraction(0)], Fraction(1, 30), first_number=1234)
    [(_, plain)] = extract(tmp_path / "v.mp4")
    [(_, turned)] = extract(tmp_path / "v.mp4", geometry=Geometry(rotation_deg=90))
    picture, turned_picture = (simplejpeg.decode_jpeg(jpeg, colorspace="GRAY")[:, :, 0] for jpeg in (plain, turned))
    assert read_number(picture) == 1234
    assert read_number(np.rot90(turned_picture, -1)) == 1234
    with pytest.raises(ItemError, match="45 degrees"):
        list(extract(tmp_path / "v.mp4", geometry=Geometry(rotation_deg=45)))


@pytest.mark.parametrize("size", [384, 224])
def test_frames_are_square_420_jpegs_and_always_the_same_bytes(tmp_path: Path, size):
    times, time_base = constant_times(Fraction(30), 1)
    write_coded(tmp_path / "v.mp4", times, time_base)
    config = VideoConfig(size=size, isolated=False)
    frames = list(extract(tmp_path / "v.mp4", config))
    assert frames == list(extract(tmp_path / "v.mp4", config))
    for _, jpeg in frames:
        assert simplejpeg.decode_jpeg_header(jpeg) == (size, size, "YCbCr", "420")
        assert Image.open(io.BytesIO(jpeg)).size == (size, size)


def test_info_is_known_only_at_the_end(tmp_path: Path):
    times, time_base = constant_times(Fraction(30), 2)
    write_coded(tmp_path / "v.mp4", times, time_base)
    stream = extract(tmp_path / "v.mp4")
    next(stream)
    with pytest.raises(RuntimeError, match="all frames"):
        stream.info()
    assert len(list(stream)) == 3
    assert stream.info()["num_frames"] == 4
    assert list(stream) == []


def test_a_stream_without_times_is_refused(tmp_path: Path):
    times, time_base = constant_times(Fraction(30), 2)
    write_coded(tmp_path / "v.h264", times, time_base)
    with pytest.raises(ItemError, match="no presentation times") as caught:
        list(extract(tmp_path / "v.h264"))
    assert caught.value.kind == Kind.PERMANENT


@pytest.mark.parametrize("share", [0.5, 0.8, 0.97])
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("v.mp4", {"movflags": "faststart"}),
        ("v.mkv", {}),
        ("v.mkv", {"live": "1"}),
        ("v.mp4", {"movflags": "frag_keyframe+empty_moov"}),
    ],
)
def test_a_cut_file_is_never_complete(tmp_path: Path, decoder: Decoder, name, options, share):
    times, time_base = constant_times(Fraction(30), 20)
    write_coded(tmp_path / name, times, time_base, container_options=options)
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(ItemError, match=r"only \d+\.\d\d s .*readable") as caught:
        list(decoder.extract([tmp_path / name], Geometry()))
    assert caught.value.kind == Kind.PERMANENT

    stream = extract(tmp_path / name, VideoConfig(accept_partial=True, isolated=False))
    numbers = numbers_of(stream)
    info = stream.info()
    assert info["partial"] and 0 < info["readable_s"] <= 20 * share + 1
    assert numbers == expected_numbers(times)[: len(numbers)]
    assert len(numbers) >= int(info["readable_s"] * 2)


def test_times_that_start_again_are_refused(tmp_path: Path):
    times, time_base = constant_times(Fraction(25), 5)
    for name in ("a.ts", "b.ts"):
        write_coded(tmp_path / name, times, time_base)
    (tmp_path / "glued.ts").write_bytes((tmp_path / "a.ts").read_bytes() + (tmp_path / "b.ts").read_bytes())
    with pytest.raises(ItemError, match="readable"):
        list(extract(tmp_path / "glued.ts"))


def test_a_hole_in_one_member_does_not_move_the_next(tmp_path: Path):
    times, time_base = constant_times(Fraction(30), 10)
    write_coded(tmp_path / "a.mp4", times, time_base, container_options={"movflags": "faststart"})
    whole = (tmp_path / "a.mp4").read_bytes()
    (tmp_path / "a.mp4").write_bytes(whole[: len(whole) // 2])
    write_coded(tmp_path / "b.mp4", times, time_base, first_number=2000)
    config = VideoConfig(accept_partial=True, isolated=False)
    stream = extract_frames([tmp_path / "a.mp4", tmp_path / "b.mp4"], Geometry(), config, False)
    numbers = numbers_of(stream)
    assert numbers[20:] == [2000 + n for n in expected_numbers(times)]
    assert stream.info()["partial"]


def test_a_slanted_display_matrix_fails_the_item(tmp_path: Path):
    write_coded(tmp_path / "v.mp4", [Fraction(0), Fraction(1, 30)], Fraction(1, 30))
    data = (tmp_path / "v.mp4").read_bytes()
    identity = struct.pack(">9i", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
    slanted = struct.pack(">9i", 46341, 46341, 0, -46341, 46341, 0, 0, 0, 1 << 30)
    at = data.index(identity, data.index(b"tkhd"))
    (tmp_path / "v.mp4").write_bytes(data[:at] + slanted + data[at + len(identity) :])
    with pytest.raises(ItemError, match=r"v\.mp4: .*multiple of 90") as caught:
        list(extract(tmp_path / "v.mp4"))
    assert caught.value.kind == Kind.PERMANENT
