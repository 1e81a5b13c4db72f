from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmassist.core.annotation import Annotation
from mmassist.dialog import prompts
from mmassist.dialog.annotation import ClipRule, cut_clips
from mmassist.dialog.knowledge import Knowledge
from mmassist.dialog.lines import line_parser, parse_choice, parse_knowledge, parse_turns
from mmassist.dialog.prompts import Scene, Speaker, Style
from mmassist.dialog.turn import Turn
from mmassist.llm.ask import schema_reasons

TEA = {"task": "Making tea", "steps": ["Boil water.", "Pour it."]}


@pytest.mark.parametrize(
    "text",
    [
        "Making tea\n1. Boil water.\n2. Pour it.",
        "Sure, here it is:\n\n**Making tea**\n\n1) **Boil water.**\n\n2) Pour it.",
        "# Making tea\nSteps:\n1.Boil water.\n2.Pour it.\n\nI hope this helps!",
        "Task name: Making tea\nHere is how it goes.\nStep 1: Boil water.\nStep 2: Pour it.",
        "> Making tea\n- Boil water.\n- Pour it.",
        "Making tea\n1. Boil\n   - water.\n2. Pour\nit.",
    ],
)
def test_a_title_and_steps_however_they_are_written(text: str) -> None:
    value, reasons = parse_knowledge(text, Counter())
    assert (value, reasons) == (TEA, [])


def test_lines_that_are_neither_are_counted() -> None:
    rejected: Counter[str] = Counter()
    parse_knowledge("Sure!\nMaking tea\nSteps:\n1. Boil water.\n\nGood luck!", rejected)
    assert rejected == Counter(line_talk=3)
    assert parse_knowledge("I cannot help with that:", rejected)[1] == [
        "no_title: there is no line with the task's name in front of the steps",
        "no_steps: there is no line like '1. ...'",
    ]


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("It boils water.\nANSWER: 2", 2),
        ("**ANSWER:** 2", 2),
        ("Answer: Task 2.", 2),
        ("Final answer: **2** (making tea)", 2),
        ("The answer is: #2", 2),
        ("ANSWER: 1\nNo, wait.\nANSWER: 2", 2),
        ("ANSWER = 2", 2),
        ("ANSWER: 0", None),
        ("ANSWER: 4", None),
        ("ANSWER: -2", None),
        ("ANSWER: 2.5", None),
        ("ANSWER: 2\nANSWER: none of them", None),
        ("2", None),
        ("The answer of 2 people", None),
        ("ANSWER: " + "2" * 5000, None),
        ("", None),
    ],
)
def test_the_last_marker_counts_and_only_numbers_that_were_offered(text: str, number: int | None) -> None:
    value, reasons = parse_choice(text, "task", range(1, 4))
    assert value == (None if number is None else {"reason": "", "task": number})
    assert bool(reasons) is (number is None)


def test_turns_keep_their_labels_and_say_when_they_have_none() -> None:
    rejected: Counter[str] = Counter()
    text = "Here:\n[1.04] User: hi\n- [2-3s] **Assistant**: go [proactive|info]\n[4s] Assistant: on"
    value, reasons = parse_turns(text, True, rejected)
    assert reasons == [] and rejected == Counter(line_no_turn=1)
    assert value["turns"] == [
        {"time": 1.0, "role": "user", "text": "hi", "initiative": "none", "intents": []},
        {"time": 2.0, "role": "assistant", "text": "go", "initiative": "initiative", "intents": ["info_sharing"]},
        {"time": 4.0, "role": "assistant", "text": "on", "initiative": "none", "intents": []},
    ]


texts = st.text(max_size=300) | st.text("[]s:.|-*#_>0129 \nUserAsianwTk", max_size=200)


@given(texts, st.sampled_from(["goal", "consolidate", "match", "label", "dialog", "refine", "summary"]))
def test_reading_never_raises_and_gives_the_shape_or_a_reason(text: str, kind: str) -> None:
    prompt = PROMPTS[kind]
    rejected: Counter[str] = Counter()
    value, reasons = line_parser(prompt, rejected)(text)
    assert prompt.shape is not None
    assert reasons or (value is not None and isinstance(schema_reasons(value, prompt.shape), list))
    assert all(count > 0 for count in rejected.values())


def _prompts() -> dict[str, Any]:
    from mmassist.core.annotation import Step

    tea = Annotation("kitchen", "tea", "cooking", "recipe", "tea", (Step(1.0, 9.0, "boil"),), 10.0, 0.8)
    style, knowledge = Style("lines"), Knowledge("Tea", ("Boil.",))
    scene, speaker = Scene(tea, knowledge, style=style), Speaker(0, "no_talk")
    clip = cut_clips(tea, ClipRule(), False)[0]
    made = [
        prompts.goal_prompt(tea, False, style),
        prompts.consolidate_prompt(tea, [knowledge], style=style),
        prompts.match_prompt(tea, [knowledge, knowledge], False, style),
        prompts.label_prompt(scene),
        prompts.dialog_prompt(scene, clip, speaker, [], 20),
        prompts.refine_prompt(scene, clip, speaker, [Turn("user", 1.0, "tea")]),
        prompts.summary_prompt(scene, speaker, [Turn("user", 1.0, "tea")]),
    ]
    return {prompt.kind: prompt for prompt in made}


PROMPTS = _prompts()
