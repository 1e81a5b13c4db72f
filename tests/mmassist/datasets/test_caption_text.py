import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmassist.datasets.caption_text import make_sentence, tidy_text


@pytest.mark.parametrize(
    ("raw", "sentence"),
    [
        ("a grey watch with an army style strap", "A grey watch with an army style strap."),
        ("the Eiffel tower ,\n seen  from NASA 's plane .", "The Eiffel tower , seen from NASA 's plane."),
        ("what a view!", "What a view!"),
        ('she says "go."', 'She says "go."'),
        ('"stop" in red', '"Stop" in red.'),
        ("3 cups ,", "3 cups."),
        ("wait ...", "Wait ..."),
        ("naïve café 你好", "Naïve café 你好."),
        ("看书。", "看书。"),
        ("éclair", "Éclair."),
    ],
)
def test_a_caption_becomes_a_sentence_and_nothing_else_changes(raw, sentence):
    assert make_sentence(raw) == sentence


@pytest.mark.parametrize("value", ["", "  \n", ".", "- , !", None, float("nan"), 7, ["a"], {"a": 1}, True])
def test_what_is_no_text_is_none(value):
    assert make_sentence(value) == tidy_text(value) == ""


@given(st.text())
def test_a_sentence_is_one_already(text):
    sentence = make_sentence(text)
    assert make_sentence(sentence) == sentence
    assert sentence == " ".join(sentence.split())
    assert not sentence or sentence[-1] in ".!?…。！？\"'”’»)]}"
