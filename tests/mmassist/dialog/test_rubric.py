"""How ratings are asked for, read and summed up; and what the engine without a model answers."""

from __future__ import annotations

import asyncio
import json
from statistics import fmean, pstdev
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmassist.dialog.prompts import Prompt
from mmassist.dialog.rating import Rating, aggregate, overall, read_lines, read_rating, summarise
from mmassist.dialog.record import Conversation, read_record
from mmassist.dialog.rubric import (
    DIALOG_CRITERIA,
    MAX_RATIONALE_CHARS,
    RECORD_CRITERIA,
    dialog_prompt,
    goal_prompt,
    rating_schema,
)
from mmassist.dialog.turn import Turn
from mmassist.llm import build_engine, build_llm_config
from mmassist.llm.protocol import Message, Request

TEXT = "[2.0s-9.0s] fill kettle\n - [3.0s] grab kettle\n[10.0s-18.0s] boil water (too $hot)\n[20.0s-30.0s] pour tea\n"
NAMES = [criterion.name for criterion in DIALOG_CRITERIA]
TURNS = (
    Turn("user", 1.0, "Tea, please, for $5."),
    Turn("assistant", 2.0, "Fill the kettle."),
    Turn("assistant", 10.0, "Boil the water."),
    Turn("user", 19.0, "Enough?"),
    Turn("assistant", 20.0, "Yes. Pour the tea."),
)


def record(**changes: Any) -> dict[str, Any]:
    annotation = {"all_step_descriptions": TEXT, "knowledge_type": "cooking recipe", "goal_description": "make tea"}
    made = {
        "video_uid": "tea-1",
        "inferred_goal": "Make tea",
        "inferred_knowledge": "Make tea\n1. Fill kettle.\n2. Boil water.",
        "conversations": [],
        "parsed_video_anns": annotation,
    }
    return read_record(made | changes)


def conversation(turns: tuple[Turn, ...] = TURNS) -> Conversation:
    return Conversation("talk_some", "talk_some_3", turns)


def request(prompt: Prompt, seed: int = 0, num_samples: int = 1) -> Request:
    messages = (Message("system", prompt.system), Message("user", prompt.user))
    return Request(prompt.kind, prompt.template, messages, prompt.schema, prompt.payload, num_samples, seed)


def answers(prompt: Prompt, seed: int = 0, num_samples: int = 1, flaw_rate: float = 0.0) -> list[str]:
    engine = build_engine(build_llm_config({"engine": "scripted", "flaw_rate": flaw_rate}, "llm"))
    return [sample.text for sample in asyncio.run(engine.answer(request(prompt, seed, num_samples))).samples]


@pytest.mark.parametrize("has_schemas", [True, False])
def test_the_prompt_shows_everything(has_schemas: bool) -> None:
    turns = tuple(Turn("assistant", float(n), f"This is turn {n}.") for n in range(600))
    prompt = dialog_prompt(record(), conversation(turns), 3, has_schemas)
    assert all(f"[{n}.0s] Assistant: This is turn {n}.\n" in prompt.user for n in range(600))
    assert TEXT in prompt.user and "1. Fill kettle.\n2. Boil water." in prompt.user
    for criterion in DIALOG_CRITERIA:
        assert criterion.question in prompt.user
        assert all(f"  {n} = {anchor}\n" in prompt.user for n, anchor in enumerate(criterion.anchors, 1))
        assert (f"\n{criterion.name}: n" in prompt.user) is not has_schemas
    assert prompt.schema == (rating_schema(DIALOG_CRITERIA) if has_schemas else None)
    assert (prompt.kind, prompt.template) == ("rate", "rate/1")
    assert prompt.payload["step_starts"] == [2.0, 10.0, 20.0] and len(prompt.payload["turns"]) == 600
    json.dumps(prompt.payload)


def test_conversations_of_a_record_share_their_beginning() -> None:
    first, second = (dialog_prompt(record(), conversation(turns), 0, True) for turns in (TURNS, TURNS[:2]))
    goal = goal_prompt(record(), True)
    shared = first.user.index("In the following conversation")
    assert first.user[:shared] == second.user[:shared] == goal.user[:shared] and shared > len(TEXT)


def test_goal_and_procedure_are_rated_against_the_annotation() -> None:
    prompt = goal_prompt(record(), False)
    assert (prompt.kind, prompt.template, prompt.schema) == ("rate_goal", "rate_goal/1", None)
    assert TEXT in prompt.user and "calls the task: make tea\n" in prompt.user
    assert "goal_accuracy: n\nknowledge_accuracy: n" in prompt.user
    foreign = record(parsed_video_anns={"all_step_descriptions": TEXT})
    assert "calls the task" not in goal_prompt(foreign, True).user
    assert goal_prompt(foreign, True).payload["given_goal"] == ""


