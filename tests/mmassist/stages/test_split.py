"""judge and split, on records and scores as the stages before them leave them."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Any

import pytest

from mmassist.core.config import build
from mmassist.core.errors import ConfigError, ItemError, Skip
from mmassist.core.item import Item, ItemKind
from mmassist.core.stage import Outputs
from mmassist.dialog.judgement import values_of
from mmassist.stages import stage_class
from mmassist.stages.judge import Judge, TimingJudgeConfig
from mmassist.stages.split import VALUES, Split, SplitConfig

ITEM = Item("kitchen", "tea-1", ItemKind.DIALOG, "train", (), "digest", "tea-1")
MEAN_3 = {"mean": 3.0, "spread": 0.5, "samples": [3, 3]}
TEXT = "[0.0s-10.0s] a\n[10.0s-20.0s] b\n"


@dataclass
class FakeContext:
    members: dict[tuple[str, str], Any]
    assigned: str = "train"
    compat: bool = False

    def read(self, stage: str, key: str) -> Any:
        context = self

        class Reader:
            def read(self, name: str) -> bytes:
                return json.dumps(context.members[stage, name]).encode()

        return Reader()

    def side(self, item: Item) -> str:
        return self.assigned


def record(*conversations: tuple[str, list[tuple[str, float, str]]]) -> dict[str, Any]:
    rows = [
        {
            "user_type": kind,
            "user_id": f"{kind}_{index}",
            "conversation": [{"role": r, "time": t, "content": c, "labels": ""} for r, t, c in turns],
        }
        for index, (kind, turns) in enumerate(conversations)
    ]
    return {
        "video_uid": "tea-1",
        "inferred_goal": "tea",
        "conversations": rows,
        "parsed_video_anns": {"all_step_descriptions": TEXT},
    }


def member(outputs: Outputs, name: str) -> dict[str, Any]:
    ((found, content),) = list(outputs.members)  # type: ignore[arg-type]
    assert found == name
    return json.loads(content)


def judge(generated: dict[str, Any], compat: bool = False) -> dict[str, Any]:
    stage = Judge({"judge": build(TimingJudgeConfig, {}, "judge")})
    ctx = FakeContext({("generate", "dialogs.json"): generated}, compat=compat)
    return member(asyncio.run(stage.process(ITEM, ctx)), "scores.json")  # type: ignore[arg-type]


def select(kinds: list[str], judged: dict[str, list[dict[str, Any]]], side: str, compat: bool, **values: Any) -> Any:
    """Select among dialogs of these user types; ``judged``: per judge its values for each of them."""
    members: dict[tuple[str, str], Any] = {("generate", "dialogs.json"): record(*((kind, []) for kind in kinds))}
    for name, found in judged.items():
        rows = [
            {"index": index, "user_type": kind, "user_id": f"{kind}_{index}"} | one
            for index, (kind, one) in enumerate(zip(kinds, found, strict=True))
        ]
        members[f"judge@{name}", "scores.json"] = {"judge": name, "scores": rows, "record": {"goal_accuracy": MEAN_3}}
    stage = Split({"split": build(SplitConfig, values, "split")})
    return asyncio.run(stage.process(ITEM, FakeContext(members, side, compat)))  # type: ignore[arg-type]


def split(scores: list[tuple[str, float]], side: str, compat: bool = False, **values: Any) -> dict[str, Any]:
    found = [{"final_score": score} for _, score in scores]
    outputs = select([kind for kind, _ in scores], {"timing": found}, side, compat, **values)
    return member(outputs, "selection.json")


@pytest.mark.parametrize("compat", [True, False])
def test_every_conversation_gets_its_row_of_scores(compat: bool) -> None:
    turns = [("user", 0.0, "go?"), ("assistant", 11.0, "b")]
    scores = judge(record(("no_talk", turns), ("talk_more", turns[1:])), compat)
    assert (scores["key"], scores["judge"], scores["compat"]) == ("tea-1", "timing", compat)
    first, second = scores["scores"]
    assert (first["index"], first["user_type"], first["user_id"]) == (0, "no_talk", "no_talk_0")
    assert first["final_score"] == pytest.approx(8.9) and first["no_resp_user_turns"] == 1
    assert second["user_id"] == "talk_more_1"


def test_training_keeps_the_best_and_says_what_went() -> None:
    row = split([("talk_some", s) for s in (9, 4, 7, 3, 2.9)], "train", sampling_ratio=0.5)
    assert (row["key"], row["side"], row["judge"], row["inferred_goal"]) == ("tea-1", "train", "timing", "tea")
    assert row["kept"] == [
        {"index": 0, "user_type": "talk_some", "user_id": "talk_some_0", "score": 9, "weight": 1.0},
        {"index": 2, "user_type": "talk_some", "user_id": "talk_some_2", "score": 7, "weight": 1.0},
    ]
    assert [(one["index"], one["reason"]) for one in row["dropped"]] == [
        (1, "sampled_out"),
        (3, "sampled_out"),
        (4, "below_threshold"),
    ]
    reference = split([("talk_some", s) for s in (9, 4, 7, 3, 2.9)], "train", compat=True, sampling_ratio=0.5)
    assert [one["score"] for one in reference["kept"]] == [3, 4]


@pytest.mark.parametrize("side", ["val", "test"])
def test_evaluation_needs_one_of_each_type(side: str) -> None:
    row = split([("talk_more", 6), ("no_talk", 8), ("talk_some", 7), ("no_talk", 9)], side)
    assert [one["user_id"] for one in row["kept"]] == ["no_talk_3", "talk_some_2", "talk_more_0"]
    with pytest.raises(Skip, match="talk_more") as found:
        split([("talk_more", 4), ("no_talk", 8), ("talk_some", 7)], side)
    assert found.value.reason == "missing_user_type"


@pytest.mark.parametrize("side", ["train", "test"])
def test_a_recording_with_bad_dialogs_only_is_skipped(side: str) -> None:
    with pytest.raises(Skip, match=r"best of 2 dialogs has 2\.50 points") as found:
        split([("no_talk", 1), ("talk_some", 2.5)], side)
    assert found.value.reason == "below_threshold"


def test_scores_of_other_dialogs_are_refused() -> None:
    members = {
        ("generate", "dialogs.json"): record(("no_talk", [])),
        ("judge@timing", "scores.json"): {"judge": "timing", "scores": []},
    }
    with pytest.raises(ItemError, match=r"scores of timing are not those .* run stage=judge judge=timing again"):
        asyncio.run(Split({"split": SplitConfig()}).process(ITEM, FakeContext(members)))  # type: ignore[arg-type]


def rated(correctness: float | None, final: float | None) -> dict[str, Any]:
    return {
        "correctness": {"mean": correctness, "spread": None if correctness is None else 0.1, "samples": []},
        "final_score": final,
    }


BOTH = {
    "timing": [{"final_score": score, "no_resp_user_turns": score % 2} for score in (9, 8, 6, 4, 2, 8)],
    "llm": [rated(2, 2), rated(4, 4), rated(5, 5), rated(None, None), rated(5, 4.5), rated(4, 4)],
}


def test_a_filter_reads_all_the_judges_it_names() -> None:
    outputs = select(["talk_some"] * 6, BOTH, "train", False, filter="llm.correctness >= 4 and timing.final_score > 2")
    assert outputs.stats == {"kept": 3, "dropped": 3, "kept_train": 3, "dropped_filtered_out": 3}
    row = member(outputs, "selection.json")
    assert row["judge"] == "llm,timing"
    assert [(one["index"], one["score"]) for one in row["kept"]] == [(1, 8), (5, 8), (2, 6)]  # equal: in their order
    assert [(one["index"], one["reason"], one["score"]) for one in row["dropped"]] == [
        (0, "filtered_out", 9),
        (3, "filtered_out", 4),  # null is neither above nor below
        (4, "filtered_out", 2),
    ]


def test_ranking_and_thresholds_go_by_the_score_asked_for() -> None:
    outputs = select(["talk_some"] * 6, {"llm": BOTH["llm"]}, "train", False, score="2 * llm", train_threshold=8)
    assert outputs.stats == {"kept": 4, "dropped": 2, "kept_train": 4, "dropped_not_scored": 1}
    row = member(outputs, "selection.json")
    assert row["judge"] == "llm"
    assert [(one["index"], one["score"]) for one in row["kept"]] == [(2, 10), (4, 9), (1, 8), (5, 8)]
    assert [(one["index"], one["reason"], one["score"]) for one in row["dropped"]] == [
        (0, "below_threshold", 4),
        (3, "not_scored", None),
    ]


def test_what_a_judge_says_of_the_recording_can_be_asked_for() -> None:
    values: dict[str, Any] = {"filter": "llm.goal_accuracy - llm.goal_accuracy_spread > 2"}
    assert select(["no_talk"] * 6, BOTH, "train", False, **values).stats["kept"] == 5
    with pytest.raises(Skip, match=r"none of 6 dialogs satisfies split\.filter") as found:
        select(["no_talk"] * 6, BOTH, "train", False, filter="llm.goal_accuracy > 3")
    assert found.value.reason == "filtered_out"


def test_a_recording_that_no_judge_could_rate_is_skipped() -> None:
    judged = {"llm": [rated(None, None)] * 2}
    with pytest.raises(Skip, match="none of 2 dialogs could be rated") as found:
        select(["no_talk", "talk_some"], judged, "train", False, score="llm")
    assert found.value.reason == "not_scored"


def test_a_value_that_is_not_there_fails_the_recording() -> None:
    with pytest.raises(ItemError, match="'llm' gives no value 'overall' here; it gives correctness"):
        select(["no_talk"] * 6, BOTH, "train", False, filter="llm.overall > 3")


def test_the_names_say_which_judges_are_read() -> None:
    assert Split.reads == ("generate", "judge@timing") == Split({"split": SplitConfig()}).reads
    stage = Split({"split": SplitConfig(score="llm", filter="llm.correctness > 3 and other < timing")})
    assert stage.reads == ("generate", "judge@llm", "judge@other", "judge@timing")
    assert [stage.origin_of(read) for read in stage.reads] == ["", "split.score", "split.filter", "split.filter"]


def test_the_names_of_values_are_those_that_judges_write() -> None:
    scores = judge(record(("no_talk", [("user", 0.0, "go?"), ("assistant", 11.0, "b")])))
    assert set(VALUES["timing"]) == set(values_of(scores, scores["scores"][0]))
    with pytest.raises(ConfigError, match=r"^split\.filter is 'timing\.final > 2': .* Did you mean 'final_score'"):
        Split({"split": SplitConfig(filter="timing.final > 2")}).check_reads({"judge@timing": {"judge": {}}}, False)
    stage = Split({"split": SplitConfig(score="mine.corectness")})
    with pytest.raises(ConfigError, match=r"^split\.score is 'mine\.corectness': .* Did you mean 'correctness'"):
        stage.check_reads({"judge@mine": {"judge": {"kind": "llm"}}}, False)
    stage.check_reads({"judge@mine": {"judge": {"kind": "unheard of"}}}, False)


def test_the_reference_knows_its_own_score_only() -> None:
    Split({"split": SplitConfig()}).check_reads({}, True)
    for values in ({"score": "llm"}, {"filter": "timing > 1"}):
        stage = Split({"split": build(SplitConfig, values, "split")})
        stage.check_reads({}, False)
        with pytest.raises(ConfigError, match=r"compat=reference knows no other score than split\.score=timing"):
            stage.check_reads({}, True)


def test_mistakes_in_the_settings() -> None:
    with pytest.raises(ConfigError, match=r"^split\.score is 'llm \*': it cannot be read at position 6"):
        build(SplitConfig, {"score": "llm *"}, "split")
    with pytest.raises(ConfigError, match=r"^split\.filter is 'llm': 'llm' at position 1 is a number"):
        build(SplitConfig, {"filter": "llm"}, "split")
    with pytest.raises(ConfigError, match="sampling_ratio is 0"):
        build(SplitConfig, {"sampling_ratio": 0}, "split")
    with pytest.raises(ConfigError, match="group_by"):
        build(SplitConfig, {"group_by": "kitchen"}, "split")
    assert stage_class("split") is Split and stage_class("judge") is Judge
    assert Judge.folder({"judge": TimingJudgeConfig()}) == "scores/timing"
