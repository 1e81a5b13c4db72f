from __future__ import annotations

import pytest

from mmassist.dialog.checking import Window, check_refined, check_turns
from mmassist.dialog.turn import Turn

WINDOW = Window(10.0, 20.0, is_first=True)
GOOD = [
    Turn("user", 10.0, "tea?"),
    Turn("assistant", 10.0, "fill it", "initiative|instruction"),
    Turn("assistant", 15.0, "pour", "initiative|instruction"),
    Turn("assistant", 15.8, "good", "initiative|feedback"),
]


def codes(reasons: list[str]) -> list[str]:
    return [reason.split(":")[0] for reason in reasons]


def test_a_good_window_has_no_reasons_against_it() -> None:
    assert check_turns(GOOD, WINDOW) == []
    assert check_refined(GOOD, GOOD, WINDOW) == []


@pytest.mark.parametrize(
    ("turns", "code"),
    [
        ([], "empty"),
        ([Turn("assistant", 12.0, "fill it")], "no_goal"),
        ([Turn("user", 9.0, "tea")], "out_of_window"),
        ([Turn("user", 20.5, "tea")], "out_of_window"),
        ([Turn("user", 14.0, "tea"), Turn("assistant", 12.0, "fill it")], "not_in_order"),
        ([Turn("user", 12.0, "tea?")], "unanswered"),
        ([Turn("user", 12.0, "tea?"), Turn("assistant", 14.5, "fill it")], "unanswered"),
        ([Turn("user", 12.0, "(nods)")], "not_dialog"),
        ([Turn("user", 12.0, "(nods) (smiles) ")], "not_dialog"),
        ([Turn("user", 12.0, "")], "empty"),
        ([Turn("user", 12.0, "... !")], "not_dialog"),
    ],
)
def test_what_is_wrong_with_a_window(turns: list[Turn], code: str) -> None:
    assert codes(check_turns(turns, WINDOW)) == [code]


def test_speech_may_begin_with_a_remark() -> None:
    assert check_turns([Turn("user", 12.0, "(laughs) put it over there")], WINDOW) == []


def test_later_windows_may_begin_with_the_assistant() -> None:
    assert check_turns(GOOD[2:], Window(10.0, 20.0, is_first=False)) == []


def test_refinement_may_join_close_turns_and_nothing_else() -> None:
    assert check_refined(GOOD[:3], GOOD, WINDOW) == []
    assert codes(check_refined(GOOD[:2], GOOD, WINDOW)) == ["turn_lost", "turn_lost"]
    assert "user_turn_lost" in codes(check_refined(GOOD[1:], GOOD, WINDOW))
    moved = [*GOOD[:3], Turn("assistant", 16.5, "good", "initiative|feedback")]
    assert codes(check_refined(moved, GOOD, WINDOW)) == ["time_changed"]
    invented = [*GOOD, Turn("user", 18.0, "thanks")]
    assert codes(check_refined(invented, GOOD, WINDOW)) == ["time_changed"]
    unlabelled = [*GOOD[:3], Turn("assistant", 15.8, "good", "none|feedback")]
    assert codes(check_refined(unlabelled, GOOD, WINDOW)) == ["no_label"]