@pytest.mark.parametrize("criteria", [DIALOG_CRITERIA, RECORD_CRITERIA])
def test_the_schema_takes_whole_numbers_from_1_to_5_behind_a_rationale(criteria: Any) -> None:
    schema = rating_schema(criteria)
    names = [criterion.name for criterion in criteria]
    assert list(schema["properties"]) == ["rationale", *names]
    good = {"rationale": "because", **dict.fromkeys(names, 3)}
    jsonschema.validate(good, schema)
    rating, reasons = read_rating(good, criteria, has_schemas=True)
    assert rating == Rating(dict.fromkeys(names, 3), "because") and reasons == []
    for bad in (0, 6, 3.5, "3", None, True):
        assert not jsonschema.Draft202012Validator(schema).is_valid(good | {names[0]: bad})
    for wrong in (good | {"rationale": ""}, good | {"rationale": "x" * (MAX_RATIONALE_CHARS + 1)}, good | {"more": 1}):
        assert not jsonschema.Draft202012Validator(schema).is_valid(wrong)
    assert read_rating(good | {"rationale": " \n"}, criteria, True)[1] == ["no_rationale: the rationale is empty"]


numbers = st.lists(st.integers(1, 5), min_size=4, max_size=4).map(lambda found: dict(zip(NAMES, found, strict=True)))
words = st.lists(st.sampled_from(["the", "turn", "at", "12.0", "s", "late", "but", "3", "fit;", "rated:", "4", "of"]))


@given(
    numbers,
    words.map(lambda found: " ".join(["x", *found])),
    st.permutations(NAMES),
    st.sampled_from(
        ["{}: {}", "**{}**: {}", "- {}: {}", "* **{}:** {}", "{} = {}", "{} - {}", "2. {}: {}", "| {} | {} |"]
    ),
    st.sampled_from(["{}", "{}/5", "{} / 5", "**{}**", "{} out of 5", "{}.", "{} (see above)", "{}.0", "{} - fine"]),
    st.sampled_from([str.lower, str.upper, str.title]),
    st.booleans(),
)
def test_decorated_lines_are_read_back(
    given_numbers: dict[str, int], rationale: str, order: list[str], line: str, value: str, case: Any, is_first: bool
) -> None:
    lines = [line.format(case(name), value.format(given_numbers[name])) for name in order]
    at = 0 if is_first else len(lines)
    lines.insert(at, f"{case('rationale')}: {rationale}")
    rating, reasons = read_lines("\n".join(lines), DIALOG_CRITERIA)
    assert reasons == []
    assert rating == Rating(given_numbers, rationale)


@given(st.text(max_size=300))
def test_any_text_is_read_or_has_reasons_against_it(text: str) -> None:
    for answer in (text, f"correctness: {text}", f"rationale: {text}\nalignment: 3 {text}"):
        rating, reasons = read_lines(answer, DIALOG_CRITERIA)
        assert reasons or (set(rating.numbers) == set(NAMES) and rating.rationale)
        assert all(": " in reason for reason in reasons)


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("correctness: 6", "out_of_range"),
        ("correctness: 0", "out_of_range"),
        ("correctness: -3", "out_of_range"),
        ("correctness: 4/10", "out_of_range"),
        ("correctness: 999999999", "out_of_range"),
        ("correctness: 4.5", "not_whole"),
        ("correctness: 3-4", "several_numbers"),
        ("correctness: 3 to 4", "several_numbers"),
        ("correctness: 3\ncorrectness: 4", "several_numbers"),
        ("correctness: four", "no_number"),
        ("correctness: 3 turns are wrong", "no_number"),
        ("", "no_number"),
    ],
)
def test_what_is_no_number_of_the_scale_is_refused(line: str, code: str) -> None:
    rest = "\n".join(f"{name}: 4" for name in NAMES[1:])
    _, reasons = read_lines(f"rationale: so\n{line}\n{rest}", DIALOG_CRITERIA)
    assert [reason.split(":")[0] for reason in reasons] == [code]
    assert "correctness" in reasons[0]


