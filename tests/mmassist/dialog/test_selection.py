from __future__ import annotations

import math
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from mmassist.dialog.selection import Scored, select_eval, select_train
from mmassist.dialog.usertype import USER_TYPES


def scored(*scores: float, user_type: str = "talk_some") -> list[Scored]:
    return [Scored(index, user_type, f"{user_type}_{index}", score) for index, score in enumerate(scores)]


def test_the_best_are_kept() -> None:
    selection = select_train(scored(9, 4, 7, 3), threshold=3, ratio=0.5)
    assert [one.scored.score for one in selection.kept] == [9, 7]
    assert [(one.scored.score, one.reason) for one in selection.dropped] == [(4, "sampled_out"), (3, "sampled_out")]


def test_the_reference_keeps_the_worst() -> None:
    assert [one.scored.score for one in select_train(scored(9, 4, 7, 3), 3, 0.5, compat=True).kept] == [3, 4]


def test_a_ratio_above_one_becomes_a_weight() -> None:
    assert [one.weight for one in select_train(scored(9, 8), 3, 2.0).kept] == [2.0, 2.0]
    assert [one.weight for one in select_train(scored(9, 8), 3, 1.5).kept] == [1.5, 1.5]
    assert [one.weight for one in select_train(scored(9, 8), 3, 1.5, compat=True).kept] == [1.0, 1.0]
    assert [one.weight for one in select_train(scored(9, 8), 3, 0.5).kept] == [1.0]


def test_the_threshold_is_reached_by_equal_scores_and_never_by_nan() -> None:
    selection = select_train(scored(3.0, 2.99, float("nan")), 3, 1)
    assert [one.scored.index for one in selection.kept] == [0]
    assert [one.reason for one in selection.dropped] == ["below_threshold", "not_scored"]


def test_what_is_not_wanted_is_left_out_whatever_its_score() -> None:
    rows = [replace(row, is_wanted=row.index > 1) for row in scored(9, math.nan, 4, 3, 2, math.nan)]
    selection = select_train(rows, 3, ratio=0.5)
    assert [one.scored.index for one in selection.kept] == [2]
    assert [(one.scored.index, one.reason) for one in selection.dropped] == [
        (0, "filtered_out"),
        (1, "filtered_out"),
        (3, "sampled_out"),
        (4, "below_threshold"),
        (5, "not_scored"),
    ]
    best = [row for kind in USER_TYPES for row in scored(9, 8, user_type=kind)]
    best = [replace(row, index=index, is_wanted=row.score < 9) for index, row in enumerate(best)]
    selection = select_eval(best, 5)
    assert [one.scored.score for one in selection.kept] == [8, 8, 8]
    assert {one.reason for one in selection.dropped} == {"filtered_out"}


def test_evaluation_takes_the_best_of_each_type_in_a_fixed_order() -> None:
    rows = [
        Scored(0, "talk_more", "talk_more_0", 6),
        Scored(1, "no_talk", "no_talk_1", 5),
        Scored(2, "talk_some", "talk_some_2", 8),
        Scored(3, "talk_some", "talk_some_3", 9),
        Scored(4, "talk_more", "talk_more_4", 4.9),
    ]
    selection = select_eval(rows, 5)
    assert [one.scored.user_id for one in selection.kept] == ["no_talk_1", "talk_some_3", "talk_more_0"]
    assert [(one.scored.index, one.reason) for one in selection.dropped] == [(2, "not_best"), (4, "below_threshold")]


def test_evaluation_needs_all_three_types() -> None:
    selection = select_eval(scored(9, 8), 5)
    assert selection.kept == () and selection.missing == ("no_talk", "talk_more")
    assert [one.reason for one in selection.dropped] == ["incomplete", "not_best"]


rows = st.lists(
    st.tuples(st.sampled_from(USER_TYPES), st.integers(-50, 100) | st.just(math.nan), st.booleans()), max_size=30
).map(lambda found: [Scored(i, kind, f"{kind}_{i}", score / 10, ok) for i, (kind, score, ok) in enumerate(found)])


@given(rows, st.floats(0.05, 3))
def test_every_dialog_is_kept_or_dropped_and_no_dropped_one_is_better(all_rows: list[Scored], ratio: float) -> None:
    selection = select_train(all_rows, 3, ratio)
    named = [one.scored.index for one in selection.kept] + [one.scored.index for one in selection.dropped]
    assert sorted(named) == [row.index for row in all_rows]
    for user_type in USER_TYPES:
        kept = [one.scored.score for one in selection.kept if one.scored.user_type == user_type]
        dropped = [
            one.scored.score
            for one in selection.dropped
            if one.scored.user_type == user_type and one.scored.is_wanted and not math.isnan(one.scored.score)
        ]
        if kept and dropped:
            assert min(kept) >= max(dropped)
        assert kept or all(score < 3 for score in dropped)
    assert all(one.scored.is_wanted and one.scored.score >= 3 for one in selection.kept)
