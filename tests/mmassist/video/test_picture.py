from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
import pytest
import simplejpeg

from mmassist.core.errors import ItemError
from mmassist.core.item import UPRIGHT, Geometry
from mmassist.video.picture import PictureEncoder
from tools.bench import picture_quality

pytestmark = pytest.mark.long

MATRICES = {1: (0.2126, 0.0722), 5: (0.299, 0.114)}  # BT.709 and BT.601: weights of red and blue in the brightness


def colour_frame(rgb: tuple[int, int, int], matrix: int, full_range: bool, pix_fmt: str = "yuv420p") -> av.VideoFrame:
    """A picture of one colour, converted by the textbook formulas and tagged accordingly."""
    kr, kb = MATRICES[matrix]
    red, green, blue = (value / 255 for value in rgb)
    y = kr * red + (1 - kr - kb) * green + kb * blue
    u, v = (blue - y) / (2 - 2 * kb), (red - y) / (2 - 2 * kr)
    if full_range:
        values = 255 * y, 255 * u + 128, 255 * v + 128
    else:
        values = 219 * y + 16, 224 * u + 128, 224 * v + 128
    depth, dtype = (4, "<u2") if "10" in pix_fmt else (1, "u1")
    frame = av.VideoFrame(96, 64, pix_fmt)
    for plane, value in zip(frame.planes, values, strict=True):
        plane.update(np.full(plane.buffer_size // np.dtype(dtype).itemsize, round(value * depth), dtype).tobytes())
    frame.colorspace, frame.color_range = matrix, 2 if full_range else 1
    return frame


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv444p", "yuv420p10le", "yuv422p"])
@pytest.mark.parametrize("full_range", [False, True])
@pytest.mark.parametrize("matrix", [1, 5])
@pytest.mark.parametrize("rgb", [(200, 40, 60), (30, 160, 70), (255, 255, 255), (0, 0, 0), (20, 50, 220)])
def test_a_jpeg_reader_sees_the_filmed_colour(rgb, matrix, full_range, pix_fmt):
    jpeg = PictureEncoder(64, 95, UPRIGHT).encode(colour_frame(rgb, matrix, full_range, pix_fmt), None)
    seen = simplejpeg.decode_jpeg(jpeg)
    assert np.abs(seen.astype(int) - rgb).max() <= 4


@pytest.mark.parametrize("pix_fmt", ["gray", "gray10le", "rgb24", "bgra", "gbrp", "pal8", "yuva420p", "nv12"])
def test_every_kind_of_picture_comes_out_right(pix_fmt):
    ramp = np.repeat(np.linspace(20, 235, 64).astype(np.uint8)[None, :, None], 64, 0).repeat(3, 2)
    frame = av.VideoFrame.from_ndarray(ramp, format="rgb24")
    if pix_fmt == "pal8":
        frame = frame.reformat(format="rgb8")
    frame = frame.reformat(format=pix_fmt) if pix_fmt != "pal8" else frame
    seen = simplejpeg.decode_jpeg(PictureEncoder(64, 95, UPRIGHT).encode(frame, None)).astype(int)
    assert np.abs(seen - ramp).mean() < (12 if pix_fmt == "pal8" else 2.5)


@pytest.mark.parametrize(
    ("width", "height"), [(641, 359), (367, 367), (359, 641), (535, 376), (17, 16), (1, 1), (95, 2)]
)
def test_odd_sizes_have_no_dark_border(width, height):
    frame = av.VideoFrame.from_ndarray(np.full((height, width, 3), 180, np.uint8), format="rgb24")
    seen = simplejpeg.decode_jpeg(PictureEncoder(384, 90, UPRIGHT).encode(frame.reformat(format="yuv444p"), None))
    assert seen.shape == (384, 384, 3)
    assert np.abs(seen.astype(int) - 180).max() <= 4


def test_the_square_is_the_middle_of_what_is_shown():
    stored = np.zeros((60, 120), np.uint8)
    stored[:, 38:83] = 200  # with pixels 4:3 wide, the square on the screen is 45 of the 120 columns
    frame = av.VideoFrame.from_ndarray(stored, format="gray")
    seen = simplejpeg.decode_jpeg(PictureEncoder(64, 95, UPRIGHT).encode(frame, Fraction(4, 3)), colorspace="GRAY")[
        :, :, 0
    ]
    assert seen[:, 2:-3].min() > 190
    plain = simplejpeg.decode_jpeg(PictureEncoder(64, 95, UPRIGHT).encode(frame, None), colorspace="GRAY")[:, :, 0]
    assert plain[:, 3].max() < 20 and plain[:, 32].min() > 190


def test_squash_scales_the_whole_stored_picture_whatever_the_shape_of_its_pixels():
    stored = np.full((60, 120), 20, np.uint8)
    stored[:, :30], stored[:, 90:] = 230, 120
    frame = av.VideoFrame.from_ndarray(stored, format="gray")
    for aspect in (None, Fraction(4, 3)):
        jpeg = PictureEncoder(64, 95, Geometry(fit="squash")).encode(frame, aspect)
        seen = simplejpeg.decode_jpeg(jpeg, colorspace="GRAY")[:, :, 0].astype(int)
        assert seen[:, :14].min() > 220 and seen[:, 18:46].max() < 30 and np.abs(seen[:, 50:] - 120).max() < 10
    turned = PictureEncoder(64, 95, Geometry(90, "squash")).encode(frame, None)
    seen = simplejpeg.decode_jpeg(turned, colorspace="GRAY")[:, :, 0]
    assert seen[50:].min() > 220 and seen[18:46].max() < 30  # what was left lies at the bottom


@pytest.mark.parametrize(("geometry", "said"), [(Geometry(45), "45 degrees"), (Geometry(fit="pad"), "crop or squash")])
def test_an_impossible_geometry_is_named(geometry, said):
    frame = av.VideoFrame.from_ndarray(np.zeros((8, 8), np.uint8), format="gray")
    with pytest.raises(ItemError, match=said):
        PictureEncoder(64, 95, geometry).encode(frame, None)


def test_the_size_may_change_in_the_middle():
    encoder = PictureEncoder(64, 95, UPRIGHT)
    for width, height, value in ((640, 360, 50), (320, 180, 120), (640, 360, 200)):
        frame = av.VideoFrame.from_ndarray(np.full((height, width), value, np.uint8), format="gray")
        seen = simplejpeg.decode_jpeg(encoder.encode(frame, None), colorspace="GRAY")
        assert np.abs(seen.astype(int) - value).max() <= 2


@pytest.mark.parametrize(("untagged_matrix", "matrix"), [("bt601", 5), ("bt709", 1)])
def test_a_source_without_a_matrix_is_read_as_the_setting_says(untagged_matrix, matrix):
    frame = colour_frame((30, 160, 70), matrix, False)
    frame.colorspace = 2
    tagged = colour_frame((30, 160, 70), 6 - matrix, False)
    encoder = PictureEncoder(64, 95, UPRIGHT, untagged_matrix)
    for picture in (frame, tagged):  # a source that says its own is believed
        seen = simplejpeg.decode_jpeg(encoder.encode(picture, None))
        assert np.abs(seen.astype(int) - (30, 160, 70)).max() <= 4


@pytest.mark.parametrize("kind", picture_quality.KINDS, ids=lambda kind: kind.name)
def test_stored_pictures_come_near_an_accurate_conversion(sample_data, tmp_path, kind):
    path = picture_quality.make_source(kind, sample_data / "video" / "ego_kitchen_a.mp4", 540, tmp_path, 1.0)
    mean, least, similarity = picture_quality.measure(path, picture_quality.stored)
    assert mean >= 38 and least >= 37 and similarity >= 0.98
    reference, _, reference_similarity = picture_quality.measure(path, picture_quality.as_reference)
    assert mean > reference + 2 and similarity > reference_similarity
