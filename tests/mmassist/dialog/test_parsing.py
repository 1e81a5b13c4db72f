from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmassist.dialog.label import UnknownInitiative
from mmassist.dialog.parsing import parse_lines
from mmassist.dialog.turn import Turn, render_turns

# line -> accepted by the reference, as found by running it
VECTOR = [
    ("[1.0s] User: hi", True),
    (" [2.0s] Assistant: x", False),
    ("- [3.0s] Assistant: x", False),
    ("[4.0s] Assistant: hello [initiative|instruction, info_sharing]", True),
    ("[5s] Instructor: x", False),
    ("[6.0s] Assistant: (note)", False),
    ("[7.0s-8.0s] Assistant: x", False),
    ("[9.0s] Assistant: no label", True),
    ("**[9.5s] Assistant: bold**", False),
    ("just a sentence", False),
]


@pytest.mark.parametrize(("line", "is_accepted"), VECTOR)
def test_what_the_reference_accepts(line: str, is_accepted: bool) -> None:
    parsed = parse_lines(line, compat=True)
    assert (len(parsed.turns), sum(parsed.rejected.values())) == ((1, 0) if is_accepted else (0, 1))


def test_labels_of_the_reference() -> None:
    text = "\n".join(line for line, _ in VECTOR)
    assert [turn.labels for turn in parse_lines(text, compat=True).turns] == [
        "",
        "initiative|instruction,info_sharing",
        "initiative|other",
    ]
    assert parse_lines(VECTOR[3][0], compat=True).turns[0].content == "hello"


def test_an_unknown_initiative_raises_in_the_reference_only() -> None:
    line = "[4.0s] Assistant: hello [proactive|instruction]"
    with pytest.raises(UnknownInitiative):
        parse_lines(line, compat=True)
    assert parse_lines(line, compat=False).turns == [Turn("assistant", 4.0, "hello", "initiative|instruction")]
    odd = parse_lines("[4.0s] Assistant: hello [martian|instruction]", compat=False)
    assert odd.turns[0].labels == "initiative|instruction"
    assert odd.rejected == Counter(unknown_initiative=1)


@pytest.mark.parametrize("compat", [True, False])
def test_same_time_and_role_become_one_turn(compat: bool) -> None:
    text = (
        "[4.0s] Assistant: one [initiative|feedback]\n[4.0s] Assistant: two [responsive|other]\n[4.0s] User: so\n"
        "[4.0s] User: so"
    )
    assert parse_lines(text, compat).turns == [
        Turn("assistant", 4.0, "one two", "initiative|feedback"),
        Turn("user", 4.0, "so"),
    ]


@pytest.mark.parametrize(
    "line",
    [
        "  [2.0s] Assistant: pour it",
        "- [2.0s] Assistant: pour it",
        "3. [2.0s] Assistant: pour it",
        "**[2.0s] Assistant:** pour it",
        "[2.0s-3.5s] Assistant: pour it",
        "[2] ASSISTANT: pour it",
        "[2.0 s] assistant : pour it",
    ],
)
def test_harmless_variants_are_read(line: str) -> None:
    parsed = parse_lines(line, compat=False, labelled=False)
    assert parsed.turns == [Turn("assistant", 2.0, "pour it")]
    assert not parsed.rejected


def test_a_continuation_line_belongs_to_its_turn_and_talk_around_it_does_not() -> None:
    text = """Sure, here it is:

[1.0s] Assistant: pour the water
slowly and carefully [responsive|instruction]

(The user pours.)
Hope this helps!
[x] User: hm
[3.0s] Narrator: later
[4.0s] User:"""
    parsed = parse_lines(text, compat=False)
    assert parsed.turns == [Turn("assistant", 1.0, "pour the water slowly and carefully", "responsive|instruction")]
    assert parsed.rejected == Counter(no_turn=2, note=1, bad_time=1, unknown_role=1, empty=1)


words = st.text("abcdefgh ?!,", min_size=1, max_size=20).map(lambda s: " ".join(s.split())).filter(bool)
turn_lists = st.lists(st.builds(Turn, st.sampled_from(["user", "assistant"]), st.integers(0, 900).map(float), words))


@given(turn_lists, st.booleans())
def test_rendered_turns_read_back(turns: list[Turn], compat: bool) -> None:
    parsed = parse_lines(render_turns(turns), compat, labelled=False)
    assert not parsed.rejected
    assert {(t.role, t.time_s) for t in parsed.turns} == {(t.role, t.time_s) for t in turns}


def test_turns_without_labels_have_none() -> None:
    text = "[1.0s] Assistant: pour\n[1.0s] Assistant: slowly [responsive|feedback]\n[2.0s] Assistant: stop"
    assert parse_lines(text, compat=False).turns == [
        Turn("assistant", 1.0, "pour slowly", "responsive|feedback"),
        Turn("assistant", 2.0, "stop", ""),
    ]


def test_only_a_remark_as_a_whole_is_passed_over() -> None:
    text = "[3.0s] User: (laughs) over there\n[4.0s] Assistant: (nods) [responsive|other]"
    parsed = parse_lines(text, compat=False)
    assert parsed.turns == [Turn("user", 3.0, "(laughs) over there")]
    assert parsed.rejected == Counter(note=1)
    assert parse_lines(text, compat=True).turns == []


anything = st.text(max_size=200) | st.text("[]s:.|-*0129 \n UserAssistant", max_size=120)


@given(anything, st.booleans())
def test_no_text_is_too_odd_to_be_read(text: str, labelled: bool) -> None:
    parsed = parse_lines(text, compat=False, labelled=labelled)
    assert all(turn.content and turn.time_s >= 0 for turn in parsed.turns)
