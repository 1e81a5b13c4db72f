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
from mmassist.stages import stage_class
from mmassist.stages.judge import Judge, JudgeConfig
from mmassist.stages.split import Split, SplitConfig

ITEM = Item("kitchen", "tea-1", ItemKind.DIALOG, "train", (), "digest", "tea-1")
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
    stage = Judge({"judge": build(JudgeConfig, {}, "judge")})
    ctx = FakeContext({("generate", "dialogs.json"): generated}, compat=compat)
    return member(asyncio.run(stage.process(ITEM, ctx)), "scores.json")  # type: ignore[arg-type]


def split(scores: list[tuple[str, float]], side: str, compat: bool = False, **values: Any) -> dict[str, Any]:
    generated = record(*((kind, []) for kind, _ in scores))
    rows = [
        {"index": index, "user_type": kind, "user_id": f"{kind}_{index}", "final_score": score}
        for index, (kind, score) in enumerate(scores)
    ]
    members = {("generate", "dialogs.json"): generated, ("judge", "scores.json"): {"judge": "timing", "scores": rows}}
    stage = Split({"split": build(SplitConfig, values, "split")})
    outputs = asyncio.run(stage.process(ITEM, FakeContext(members, side, compat)))  # type: ignore[arg-type]
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
        ("judge", "scores.json"): {"judge": "timing", "scores": []},
    }
    with pytest.raises(ItemError, match="run judge again"):
        asyncio.run(Split({"split": SplitConfig()}).process(ITEM, FakeContext(members)))  # type: ignore[arg-type]


def test_mistakes_in_the_settings() -> None:
    with pytest.raises(ConfigError, match="sampling_ratio is 0"):
        build(SplitConfig, {"sampling_ratio": 0}, "split")
    with pytest.raises(ConfigError, match="group_by"):
        build(SplitConfig, {"group_by": "kitchen"}, "split")
    assert stage_class("split") is Split and stage_class("judge") is Judge
    assert Judge.folder({"judge": JudgeConfig()}) == "scores/timing"
