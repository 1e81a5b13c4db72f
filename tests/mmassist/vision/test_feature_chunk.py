import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmassist.io.npy import npy_bytes
from mmassist.vision.feature_chunk import ChunkCutter

pytestmark = pytest.mark.long


@given(st.lists(st.integers(0, 40), max_size=12), st.integers(1, 25))
def test_chunks_hold_every_row_once_and_in_order(pieces, chunk_frames):
    total = sum(pieces)
    rows = np.arange(total, dtype=np.float16).reshape(total, 1, 1)
    cutter = ChunkCutter(chunk_frames, ["cls", "2x2"])
    members, start = [], 0
    for piece in pieces:
        part = rows[start : start + piece]
        members += cutter.add({"cls": part, "2x2": np.repeat(part, 4, axis=1), "unused": part})
        start += piece
    members += cutter.finish()
    assert cutter.num_rows == total
    names = [name for name, _ in members]
    assert names == sorted(names)
    assert names == [f"{i:06d}.{p}.npy" for i in range(-(-total // chunk_frames)) for p in ("2x2", "cls")]
    arrays = [np.load(io.BytesIO(data)) for name, data in members if name.endswith(".cls.npy")]
    assert all(len(array) == chunk_frames for array in arrays[:-1])
    if total:
        assert np.array_equal(np.concatenate(arrays), rows)


def test_npy_bytes_do_not_depend_on_the_layout_in_memory():
    array = np.arange(24, dtype=np.float16).reshape(2, 3, 4)
    assert npy_bytes(np.asfortranarray(array)) == npy_bytes(array) == npy_bytes(array[:, ::-1][:, ::-1])
    assert npy_bytes(array)[:8] == b"\x93NUMPY\x01\x00"
    loaded = np.load(io.BytesIO(npy_bytes(array)))
    assert loaded.dtype == np.float16 and loaded.flags.c_contiguous
