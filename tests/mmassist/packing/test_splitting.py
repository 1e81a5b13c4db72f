"""Sample boundaries: budget kept, nothing lost without a reason, no frame twice, the goal always there."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmassist.packing.chat_format import decode_conversation
from mmassist.packing.record import FrameStore
from mmassist.packing.report import FillReport
from tests.mmassist.packing.conftest import whole_text

STORE = FrameStore("T1", 4000)
Turns = list[tuple[float, str, str]]


def spans(samples) -> list[tuple[int, int]]:  # type: ignore[no-untyped-def]
    return [(s.record["start_frame_idx"], s.record["end_frame_idx"]) for s in samples]


def roles(sample) -> list[str]:  # type: ignore[no-untyped-def]
    return [t["role"] for t in sample.record["conversation"]]


def contents(sample, role: str) -> list[str]:  # type: ignore[no-untyped-def]
    return [t["content"] for t in sample.record["conversation"] if t["role"] == role and "time" in t]


def test_a_long_silent_lead_in_keeps_goal_and_knowledge(bench) -> None:  # type: ignore[no-untyped-def]
    dialog = bench.dialog([(250.0, "user", "I want to brew coffee."), (250.1, "assistant", "Boil water first.")])
    report = FillReport()
    (sample,) = bench.builder(separator="EOS", max_seq_len=4000).build(dialog, STORE, report)
    assert roles(sample) == [
        "system",
        "frames",
        "user",
        "system",
        "frames",
        "assistant",
        "system",
        "frames",
        "assistant",
    ]
    assert contents(sample, "user") == ["I want to brew coffee."]
    assert sample.record["conversation"][3]["content"].startswith("Task knowledge: Making coffee")
    start, end = spans([sample])[0]
    assert 0 < start < 500 and end == 502
    assert 4000 - 11 < len(sample.input_ids) <= 4000  # another frame would not fit
    assert report.stats()["dropped_frames_silence"] == start

    report = FillReport()
    compat = bench.builder(separator="EOS", max_seq_len=4000, compat=True).build(dialog, STORE, report)
    assert contents(compat[0], "user") == []  # the reference loses it
    assert "Task knowledge" not in str(compat[0].record["conversation"])
    assert report.stats()["dropped_turns_lead_in"] == 1


def test_a_long_wait_for_the_first_answer_keeps_the_goal(bench) -> None:  # type: ignore[no-untyped-def]
    dialog = bench.dialog([(1.0, "user", "I want to brew coffee."), (300.0, "assistant", "Boil water first.")])
    (sample,) = bench.builder(max_seq_len=1000).build(dialog, STORE, FillReport())
    assert roles(sample)[:5] == ["system", "user", "system", "frames", "assistant"]
    assert spans([sample])[0][1] == 601


def test_an_answer_that_cannot_fit_is_reported_and_the_goal_moves_on(bench) -> None:  # type: ignore[no-untyped-def]
    dialog = bench.dialog(
        [
            (1.0, "user", "Coffee!"),
            (2.0, "assistant", "word " * 400),
            (9.0, "user", "Hm?"),
            (10.0, "assistant", "Boil."),
        ],
        knowledge="",
    )
    report = FillReport()
    (sample,) = bench.builder(max_seq_len=400, image_tokens=1).build(dialog, STORE, report)
    assert contents(sample, "user") == ["Coffee!", "Hm?"]
    assert contents(sample, "assistant") == ["Boil."]
    assert report.stats()["dropped_turns_too_long"] == report.stats()["dropped_answers"] == 1


def test_what_never_fits_ends(bench) -> None:  # type: ignore[no-untyped-def]
    dialog = bench.dialog([(1.0, "user", "word " * 300), (2.0, "assistant", "a"), (3.0, "assistant", "b")])
    for compat in (False, True):
        report = FillReport()
        samples = bench.builder(max_seq_len=100, compat=compat).build(dialog, STORE, report)
        assert samples == []
        assert report.stats()["dropped_answers"] == 2


def test_kept_context_never_reaches_back(bench) -> None:  # type: ignore[no-untyped-def]
    turns: Turns = [(1.0, "user", "Coffee!"), *((4.0 + 3 * n, "assistant", f"Do step {n}. " * 6) for n in range(40))]
    dialog = bench.dialog(turns)
    samples = bench.builder(max_seq_len=1200, image_tokens=5).build(dialog, STORE, FillReport())
    assert len(samples) > 3
    assert all(left[1] == right[0] for left, right in itertools.pairwise(spans(samples)))  # waits of 6 frames: all kept
    compat = bench.builder(max_seq_len=1200, image_tokens=5, compat=True).build(dialog, STORE, FillReport())
    assert any(left[1] > right[0] for left, right in itertools.pairwise(spans(compat)))


def test_only_the_middle_of_a_long_wait_is_dropped(bench) -> None:  # type: ignore[no-untyped-def]
    dialog = bench.dialog([(1.0, "user", "Coffee!"), (2.0, "assistant", "Boil."), (400.0, "assistant", "Pour.")])
    report = FillReport()
    first, second = bench.builder(max_seq_len=1000).build(dialog, STORE, report)
    assert spans([first]) == [(0, 5)]
    start, end = spans([second])[0]
    assert 5 < start <= 790 and end == 801  # at least the last five seconds stay
    assert 1000 - 10 < len(second.input_ids) <= 1000  # and as much more as there is room for
    assert report.stats()["dropped_frames_silence"] == start - 5
    opening = second.record["conversation"][0]["content"]
    assert "At 2.0 s the user was told: Boil." in opening and "Task knowledge:" in opening


@pytest.mark.parametrize("separator", ["none", "EOS"])
def test_frames_that_were_dropped_come_back_across_words(bench, separator: str) -> None:  # type: ignore[no-untyped-def]
    """Room that is left at the end goes to the last frames of the lead-in, in front of the words they belong to."""
    turns = [
        (10.0, "user", "Hello."),
        (20.0, "user", "Coffee!"),
        (30.0, "assistant", "Boil."),
        (400.0, "assistant", "Pour."),
    ]
    frames = []
    for max_seq_len in range(150, 900):
        builder = bench.builder("no_knowledge", separator, max_seq_len=max_seq_len)
        first = builder.build(bench.dialog(turns, progress=False), STORE, FillReport())[0]
        start, end = spans([first])[0]
        assert contents(first, "user") == ["Hello.", "Coffee!"] and end == 60
        runs = [(t["start"], t["end"]) for t in first.record["conversation"] if t["role"] == "frames"]
        assert [end for _, end in runs] == [end for end in (20, 40, 60) if end > start]
        begins_run = start in (20, 40)  # then another frame needs no separator
        another = 10 if begins_run or separator == "none" else 11
        assert start == 0 or len(first.input_ids) + another > max_seq_len
        frames.append(end - start)
    assert frames == sorted(frames)
    assert frames[0] < 20 and frames[-1] == 60


def test_the_summary_does_not_take_the_frame_of_the_next_answer(bench) -> None:  # type: ignore[no-untyped-def]
    """The second answer is one frame behind the first, so a cut between them would leave it without a frame."""
    turns = [(1.0, "user", "Coffee!"), (20.0, "assistant", "Boil."), (20.5, "assistant", "No: grind first. " * 30)]
    samples = bench.builder(max_seq_len=700).build(bench.dialog(turns, knowledge=""), STORE, FillReport())
    assert [s.record["metadata"]["has_summary"] for s in samples] == [False, True]
    assert spans(samples)[0][1] <= spans(samples)[1][0] < spans(samples)[1][1]


def test_no_summary_without_a_frame_left(bench) -> None:  # type: ignore[no-untyped-def]
    turns = [(1.0, "user", "Coffee!"), (2.0, "assistant", "Boil.")]
    for num_frames, expected in ((4, False), (5, True)):
        (sample,) = bench.builder().build(bench.dialog(turns), FrameStore("T1", num_frames), FillReport())
        assert sample.record["metadata"]["has_summary"] is expected
        assert sample.record["end_frame_idx"] == num_frames  # the last frame is used


def test_long_summaries_leave_the_dialog_out_with_a_reason(bench) -> None:  # type: ignore[no-untyped-def]
    turns = [(1.0, "user", "Coffee!"), (2.0, "assistant", "word " * 300)]
    for compat in (False, True):
        report = FillReport()
        assert bench.builder(max_summary_tokens=20, compat=compat).build(bench.dialog(turns), STORE, report) == []
        assert report.stats()["dropped_dialogs_long_summary"] == 1
        assert report.stats()["dropped_answers"] == 1


def test_unanswered_turns_are_counted(bench) -> None:  # type: ignore[no-untyped-def]
    report = FillReport()
    turns = [(1.0, "user", "Coffee!"), (2.0, "assistant", "Boil."), (9.0, "user", "Thanks!")]
    bench.builder().build(bench.dialog(turns), STORE, report)
    assert report.stats()["dropped_turns_unanswered"] == 1


def test_summary_only_samples_know_the_past(bench) -> None:  # type: ignore[no-untyped-def]
    turns: Turns = [(1.0, "user", "Coffee!"), *((4.0 + 9 * n, "assistant", f"Do step {n}.") for n in range(20))]
    builder = bench.builder("summary_only", max_seq_len=1500)
    samples = builder.build(bench.dialog(turns), STORE, FillReport())
    assert len(samples) > 1
    for earlier, later in itertools.pairwise(samples):
        assert earlier.record["metadata"]["progress"] in later.record["conversation"][0]["content"]
    for sample in samples:
        assert contents(sample, "assistant") == []
        assert roles(sample)[-4:] == ["frames", "system", "frames", "assistant"]
    compat = bench.builder("summary_only", max_seq_len=1500, compat=True).build(
        bench.dialog(turns), STORE, FillReport()
    )
    assert len({s.record["conversation"][0]["content"] for s in compat}) == 1  # the reference forgets


def test_full_length_is_one_sample(bench) -> None:  # type: ignore[no-untyped-def]
    turns: Turns = [(1.0, "user", "Coffee!"), *((4.0 + 9 * n, "assistant", f"Do step {n}.") for n in range(150))]
    report = FillReport()
    (sample,) = bench.builder("full_length").build(bench.dialog(turns), STORE, report)
    assert sample.record["max_seq_len"] == 0 and sample.record["fill"] is None
    assert len(contents(sample, "assistant")) == 150
    assert report.stats()["tokens"] == report.stats()["capacity_tokens"] == len(sample.input_ids)


def test_draws_depend_on_the_sample_alone(bench) -> None:  # type: ignore[no-untyped-def]
    turns: Turns = [(1.0, "user", "Coffee!"), *((40.0 * n, "assistant", f"Do step {n}.") for n in range(1, 60))]
    build = bench.builder(max_seq_len=1500).build
    first = build(bench.dialog(turns), STORE, FillReport())
    build(bench.dialog(turns, user_id="other_1"), STORE, FillReport())
    again = build(bench.dialog(turns), STORE, FillReport())
    assert [s.record for s in first] == [s.record for s in again]
    other = bench.builder(max_seq_len=1500, seed=43).build(bench.dialog(turns), STORE, FillReport())
    assert spans(other) != spans(first)
    assert len({s.record["conversation"][0]["content"].split(".")[0] for s in first}) > 1


@st.composite
def dialogs(draw: st.DrawFn) -> Turns:
    """Sorted random dialogs: bursts, long silences, very long messages, many users in a row or none, any role first."""
    turns: Turns = []
    time_s = 0.0
    roles_drawn = draw(
        st.sampled_from([["assistant", "assistant", "user"], ["assistant"], ["assistant", "user", "user"]])
    )
    for number in range(draw(st.integers(1, 14))):
        time_s += draw(st.sampled_from([0.0, 0.1, 0.5, 1.0, 4.0, 25.0, 200.0]))
        role = draw(st.sampled_from(roles_drawn))
        turns.append((time_s, role, f"Turn {number}: " + "go on " * draw(st.sampled_from([0, 3, 40, 200]))))
    return turns


def _last_answer(turns: Turns) -> int:
    return max((n for n, (_, role, _) in enumerate(turns) if role == "assistant"), default=0)


@pytest.mark.parametrize("separator", ["none", "EOS"])
@pytest.mark.parametrize("image_tokens", [1, 5, 10])
@pytest.mark.parametrize("setup", ["knowledge", "no_knowledge", "summary_only", "full_length"])
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    turns=dialogs(),
    max_seq_len=st.sampled_from([60, 150, 300, 700, 2000]),
    slack=st.integers(-20, 20),
    progress=st.booleans(),
    knowledge=st.sampled_from(["", "1. Boil water.", "Pour. " * 300]),  # the last one is longer than most budgets
    max_summary_tokens=st.sampled_from([768, 80]),  # summaries take 60 to 80
)
def test_invariants(  # type: ignore[no-untyped-def]
    bench, setup, image_tokens, separator, turns, max_seq_len, slack, progress, knowledge, max_summary_tokens
) -> None:
    store = FrameStore("T1", max(2, int(turns[-1][0] * 2) + slack))
    dialog = bench.dialog(turns, progress=progress, knowledge=knowledge)
    report = FillReport()
    builder = bench.builder(
        setup, separator, image_tokens=image_tokens, max_seq_len=max_seq_len, max_summary_tokens=max_summary_tokens
    )
    samples = builder.build(dialog, store, report)
    stats = report.stats()
    step = image_tokens + (separator != "none")
    peer = whole_text(image_tokens, separator)

    cursor = 0
    for sample in samples:
        record, limit = sample.record, sample.record["max_seq_len"]
        assert record["seq_len"] == len(sample.input_ids) == len(sample.labels)
        assert not limit or record["seq_len"] <= limit
        start, end = record["start_frame_idx"], record["end_frame_idx"]
        assert cursor <= start < end <= store.num_frames
        if start > cursor and "dropped_turns_too_long" not in stats and setup != "summary_only":
            assert record["seq_len"] + step > limit  # no frame was dropped that would have fit
        runs = [(t["start"], t["end"]) for t in record["conversation"] if t["role"] == "frames"]
        assert all(a < b for a, b in runs) and all(a[1] == b[0] for a, b in itertools.pairwise(runs))
        assert (sample.input_ids == builder.chat.tokenizer.image_id).sum() == (end - start) * image_tokens
        cursor = end
        read = [
            ("frames", t["end"] - t["start"]) if "start" in t else (t["role"], t["content"])
            for t in record["conversation"]
        ]
        assert decode_conversation(sample.input_ids, builder.chat) == read
        ids, labels = peer.build(record)
        assert ids.tolist() == sample.input_ids.tolist() and labels.tolist() == sample.labels.tolist()

    answers = [content.strip() for _, role, content in turns if role == "assistant"]
    if setup != "summary_only":
        taught = [content for sample in samples for content in contents(sample, "assistant")]
        assert [c for c in answers if c in taught] == taught  # in order, none twice
        assert len(taught) + stats.get("dropped_answers", 0) == len(answers)
        assert stats.get("answers", 0) == len(taught)
        first_user = next((c.strip() for _, role, c in turns if role == "user"), None)
        if samples and first_user is not None and "dropped_turns_after_end" not in stats:
            goals = [sample for sample in samples if first_user in contents(sample, "user")]
            answered = any(role == "user" for _, role, _ in turns[: _last_answer(turns)])
            assert len(goals) == (1 if answered else 0) or stats.get("dropped_turns_too_long")
        left_out = sum(count for name, count in stats.items() if name.startswith("dropped_frames_"))
        assert stats.get("frames", 0) + left_out == store.num_frames  # every frame is in one sample or counted once
        for earlier, later in itertools.pairwise(samples if progress else []):
            told = earlier.record["conversation"][-1]["content"] if earlier.record["metadata"]["has_summary"] else ""
            opening = later.record["conversation"][0]["content"]
            assert told in opening and "the user was told" in opening  # the goal and all since then
    users = [content for sample in samples for content in contents(sample, "user")]
    assert len(users) == len(set(users))


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    turns=dialogs(),
    max_seq_len=st.sampled_from([60, 150, 300, 700]),
    setup=st.sampled_from(["knowledge", "summary_only"]),
)
def test_the_reference_rules_end_and_keep_the_budget(bench, turns, max_seq_len, setup) -> None:  # type: ignore[no-untyped-def]
    store = FrameStore("T1", int(turns[-1][0] * 2) + 9)
    report = FillReport()
    samples = bench.builder(setup, compat=True, max_seq_len=max_seq_len).build(bench.dialog(turns), store, report)
    answers = sum(role == "assistant" for _, role, _ in turns)
    if setup == "knowledge":
        taught = sum(len(contents(sample, "assistant")) for sample in samples)
        assert taught + report.stats().get("dropped_answers", 0) >= answers
    for sample in samples:
        assert len(sample.input_ids) <= max_seq_len
        assert sample.record["end_frame_idx"] < store.num_frames
