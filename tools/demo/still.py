"""Numbered pictures as single files, in the shapes and colour modes that collections from the web hold."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mmassist.io.atomic import commit
from tools.demo.frame_code import HEIGHT, WIDTH, draw_picture
from tools.demo.publication import Writer
from tools.demo.video import COLOURS

if TYPE_CHECKING:
    from PIL import Image

_QUALITY = 85


def stretched_writer(number: int, size: tuple[int, int], mode: str = "RGB", kind: str = "JPEG") -> Writer:
    """Writes picture ``number``, whose square fills ``size`` (width, height) whatever becomes of its proportions."""
    return lambda path: _write(path, _encode(draw_square(number).resize(size), mode, kind))


def framed_writer(number: int, size: tuple[int, int]) -> Writer:
    """Writes picture ``number`` with its square in the centre of ``size``, as large as fits."""

    def write(path: Path) -> None:
        from PIL import Image

        side = min(size)
        canvas = Image.new("RGB", size, (90, 100, 110))
        canvas.paste(draw_square(number).resize((side, side)), ((size[0] - side) // 2, (size[1] - side) // 2))
        _write(path, _encode(canvas, "RGB", "JPEG"))

    return write


def broken_writer(number: int, size: tuple[int, int]) -> Writer:
    """Writes the first third of a JPEG file, as an interrupted download leaves it."""

    def write(path: Path) -> None:
        content = _encode(draw_square(number).resize(size), "RGB", "JPEG")
        _write(path, content[: len(content) // 3])

    return write


def draw_square(number: int) -> Image.Image:
    """The central square of picture ``number``, in RGB."""
    from PIL import Image

    planes = draw_picture(number, 0.5, 60 + 10 * (number % 7), COLOURS[number % len(COLOURS)])
    chroma = planes[HEIGHT:].reshape(2, HEIGHT // 2, WIDTH // 2).repeat(2, axis=1).repeat(2, axis=2)
    left = (WIDTH - HEIGHT) // 2
    square = np.stack([planes[:HEIGHT], *chroma], axis=-1)[:, left : left + HEIGHT]
    return Image.fromarray(np.ascontiguousarray(square), "YCbCr").convert("RGB")


def _encode(image: Image.Image, mode: str, kind: str) -> bytes:
    buffer = io.BytesIO()
    if kind == "JPEG":
        image.convert(mode).save(buffer, kind, quality=_QUALITY)
    else:
        image.convert(mode).save(buffer, kind)
    return buffer.getvalue()


def _write(path: Path, content: bytes) -> None:
    with commit(path) as file:
        file.write(content)
