"""Arrays as ``.npy`` bytes: equal arrays, equal bytes."""

from __future__ import annotations

import io

import numpy as np


def npy_bytes(array: np.ndarray) -> bytes:
    """``array`` as a version 1.0 ``.npy`` file in C order."""
    out = io.BytesIO()
    np.lib.format.write_array(out, np.ascontiguousarray(array), version=(1, 0), allow_pickle=False)
    return out.getvalue()


def view_npy(data: bytes) -> np.ndarray:
    """The array in the bytes of a version 1.0 ``.npy`` file in C order, read-only and without a copy.

    Raises ValueError for any other bytes.
    """
    file = io.BytesIO(data)
    version = np.lib.format.read_magic(file)
    if version != (1, 0):
        raise ValueError(f"version {version} of .npy; only 1.0 is written here")
    shape, is_fortran, dtype = np.lib.format.read_array_header_1_0(file)
    if is_fortran or dtype.hasobject:
        raise ValueError("not an array as it is written here: plain numbers in C order")
    return np.frombuffer(data, dtype, offset=file.tell()).reshape(shape)
