"""Arrays as ``.npy`` bytes: equal arrays, equal bytes; and back without a copy."""

from __future__ import annotations

import functools
import io

import numpy as np


def npy_bytes(array: np.ndarray) -> bytes:
    """``array`` as a version 1.0 ``.npy`` file in C order."""
    out = io.BytesIO()
    np.lib.format.write_array(out, np.ascontiguousarray(array), version=(1, 0), allow_pickle=False)
    return out.getvalue()


def view_npy(data: bytes | np.ndarray) -> np.ndarray:
    """The array whose ``.npy`` file ``data`` is, bytes or a uint8 array, on the same memory.

    Raises ValueError for anything but a version 1.0 file in C order, of as many bytes as its header says.
    """
    data = np.frombuffer(data, np.uint8)
    start = 10 + int.from_bytes(data[8:10].tobytes(), "little")
    dtype, shape = _read_header(data[:start].tobytes())
    return data[start:].view(dtype).reshape(shape)


@functools.lru_cache(maxsize=8192)  # arrays of a folder differ in length at most
def _read_header(header: bytes) -> tuple[np.dtype, tuple[int, ...]]:
    file = io.BytesIO(header)
    if np.lib.format.read_magic(file) != (1, 0):
        raise ValueError("not version 1.0 of the npy format")
    shape, is_fortran, dtype = np.lib.format.read_array_header_1_0(file)
    if is_fortran or dtype.hasobject:
        raise ValueError(f"an array of {dtype}{' in Fortran order' if is_fortran else ''} is not read")
    return dtype, shape
