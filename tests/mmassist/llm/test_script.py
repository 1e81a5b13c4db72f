from __future__ import annotations

import random
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmassist.llm import phrases
from mmassist.llm.script import write_turns
from mmassist.llm.timeline import MAX_TEXT_CHARS, MAX_TURNS


def step(index: int, start_s: float, end_s: float, text: str, **more: Any) -> dict[str, Any]:
    return {
        "index": index,
        "start_s": start_s,
        "end_s": end_s,
        "text": text,
        "note": "",
        "is_marker": False,
        "substeps": [],
        **more,
    }


def payload(steps: list[dict[str, Any]], user_type: str = "no_talk", **more: Any) -> dict[str, Any]:
    ends = [s["end_s"] for s in steps]
    facts = {
        "goal": "make tea",
        "user_type": user_type,
        "conversation": 0,
        "start_s": steps[0]["start_s"],
        "end_s": max(ends),
        "is_first": True,
        "is_last": True,
        "steps": steps,
        "history": [],
    }
    return facts | more


def said_by(turns: list[dict[str, Any]], role: str) -> list[str]:
    return [turn["text"] for turn in turns if turn["role"] == role]


LONG = [step(n, 20.0 * n, 20.0 * n + 15, f"do thing {n}") for n in range(50)]


@pytest.mark.parametrize(("user_type", "num_turns"), [("no_talk", 1), ("talk_some", 11), ("talk_more", 21)])
def test_the_user_speaks_as_often_as_the_type_says(user_type: str, num_turns: int) -> None:
    turns = write_turns(payload(LONG, user_type), random.Random(1))
    assert len(said_by(turns, "user")) == num_turns
    assert turns[0]["role"] == "user" and "make tea" in turns[0]["text"]


def test_the_share_does_not_depend_on_where_windows_are_cut() -> None:
    parts = [payload(LONG[n : n + 5], "talk_more", is_first=n == 0, is_last=n == 45) for n in range(0, 50, 5)]
    turns = [turn for part in parts for turn in write_turns(part, random.Random(1))]
    assert len(said_by(turns, "user")) == 21


def test_real_speech_is_built_on() -> None:
    speech = [
        {"start_s": 4.0, "end_s": None, "text": "is that  enough ?", "role": "user", "note": ""},
        {"start_s": 5.5, "end_s": None, "text": "yes that is plenty", "role": "assistant", "note": ""},
        {"start_s": 12.0, "end_s": None, "text": "now put the lid on", "role": "assistant", "note": ""},
    ]
    for conversation in range(5):  # one of five is chatty at the first step
        facts = payload([step(0, 0.0, 20.0, "pour water", substeps=speech)], "talk_some", conversation=conversation)
        turns = [(t["time"], t["text"]) for t in write_turns(facts, random.Random(1))]
        assert (12.0, "Now put the lid on.") in turns
        assert ((4.0, "Is that enough?") in turns) == ((5.5, "Yes that is plenty.") in turns)
    silent = write_turns(payload([step(0, 0.0, 20.0, "pour water", substeps=speech)]), random.Random(1))
    assert len(said_by(silent, "user")) == 1


def test_errors_are_pointed_out() -> None:
    wrong = [{"start_s": 4.0, "end_s": 6.0, "text": "grab salt", "role": None, "note": "wrong jar"}]
    steps = [step(0, 0.0, 10.0, "add sugar", substeps=wrong), step(1, 20.0, 30.0, "stir", note="mistake: too fast")]
    turns = write_turns(payload(steps), random.Random(1))
    assert [t["time"] for t in turns if "wrong jar" in t["text"]] == [6.0]
    assert [20.0 < t["time"] <= 30.0 for t in turns if "too fast" in t["text"]] == [True]
    assert phrases.find_intents(next(t["text"] for t in turns if "wrong jar" in t["text"]))[0] == "correction"


def test_actions_that_should_not_have_happened_are_not_asked_for() -> None:
    steps = [
        step(0, 0.0, 9.0, "boil water"),
        step(1, 10.0, 19.0, "detach lid", note="mistake: shouldn't have happened"),
    ]
    turns = write_turns(payload(steps), random.Random(1))
    assert not any("detach lid" in text for text in said_by(turns, "assistant"))


spans = st.lists(st.tuples(st.integers(0, 400), st.integers(0, 150)), min_size=1, max_size=15)


