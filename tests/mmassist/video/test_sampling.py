from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmassist.video.sampling import StrideSampler, TimeSampler, reference_stride


def run(sampler, times):
    samples = [s for i, time in enumerate(times) for s in sampler.add(time, i)]
    return samples + list(sampler.finish(times[-1] if times else Fraction(0)))


times_s = st.lists(st.fractions(min_value=-1, max_value=20, max_denominator=90000), min_size=1, max_size=60).map(sorted)


@given(times_s, st.sampled_from([Fraction(1, 2), Fraction(1), Fraction(2), Fraction(5), Fraction(30000, 1001)]))
def test_sample_is_the_last_picture_not_later_than_its_time(times, fps):
    samples = run(TimeSampler(fps), times)

    assert [s.index for s in samples] == list(range(max(1, int(max(times[-1], 0) * fps) + 1)))
    for sample in samples:
        not_later = [i for i, time in enumerate(times) if time <= sample.index / fps]
        assert sample.picture == (not_later[-1] if not_later else 0)
        assert sample.time == times[sample.picture]


@given(times_s, st.sampled_from([Fraction(1, 2), Fraction(2), Fraction(30000, 1001)]), st.integers(0, 30))
def test_the_chosen_pictures_alone_give_the_same_samples(times, fps, num_earlier):
    every, chosen = TimeSampler(fps), TimeSampler(fps)
    earlier = [Fraction(i, 7) - 6 for i in range(num_earlier)]  # of a member of a joined video that came before
    for i, time in enumerate(earlier):
        assert list(every.add(time, -i)) == list(chosen.add(time, -i))
    places = {0, *chosen.choose(times)}
    whole = [s for i, time in enumerate(times) for s in every.add(time, i)] + list(every.finish(times[-1]))
    few = [s for i in sorted(places) for s in chosen.add(times[i], i)] + list(chosen.finish(times[-1]))
    assert few == whole


def test_a_picture_exactly_on_the_sample_time_counts_and_one_tick_later_does_not():
    tick = Fraction(1, 90000)
    on_time = run(TimeSampler(Fraction(2)), [Fraction(0), Fraction(1, 2), Fraction(1)])
    late = run(TimeSampler(Fraction(2)), [Fraction(0), Fraction(1, 2) + tick, Fraction(1)])
    assert [s.picture for s in on_time] == [0, 1, 2]
    assert [s.picture for s in late] == [0, 0, 2]


def test_before_the_first_picture_the_first_picture_counts():
    assert [s.picture for s in run(TimeSampler(Fraction(2)), [Fraction(5, 4), Fraction(2)])] == [0, 0, 0, 0, 1]


def test_no_pictures_give_no_samples():
    assert run(TimeSampler(Fraction(2)), []) == []


@pytest.mark.parametrize(
    ("native_fps", "stride"),
    [
        (24, 12),
        (25, 12),
        (29.97, 14),
        (30, 15),
        (47.95, 23),
        (50, 25),
        (59.94, 29),
        (60, 30),
        (90, 45),
        (23.976, 11),
        (12, 6),
        (15, 7),
        (1, 1),  # the reference divides by zero here
    ],
)
def test_reference_stride(native_fps, stride):
    assert reference_stride(native_fps, 2) == stride


def test_reference_rule_counts_pictures_and_starts_again_with_each_member():
    sampler = StrideSampler(Fraction(2))
    kept = []
    for member in ("a", "b"):
        sampler.start_member(Fraction(30000, 1001))
        kept += [s for k in range(40) for s in sampler.add(Fraction(k, 30), f"{member}{k}")]
    assert [s.picture for s in kept] == ["a0", "a14", "a28", "b0", "b14", "b28"]
    assert [s.index for s in kept] == [0, 1, 2, 3, 4, 5]
