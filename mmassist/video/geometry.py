"""Where the square lies in a picture and how it is turned. Pure arithmetic on sizes and planes."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from mmassist.core.errors import ItemError, Kind


class Box(NamedTuple):
    """A rectangle of a stored picture, in its pixels."""

    x: int
    y: int
    width: int
    height: int


def centre_square(width: int, height: int, aspect: Fraction = Fraction(1), grid: tuple[int, int] = (1, 1)) -> Box:
    """The largest centred rectangle that is a square on the screen.

    ``aspect`` is the sample aspect ratio (width of a shown pixel by its height). The corner is rounded down to
    ``grid``, the size in pixels of one colour sample, so that brightness and colour are cut at the same place.
    """
    shown_width = width * aspect
    if shown_width >= height:
        box_width, box_height = min(width, max(1, round(height / aspect))), height
    else:
        box_width, box_height = width, min(height, max(1, round(shown_width)))
    x, y = (width - box_width) // 2, (height - box_height) // 2
    return Box(x - x % grid[0], y - y % grid[1], box_width, box_height)


def fitted_box(
    fit: str, width: int, height: int, aspect: Fraction = Fraction(1), grid: tuple[int, int] = (1, 1)
) -> Box:
    """The part of a picture that becomes the square: the centred one (``crop``) or all of it (``squash``).

    Raises ItemError(PERMANENT) for any other ``fit``.
    """
    if fit == "squash":
        return Box(0, 0, width, height)
    if fit != "crop":
        raise ItemError(Kind.PERMANENT, f"geometry.fit is {fit!r}; it must be crop or squash")
    return centre_square(width, height, aspect, grid)


def quarter_turns(rotation_deg: int) -> int:
    """How often to turn by 90 degrees, 0 to 3. Raises ItemError(PERMANENT) for any other turn."""
    if rotation_deg % 90:
        raise ItemError(Kind.PERMANENT, f"a turn by {rotation_deg} degrees: only multiples of 90 are possible")
    return rotation_deg // 90 % 4


def reference_resize(width: int, height: int, size: int = 384) -> Box:
    """The reference's geometry: the scaled size, and the corner of the crop in it.

    It scales until both sides cover the square, cutting the product to an integer, then crops the middle. Because of
    the cut the short side can come out as ``size - 1`` (a source 367 pixels high), which it then pads with a black
    line. Kept for comparison; extraction crops first and never scales to anything but the full square.
    """
    scale = max(size / width, size / height)
    scaled_width, scaled_height = int(width * scale), int(height * scale)
    return Box((scaled_width - size) // 2, (scaled_height - size) // 2, scaled_width, scaled_height)


_EXIF_FLIPS = {  # transpose, flip_x, flip_y
    2: (False, True, False),
    3: (False, True, True),
    4: (False, False, True),
    5: (True, False, False),
    6: (True, True, False),
    7: (True, True, True),
    8: (True, False, True),
}


@dataclass(frozen=True)
class Orientation:
    """One of the eight ways a picture can lie: swap of the axes first, then mirroring of the result."""

    transpose: bool = False
    flip_x: bool = False
    flip_y: bool = False

    @classmethod
    def from_display_matrix(cls, matrix: bytes) -> Orientation:
        """Read the nine 32-bit numbers of a display matrix (ISO/IEC 14496-12, track header).

        A stored point (x, y) is shown at ``(a x + c y, b x + d y)``. Raises ValueError for any turn that is not a
        multiple of 90 degrees.
        """
        a, b, _, c, d = struct.unpack_from("=5i", matrix)
        if b == c == 0 and a and d:
            return cls(False, a < 0, d < 0)
        if a == d == 0 and b and c:
            return cls(True, c < 0, b < 0)
        raise ValueError("the display matrix is not a turn by a multiple of 90 degrees")

    @classmethod
    def from_exif(cls, value: object) -> Orientation:
        """Read Exif's orientation (1 to 8: the corner and side that the first row and column lie at).

        Anything else, and no such entry, is upright.
        """
        return cls(*_EXIF_FLIPS.get(value, ())) if isinstance(value, int) else cls()

    @property
    def rotation_deg(self) -> int:
        """Counter-clockwise turn, 0 to 270; of a mirrored picture, the turn before left and right are swapped."""
        return {(False, False): 0, (True, True): 90, (False, True): 180, (True, False): 270}[
            (self.transpose, self.flip_y)
        ]

    @property
    def is_mirrored(self) -> bool:
        return self.transpose ^ self.flip_x ^ self.flip_y

    def apply(self, plane: np.ndarray) -> np.ndarray:
        """Turn a ``[height, width]`` plane, or one with colours behind (a view of it)."""
        turned = plane.swapaxes(0, 1) if self.transpose else plane
        return turned[:: -1 if self.flip_y else 1, :: -1 if self.flip_x else 1]
