from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from itertools import pairwise
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmassist.core.annotation import Step, Substep
from mmassist.core.config import build
from mmassist.core.errors import ConfigError, ItemError, Kind, Skip
from mmassist.core.item import Drop
from mmassist.dialog.record import record_schema
from mmassist.dialog.score import timing_score
from mmassist.llm import build_engine, build_llm_config
from mmassist.llm.protocol import Answer, Request, Sample
from mmassist.stages import stage_class
from mmassist.stages.generate import Generate, GenerateConfig
from tests.mmassist.stages.generating import ITEM, TASKS, WORDS, FakeContext, annotation, run, stage, turns_of

pytestmark = pytest.mark.long


def test_the_default_makes_ten_dialogs_with_everything_in_place() -> None:
    made = annotation()
    record, _ = run(made)
    conversations = turns_of(record)
    assert [kind for kind, _ in conversations] == ["no_talk"] * 2 + ["talk_some"] * 4 + ["talk_more"] * 4
    for kind, turns in conversations:
        assert turns[0].is_user and "lay the table" in turns[0].content.lower()
        assert all(0 <= turn.time_s <= made.duration_s for turn in turns)
        for step, word in zip(made.steps, WORDS, strict=True):
            told = [t for t in turns if not t.is_user and word in t.content and t.time_s <= step.start_s]
            assert told and "instruction" in told[-1].labels
        for question, reply in pairwise(turns):
            if question.is_question:
                assert not reply.is_user and 0 <= reply.time_s - question.time_s <= 2
        assert any("correction" in t.labels for t in turns if "the lid fell" in t.content)
        assert any("correction" in t.labels for t in turns if "too much" in t.content)
        num_said = sum(turn.is_user for turn in turns)
        assert {"no_talk": [1], "talk_some": [3], "talk_more": [5]}[kind] == [num_said]
        assert all(turn.progress.startswith("Time since the task began") for turn in turns if not turn.is_user)
        description = record["parsed_video_anns"]["all_step_descriptions"]
        assert timing_score(description, turns, compat=False).final_score > 8
    assert "Time since the task began: 0.0 seconds." in conversations[0][1][1].progress
    assert record["generator"] == "scripted" and record["is_scripted"]
    assert record["inferred_knowledge"].splitlines()[:2] == ["Lay the table", "1. Take the kettle."]


def test_flawed_answers_are_repaired_and_counted() -> None:
    record, ctx = run(annotation(), flaw_rate=1.0)
    answers = record["answers"]
    # Of ten goal samples nine are whole, so nothing has to be repaired there.
    assert answers["num_repairs"] == sum(request.is_repair for request in ctx.requests) > 100
    assert answers["num_repairs"] == (answers["num_requests"] - 1) / 2
    assert answers["num_failures"] == 0 and record["failed_conversations"] == []
    assert {"invalid_json", "schema", "length", "out_of_window"} <= answers["rejected"].keys()
    assert answers["finish_reasons"]["length"] == answers["rejected"]["length"]


def test_the_same_item_gives_the_same_bytes() -> None:
    assert run(annotation(), flaw_rate=0.3)[0] == run(annotation(), flaw_rate=0.3)[0]
    assert run(annotation(), seed=1)[0]["conversations"] != run(annotation(), seed=2)[0]["conversations"]