def test_a_rationale_may_have_several_lines_and_talk_before_it() -> None:
    text = "Here is what you asked for:\n\n**Rationale:**\n- At 3 s\n- alignment: 2 turns\n" + "\n".join(
        f"{name}: 4" for name in NAMES
    )
    rating, reasons = read_lines(text, DIALOG_CRITERIA)
    assert (rating.rationale, reasons) == ("At 3 s alignment: 2 turns", [])
    unlabelled = "It is good.\n" + "\n".join(f"{name}: 4" for name in NAMES)
    assert read_lines(unlabelled, DIALOG_CRITERIA)[0].rationale == "It is good."
    bare = "\n".join(f"{name}: 4" for name in NAMES)
    assert read_lines(bare, DIALOG_CRITERIA)[1] == ["no_rationale: the line 'rationale: ...' is missing or empty"]
    spaced, reasons = read_lines("rationale: a\nGoal accuracy: 4\nKnowledge-Accuracy: 5", RECORD_CRITERIA)
    assert (dict(spaced.numbers), reasons) == ({"goal_accuracy": 4, "knowledge_accuracy": 5}, [])


@given(st.lists(st.integers(1, 5), min_size=1, max_size=9), st.randoms())
def test_samples_are_summed_up_whatever_their_order(samples: list[int], random: Any) -> None:
    found = aggregate(samples)
    assert found["samples"] == samples
    assert found["mean"] == fmean(samples) and found["spread"] == pstdev(samples)
    assert min(samples) <= found["mean"] <= max(samples)
    assert 0 <= found["spread"] <= (max(samples) - min(samples)) / 2 + 1e-9
    shuffled = aggregate(random.sample(samples, len(samples)))
    assert (shuffled["mean"], shuffled["spread"]) == (found["mean"], found["spread"])


@given(st.lists(numbers, min_size=1, max_size=4))
def test_overall_is_the_mean_of_the_means(samples: list[dict[str, int]]) -> None:
    row = summarise([Rating(found, "so") for found in samples], DIALOG_CRITERIA)
    points = overall(row, DIALOG_CRITERIA)
    assert points == pytest.approx(sum(sum(found.values()) for found in samples) / 4 / len(samples))
    assert row["rationales"] == ["so"] * len(samples) and row["reason"] == ""


def test_without_a_rating_all_is_null() -> None:
    row = summarise([], DIALOG_CRITERIA, "the model went away")
    assert row["alignment"] == {"mean": None, "spread": None, "samples": []}
    assert (row["rationales"], row["reason"], overall(row, DIALOG_CRITERIA)) == ([], "the model went away", None)


@pytest.mark.parametrize("has_schemas", [True, False])
def test_the_scripted_engine_answers_in_the_form_asked_for(has_schemas: bool) -> None:
    for prompt, criteria in (
        (dialog_prompt(record(), conversation(), 0, has_schemas), DIALOG_CRITERIA),
        (goal_prompt(record(), has_schemas), RECORD_CRITERIA),
    ):
        found = answers(prompt, num_samples=20)
        assert found == answers(prompt, num_samples=20)
        assert len(set(found)) > 1
        for text in found:
            parsed = json.loads(text) if has_schemas else text
            if prompt.schema is not None:
                jsonschema.validate(parsed, prompt.schema)
            rating, reasons = read_rating(parsed, criteria, has_schemas)
            assert reasons == [] and rating.rationale.startswith("Rated by rule.")


def rated(*turns: Turn) -> dict[str, float]:
    """Means of many scripted samples."""
    prompt = dialog_prompt(record(), conversation(turns), 0, True)
    samples = [json.loads(text) for text in answers(prompt, num_samples=60)]
    return {name: fmean(sample[name] for sample in samples) for name in NAMES}


def test_scripted_ratings_follow_from_the_dialog() -> None:
    good = rated(*TURNS)
    assert all(value > 4.5 for value in good.values())
    assert rated(*(Turn(t.role, t.time_s + 60, t.content) for t in TURNS))["alignment"] < 1.5
    assert rated(*(Turn(t.role, t.time_s, "Buy a bus ticket.") for t in TURNS))["correctness"] < 1.5
    assert rated(*(Turn(t.role, t.time_s, "Boil the water.") for t in TURNS))["naturalness"] < 3.5
    assert rated(TURNS[0], TURNS[3])["helpfulness"] < 1.5
    assert all(value < 1.5 for value in rated().values())


@pytest.mark.parametrize(
    "make", [lambda: dialog_prompt(record(), conversation(), 0, True), lambda: goal_prompt(record(), True)]
)
def test_flawed_scripted_ratings_are_invalid(make: Any) -> None:
    prompt = make()
    for seed in range(20):
        (text,) = answers(prompt, seed, flaw_rate=1.0)
        whole = answers(prompt, seed)[0]
        assert text != whole
