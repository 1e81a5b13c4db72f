"""How busy an engine was, on a clock that the test moves."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mmassist.llm.meter import Meter, count_answer, render_reports
from mmassist.llm.protocol import Answer, Sample


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def answer(prompt: int, completion: int, cached: int) -> Answer:
    usage = {"prompt_tokens": prompt, "completion_tokens": completion, "cached_tokens": cached}
    return Answer((Sample("text"),), "engine 1", usage)


def test_a_stretch_by_hand() -> None:
    clock = Clock()
    meter = Meter(clock)
    stretch = meter.begin()
    clock.now += 2  # idle
    meter.start(3)
    clock.now += 4
    meter.finish(2)
    clock.now += 2  # one in hand
    meter.finish(1)
    clock.now += 2  # idle
    count_answer(stretch.counts, answer(100, 40, 25), is_repair=False)
    count_answer(stretch.counts, answer(100, 10, 75), is_repair=True)
    report = meter.report(stretch)
    assert (report["seconds"], report["idle_share"], report["mean_in_flight"]) == (10.0, 0.4, 1.4)
    assert (report["requests"], report["repairs"], report["repair_share"]) == (2, 1, 0.5)
    assert (report["prompt_tokens_per_s"], report["completion_tokens_per_s"]) == (20.0, 5.0)
    assert report["cached_share"] == 0.5


def test_what_was_before_a_stretch_is_none_of_it() -> None:
    clock = Clock()
    meter = Meter(clock)
    meter.start(5)
    clock.now += 10
    stretch = meter.begin()
    clock.now += 1
    meter.finish(5)
    report = meter.report(stretch)
    assert (report["idle_share"], report["mean_in_flight"], report["requests"]) == (0.0, 5.0, 0)


def test_an_engine_without_counts_and_a_moment_without_length() -> None:
    meter = Meter(Clock())
    stretch = meter.begin()
    count_answer(stretch.counts, Answer((Sample("text"),), "engine 1"), is_repair=False)
    report = meter.report(stretch)
    assert report["requests"] == 1 and report["completion_tokens_per_s"] == 0.0 and report["cached_share"] == 0.0


@given(st.lists(st.tuples(st.floats(0, 100), st.booleans()), max_size=30))
def test_shares_are_shares(steps) -> None:
    clock = Clock()
    meter = Meter(clock)
    stretch, in_hand, most = meter.begin(), 0, 0
    for seconds, begins in steps:
        clock.now += seconds
        if begins:
            meter.start(1)
            in_hand += 1
        elif in_hand:
            meter.finish(1)
            in_hand -= 1
        most = max(most, in_hand)
    report = meter.report(stretch)
    assert 0 <= report["idle_share"] <= 1 and -1e-3 <= report["mean_in_flight"] <= most + 1e-3


def test_several_reports_in_a_line() -> None:
    one = {"requests": 30, "repairs": 3, "prompt_tokens": 900, "cached_tokens": 300, "completion_tokens": 100}
    one |= {"seconds": 10.0, "idle_share": 0.2, "reject_share": 0.1}
    two = {"requests": 10, "prompt_tokens": 100, "cached_tokens": 200, "completion_tokens": 100, "from_journal": 4}
    two |= {"seconds": 10.0, "idle_share": 0.0}
    assert render_reports([one, two], 20.0) == (
        "40 requests (4 answers taken over), 50 prompt and 10 output tokens/s, 50% of prompts from the cache, "
        "idle 10%, 7.5% repairs, 0.07 rejections a request"
    )
