"""Decode stored JPEG frames into the rows of a batch."""

from __future__ import annotations

import numpy as np

from mmassist.core.errors import ItemError, Kind


def new_batch(num_rows: int, size: int) -> np.ndarray:
    """A batch of black pictures, uint8 ``[num_rows, size, size, 3]``; rows that stay so are padding."""
    return np.zeros((num_rows, size, size, 3), np.uint8)


def decode_frame(data: bytes, name: str, row: np.ndarray) -> None:
    """Decode one JPEG to RGB into ``row`` (uint8 ``[size, size, 3]``).

    Full-quality transforms: the fast ones differ from what other decoders give. Raises ItemError, permanent, naming
    the frame, when it is damaged or of another size.
    """
    import simplejpeg

    try:
        height, width, _, _ = simplejpeg.decode_jpeg_header(data)
        if (height, width) != row.shape[:2]:
            raise ItemError(Kind.PERMANENT, f"frame {name} is {width}x{height}, not {row.shape[1]}x{row.shape[0]}")
        simplejpeg.decode_jpeg(data, colorspace="RGB", fastdct=False, fastupsample=False, buffer=row)
    except ValueError as error:
        raise ItemError(Kind.PERMANENT, f"frame {name} is not a whole JPEG: {error}") from error
