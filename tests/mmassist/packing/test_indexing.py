"""Times to frames: every turn in order, each behind a frame, nothing lost without a count."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmassist.core.seconds import frame_at
from mmassist.packing.conversation import Frames, Message, Turn
from mmassist.packing.indexing import index_conversation, index_like_reference, insert_knowledge
from mmassist.packing.report import FillReport


def messages(*turns: tuple[float, str]) -> list[Message]:
    roles = {"u": "user", "a": "assistant"}
    return [Message(roles[role], f"turn {n}", time_s) for n, (time_s, role) in enumerate(turns)]


def runs(turns: tuple[Turn, ...]) -> list[tuple[int, int]]:
    return [(t.start, t.end) for t in turns if isinstance(t, Frames)]


VECTOR = messages((1.0, "u"), (1.2, "a"), (100, "a"), (103, "a"), (110, "a"))


@pytest.mark.parametrize("index", [index_conversation, index_like_reference])
def test_published_vector(index) -> None:  # type: ignore[no-untyped-def]
    turns = index(VECTOR, num_frames=400, start_s=0.0, fps=2, report=FillReport())
    assert runs(turns) == [(0, 2), (2, 3), (3, 200), (200, 206), (206, 220)]


def test_start_of_the_annotated_part() -> None:
    turns = index_conversation(messages((7.8, "u"), (7.9, "a")), num_frames=99, start_s=5.6, fps=2, report=FillReport())
    assert runs(turns) == [(11, 15), (15, 16)]


def test_turns_beyond_the_end_are_counted_and_not_piled_up() -> None:
    late = messages((1, "u"), (2, "a"), (5.0, "a"), (5.6, "a"), (30, "u"), (40, "a"))
    report = FillReport()
    turns = index_conversation(late, num_frames=10, start_s=0.0, fps=2, report=report)
    assert runs(turns) == [(0, 2), (2, 4), (4, 10)]  # the last frame is used
    stats = report.stats()
    assert (stats["dropped_turns_after_end"], stats["dropped_answers"]) == (3, 2)

    report = FillReport()
    turns = index_like_reference(late, num_frames=10, start_s=0.0, fps=2, report=report)
    assert runs(turns) == [(0, 2), (2, 4), (4, 9)]
    assert report.stats()["dropped_turns_after_end"] == 3


def test_the_reference_moves_late_turns_to_the_last_frames() -> None:
    late = messages((1, "u"), (30, "a"), (31, "a"))
    turns = index_like_reference(late, num_frames=10, start_s=0.0, fps=2, report=FillReport())
    assert runs(turns) == [(0, 2), (2, 9)]
    turns = index_conversation(late, num_frames=10, start_s=0.0, fps=2, report=FillReport())
    assert runs(turns) == [(0, 2)]


def test_empty_turns_are_counted() -> None:
    report = FillReport()
    turns = index_conversation([Message("user", "", 1.0)], num_frames=10, start_s=0.0, fps=2, report=report)
    assert turns == () and report.stats()["dropped_turns_empty"] == 1


times = st.lists(st.tuples(st.floats(0, 40), st.sampled_from("ua")), max_size=20)


@given(times.map(sorted), st.integers(1, 90), st.floats(0, 10))
def test_every_turn_is_placed_once_or_counted(turns: list[tuple[float, str]], num_frames: int, start_s: float) -> None:
    report = FillReport()
    source = messages(*turns)
    indexed = index_conversation(source, num_frames=num_frames, start_s=start_s, fps=2, report=report)
    placed = [t for t in indexed if isinstance(t, Message)]
    assert placed == source[: len(placed)]
    assert len(placed) + report.stats().get("dropped_turns_after_end", 0) == len(source)
    assert isinstance(indexed[-1], Message) if indexed else True
    cursor = frame_at(start_s)
    for run, message in zip(indexed[::2], indexed[1::2], strict=True):
        assert isinstance(run, Frames) and isinstance(message, Message)
        assert run.start == cursor < run.end <= num_frames
        assert run.end >= frame_at(message.time_s or 0.0)  # never shown the future, never told too early
        cursor = run.end


def test_knowledge_stands_behind_the_goal() -> None:
    turns = index_conversation(VECTOR, num_frames=400, start_s=0.0, fps=2, report=FillReport())
    told = insert_knowledge(turns, "1. Boil water.")
    assert told[2] == Message("system", "Task knowledge: 1. Boil water.")
    assert told[:2] + told[3:] == turns
    assert insert_knowledge(turns, " ") == turns


def test_knowledge_comes_before_an_assistant_that_opens() -> None:
    turns = (Frames(0, 2), Message("assistant", "Begin.", 1.0), Frames(2, 4), Message("user", "How?", 2.0))
    told = Message("system", "Task knowledge: x")
    assert insert_knowledge(turns, "x") == (told, *turns)
    assert insert_knowledge(turns, "x", compat=True) == (*turns, told)


def test_knowledge_without_a_user_comes_first() -> None:
    turns = (Frames(0, 2), Message("assistant", "Begin.", 1.0))
    assert insert_knowledge(turns, "x")[0] == Message("system", "Task knowledge: x")
    assert insert_knowledge(turns, "x", compat=True) == turns
