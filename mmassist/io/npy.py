"""Arrays as ``.npy`` bytes: equal arrays, equal bytes."""

from __future__ import annotations

import io

import numpy as np


def npy_bytes(array: np.ndarray) -> bytes:
    """``array`` as a version 1.0 ``.npy`` file in C order."""
    out = io.BytesIO()
    np.lib.format.write_array(out, np.ascontiguousarray(array), version=(1, 0), allow_pickle=False)
    return out.getvalue()
