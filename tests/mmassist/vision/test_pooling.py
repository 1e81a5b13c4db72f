"""Grids of patch tokens: which tokens each bin averages."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from mmassist.vision.pooling import pool_grid  # noqa: E402

pytestmark = pytest.mark.long


def test_the_grids_of_a_map_of_row_numbers():
    rows = torch.arange(27.0).repeat_interleave(27).reshape(1, 729, 1)
    assert pool_grid(rows, 3).flatten().tolist() == [4, 4, 4, 13, 13, 13, 22, 22, 22]
    columns = torch.arange(27.0).repeat(27).reshape(1, 729, 1)
    assert pool_grid(columns, 3).flatten().tolist() == [4, 13, 22] * 3


@pytest.mark.parametrize(
    ("grid", "bins"),
    [
        (2, [(0, 14), (13, 27)]),
        (3, [(0, 9), (9, 18), (18, 27)]),
        (5, [(0, 6), (5, 11), (10, 17), (16, 22), (21, 27)]),
    ],
)
def test_grids_are_means_over_their_bins(grid, bins):
    tokens = np.random.default_rng(grid).standard_normal((2, 27, 27, 4)).astype(np.float32)
    expected = np.stack([tokens[:, a:b, c:d].mean((1, 2)) for a, b in bins for c, d in bins], 1)
    got = pool_grid(torch.from_numpy(tokens.reshape(2, 729, 4)), grid).numpy()
    np.testing.assert_allclose(got, expected, atol=1e-5)


@settings(deadline=None, max_examples=40)
@given(st.integers(2, 40).flatmap(lambda side: st.tuples(st.just(side), st.integers(2, side))))
def test_any_grid_of_any_map_is_the_mean_over_its_bins(sizes):
    side, grid = sizes
    bins = [(side * i // grid, math.ceil(side * (i + 1) / grid)) for i in range(grid)]
    tokens = np.random.default_rng(side * 100 + grid).standard_normal((1, side, side, 2)).astype(np.float32)
    expected = np.stack([tokens[:, a:b, c:d].mean((1, 2)) for a, b in bins for c, d in bins], 1)
    got = pool_grid(torch.from_numpy(tokens.reshape(1, side * side, 2)), grid).numpy()
    np.testing.assert_allclose(got, expected, atol=1e-5)
    if grid == side:
        assert np.array_equal(got, tokens.reshape(1, -1, 2))
