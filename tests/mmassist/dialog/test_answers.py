from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from mmassist.dialog.annotation import Clip
from mmassist.dialog.answers import read_dialog, read_refined, turns_of_answer
from mmassist.dialog.turn import Turn, put_in_order

CLIP = Clip(10.0, 40.0, "", 0, 1)


def row(time: float, role: str, text: str, *labels: str) -> dict[str, Any]:
    found: dict[str, Any] = {"time": time, "role": role, "text": text}
    return found | ({"initiative": labels[0], "intents": list(labels[1:])} if labels else {})


def test_answers_become_turns() -> None:
    answer = {
        "turns": [
            row(1, "user", "hi ", "none"),
            row(1.04, "assistant", "a\nb", "responsive", "feedback"),
            row(2, "assistant", "c", "initiative", "other"),
        ]
    }
    turns, repairs = turns_of_answer(answer)
    assert turns == [
        Turn("user", 1.0, "hi"),
        Turn("assistant", 1.0, "a b", "responsive|feedback"),
        Turn("assistant", 2.0, "c", "initiative|other"),
    ]
    assert repairs == Counter()


def test_turns_out_of_order_are_sorted_and_counted() -> None:
    late = [row(10, "user", "tea"), row(30, "assistant", "serve"), row(12, "assistant", "fill"), row(12, "user", "ok")]
    rejected: Counter[str] = Counter()
    repaired: Counter[str] = Counter()
    turns, reasons = read_dialog({"turns": late}, CLIP, False, rejected, repaired)
    assert reasons == [] and [turn.time_s for turn in turns] == [10, 12, 12, 30]
    assert [turn.role for turn in turns[1:3]] == ["assistant", "user"]  # of one time as they came
    assert repaired == Counter(reordered=2) and rejected == Counter()


def test_sorting_does_not_hide_what_is_wrong() -> None:
    repaired: Counter[str] = Counter()
    asked = [row(10, "user", "tea"), row(20, "user", "now?"), row(15, "assistant", "fill")]
    _, reasons = read_dialog({"turns": asked}, CLIP, False, Counter(), repaired)
    assert [reason.split(":")[0] for reason in reasons] == ["unanswered"]
    _, reasons = read_dialog({"turns": [*asked[:1], row(5, "assistant", "go")]}, CLIP, False, Counter(), repaired)
    assert [reason.split(":")[0] for reason in reasons] == ["out_of_window", "no_goal"]
    assert repaired == Counter()  # nothing was put right in an answer that is not used


def test_refinement_loses_no_turn_without_a_count() -> None:
    original = [Turn("user", 10.0, "tea"), Turn("assistant", 15.0, "pour"), Turn("assistant", 15.8, "good")]
    repaired: Counter[str] = Counter()
    joined = [row(10, "user", "tea", "none"), row(15, "assistant", "pour, good", "initiative", "feedback")]
    turns, reasons = read_refined({"turns": joined}, original, CLIP, False, Counter(), repaired)
    assert reasons == [] and len(turns) == 2 and repaired == Counter(joined=1)
    twice = [*joined, row(15.8, "assistant", "well", "initiative", "other"), joined[1]]
    turns, reasons = read_refined({"turns": twice}, original, CLIP, False, Counter(), repaired)
    assert reasons == [] and len(turns) == 3 and repaired == Counter(joined=1, reordered=1, merged=1)
    _, reasons = read_refined({"turns": joined[:1]}, original, CLIP, False, Counter(), repaired)
    assert [reason.split(":")[0] for reason in reasons] == ["turn_lost", "turn_lost"]


@given(st.lists(st.builds(Turn, st.sampled_from(["user", "assistant"]), st.integers(0, 50).map(float), st.text("ab"))))
def test_order_is_stable_and_complete(turns: list[Turn]) -> None:
    ordered, num_late = put_in_order(turns)
    assert sorted(map(repr, ordered)) == sorted(map(repr, turns))
    assert (num_late == 0) == (ordered == turns)
    for time_s in {turn.time_s for turn in turns}:
        assert [t for t in ordered if t.time_s == time_s] == [t for t in turns if t.time_s == time_s]
