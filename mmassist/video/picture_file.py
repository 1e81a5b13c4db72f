"""A picture file to the JPEG that is stored: which files are read, in which colours, which way up."""

from __future__ import annotations

import struct
import warnings
import zlib
from collections.abc import Generator
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mmassist.core.errors import ItemError, Kind
from mmassist.core.fingerprint import bytes_digest
from mmassist.core.item import Geometry
from mmassist.video.config import VideoConfig
from mmassist.video.geometry import Orientation, fitted_box, quarter_turns
from mmassist.video.source import check_file

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_PIXELS = 128_000_000  # above any camera's; with alpha 1.5 GB while it is decoded
MAX_BYTES = 1 << 30

# Named one by one: among the others are formats that start a program (EPS) or open further files.
_FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "PPM", "JPEG2000", "AVIF")

# What the readers of the formats raise on damaged data, by experience more than by their documentation.
_DAMAGE = (
    *(OSError, SyntaxError, ValueError, LookupError, ArithmeticError, TypeError, EOFError, RuntimeError),
    *(struct.error, zlib.error),
)
_EXIF_ORIENTATION = 0x0112
_BEGINNINGS = (b"\xff\xd8\xff", b"\x89PNG\r\n", b"GIF87a", b"GIF89a")  # of JPEG, PNG and GIF files
_HEIF_BRANDS = (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1")


def decode_picture(
    path: Path, geometry: Geometry, config: VideoConfig
) -> Generator[tuple[int, bytes], None, dict[str, Any]]:
    """Yield a picture file as frame 0; the return value says what it is (plain JSON values).

    That is ``digest``, ``format``, and ``width`` and ``height`` as shown. Of an animation the first picture counts.
    Raises ItemError: PERMANENT for what is no whole picture, TRANSIENT when the disk does not answer.
    """
    turns = quarter_turns(geometry.rotation_deg)
    data = _read_bytes(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a large picture, a broken EXIF entry
            square, facts = _render_square(data, geometry.fit, config.size)
    except _Unusable as error:
        raise ItemError(Kind.PERMANENT, f"{path}: {error}") from error
    yield 0, _encode(np.rot90(square, turns), config.jpeg_quality)
    return {"digest": bytes_digest(data), **facts}


class _Unusable(Exception):
    """Why there is no picture in a file."""


def _read_bytes(path: Path) -> bytes:
    if check_file(path, "picture") > MAX_BYTES:
        raise ItemError(Kind.PERMANENT, f"{path}: larger than {MAX_BYTES >> 20} MiB, no picture to be read whole")
    try:
        return path.read_bytes()
    except OSError as error:
        raise ItemError(Kind.TRANSIENT, f"{path}: {error.strerror}") from error


def _render_square(data: bytes, fit: str, size: int) -> tuple[np.ndarray, dict[str, Any]]:
    """The picture as shown, uint8 ``[size, size, 3]``, and facts about the file."""
    from PIL import Image

    try:
        with Image.open(BytesIO(data), formats=_FORMATS) as opened:
            width, height = opened.size
            if width * height > MAX_PIXELS:
                raise _Unusable(f"{width} x {height} pixels are more than {MAX_PIXELS // 10**6} million")
            image = _load(opened, data)
            orientation = _exif_orientation(opened)  # after loading: of TIFF files Pillow has turned the pixels itself
            x, y, width, height = fitted_box(fit, *image.size)
            part = _to_eight_bits(image.crop((x, y, x + width, y + height)))
            scaled = np.asarray(_over_white(part.resize((size, size), Image.Resampling.BICUBIC)))
            shown = image.size[::-1] if orientation.transpose else image.size
            facts = {"format": str(opened.format), "width": shown[0], "height": shown[1]}
    except Image.DecompressionBombError as error:
        raise _Unusable(f"more than {MAX_PIXELS // 10**6} million pixels") from error
    except Image.UnidentifiedImageError as error:
        raise _Unusable(_why_unknown(data)) from error
    except _DAMAGE as error:
        raise _Unusable(f"damaged ({' '.join(str(error).split()) or type(error).__name__})") from error
    return orientation.apply(scaled), facts


def _load(opened: Image, data: bytes) -> Image:
    """The pixels, decoded to the end of the file.

    Pillow passes silently over broken data inside of a JPEG and shows grey or smeared blocks; libjpeg-turbo's own
    interface tells. Both give the same pixels of a sound file.
    """
    from PIL import Image

    if opened.format in ("JPEG", "MPO"):
        import simplejpeg

        is_print = opened.mode == "CMYK"  # its many conventions are Pillow's to know
        colours = "CMYK" if is_print else "RGB"
        pixels = simplejpeg.decode_jpeg(data, colours, fastdct=False, fastupsample=False, strict=True)
        if not is_print:
            return Image.fromarray(pixels)
    opened.load()
    return opened


def _to_eight_bits(image: Image) -> Image:
    """A picture in a mode that can be scaled: RGB, or RGBA where something is transparent."""
    from PIL import Image

    if image.mode == "RGB" and not image.has_transparency_data:
        return image
    if image.mode == "F":
        raise _Unusable("its pixels are real numbers, of which nobody knows black and white")
    if image.mode.startswith("I"):
        # 16 bits of grey; Pillow's own conversion takes everything above 255 for white
        grey = np.asarray(image).astype(np.int64).clip(0, 65535) >> 8
        image = Image.fromarray(grey.astype(np.uint8))
    return image.convert("RGBA" if image.has_transparency_data else "RGB")


def _over_white(image: Image) -> Image:
    """Paper behind what is transparent. After scaling, which weighs colours by their alpha: then it is the same."""
    from PIL import Image

    if image.mode == "RGB":
        return image
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")


def _exif_orientation(opened: Image) -> Orientation:
    """How the camera was held; upright where the entry is absent or broken."""
    try:
        return Orientation.from_exif(opened.getexif().get(_EXIF_ORIENTATION))
    except _DAMAGE:
        return Orientation()


def _encode(square: np.ndarray, quality: int) -> bytes:
    import simplejpeg

    return simplejpeg.encode_jpeg(np.ascontiguousarray(square), quality, colorspace="RGB", colorsubsampling="420")


def _why_unknown(data: bytes) -> str:
    if data[4:8] == b"ftyp" and data[8:12] in _HEIF_BRANDS:
        return "a HEIF picture (HEIC), for which there is no reader"
    if data.startswith(_BEGINNINGS):
        return "damaged (its first part is not whole)"
    return "not a picture in any known format"
