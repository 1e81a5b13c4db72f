from __future__ import annotations

import re
from dataclasses import replace
from itertools import pairwise, takewhile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmassist.dialog.checking import is_answered
from mmassist.dialog.timing import MIN_GAP_S, adjust_times
from mmassist.dialog.turn import ANSWER_WITHIN_S, Turn

ROLES = {"u": "user", "a": "assistant"}


def turns_of(text: str) -> list[Turn]:
    found = re.findall(r"([\d.]+)([ua])", text)
    return [Turn(ROLES[role], float(time), f"turn {index}") for index, (time, role) in enumerate(found)]


def text_of(turns: list[Turn]) -> str:
    return " ".join(f"{turn.time_s:g}{turn.role[0]}" for turn in turns)


# As found by running the reference; the third column is the corrected result.
VECTORS = [
    ("1.0u 1.0a 1.2a 1.3u 1.3a 5a", "1u 1a 2a 3u 3a 5a", "1u 1a 2a 3u 3a 5a"),
    ("1.0a 1.4a 1.8a 2.2a 9a", "1a 2a 3a 4a 9a", "1a 2a 3a 4a 9a"),
    ("5.0u 4.0a 4.2a", "5u 4a 5a", "4.2a 5u 5a"),
    ("10a 3u 3.1a 8a 30a", "10a 11u 11a 12a 30a", "3u 3.1a 8a 10a 30a"),
]


@pytest.mark.parametrize(("given_text", "reference", "corrected"), VECTORS)
def test_vectors(given_text: str, reference: str, corrected: str) -> None:
    assert text_of(adjust_times(turns_of(given_text), compat=True)) == reference
    assert text_of(adjust_times(turns_of(given_text), compat=False)) == corrected


def test_late_turns_move_back_before_the_end() -> None:
    assert text_of(adjust_times(turns_of("8a 9.8a 9.9a 10a"), False, end_s=10.0)) == "8a 9a 9.5a 10a"


def test_without_room_nobody_is_moved_before_the_start() -> None:
    moved = adjust_times(turns_of("0a 0a 0a 0.1a"), False, end_s=1.0)
    assert text_of(moved) == "0a 1a 2a 3a"


conversations = st.lists(
    st.builds(
        Turn, st.sampled_from(["user", "assistant"]), st.integers(0, 300).map(lambda t: t / 10), st.text(max_size=3)
    ),
    max_size=25,
)


@given(conversations, st.none() | st.just(40.0))
def test_corrected_times_are_in_order_apart_and_stable(turns: list[Turn], end_s: float | None) -> None:
    moved = adjust_times(turns, compat=False, end_s=end_s)
    assert sorted((t.role, t.content) for t in moved) == sorted((t.role, t.content) for t in turns)
    for before, after in pairwise(moved):
        gap_s = after.time_s - before.time_s
        assert gap_s >= (0 if before.is_user and not after.is_user else MIN_GAP_S - 1e-6)
    assert adjust_times(moved, compat=False, end_s=end_s) == moved


@given(conversations)
def test_an_answer_stays_behind_its_question(turns: list[Turn]) -> None:
    named = [Turn(t.role, t.time_s, f"{index}") for index, t in enumerate(turns)]
    moved = adjust_times(named, compat=False)
    place = {turn.content: index for index, turn in enumerate(moved)}
    for index in range(len(named) - 1):
        asked, answered = named[index], named[index + 1]
        if asked.is_user and not answered.is_user and answered.time_s <= asked.time_s + ANSWER_WITHIN_S:
            assert place[str(index + 1)] == place[str(index)] + 1


@given(conversations)
def test_the_reference_loses_no_turn_and_keeps_their_order(turns: list[Turn]) -> None:
    assert [t.content for t in adjust_times(turns, compat=True)] == [t.content for t in turns]


@pytest.mark.parametrize(
    ("given_text", "expected"),
    [
        ("1u 1a 10.0u 10.2u 12.0a", "1u 1a 10u 11u 12a"),
        ("10.0u 10.2u 10.2a", "10u 11u 11a"),
        ("10u 10.2u 10.4u 10.6u 12a", "10u 11u 11.5u 12u 12a"),
        ("10u 11.5u 11.6u 11.7u 12a", "10u 11u 11.5u 12u 12a"),
        ("8a 10u 11.9u 12a 12a", "8a 10u 11.9u 12a 13a"),
        ("9.8a 10u 10.2u 11a", "9.8a 10.8u 11.8u 11.8a"),
    ],
)
def test_user_turns_with_one_answer_move_as_a_whole(given_text: str, expected: str) -> None:
    assert text_of(adjust_times(turns_of(given_text), compat=False)) == expected


@given(conversations, st.none() | st.just(40.0))
def test_an_answered_question_stays_answered(turns: list[Turn], end_s: float | None) -> None:
    named = [replace(t, content=f"{index}") for index, t in enumerate(sorted(turns, key=lambda turn: turn.time_s))]
    moved = adjust_times(named, compat=False, end_s=end_s)
    place = {turn.content: index for index, turn in enumerate(moved)}
    for index, turn in enumerate(named):
        if not turn.is_user or not is_answered(named, index):
            continue
        # No more than five turns lie MIN_GAP_S apart before an answer; of a longer row the first lose theirs.
        row = list(takewhile(lambda turn: turn.is_user, named[index:]))
        reply = named[index + len(row)]
        num_before = sum(reply.time_s - t.time_s <= ANSWER_WITHIN_S for t in user_row(named, index + len(row)))
        assert num_before > 5 or is_answered(moved, place[turn.content])


def user_row(turns: list[Turn], index: int) -> list[Turn]:
    return list(takewhile(lambda turn: turn.is_user, reversed(turns[:index])))
