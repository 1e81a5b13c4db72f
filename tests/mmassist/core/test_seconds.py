from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mmassist.core.seconds import frame_at


@given(st.integers(0, 10**6))
def test_every_frame_starts_at_its_own_time(index):
    assert frame_at(index / 2) == index
    assert frame_at(index / 2 + 0.499) == index


def test_times_before_the_start_are_the_first_frame():
    assert frame_at(-3.0) == 0