@given(spans, st.sampled_from(["no_talk", "talk_some", "talk_more"]), st.integers(0, 9), st.booleans())
def test_every_window_is_complete_and_well_timed(
    found: list[tuple[int, int]], user_type: str, seed: int, is_first: bool
) -> None:
    steps = [step(n, s / 10, (s + d) / 10, f"do thing number{n} well") for n, (s, d) in enumerate(sorted(found))]
    facts = payload(steps, user_type, is_first=is_first, end_s=max(s["end_s"] for s in steps) + 1.0)
    turns = write_turns(facts, random.Random(seed))
    assert all(facts["start_s"] <= turn["time"] <= facts["end_s"] for turn in turns)
    for before, after in pairwise(turns):
        assert after["time"] - before["time"] >= (0 if before["role"] == "user" else 1 - 1e-6)
    for row in steps:
        assert any(
            f"number{row['index']} " in turn["text"] and turn["time"] <= row["start_s"] and turn["role"] == "assistant"
            for turn in turns
        )
    for index, turn in enumerate(turns):
        if turn["role"] == "user" and turn["text"].endswith("?"):
            assert turns[index + 1]["role"] == "assistant" and turns[index + 1]["time"] == turn["time"]


@pytest.mark.parametrize(
    ("text", "order"),
    [
        ("The user attaches the shift arm.", "attach the shift arm"),
        ("The student carries it", "carry it"),
        ("Place tortilla", "place tortilla"),
        ("the user presses the button.", "press the button"),
        ("ATV check", "ATV check"),
        ("", "carry on"),
    ],
)
def test_descriptions_become_orders(text: str, order: str) -> None:
    assert phrases.as_order(text) == order


@pytest.mark.parametrize(
    ("text", "speech"),
    [
        ("is that  enough ?", "Is that enough?"),
        ("(laughs) put it over there", "Put it over there."),
        (" (laughs) (sighs), put it (slowly) there!", "Put it (slowly) there!"),
        ("(laughs put it there", "(laughs put it there."),
        ("(inaudible) ...", ""),
    ],
)
def test_utterances_become_speech(text: str, speech: str) -> None:
    assert phrases.as_speech(text) == speech


def test_long_utterances_are_cut() -> None:
    for text in ("word " * 1000, "x" * 5000, "is it " * 900 + "?"):
        speech = phrases.as_speech(text)
        assert 390 < len(speech) <= phrases.MAX_CHARS + 1 and speech[-1] == ("?" if text.endswith("?") else ".")


def test_remarks_are_no_utterances() -> None:
    texts = [
        ("user", "(coughs and laughs)"),
        ("assistant", "(laughs) put it over there now"),
        ("assistant", "(a b c d)"),
    ]
    speech = [
        {"start_s": 6.0 + 2 * n, "end_s": None, "text": text, "role": role, "note": ""}
        for n, (role, text) in enumerate(texts)
    ]
    turns = write_turns(payload([step(0, 0.0, 30.0, "pour water", substeps=speech)]), random.Random(1))
    assert (8.0, "Put it over there now.") in [(t["time"], t["text"]) for t in turns]
    assert not any("(" in turn["text"] for turn in turns)


@pytest.mark.parametrize("end_s", [9e5, 1e8, 1.7e308])
def test_an_endless_step_takes_neither_time_nor_memory(end_s: float) -> None:
    steps = [step(0, 0.0, 40.0, "pour water"), step(1, 50.0, end_s, "stir", note="mistake: too fast")]
    for window_end_s in (60.0, 9e5):
        turns = write_turns(payload(steps, "talk_more", end_s=window_end_s), random.Random(1))
        assert sum("too fast" in turn["text"] for turn in turns) == 1
        assert all(0 <= turn["time"] <= window_end_s for turn in turns)


def test_a_crowded_window_stays_within_the_limits_of_an_answer() -> None:
    wrong = [
        {"start_s": 1.0 + n % 3, "end_s": None, "text": "grab", "role": None, "note": f"jar {n} " * 200}
        for n in range(60)
    ]
    spoken = [
        {"start_s": 10.0 + n, "end_s": None, "text": "put it there now", "role": "assistant", "note": ""}
        for n in range(1000)
    ]
    crowd = [step(0, 0.0, 6.0, "pour", substeps=wrong), step(1, 6.0, 1010.0, "stir", substeps=spoken)]
    crowd += [step(n, 1010.0, 1010.0, f"do {n} " + "slowly " * 60) for n in range(2, 20)]
    turns = write_turns(payload(crowd, "talk_more"), random.Random(1))
    assert max(len(turn["text"]) for turn in turns) <= MAX_TEXT_CHARS
    assert 300 < len(turns) <= MAX_TURNS
