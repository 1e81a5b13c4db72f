from __future__ import annotations

import json
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmassist.dialog import schemas
from mmassist.dialog.annotation import Clip
from mmassist.dialog.answers import read_dialog, read_refined, read_summary
from mmassist.dialog.checking import Window
from mmassist.dialog.knowledge import knowledge_of_answer
from mmassist.dialog.schemas import Limits
from mmassist.dialog.turn import Turn
from mmassist.llm.ask import check_sample, schema_reasons
from mmassist.llm.protocol import Sample
from mmassist.llm.schema_dialect import plain_schema

pytestmark = pytest.mark.long

LIMITS = Limits()
TURNS = [
    Turn("user", 3.2, "tea"),
    Turn("assistant", 3.2, "fill it"),
    Turn("assistant", 9.0, "pour"),
    Turn("assistant", 9.6, "good"),
    Turn("assistant", 12.0, "serve"),
    Turn("user", 12.5, "ok"),
]


def times(window: Window) -> dict[str, Any]:
    found: dict[str, Any] = schemas.dialog_schema(window, LIMITS)["properties"]["turns"]["items"]["properties"]["time"]
    return found


def spoken(time: float, role: str = "user", text: str = "Tea!") -> dict[str, Any]:
    return {"time": time, "role": role, "text": text}


def test_times_are_tenths_of_the_window() -> None:
    found = times(Window(3.2, 88.4, is_first=False))
    assert found == {"type": "number", "minimum": 3.2, "maximum": 88.4, "multipleOf": 0.1}
    inside = times(Window(3.21, 88.47, is_first=False))
    assert (inside["minimum"], inside["maximum"]) == (3.3, 88.4)
    alone = times(Window(5.0, 5.0, is_first=False))
    assert (alone["minimum"], alone["maximum"]) == (5.0, 5.0)


def test_a_window_without_a_tenth_of_a_second_keeps_its_own_bounds() -> None:
    assert times(Window(3.24, 3.27, is_first=False)) == {"type": "number", "minimum": 3.24, "maximum": 3.27}


@given(st.integers(0, 10**7), st.integers(0, 5000), st.integers(0, 9), st.integers(0, 9))
def test_the_bounds_lie_inside_the_window(start: int, length: int, before: int, behind: int) -> None:
    window = Window(start / 10 + before / 100, (start + length) / 10 + behind / 100, is_first=True)
    found = times(window)
    assert window.start_s <= found["minimum"] and found["maximum"] <= window.end_s
    for bound in (found["minimum"], found["maximum"]):
        assert schema_reasons(bound, found) == [] or "multipleOf" not in found or found["minimum"] > found["maximum"]


def test_the_first_window_begins_with_the_user_at_its_start() -> None:
    schema = schemas.dialog_schema(Window(3.2, 9.0, is_first=True), LIMITS)
    assert schema_reasons({"turns": [spoken(3.2), spoken(5.0, "assistant")]}, schema) == []
    for turns in ([], [spoken(3.2, "assistant")], [spoken(3.3)], [spoken(3.2), spoken(9.1)], [spoken(3.2, "cat")]):
        assert schema_reasons({"turns": turns}, schema)
    later = schemas.dialog_schema(Window(3.2, 9.0, is_first=False), LIMITS)
    assert schema_reasons({"turns": [spoken(5.0, "assistant")]}, later) == []
    assert schema_reasons({"turns": []}, later)


@pytest.mark.parametrize("text", ["", "  ", "(nods)", "[smiles]", "...", "5", "123456789 x"])
def test_texts_must_say_something(text: str) -> None:
    schema = schemas.dialog_schema(Window(3.2, 9.0, is_first=False), LIMITS)
    assert schema_reasons({"turns": [spoken(5.0, text=text)]}, schema)


@pytest.mark.parametrize(
    "text", ["Pour it.", '"Stop" means stop.', "5 grams (about a spoon)", "Über den Rand?", "続けて"]
)
def test_texts_of_any_language_do(text: str) -> None:
    schema = schemas.dialog_schema(Window(3.2, 9.0, is_first=False), LIMITS)
    assert schema_reasons({"turns": [spoken(5.0, text=text)]}, schema) == []


def test_limits_are_those_that_were_set() -> None:
    schema = schemas.dialog_schema(Window(0.0, 9.0, is_first=False), Limits(2, 10))
    assert schema_reasons({"turns": [spoken(5.0, text="x" * 10)] * 2}, schema) == []
    assert schema_reasons({"turns": [spoken(5.0, text="x" * 11)]}, schema)
    assert schema_reasons({"turns": [spoken(5.0)] * 3}, schema)


