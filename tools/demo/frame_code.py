"""Pictures that carry their own number: large digits for people, black and white cells for programs.

Everything lies inside the central square, so number and code survive the crop to 384 x 384 pixels.
"""

from __future__ import annotations

import numpy as np

WIDTH, HEIGHT = 320, 180
COLUMNS, CELL_HEIGHT = 12, 14  # two rows of twelve cells: 16 bits of number, 8 of check
CELL_WIDTH = HEIGHT // COLUMNS
CODE_TOP = 6
ROW_STEP = 18
DIGIT_TOP, DIGIT_SCALE, NUM_DIGITS = 62, 6, 4
MAX_NUMBER = 10**NUM_DIGITS - 1
BLACK, WHITE = 16, 235  # video levels

_LEFT = (WIDTH - HEIGHT) // 2
_GLYPHS = (  # 5 x 7 points, one row of points per five bits
    "01110 10001 10011 10101 11001 10001 01110",
    "00100 01100 00100 00100 00100 00100 01110",
    "01110 10001 00001 00010 00100 01000 11111",
    "11111 00010 00100 00010 00001 10001 01110",
    "00010 00110 01010 10010 11111 00010 00010",
    "11111 10000 11110 00001 00001 10001 01110",
    "00110 01000 10000 11110 10001 10001 01110",
    "11111 00001 00010 00100 01000 01000 01000",
    "01110 10001 10001 01110 10001 10001 01110",
    "01110 10001 10001 01111 00001 00010 01100",
)


def _draw_digit(glyph: str) -> np.ndarray:
    points = np.array([[int(bit) for bit in row] + [0] for row in glyph.split()], np.uint8)
    return np.kron(points, np.ones((DIGIT_SCALE, DIGIT_SCALE), np.uint8))


_DIGITS = [_draw_digit(glyph) for glyph in _GLYPHS]


def draw_picture(number: int, share: float, brightness: int, colour: tuple[int, int]) -> np.ndarray:
    """Draw a picture as planes of yuv420p, uint8 ``[270, 320]``.

    ``share`` (0 to 1) is the length of the bar at the bottom; ``brightness`` and ``colour`` (U, V) are those of the
    background and mark the step that is going on. Raises ValueError for a number that four digits cannot show.
    """
    if not 0 <= number <= MAX_NUMBER:
        raise ValueError(f"number is {number}; it must lie between 0 and {MAX_NUMBER}")
    planes = np.empty((HEIGHT * 3 // 2, WIDTH), np.uint8)
    planes[:HEIGHT] = brightness
    chroma = planes[HEIGHT:].reshape(2, -1)
    chroma[0], chroma[1] = colour
    square = planes[:HEIGHT, _LEFT : _LEFT + HEIGHT]
    bits = np.array([int(bit) for bit in f"{_word(number):024b}"], bool).reshape(2, COLUMNS)
    for row, values in enumerate(bits):
        top = CODE_TOP + row * ROW_STEP
        square[top : top + CELL_HEIGHT] = np.repeat(np.where(values, WHITE, BLACK), CELL_WIDTH)
    left = (HEIGHT - NUM_DIGITS * _DIGITS[0].shape[1]) // 2
    for digit in f"{number:0{NUM_DIGITS}d}":
        shape = _DIGITS[int(digit)]
        place = square[DIGIT_TOP : DIGIT_TOP + shape.shape[0], left : left + shape.shape[1]]
        place[shape > 0] = WHITE
        left += shape.shape[1]
    planes[HEIGHT - 12 : HEIGHT - 6, : round(WIDTH * share)] = WHITE
    return planes


def read_number(picture: np.ndarray) -> int | None:
    """Read the number from a grey picture ``[height, width]``, cropped to its central square or not, of any size.

    None when the check does not fit, as in a picture that is damaged, turned or not one of ours.
    """
    height, width = picture.shape
    square = picture[:, (width - height) // 2 : (width - height) // 2 + height]
    scale = height / HEIGHT
    word = 0
    for row in range(2):
        y = (CODE_TOP + row * ROW_STEP + CELL_HEIGHT / 2) * scale
        for column in range(COLUMNS):
            x = (column + 0.5) * CELL_WIDTH * scale
            patch = square[int(y - scale) : int(y + scale) + 1, int(x - scale) : int(x + scale) + 1]
            word = word << 1 | int(patch.mean() > (BLACK + WHITE) / 2)
    number = word >> 8
    return number if _word(number) == word else None


def _word(number: int) -> int:
    """The number and eight bits that belong to it; neither all black nor all white is a valid code."""
    return number << 8 | (number * 151 >> 3 ^ number ^ 0xA5) & 0xFF
