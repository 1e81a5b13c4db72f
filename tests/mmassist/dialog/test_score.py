from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmassist.core.errors import ItemError
from mmassist.dialog.score import annotation_times, timing_score
from mmassist.dialog.turn import Turn

TEXT = "[0.0s-10.0s] a\n[10.0s-20.0s] b\n"


@pytest.mark.parametrize("compat", [True, False])
@pytest.mark.parametrize(("said", "final", "num_open"), [("go", 9.0, 0), ("go?", 8.9, 1)])
def test_vector(compat: bool, said: str, final: float, num_open: int) -> None:
    score = timing_score(TEXT, [Turn("user", 0.0, said), Turn("assistant", 11.0, "b")], compat)
    assert score.avg_time_diff_p == score.avg_time_diff_r == 0.5
    assert score.final_score == pytest.approx(final)
    assert score.no_resp_user_turns == num_open
    assert score.to_row().keys() == {
        "avg_time_diff_p",
        "avg_time_diff_r",
        "no_resp_penalty",
        "no_resp_user_turns",
        "final_score",
    }


def test_times_come_from_the_start_of_lines() -> None:
    text = (
        '- [1.0s] start\n[2.0s-3.0s] a\n - [2.5s] b (ERROR: [9.0s])\n - [4.0s] user: "[7.0s] hm"\n'
        "Summary: [8.0s] or so\n"
    )
    assert annotation_times(text, compat=False) == ([1.0, 2.0, 3.0, 2.5, 4.0], [1.0, 2.0, 2.5, 4.0])
    assert annotation_times(text, compat=True)[1] == [1.0, 2.0, 2.5, 9.0, 4.0, 7.0, 8.0]


def test_two_hyphens_raise_in_the_reference_only() -> None:
    text = TEXT + ' - [12.0s] user: "[a-b-c]"\n'
    with pytest.raises(ItemError, match="two hyphens"):
        timing_score(text, [Turn("assistant", 0.0, "a")], compat=True)
    assert timing_score(text, [Turn("assistant", 0.0, "a")], compat=False).final_score < 10


def test_what_cannot_be_measured_scores_nothing() -> None:
    assert timing_score("", [Turn("assistant", 1.0, "a")], compat=False).final_score == 0
    assert timing_score(TEXT, [], compat=False).final_score == 0
    with pytest.raises(ItemError):
        timing_score("", [Turn("assistant", 1.0, "a")], compat=True)


def test_a_question_at_the_very_end_is_open() -> None:
    turns = [Turn("assistant", 0.0, "a"), Turn("user", 10.0, "and now? ")]
    assert timing_score(TEXT, turns, compat=False).no_resp_user_turns == 1
    assert timing_score(TEXT, turns, compat=True).no_resp_user_turns == 0


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 50), st.sampled_from(["go", "go?"])), min_size=1))
def test_both_rules_agree_on_the_distances(rows: list[tuple[bool, float, str]]) -> None:
    turns = [Turn("user" if is_user else "assistant", t, text) for is_user, t, text in rows]
    corrected, reference = timing_score(TEXT, turns, compat=False), timing_score(TEXT, turns, compat=True)
    assert corrected.avg_time_diff_p == reference.avg_time_diff_p
    assert corrected.avg_time_diff_r == reference.avg_time_diff_r
    assert corrected.final_score <= 10