def test_reference_rules_run_through_text() -> None:
    record, ctx = run(annotation(), flaw_rate=1.0, compat=True)
    assert record["compat"] and len(record["conversations"]) == 10
    assert {request.kind for request in ctx.requests if request.schema is None} == {"dialog", "refine", "summary"}
    assert "Time since the task began: 5.0 seconds." in turns_of(record)[0][1][1].progress
    assert record["answers"]["rejected"]["line_no_turn"] > 0


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"ann_ratio": 0.4}, "low_coverage"),
        ({"steps": ()}, "no_steps"),
        ({"steps": (Step(1.0, 2.0, "start", is_marker=True),)}, "no_steps"),
    ],
)
def test_annotations_with_too_little_in_them_are_skipped(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(Skip) as found:
        run(annotation(**changes))
    assert found.value.reason == reason


def test_given_knowledge_is_used_as_it_is() -> None:
    record, ctx = run(annotation(knowledge="Table\n1. Lay it."), goal_method="given")
    assert (record["inferred_goal"], record["inferred_knowledge"]) == ("lay the table", "Table\n1. Lay it.")
    assert not any(request.kind == "goal" for request in ctx.requests)
    with pytest.raises(ItemError, match="gives no goal"):
        run(annotation(goal=""), goal_method="given")


def test_the_label_filter_asks_and_counts() -> None:
    record, _ = run(annotation(), label_filter=True)
    assert sum(record["video_labels"].values()) == 10 and record["video_labels"]["1"] >= 5


class Stubborn:
    """Scripted, except that it never finishes one user's dialogs, or fails for another reason."""

    name, revision, is_scripted = "stubborn", "1", True

    def __init__(self, user_types: set[str], kind: Kind | None = None):
        self.inner = build_engine(build_llm_config({"engine": "scripted", "flaw_rate": 0}, "llm"))
        self.user_types, self.kind = user_types, kind

    async def answer(self, request: Request) -> Answer:
        if request.kind == "dialog" and request.payload["user_type"] in self.user_types:
            if self.kind is not None:
                raise ItemError(self.kind, "engine lost")
            return Answer((Sample("no"),), self.name)
        return await self.inner.answer(request)

    def close(self) -> None: ...


def test_a_conversation_that_cannot_be_repaired_costs_itself_only() -> None:
    ctx = FakeContext(annotation(), Stubborn({"talk_some"}))
    outputs = asyncio.run(stage().process(ITEM, ctx))  # type: ignore[arg-type]
    record = json.loads(next(iter(outputs.members))[1])  # type: ignore[arg-type]
    assert [c["user_id"] for c in record["conversations"]][2] == "talk_more_6"
    assert [row["index"] for row in record["failed_conversations"]] == [2, 3, 4, 5]
    assert "still invalid after a repair turn" in record["failed_conversations"][0]["message"]
    assert record["answers"]["num_failures"] == 4


def test_nothing_finished_fails_the_item_and_a_lost_engine_stops_it() -> None:
    everyone = {"no_talk", "talk_some", "talk_more"}
    for engine, kind in ((Stubborn(everyone), Kind.PERMANENT), (Stubborn({"no_talk"}, Kind.TRANSIENT), Kind.TRANSIENT)):
        with pytest.raises(ItemError) as found:
            asyncio.run(stage().process(ITEM, FakeContext(annotation(), engine)))  # type: ignore[arg-type]
        assert found.value.kind is kind


times = st.integers(0, 1500).map(lambda t: t / 10)
lengths = st.integers(0, 200).map(lambda t: t / 10)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(times, lengths), min_size=1, max_size=12), st.booleans())
def test_any_annotation_becomes_valid_dialogs(spans: list[tuple[float, float]], compat: bool) -> None:
    steps = tuple(Step(start, start + length, f"take cup {n}") for n, (start, length) in enumerate(sorted(spans)))
    end_s = max(step.end_s for step in steps) + 5.0
    record, _ = run(annotation(steps=steps, duration_s=end_s), 0.2, compat, user_types="no_talk@1,talk_more@1")
    assert len(record["conversations"]) == 2
    for _, turns in turns_of(record):
        assert turns
        if not compat:
            assert all(0 <= turn.time_s <= end_s + 1.0 for turn in turns)
            assert all(a.time_s <= b.time_s for a, b in pairwise(turns))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"user_types": "loud@2"}, "user_types is 'loud@2'"),
        ({"guidance": "nasa"}, "guidance is 'nasa'"),
        ({"clip_counts": "words"}, "clip_counts"),
        ({"top_p": 0.0}, "top_p"),
        ({"num_workers": 0}, "num_workers is 0"),
        ({"max_turns": 5}, "max_turns is 5"),
        ({"max_turn_chars": 20}, "max_turn_chars 20"),
        ({"prompts": "own.yaml"}, "prompts is 'own.yaml'; it must be absolute"),
        ({"user_type": "no_talk@1"}, "Did you mean 'user_types'"),
    ],
)
def test_mistakes_in_the_settings(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build(GenerateConfig, values, "generate")


def test_the_stage_is_found_and_names_its_folder() -> None:
    assert stage_class("generate") is Generate
    assert Generate.folder(stage().configs) == "generated_dialogs/scripted"
    assert stage().revision()["llm"] == "scripted/1"
    llm = build_llm_config({"engine": "vllm", "name": "big", "model": "a/b"}, "llm")
    with pytest.raises(ConfigError, match=r"llm\.model"):
        Generate({"generate": GenerateConfig(), "llm": llm, "dataset": None}).check()


def test_what_the_source_left_out_is_in_the_record_and_counted() -> None:
    drops = (Drop("kitchen-1", "row 7", "no end"), Drop("kitchen-1", "row 9", "beyond the video"))
    ctx = FakeContext(annotation(drops=drops), build_engine(stage().configs["llm"]))
    outputs = asyncio.run(stage().process(ITEM, ctx))  # type: ignore[arg-type]
    record = json.loads(next(iter(outputs.members))[1])  # type: ignore[arg-type]
    jsonschema.validate(record, record_schema())
    assert record["drops"] == [
        {"record": "row 7", "reason": "no end"},
        {"record": "row 9", "reason": "beyond the video"},
    ]
    assert outputs.stats["dropped_records"] == 2


@pytest.mark.parametrize("role", ["user", "assistant"])
@pytest.mark.parametrize("text", ["(laughs) put it over there now", "word " * 1000, "(waves and smiles and nods)"])
def test_no_real_utterance_costs_a_conversation(text: str, role: str) -> None:
    made = annotation(3)
    steps = (replace(made.steps[0], substeps=(Substep(10.0, text, role=role),)), *made.steps[1:])
    record, _ = run(replace(made, steps=steps))
    assert len(record["conversations"]) == 10 and record["failed_conversations"] == []
    said = [turn.content for _, turns in turns_of(record) for turn in turns]
    assert ("Put it over there now." in said) == text.startswith("(laughs)")
    assert any(content.startswith("Word word") for content in said) == text.startswith("word")
    assert not any(content.startswith("(") for content in said)


class Hasty:
    """Writes a user who asks ``num_questions`` times within a second and gets one answer."""

    name, revision, is_scripted = "hasty", "hasty/1", False

    def __init__(self, num_questions: int):
        self.num_questions = num_questions
        self.scripted = build_engine(build_llm_config({"engine": "scripted", "flaw_rate": 0.0}, "llm"))

    async def answer(self, request: Request) -> Answer:
        if request.kind != "dialog" or request.payload["user_type"] != "talk_more":
            return await self.scripted.answer(request)
        turns = [{"time": 5.0, "role": "user", "text": "I lay the table."}]
        turns += [{"time": 7 + n / 10, "role": "user", "text": f"Like this {n}?"} for n in range(self.num_questions)]
        turns += [{"time": 8.5, "role": "assistant", "text": "Please go on."}]
        return Answer((Sample(json.dumps({"turns": turns})),), self.name)

    def close(self) -> None: ...


@pytest.mark.parametrize(("num_questions", "num_failed"), [(2, 0), (5, 0), (6, 1)])
def test_questions_that_moved_away_from_their_answer_cost_one_conversation(num_questions: int, num_failed: int) -> None:
    ctx = FakeContext(annotation(3), Hasty(num_questions))
    generate = stage(user_types="no_talk@1,talk_more@1")
    outputs = asyncio.run(generate.process(ITEM, ctx))  # type: ignore[arg-type]
    record = json.loads(next(iter(outputs.members))[1])  # type: ignore[arg-type]
    assert [row["index"] for row in record["failed_conversations"]] == [1] * num_failed
    assert all("unanswered" in row["message"] for row in record["failed_conversations"])
    assert len(record["conversations"]) == 2 - num_failed


class Voter:
    """Scripted, except that it answers requests to match a task with the given numbers, one per sample."""

    name, revision, is_scripted = "voter", "1", True

    def __init__(self, *votes: Any):
        self.inner = build_engine(build_llm_config({"engine": "scripted", "flaw_rate": 0}, "llm"))
        self.votes = votes

    async def answer(self, request: Request) -> Answer:
        if request.kind != "match":
            return await self.inner.answer(request)
        votes = self.votes[: request.num_samples] if not request.is_repair else self.votes[-1:]
        return Answer(tuple(Sample(json.dumps({"reason": "", "task": vote})) for vote in votes), self.name)

    def close(self) -> None: ...


def vote(*votes: Any) -> dict[str, Any]:
    generate = stage(goal_method="match", num_repeats=len(votes), user_types="no_talk@1")
    outputs = asyncio.run(generate.process(ITEM, FakeContext(annotation(known_tasks=TASKS), Voter(*votes))))  # type: ignore[arg-type]
    return json.loads(next(iter(outputs.members))[1])  # type: ignore[arg-type, no-any-return]


@pytest.mark.parametrize("compat", [False, True])
def test_a_known_task_is_recognised(compat: bool) -> None:
    record, ctx = run(annotation(goal="", known_tasks=TASKS), 0.5, compat, goal_method="match")
    assert record["inferred_goal"] == "Lay the table"
    assert record["inferred_knowledge"].splitlines() == [
        "Lay the table",
        "1. Carry: Bring kettle, teapot and spoon.",
        "2. Set: Put them on the table.",
    ]
    asked = [request for request in ctx.requests if request.kind == "match"]
    assert [request.num_samples for request in asked] == [10]
    assert "Task 3: Sweep\n1. Sweep: Use a broom." in asked[0].messages[1].content
    assert not any(request.kind in ("goal", "consolidate") for request in ctx.requests)


@pytest.mark.parametrize(
    ("votes", "title"),
    [
        ((3, 1, 3), "Sweep"),
        ((3, 1), "Mend a tyre"),
        ((2, 1, 1, 2), "Mend a tyre"),
        # what is no task is no vote: the reference takes 0 for the last one
        ((0, 0, 2), "Lay the table"),
        ((4, True, "1", 1.5, None, 2), "Lay the table"),
    ],
)
def test_most_votes_count_and_of_equals_the_first_task(votes: tuple[Any, ...], title: str) -> None:
    assert vote(*votes)["inferred_goal"] == title


@settings(max_examples=20, deadline=None)
@given(st.lists(st.sampled_from([1, 2, 3]), min_size=1, max_size=6), st.randoms())
def test_the_order_of_votes_does_not_matter(votes: list[int], random: Any) -> None:
    shuffled = random.sample(votes, len(votes))
    assert vote(*shuffled)["inferred_goal"] == vote(*votes)["inferred_goal"]


def test_without_a_usable_vote_or_task_the_item_fails() -> None:
    with pytest.raises(ItemError, match="match/1: answer still invalid after a repair turn"):
        vote(0, 7)
    with pytest.raises(ItemError, match="the source names no tasks"):
        run(annotation(), goal_method="match")
    with pytest.raises(ConfigError, match="goal_method"):
        build(GenerateConfig, {"goal_method": "guess"}, "generate")
