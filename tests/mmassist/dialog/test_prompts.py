from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from typing import Any

import jsonschema
import pytest

from mmassist.core.annotation import Annotation
from mmassist.dialog import prompts, templates
from mmassist.dialog.annotation import ClipRule, cut_clips
from mmassist.dialog.knowledge import Knowledge, knowledge_of_answer, majority
from mmassist.dialog.prompts import BUILT_IN_STYLE, Form, Prompt, Scene, Speaker, Style
from mmassist.dialog.turn import ELLIPSIS, Turn
from mmassist.dialog.usertype import parse_user_types

KNOWLEDGE = Knowledge("Making $5 tea", ("Boil water.", "Pour."))
HISTORY = [Turn("assistant", float(n), f"said {n}", "initiative|other") for n in range(25)]


def all_prompts(tea: Annotation, compat: bool = False, style: Style = BUILT_IN_STYLE) -> list[Prompt]:
    scene = Scene(tea, KNOWLEDGE, "wtag", compat, style)
    speaker = Speaker(3, "talk_some")
    clip = cut_clips(tea, ClipRule(3, "units"), compat)[1]
    return [
        prompts.goal_prompt(tea, compat, style),
        prompts.consolidate_prompt(tea, [KNOWLEDGE, KNOWLEDGE], compat, style),
        prompts.match_prompt(tea, [KNOWLEDGE, KNOWLEDGE], compat, style),
        prompts.label_prompt(scene),
        prompts.dialog_prompt(scene, clip, speaker, HISTORY, 20),
        prompts.refine_prompt(scene, clip, speaker, HISTORY),
        prompts.summary_prompt(scene, speaker, HISTORY),
    ]


def closed(schema: Any) -> bool:
    """Every object closed, every text and list limited."""
    if "anyOf" in schema:
        return all(closed(one) for one in schema["anyOf"])
    if schema.get("type") == "object":
        return schema["additionalProperties"] is False and all(closed(s) for s in schema["properties"].values())
    if schema.get("type") == "array":
        return "maxItems" in schema and all(closed(s) for s in [schema["items"], *schema.get("prefixItems", [])])
    return schema.get("type") != "string" or "maxLength" in schema or "enum" in schema


@pytest.mark.parametrize("form", ["json", "lines"])
@pytest.mark.parametrize("compat", [True, False])
def test_prompts_are_filled_in_and_their_facts_are_plain_json(tea: Annotation, compat: bool, form: Form) -> None:
    for prompt in all_prompts(tea, compat, Style(form)):
        assert "$" not in prompt.user.replace("$5", "")
        assert prompt.template == f"{prompt.kind}/{templates.VERSIONS[prompt.kind]}"
        assert json.loads(json.dumps(prompt.payload)) == prompt.payload
        for schema in (prompt.schema, prompt.shape):
            if schema is not None:
                jsonschema.Draft202012Validator.check_schema(schema)
                assert closed(schema)


def test_an_engine_without_schemas_is_asked_for_lines(tea: Annotation) -> None:
    for prompt in all_prompts(tea, style=Style("lines")):
        assert prompt.schema is None and prompt.shape is not None and prompt.form == "lines"
        assert "JSON" not in prompt.user
        assert templates.TEXTS[f"lines.{prompt.kind}"] in prompt.user


def test_the_reference_asks_for_lines_of_text(tea: Annotation) -> None:
    assert [p.kind for p in all_prompts(tea, True) if p.schema is None] == ["dialog", "refine", "summary"]


def test_a_dialog_prompt_says_what_it_needs(tea: Annotation) -> None:
    prompt = all_prompts(tea)[4]
    assert "from 20.0 s to 50.0 s" in prompt.user
    assert "[20.0s-28.0s] add sugar" in prompt.user
    assert templates.USER_BEHAVIOUR["talk_some"] in prompt.user
    assert templates.GUIDANCE["wtag"] in prompt.user
    assert f"said 9 [initiative|other]\n{ELLIPSIS}\n[15.0s] Assistant: said 15" in prompt.user
    assert "said 10" not in prompt.user and "said 14" not in prompt.user
    assert [row["text"] for row in prompt.payload["steps"]] == ["add sugar", "stir", "serve"]
    assert prompt.payload["is_last"] and not prompt.payload["is_first"]


@pytest.mark.parametrize("form", ["json", "lines"])
def test_each_summary_prompt_begins_with_all_of_the_one_before_up_to_its_last_turn(tea: Annotation, form: Form) -> None:
    scene, speaker = Scene(tea, KNOWLEDGE, style=Style(form)), Speaker(0, "no_talk")
    made = [prompts.summary_prompt(scene, speaker, HISTORY[:n]) for n in range(1, len(HISTORY) + 1)]
    assert len({prompt.system for prompt in made}) == 1
    for number, (short, long) in enumerate(pairwise(made)):
        last = f"said {number}"
        end = short.user.index(last) + len(last)
        assert long.user.startswith(short.user[:end])
        tail = short.user[end:]  # the question alone, the same for all
        assert long.user.endswith(tail) and len(tail) < 300


def test_knowledge_is_a_name_and_numbered_steps() -> None:
    knowledge, reasons = knowledge_of_answer({"task": "**Tea** ", "steps": ["Boil\nwater.", "Pour."]})
    assert reasons == []
    assert knowledge.render() == "Tea\n1. Boil water.\n2. Pour."
    assert knowledge_of_answer({"task": "*", "steps": [" "]})[1] == [
        "no_title: the task has no name",
        "empty: a step has no text",
    ]
    assert Knowledge("Tea", (), "Tea\n\nIngredients").render() == "Tea\n\nIngredients"


def test_majority_does_not_depend_on_the_order_of_votes() -> None:
    assert majority([2, 1, 1, 2]) == majority([1, 2, 2, 1]) == (1, 2)
    assert majority([0, 2, 2]) == (2, 2)


def test_user_types_expand_in_order() -> None:
    assert parse_user_types("talk_more@1, no_talk@2") == ("talk_more", "no_talk", "no_talk")
    for bad in ("", "no_talk", "no_talk@0", "shouts@1", "no_talk@1,no_talk@1"):
        with pytest.raises(ValueError, match="user_types"):
            parse_user_types(bad)


def test_what_to_do_about_mistakes_is_said_where_there_are_some(tea: Annotation) -> None:
    for has_mistake in (True, False):
        scene = Scene(replace(tea, has_mistake=has_mistake), KNOWLEDGE, "assembly101")
        clip = cut_clips(tea, ClipRule(3, "units"), False)[1]
        prompt = prompts.dialog_prompt(scene, clip, Speaker(0, "no_talk"), [], 20)
        assert (templates.GUIDANCE["assembly101"] in prompt.user) is has_mistake
