"""Scores of both judges under one set of names."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from mmassist.dialog.judgement import record_values_of, values_of
from mmassist.dialog.rating import Rating, overall, summarise
from mmassist.dialog.rubric import DIALOG_CRITERIA, RECORD_CRITERIA
from mmassist.dialog.score import timing_score
from mmassist.dialog.turn import Turn

WHO = {"index": 3, "user_type": "talk_some", "user_id": "talk_some_3"}


def rated(*numbers: int, reason: str = "") -> dict[str, Any]:
    ratings = [Rating({c.name: n for c in (*DIALOG_CRITERIA, *RECORD_CRITERIA)}, "so") for n in numbers]
    row = summarise(ratings, DIALOG_CRITERIA, reason)
    points = overall(row, DIALOG_CRITERIA)
    record = summarise(ratings, RECORD_CRITERIA, reason)
    return {"judge": "llm", "record": record, "scores": [{**WHO, **row, "overall": points, "final_score": points}]}


def test_the_clocks_scores_keep_their_names() -> None:
    turns = [Turn("user", 0.0, "go?"), Turn("assistant", 11.0, "b")]
    row = WHO | timing_score("[0.0s-10.0s] a\n[10.0s-20.0s] b\n", turns, compat=False).to_row()
    found = values_of({"judge": "timing", "scores": [row]}, row)
    assert found == {
        "avg_time_diff_p": 0.5,
        "avg_time_diff_r": 0.5,
        "no_resp_penalty": 0.1,
        "no_resp_user_turns": 1.0,
        "final_score": 8.9,
    }
    nothing = values_of({}, WHO | timing_score("", [], compat=False).to_row())
    assert nothing["avg_time_diff_p"] is None and nothing["final_score"] == 0.0


def test_ratings_become_means_and_spreads_with_those_of_the_record() -> None:
    scores = rated(3, 5)
    found = values_of(scores, scores["scores"][0])
    names = [criterion.name for criterion in (*DIALOG_CRITERIA, *RECORD_CRITERIA)]
    assert found == {"overall": 4.0, "final_score": 4.0} | {
        key: value for name in names for key, value in ((name, 4.0), (f"{name}_spread", 1.0))
    }
    assert record_values_of(scores) == {key: found[key] for key in found if "accuracy" in key}
    assert record_values_of({"judge": "timing", "scores": []}) == {}


@given(st.lists(st.integers(1, 5), max_size=5))
def test_the_names_do_not_depend_on_whether_it_could_be_rated(numbers: list[int]) -> None:
    scores, unrated = rated(*numbers, reason="cut"), rated(reason="cut")
    found, nothing = (values_of(one, one["scores"][0]) for one in (scores, unrated))
    assert found.keys() == nothing.keys()
    assert set(nothing.values()) == {None}
    assert all((value is None) is (not numbers) for value in found.values())