def test_a_turn_that_nobody_answers_is_not_edited_into_a_question() -> None:
    schema = schemas.refine_schema(TURNS, LIMITS)
    for index, is_allowed in ((0, True), (5, False)):
        answer = edited(TURNS)
        answer["turns"][index]["text"] = "Is it tea? "
        assert (schema_reasons(answer, schema) == []) is is_allowed
    answer["turns"][5]["text"] = "Is it tea? Yes"
    assert schema_reasons(answer, schema) == []


def edited(turns: list[Turn]) -> dict[str, Any]:
    rows = []
    for turn in turns:
        labels = {"initiative": "none", "intents": []} if turn.is_user else {"initiative": "responsive"}
        rows.append(spoken(turn.time_s, turn.role, "So: go on.") | {"intents": ["feedback"]} | labels)
    return {"turns": rows}


def test_refinement_keeps_every_turn_or_joins_close_ones() -> None:
    schema = schemas.refine_schema(TURNS, LIMITS)
    assert schema_reasons(edited(TURNS), schema) == []
    assert schema_reasons(edited([*TURNS[:3], *TURNS[4:]]), schema) == []
    for lost in (0, 1, 2, 4, 5):
        assert schema_reasons(edited([*TURNS[:lost], *TURNS[lost + 1 :]]), schema)
    assert schema_reasons(edited([TURNS[1], TURNS[0], *TURNS[2:]]), schema)
    assert "anyOf" not in json.dumps(schemas.refine_schema(TURNS[:3], LIMITS))


def test_what_follows_a_schema_follows_its_shape() -> None:
    answer = edited(TURNS)
    assert schema_reasons(answer, schemas.refine_shape(LIMITS)) == []
    assert schema_reasons({"turns": [spoken(3.2)]}, schemas.dialog_shape(LIMITS)) == []


def test_without_limits_types_and_names_are_left() -> None:
    for schema in (schemas.dialog_schema(Window(0, 9, is_first=True), LIMITS), schemas.refine_schema(TURNS, LIMITS)):
        plain = json.dumps(plain_schema(schema))
        assert not any(word in plain for word in ("prefixItems", "multipleOf", "pattern", "maxLength"))
        assert '"items"' in plain


NUM_WALKS = 40


@pytest.mark.vllm
def test_even_a_model_without_any_sense_writes_valid_answers(vllm_python: str) -> None:
    windows = [(3.2, 88.4, True), (88.4, 120.0, False), (5.0, 5.0, True), (100000.1, 100130.5, False)]
    clips = [Clip(start, end, "", 0 if first else 1, 2) for start, end, first in windows]
    plain = [schemas.with_letters(s()) for s in (schemas.goal_shape, schemas.label_shape, schemas.summary_shape)]
    asked = [schemas.dialog_schema(Window(*window), LIMITS) for window in windows] + plain
    *dialogs, goals, labels, summaries = walk(vllm_python, asked, NUM_WALKS)

    for clip, texts in zip(clips, dialogs, strict=True):
        read = [valid_dialog(text, clip) for text in texts]
        accepted = [turns for turns in read if turns is not None]
        assert len(accepted) >= 0.95 * NUM_WALKS
        longest = sorted(accepted, key=len)[-10:]
        refined = walk(vllm_python, [schemas.refine_schema(turns, LIMITS) for turns in longest], 4)
        answers = [(text, turns) for texts, turns in zip(refined, longest, strict=True) for text in texts]
        assert sum(valid_refinement(text, turns, clip) for text, turns in answers) >= 0.95 * len(answers)
    assert all(value(text, schemas.goal_shape(), knowledge_of_answer) for text in goals)
    assert all(value(text, schemas.label_shape(), lambda answer: (True, [])) for text in labels)
    assert all(value(text, schemas.summary_shape(), lambda answer: read_summary(answer, False)) for text in summaries)


def walk(python: str, asked: list[dict[str, Any]], num_walks: int) -> list[list[str | None]]:
    script = Path(__file__).with_name("random_walk.py")
    words = json.dumps({"schemas": asked, "num_walks": num_walks})
    done = subprocess.run([python, str(script)], input=words, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    found: list[list[str | None]] = json.loads(done.stdout)
    return found


def value(text: str | None, shape: dict[str, Any], validate: Any) -> Any:
    assert text is not None
    return check_sample(Sample(text), shape, validate)[0]


def valid_dialog(text: str | None, clip: Clip) -> list[Turn] | None:
    def validate(answer: Any) -> Any:
        return read_dialog(answer, clip, False, Counter(), Counter())

    found: list[Turn] | None = value(text, schemas.dialog_shape(LIMITS), validate)
    return found


def valid_refinement(text: str | None, turns: list[Turn], clip: Clip) -> bool:
    def validate(answer: Any) -> Any:
        return read_refined(answer, turns, clip, False, Counter(), Counter())

    return value(text, schemas.refine_shape(LIMITS), validate) is not None
