"""judge, by the clock and by a model, on records as generate leaves them; and both through the command."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from mmassist.core.config import meaning
from mmassist.core.errors import ConfigError, ItemError, Kind
from mmassist.core.item import Item, ItemKind
from mmassist.core.stage import Outputs
from mmassist.dialog.judgement import values_of
from mmassist.dialog.rubric import DIALOG_CRITERIA
from mmassist.dialog.score import timing_score
from mmassist.dialog.turn import Turn
from mmassist.io.layout import Layout
from mmassist.io.reader import UnitReader
from mmassist.llm import build_engine, build_llm_config
from mmassist.llm.protocol import Answer, Engine, Request, Sample
from mmassist.stages import stage_class
from mmassist.stages.judge import Judge, LlmJudgeConfig, TimingJudgeConfig, build_judge_config
from tests.e2e.commands import FOLDERS, contents, run, words_of

pytestmark = pytest.mark.long

ITEM = Item("kitchen", "tea-1", ItemKind.DIALOG, "train", (), "digest", "tea-1")
TEXT = "[0.0s-10.0s] fill kettle\n[10.0s-20.0s] boil water\n"
NAMES = [criterion.name for criterion in DIALOG_CRITERIA]
TURNS = [("user", 0.0, "Tea?"), ("assistant", 0.5, "Fill the kettle."), ("assistant", 11.0, "Boil the water.")]
SCRIPTED = {"engine": "scripted", "name": "reviewer", "flaw_rate": 0.0}
OPENAI = {"engine": "openai", "name": "big", "model": "org/big-70b"}


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
        "inferred_goal": "Make tea",
        "inferred_knowledge": "Make tea\n1. Fill kettle.\n2. Boil water.",
        "generator": "org/writer-8b",
        "conversations": rows,
        "parsed_video_anns": {"all_step_descriptions": TEXT, "knowledge_type": "recipe"},
    }


TWO = record(("no_talk", TURNS), ("talk_more", TURNS[1:]))


@dataclass
class FakeContext:
    """What the runtime would hand over, with a log of the requests and of how many waited at once."""

    generated: dict[str, Any]
    engine: Engine | None = None
    verdicts: int = 0
    compat: bool = False
    requests: list[Request] = field(default_factory=list)
    num_waiting: int = 0
    most_waiting: int = 0

    @property
    def llm(self) -> FakeContext:
        return self

    async def ask(self, request: Request) -> Answer:
        assert self.engine is not None
        self.requests.append(request)
        self.num_waiting += 1
        self.most_waiting = max(self.most_waiting, self.num_waiting)
        await asyncio.sleep(0)
        self.num_waiting -= 1
        return await self.engine.answer(request)

    def num_verdicts(self, item: Item) -> int:
        return self.verdicts

    def read(self, stage: str, key: str) -> Member:
        assert (stage, key) == ("generate", "tea-1")
        return Member(self.generated)


@dataclass
class Member:
    value: Any

    def read(self, name: str) -> bytes:
        assert name == "dialogs.json"
        return json.dumps(self.value).encode()


def llm_judge(engine: dict[str, Any] = SCRIPTED, **values: Any) -> Judge:
    return Judge({"judge": build_judge_config({"kind": "llm", "engine": engine, **values}, "judge")})


def process(
    stage: Judge, generated: dict[str, Any], engine: Engine | None = None, verdicts: int = 0
) -> tuple[dict[str, Any], FakeContext]:
    config = stage.engine
    ctx = FakeContext(generated, engine or (build_engine(config) if config else None), verdicts)
    outputs: Outputs = asyncio.run(stage.process(ITEM, ctx))  # type: ignore[arg-type]
    ((name, content),) = list(outputs.members)  # type: ignore[arg-type]
    assert name == "scores.json"
    scores: dict[str, Any] = json.loads(content)
    assert outputs.stats["conversations"] == len(scores["scores"])
    return scores | {"stats": outputs.stats}, ctx


def test_the_clocks_scores_hold_just_what_they_always_did() -> None:
    stage = Judge({"judge": build_judge_config({"kind": "timing", "name": "timing"}, "judge")})
    scores, _ = process(stage, TWO)
    assert scores.pop("stats")["score_sum"] == sum(row["final_score"] for row in scores["scores"])
    rows = [
        {"index": 0, "user_type": "no_talk", "user_id": "no_talk_0"},
        {"index": 1, "user_type": "talk_more", "user_id": "talk_more_1"},
    ]
    for row, turns in zip(rows, (TURNS, TURNS[1:]), strict=True):
        row |= timing_score(TEXT, [Turn(*turn) for turn in turns], compat=False).to_row()
    assert scores == {"key": "tea-1", "judge": "timing", "compat": False, "scores": rows}
    assert stage.engine is None and stage.revision() == {}
    # As before there was a second judge: finished folders stay valid.
    assert meaning(stage.configs["judge"]) == {"name": "timing"} and Judge.version == 1


def test_every_conversation_and_the_record_are_rated() -> None:
    stage = llm_judge(num_samples=5)
    scores, ctx = process(stage, TWO)
    assert (scores["key"], scores["judge"], scores["compat"]) == ("tea-1", "llm", False)
    assert scores["engine"] == {
        "name": "reviewer",
        "model": "scripted",
        "revision": stage.configs["judge"].engine.revision,
        "is_scripted": True,
    }
    assert scores["generator"] == "org/writer-8b"
    assert [(row["index"], row["user_id"]) for row in scores["scores"]] == [(0, "no_talk_0"), (1, "talk_more_1")]
    for row in scores["scores"]:
        for name in NAMES:
            samples = row[name]["samples"]
            assert len(samples) == 5 and all(n in range(1, 6) for n in samples)
            assert row[name]["mean"] == sum(samples) / 5 and row[name]["spread"] >= 0
        assert len(row["rationales"]) == 5 and row["reason"] == ""
        assert row["final_score"] == row["overall"] == pytest.approx(sum(row[n]["mean"] for n in NAMES) / 4)
    assert len(scores["record"]["goal_accuracy"]["samples"]) == len(scores["record"]["rationales"]) == 5
    assert scores["answers"]["num_requests"] == len(ctx.requests) == 3 == ctx.most_waiting
    assert scores["answers"]["num_samples"] == 15
    assert Counter(request.kind for request in ctx.requests) == {"rate": 2, "rate_goal": 1}
    assert len({request.seed for request in ctx.requests}) == 3
    assert all((r.temperature, r.top_p, r.max_tokens, r.num_samples) == (0.5, 0.95, 2048, 5) for r in ctx.requests)
    assert scores["stats"]["llm_requests"] == 3 and scores["stats"]["unrated"] == 0
    assert values_of(scores, scores["scores"][0]).keys() >= {*NAMES, "goal_accuracy", "knowledge_accuracy", "overall"}


def test_the_same_item_gives_the_same_scores_and_another_seed_others() -> None:
    def judged(**values: Any) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = process(llm_judge(num_samples=8, **values), TWO)[0]["scores"]
        return rows

    assert judged() == judged(seed=42)
    assert judged(seed=1) != judged(seed=2)
    again = process(llm_judge(num_samples=8), TWO, verdicts=1)[0]["scores"]
    assert again != judged()  # what failed for good is asked anew


def test_flawed_answers_are_repaired_and_counted() -> None:
    scores, ctx = process(llm_judge(SCRIPTED | {"flaw_rate": 1.0}, num_samples=1), TWO)
    answers = scores["answers"]
    assert answers["num_repairs"] == 3 == sum(request.is_repair for request in ctx.requests)
    assert answers["num_requests"] == 6 and sum(answers["rejected"].values()) == 3 and answers["num_failures"] == 0
    assert all(row["final_score"] for row in scores["scores"])
    # Of several samples the valid ones count, and nothing has to be repaired.
    scores, _ = process(llm_judge(SCRIPTED | {"flaw_rate": 1.0}, num_samples=3), TWO)
    assert scores["answers"]["num_repairs"] == 0
    assert [len(row["alignment"]["samples"]) for row in scores["scores"]] == [2, 2]


class Odd:
    """Scripted, except that some requests get no rating, or fail."""

    name, revision, is_scripted = "odd", "1", True

    def __init__(self, places: set[int | None], kind: Kind | None = None, text: str = "no"):
        self.inner = build_engine(build_llm_config(SCRIPTED, "llm"))
        self.places, self.kind, self.text = places, kind, text

    async def answer(self, request: Request) -> Answer:
        if request.payload.get("conversation") not in self.places:
            return await self.inner.answer(request)
        if self.kind is not None:
            raise ItemError(self.kind, "the prompt has 40000 tokens")
        return Answer((Sample(self.text),) * request.num_samples, self.name)

    def close(self) -> None: ...


@pytest.mark.parametrize("kind", [None, Kind.PERMANENT])
def test_what_cannot_be_rated_costs_itself(kind: Kind | None) -> None:
    scores, _ = process(llm_judge(), TWO, Odd({0}, kind))
    lost, kept = scores["scores"]
    assert lost["final_score"] is None and lost["overall"] is None
    assert lost["correctness"] == {"mean": None, "spread": None, "samples": []}
    assert ("invalid" in lost["reason"]) if kind is None else (lost["reason"] == "the prompt has 40000 tokens")
    assert kept["final_score"] > 0 and kept["reason"] == ""
    assert scores["stats"]["unrated"] == 1 and scores["stats"]["score_sum"] == kept["final_score"]
    scores, _ = process(llm_judge(), TWO, Odd({None}, kind))
    assert scores["record"]["goal_accuracy"]["mean"] is None and scores["record"]["reason"]
    assert all(row["final_score"] for row in scores["scores"])


def test_an_item_without_any_rating_fails() -> None:
    with pytest.raises(ItemError, match="no conversation could be rated; the first: rate/1: answer still invalid") as e:
        process(llm_judge(), TWO, Odd({0, 1}))
    assert e.value.kind is Kind.PERMANENT
    with pytest.raises(ItemError, match="there is none"):
        process(llm_judge(), record())
    with pytest.raises(ItemError) as lost:
        process(llm_judge(), TWO, Odd({1}, Kind.TRANSIENT))
    assert lost.value.kind is Kind.TRANSIENT


def test_numbers_out_of_range_are_not_taken() -> None:
    text = json.dumps({"rationale": "fine", **dict.fromkeys(NAMES, 7)})
    scores, _ = process(llm_judge(), TWO, Odd({0}, text=text))
    assert scores["scores"][0]["final_score"] is None
    assert scores["answers"]["rejected"]["schema"] == 4  # three samples and the repair


def test_an_engine_without_schemas_is_asked_for_lines() -> None:
    lines = "Sure!\n**Rationale:** good\n" + "\n".join(f"- **{name.title()}**: 4/5" for name in NAMES)
    stage = llm_judge(OPENAI | {"schemas": "none"}, num_samples=2)
    scores, ctx = process(stage, TWO, Odd({0}, text=lines))
    assert all(request.schema is None and "rationale: ..." in request.messages[1].content for request in ctx.requests)
    row = scores["scores"][0]
    assert row["alignment"] == {"mean": 4.0, "spread": 0.0, "samples": [4, 4]}
    assert row["rationales"] == ["good", "good"]
    assert scores["scores"][1]["final_score"] > 0  # the scripted engine's own lines


def test_the_settings_name_the_model_that_judges() -> None:
    stage = llm_judge(OPENAI, name="llm_big")
    assert Judge.folder(stage.configs) == "scores/llm_big"
    assert stage.engine is stage.configs["judge"].engine
    assert stage.revision() == {"llm": "org/big-70b", "templates": {"rate": 1, "rate_goal": 1}}
    with pytest.raises(ConfigError, match=r"'judge_llm\.model' is not set"):
        llm_judge(OPENAI | {"model": None}).check()
    Judge({"judge": TimingJudgeConfig()}).check()
    assert stage_class("judge") is Judge


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, r"'judge\.kind' is not set; choose one of llm, timing"),
        ({"kind": "timming"}, r"'judge\.kind' is 'timming'\. Did you mean 'timing'"),
        ({"kind": "timing", "num_samples": 3}, r"'judge\.num_samples' is no setting of judge=timing, but of judge=llm"),
        ({"kind": "timing", "name": "clock"}, r"'judge\.name' is 'clock'"),
        ({"kind": "timing", "num_worker": 3}, r"unknown key 'judge\.num_worker'\. Did you mean 'num_workers'"),
        ({"kind": "llm"}, r"'judge\.engine' is None; choose the model that judges with judge_llm=NAME"),
        ({"kind": "llm", "engine": {"engine": "vlm"}}, r"'judge_llm\.engine' is 'vlm'\. Did you mean 'vllm'"),
        ({"kind": "llm", "engine": {**SCRIPTED, "flow_rate": 1}}, r"unknown key 'judge_llm\.flow_rate'"),
        ({"kind": "llm", "engine": SCRIPTED, "num_samples": 0}, "num_samples is 0; it must be above 0"),
        ({"kind": "llm", "engine": SCRIPTED, "top_p": 0.0}, "top_p"),
        ({"kind": "llm", "engine": SCRIPTED, "name": "a/b"}, "name is 'a/b'"),
        ({"kind": "llm", "engine": SCRIPTED, "name": "timing"}, "name is 'timing', whose folder is the other judge's"),
    ],
)
def test_mistakes_in_the_settings(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as found:
        build_judge_config(values, "judge")
    assert "\n" not in str(found.value)


def test_nothing_but_the_kind_chooses_the_class() -> None:
    assert isinstance(build_judge_config({"kind": "timing"}, "judge"), TimingJudgeConfig)
    assert isinstance(build_judge_config({"kind": "llm", "engine": SCRIPTED}, "judge"), LlmJudgeConfig)


def test_both_judges_stand_side_by_side(demo_root: Path, tmp_path: Path) -> None:
    root = tmp_path / "data"
    shutil.copytree(demo_root / "datasets" / "WTaG", root / "datasets" / "WTaG")
    run(root, words_of("stage=generate,judge", "dataset=wtag"))
    before = contents(root)
    words = words_of("stage=judge", "judge=llm", "dataset=wtag", "judge_llm.name=reviewer")
    run(root, words)
    after = contents(root)
    assert before.items() < after.items()
    layout = Layout(root)
    timing, llm = (layout.unit("wtag", folder) for folder in (FOLDERS["judge"], "scores/llm"))
    manifest = json.loads(llm.manifest.read_text())
    assert manifest["settings"]["judge"]["engine"] == {"engine": "scripted", "name": "reviewer", "flaw_rate": 0.05}
    assert manifest["settings"]["revision"]["llm"] == "scripted/1"
    assert manifest["settings"]["reads"]["generate"]["llm"]["name"] == "scripted"
    clock = json.loads(timing.manifest.read_text())["settings"]
    assert (clock["judge"], clock["revision"], clock["version"]) == ({"name": "timing"}, {}, 1)
    assert clock["reads"] == manifest["settings"]["reads"]
    readers = [UnitReader(unit, "judge") for unit in (timing, llm)]
    keys = [list(reader.keys()) for reader in readers]
    assert keys[0] == keys[1] and len(keys[0]) == 3
    finals = set()
    for key in keys[0]:
        by_clock, by_model = (json.loads(reader.read(key).read("scores.json")) for reader in readers)
        assert [r["user_id"] for r in by_clock["scores"]] == [r["user_id"] for r in by_model["scores"]]
        finals |= {row["final_score"] for row in by_model["scores"]}
    assert len(finals) > 3
    assert "all is done: nothing to do" in run(root, words)
    assert contents(root) == after
