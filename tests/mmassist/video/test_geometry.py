from __future__ import annotations

import struct
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmassist.video.geometry import Box, Orientation, centre_square, fitted_box, reference_resize

sides = st.integers(min_value=1, max_value=4000)


@pytest.mark.parametrize(
    ("width", "height", "expected"),
    [
        (1920, 1080, Box(149, 0, 682, 384)),
        (640, 480, Box(64, 0, 512, 384)),
        (480, 640, Box(0, 64, 384, 512)),
    ],
)
def test_reference_resize(width, height, expected):
    assert reference_resize(width, height) == expected


def test_reference_resize_can_lose_a_line():
    assert reference_resize(640, 367).height == 383


@given(sides, sides, st.sampled_from([(1, 1), (2, 2), (2, 1), (4, 1)]))
def test_square_pixels_give_the_largest_square_in_the_middle(width, height, grid):
    box = centre_square(width, height, Fraction(1), grid)
    side = min(width, height)
    assert (box.width, box.height) == (side, side)
    assert box.x % grid[0] == 0 and box.y % grid[1] == 0
    assert 0 <= (width - side) / 2 - box.x < grid[0]
    assert 0 <= (height - side) / 2 - box.y < grid[1]


@given(sides, sides, st.fractions(min_value=Fraction(1, 8), max_value=8, max_denominator=100))
def test_other_pixels_give_a_square_on_the_screen(width, height, aspect):
    box = centre_square(width, height, aspect)
    assert box.x >= 0 and box.y >= 0 and box.x + box.width <= width and box.y + box.height <= height
    assert box.width == width or box.height == height
    assert abs(box.width * aspect - box.height) <= max(aspect, 1)


def test_anamorphic_picture():
    # 480 x 360 stored, shown as 640 x 360: the square is 270 stored pixels wide
    assert centre_square(480, 360, Fraction(4, 3)) == Box(105, 0, 270, 360)


def test_squash_takes_everything():
    assert fitted_box("squash", 480, 360, Fraction(4, 3), (2, 2)) == Box(0, 0, 480, 360)
    assert fitted_box("crop", 480, 360, Fraction(4, 3)) == centre_square(480, 360, Fraction(4, 3))


@pytest.mark.parametrize("value", [None, 0, 1, 9, -3, "6", (6,)])
def test_exif_without_a_meaning_is_upright(value):
    assert Orientation.from_exif(value) == Orientation()


@pytest.mark.parametrize(
    ("value", "degrees", "mirrored"), [(3, 180, False), (6, 270, False), (8, 90, False), (2, 0, True)]
)
def test_exif_turns(value, degrees, mirrored):
    orientation = Orientation.from_exif(value)
    assert (orientation.rotation_deg, orientation.is_mirrored) == (degrees, mirrored)


def matrix(a: int, b: int, c: int, d: int) -> bytes:
    one = 1 << 16
    return struct.pack("=9i", a * one, b * one, 0, c * one, d * one, 0, 0, 0, 1 << 30)


@pytest.mark.parametrize(
    ("values", "rotation_deg", "mirrored"),
    [
        ((1, 0, 0, 1), 0, False),
        ((0, -1, 1, 0), 90, False),
        ((-1, 0, 0, -1), 180, False),
        ((0, 1, -1, 0), 270, False),
        ((-1, 0, 0, 1), 0, True),
        ((1, 0, 0, -1), 180, True),
        ((0, 1, 1, 0), 270, True),
        ((0, -1, -1, 0), 90, True),
    ],
)
def test_display_matrix_moves_every_point_where_it_says(values, rotation_deg, mirrored):
    a, b, c, d = values
    orientation = Orientation.from_display_matrix(matrix(*values))
    assert (orientation.rotation_deg, orientation.is_mirrored) == (rotation_deg, mirrored)
    stored = np.arange(6).reshape(2, 3)
    shown = orientation.apply(stored)
    points = {(a * x + c * y, b * x + d * y): stored[y, x] for y in range(2) for x in range(3)}
    left, top = min(x for x, _ in points), min(y for _, y in points)
    assert shown.shape == ((2, 3) if a else (3, 2))
    for (x, y), value in points.items():
        assert shown[y - top, x - left] == value
    turned = np.rot90(stored, rotation_deg // 90)
    assert np.array_equal(shown, turned[:, ::-1] if mirrored else turned)


def test_a_slanted_display_matrix_is_refused():
    with pytest.raises(ValueError, match="multiple of 90"):
        Orientation.from_display_matrix(struct.pack("=9i", 46341, 46341, 0, -46341, 46341, 0, 0, 0, 1 << 30))
