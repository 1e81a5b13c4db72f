import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmassist.datasets.span import covered_share, fit_span, read_number, summed_share

TIMES = st.floats(-50, 150, allow_nan=False)


@pytest.mark.parametrize(
    "value", [None, True, "", "none", float("nan"), float("inf"), [1.0], 10**400, "9" * 400, 1e308, 1_000_001, -2e6]
)
def test_what_is_no_number(value):
    assert read_number(value) is None


def test_numbers_also_as_text():
    assert (read_number(3), read_number("4.5"), read_number(-1.0)) == (3.0, 4.5, -1.0)


@pytest.mark.parametrize(
    ("start", "end", "span", "words"),
    [
        (1.0, 2.0, (1.0, 2.0), ""),
        (1.0, 1.0, (1.0, 1.0), ""),
        (2.0, 1.0, (2.0, 2.0), "instant"),
        (2.0, None, (2.0, 2.0), "instant"),
        (-3.0, 4.0, (0.0, 4.0), "moved to 0"),
        (-3.0, -1.0, None, "before the video"),
        (90.0, 130.0, (90.0, 100.0), "cut"),
        (100.0, 130.0, None, "beyond"),
        (None, 3.0, None, "no start"),
    ],
)
def test_every_repair(start, end, span, words):
    found, remark = fit_span(start, end, 100.0)
    assert found == span
    assert words in remark and bool(remark) == bool(words)


@given(st.none() | TIMES, st.none() | TIMES)
def test_what_remains_lies_in_the_video(start, end):
    span, remark = fit_span(start, end, 100.0)
    if span is None:
        assert remark
    else:
        assert 0 <= span[0] <= span[1] <= 100.0
        assert fit_span(*span, 100.0) == (span, "")


@given(st.lists(st.tuples(st.integers(0, 99), st.integers(0, 120)).map(sorted)))
def test_coverage_counts_every_second_once(spans):
    expected = len({second for start, end in spans for second in range(start, min(end, 100))}) / 100
    assert math.isclose(covered_share([(float(a), float(b)) for a, b in spans], 100.0), expected)


def test_overlap_counts_twice_only_for_the_reference():
    spans = [(0.0, 60.0), (0.0, 60.0)]
    assert (covered_share(spans, 100.0), summed_share(spans, 100.0)) == (0.6, 1.2)
    assert covered_share(spans, 0.0) == summed_share(spans, 0.0) == 0.0
