from __future__ import annotations

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
