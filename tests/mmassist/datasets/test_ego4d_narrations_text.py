import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmassist.datasets.ego4d_narrations_text import split_sentences


def kept(text):
    return [found.text for found in split_sentences(text) if not found.refusal]


def refused(text):
    return [found.refusal for found in split_sentences(text) if found.refusal]


@pytest.mark.parametrize(
    "tag",
    ["#C C", "#c c", "#CC", "#C  C", "#Cc C", "#C- C", "# C C", "#C", "#C. C", "#C c", "#C C C", "#c C,", "C", "CC"],
)
def test_every_spelling_of_the_wearers_tag(tag):
    assert split_sentences(f"{tag} picks a Knife")[0].text == "C picks a Knife."
    assert refused(f"{tag} picks a Knife") == []


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("#C C puts  the\tlid\non.\n", "C puts the lid on."),
        ("#C C puts the lid on ..", "C puts the lid on."),
        ("#C C's hand moves", "C's hand moves."),
        ("#C Cuts an onion", "C Cuts an onion."),
        ("#C C says hello!", "C says hello!"),
        ("#C C picks card #3 up", "C picks card #3 up."),
        ("#C C grips the C-clamp", "C grips the C-clamp."),
        ("#C C cuts 1.5 cm off", "C cuts 1.5 cm off."),
        ("#C C \u00e9goutte les p\u00e2tes", "C \u00e9goutte les p\u00e2tes."),
    ],
)
def test_only_what_is_needed_is_changed(raw, text):
    assert kept(raw) == [text]


def test_sentences_glued_together_are_all_kept():
    assert kept("#C C cuts the onion #C C puts the knife down.#c c looks around") == [
        "C cuts the onion.",
        "C puts the knife down.",
        "C looks around.",
    ]
    assert kept("C opens a drawer #C C takes a fork") == ["C opens a drawer.", "C takes a fork."]
    assert kept("#C C #C C walks") == ["C walks."]


@pytest.mark.parametrize(
    ("raw", "texts", "reasons"),
    [
        ("#O A man X walks", [], ["of somebody else"]),
        ("#o man nods #C C nods", ["C nods."], ["of somebody else"]),
        ("#C C holds #Unsure in a hand #C C drops it", ["C drops it."], ["unsure"]),
        ("#C C picks #unsure", [], ["unsure"]),
        ("#C C #unsure", [], ["unsure"]),
        ("#unsure #C C eats", [], ["unsure"]),
        ("#Unsure", [], ["unsure"]),
        ("# UNSURE", [], ["unsure"]),
        ("#Summary C cooked a meal", [], ["a summary"]),
        ("A man walks by", [], ["not said to be of the wearer"]),
        ("Cuts an onion", [], ["not said to be of the wearer"]),
        ("#B B sits", [], ["not said to be of the wearer"]),
        ("#C C", [], ["no text"]),
        ("#C C .", [], ["no text"]),
        ("", [], ["no text"]),
        (" \n", [], ["no text"]),
        (None, [], ["no text"]),
        (5, [], ["no text"]),
        (["#C C eats"], [], ["no text"]),
        (float("nan"), [], ["no text"]),
    ],
)
def test_what_is_left_out_has_a_reason(raw, texts, reasons):
    assert (kept(raw), refused(raw)) == (texts, reasons)


parts = st.sampled_from(
    ["#C C", "#c", "#O", "#unsure", "#Summary", "C", "cuts", "an onion", ".", "#", "#3", " ", "\n", "c", "'s"]
)


@given(
    st.one_of(
        st.lists(parts, max_size=12).map(" ".join), st.lists(parts, max_size=12).map("".join), st.text(max_size=40)
    )
)
def test_every_text_has_at_least_one_sentence(text):
    found = split_sentences(text)
    assert found
    for sentence in found:
        if not sentence.refusal:
            assert re.fullmatch(r"C['\u2019 ]?.*[.!?]", sentence.text)
            assert sentence.text == " ".join(sentence.text.split())
            assert not re.search(r"#\s*unsure\b", sentence.text.lower())


@given(st.lists(st.sampled_from(["cuts bread", "Lifts a lid", "walks"]), min_size=1, max_size=6))
def test_no_glued_sentence_is_lost(doings):
    assert kept("".join(f"#C C {doing}" for doing in doings)) == [f"C {doing}." for doing in doings]
