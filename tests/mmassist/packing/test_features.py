"""Rows of a recording's features out of its chunks."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmassist.core.errors import ItemError, StageError
from mmassist.packing.features import FeatureReader
from mmassist.vision.feature_chunk import ChunkCutter

NUM_FRAMES, CHUNK_FRAMES, DIM = 25, 6, 3
ROWS = np.random.default_rng(0).standard_normal((NUM_FRAMES, 10, DIM)).astype(np.float16)


class Store:
    """Features of one recording, as encode leaves them."""

    digest = ""

    def __init__(self):
        cutter = ChunkCutter(CHUNK_FRAMES, ["cls", "3x3"])
        parts = {"cls": ROWS[:, :1], "3x3": ROWS[:, 1:]}
        self.members = dict([*cutter.add(parts), *cutter.finish()])
        said = {"num_frames": NUM_FRAMES, "chunk_frames": CHUNK_FRAMES, "dim": DIM, "grids": [3]}
        made_by = {"encoder": "e", "is_random": True, "layer": "last"}
        self.members["features.json"] = json.dumps(said | made_by).encode()
        self.names = sorted(self.members)

    def read(self, name):
        return self.members[name]

    def verify(self):
        pass


RANGES = st.tuples(st.integers(0, NUM_FRAMES), st.integers(0, NUM_FRAMES)).filter(lambda pair: pair[0] < pair[1])


@settings(deadline=None)
@given(st.lists(RANGES, min_size=1, max_size=6))
def test_any_ranges_in_any_order_are_the_rows_that_were_written(ranges):
    reader = FeatureReader(Store(), 10)
    for start, end in ranges:
        assert np.array_equal(reader.read(start, end), ROWS[start:end])


def test_beyond_the_last_row_and_without_the_grid():
    with pytest.raises(ItemError, match="frame 25 has no features; there are 25 rows"):
        FeatureReader(Store(), 10).read(20, 26)
    with pytest.raises(StageError, match="needs 5x5 features"):
        FeatureReader(Store(), 26)
