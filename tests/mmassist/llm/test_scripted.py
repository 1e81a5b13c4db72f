from __future__ import annotations

import asyncio
import json
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from mmassist.core.annotation import Annotation, Step
from mmassist.dialog import prompts
from mmassist.dialog.annotation import ClipRule, cut_clips
from mmassist.dialog.knowledge import Knowledge
from mmassist.dialog.prompts import Scene, Speaker
from mmassist.dialog.turn import Turn
from mmassist.llm import build_engine, build_llm_config
from mmassist.llm.ask import schema_reasons
from mmassist.llm.protocol import Message, Request, Sample

TEA = Annotation(
    "kitchen",
    "tea",
    "cooking",
    "recipe",
    "make tea",
    tuple(Step(10.0 * n, 10.0 * n + 8, text) for n, text in enumerate(["fill kettle", "boil water", "pour tea"])),
    30.0,
    0.8,
)
KNOWLEDGE = Knowledge("Making tea", ("Fill kettle.", "Boil water."))
OTHER = Knowledge("Changing a tyre", ("Lift the car.",))


def request(kind: str, compat: bool = False, **changes: Any) -> Request:
    scene, speaker = Scene(TEA, KNOWLEDGE, compat=compat), Speaker(0, "talk_more")
    clip = cut_clips(TEA, ClipRule(), compat)[0]
    turns = [
        Turn("user", 0.0, "tea"),
        Turn("assistant", 0.0, "Next, fill kettle."),
        Turn("assistant", 8.0, "Nice work."),
    ]
    prompt = {
        "goal": lambda: prompts.goal_prompt(TEA, compat),
        "consolidate": lambda: prompts.consolidate_prompt(TEA, [KNOWLEDGE, KNOWLEDGE, OTHER]),
        "match": lambda: prompts.match_prompt(TEA, [OTHER, KNOWLEDGE], compat),
        "label": lambda: prompts.label_prompt(scene),
        "dialog": lambda: prompts.dialog_prompt(scene, clip, speaker, [], 20),
        "refine": lambda: prompts.refine_prompt(scene, clip, speaker, turns),
        "summary": lambda: prompts.summary_prompt(scene, speaker, turns),
    }[kind]()
    messages = (Message("system", prompt.system), Message("user", prompt.user))
    return replace(Request(prompt.kind, prompt.template, messages, prompt.schema, prompt.payload), **changes)


def answer(asked: Request, flaw_rate: float = 0.0) -> tuple[Sample, ...]:
    engine = build_engine(build_llm_config({"engine": "scripted", "flaw_rate": flaw_rate}, "llm"))
    return asyncio.run(engine.answer(asked)).samples


KINDS = ["goal", "consolidate", "match", "label", "dialog", "refine", "summary"]


@pytest.mark.parametrize("kind", KINDS)
def test_answers_follow_the_schema_and_repeat_themselves(kind: str) -> None:
    asked = request(kind, num_samples=3)
    assert asked.schema is not None
    samples = answer(asked)
    assert len(samples) == 3 and answer(asked) == samples
    for sample in samples:
        assert schema_reasons(json.loads(sample.text), asked.schema) == []


def test_what_is_answered() -> None:
    read = {kind: json.loads(answer(request(kind))[0].text) for kind in KINDS}
    assert read["goal"] == {"task": "Make tea", "steps": ["Fill kettle.", "Boil water.", "Pour tea."]}
    assert read["consolidate"] == {"task": "Making tea", "steps": ["Fill kettle.", "Boil water."]}
    assert read["match"]["task"] == 2
    assert [(t["initiative"], t["intents"]) for t in read["refine"]["turns"]] == [
        ("none", []),
        ("initiative", ["instruction"]),
        ("initiative", ["feedback"]),
    ]
    assert "Making tea" in read["summary"]["summary"]


def test_the_wording_varies_with_the_seed() -> None:
    assert len({answer(request("dialog", seed=seed))[0].text for seed in range(10)}) > 5


@pytest.mark.parametrize("kind", KINDS)
def test_flawed_answers_are_invalid_and_their_repair_is_not(kind: str) -> None:
    for seed in range(20):
        asked = request(kind, seed=seed)
        (flawed,) = answer(asked, flaw_rate=1.0)
        repair = replace(asked, messages=(*asked.messages, Message("assistant", flawed.text), Message("user", "again")))
        (repaired,) = answer(repair, flaw_rate=1.0)
        assert repaired == answer(asked)[0]
        assert flawed != repaired


def test_the_share_of_flaws_is_the_one_that_was_set() -> None:
    changed = Counter(answer(request("summary", seed=s), 0.2) != answer(request("summary", seed=s)) for s in range(300))
    assert 30 <= changed[True] <= 95


def test_every_kind_of_flaw_occurs() -> None:
    flaws: Counter[str] = Counter()
    for seed in range(80):
        asked = request("refine", seed=seed)
        (sample,) = answer(asked, flaw_rate=1.0)
        if sample.finish_reason == "length":
            flaws["cut"] += 1
        elif not sample.text.startswith("{"):
            flaws["preamble"] += 1
        elif not sample.text.endswith("}"):
            flaws["broken"] += 1
        else:
            last = json.loads(sample.text)["turns"][-1]
            late = "time" in last and last["time"] > asked.payload["end_s"]
            flaws["late" if late else "label" if last.get("intents") == ["small_talk"] else "field"] += 1
    assert flaws.keys() == {"cut", "preamble", "broken", "late", "label", "field"}


def test_without_a_schema_the_answer_is_lines_of_text() -> None:
    lines = answer(request("refine", compat=True))[0].text.splitlines()
    assert lines[0] == "[0.0s] User: tea"
    assert lines[-1].endswith("[initiative|feedback]")
    assert answer(request("summary", compat=True))[0].text.startswith("SUMMARY: ")
