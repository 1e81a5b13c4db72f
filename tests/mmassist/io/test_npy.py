from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmassist.io.npy import npy_bytes, view_npy


@given(st.lists(st.integers(0, 5), min_size=1, max_size=3), st.sampled_from(["<i4", "<f2", "<i8", "|u1"]))
def test_arrays_come_back_without_a_copy(shape, dtype):
    array = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
    data = np.frombuffer(bytearray(npy_bytes(array)), np.uint8)
    found = view_npy(data)
    assert found.dtype == array.dtype and np.array_equal(found, array) and found.shape == array.shape
    assert found.size == 0 or np.shares_memory(found, data)


def test_arrays_in_bytes_are_read_only():
    found = view_npy(npy_bytes(np.arange(5)))
    assert found.tolist() == [0, 1, 2, 3, 4] and not found.flags.writeable


def test_other_forms_are_refused():
    out = io.BytesIO()
    np.save(out, np.asfortranarray(np.zeros((2, 3))))
    cut = npy_bytes(np.zeros(4))[:-3]
    for content in (out.getvalue(), cut, b"", b"nothing of the kind"):
        with pytest.raises(ValueError):
            view_npy(np.frombuffer(content, np.uint8))
