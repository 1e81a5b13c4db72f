"""Labels are shifted already, teach answers whole and silence everywhere else between frames."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmassist.packing.chat_format import ChatFormat
from mmassist.packing.conversation import Frames, Message, Turn
from mmassist.packing.labels import IGNORE, build_labels, silence_runs, thin_silence
from mmassist.packing.tokenizer import ChatTokenizer


def labelled(chat: ChatFormat, turns: list[Turn], with_silence: bool = True) -> tuple[np.ndarray, np.ndarray]:
    ids, ranges = chat.assemble(turns)
    return ids, build_labels(ids, turns, ranges, chat, with_silence)


def test_written_out(tokenizer: ChatTokenizer) -> None:
    chat = ChatFormat(tokenizer, 2)
    ids, labels = labelled(chat, [Message("user", "Hi"), Frames(0, 3), Message("assistant", "Go"), Frames(3, 4)])
    answer = chat.message_ids(Message("assistant", "Go")).tolist()
    user = len(chat.message_ids(Message("user", "Hi")))
    # BOS and user, frames (two silent, the third speaks), answer, last frame
    expected = [IGNORE] * (1 + user) + [IGNORE, tokenizer.eot_id, IGNORE, tokenizer.eot_id, IGNORE]
    expected += [*answer, IGNORE, IGNORE, IGNORE]
    assert labels.tolist() == expected and len(ids) == len(labels)
    assert labels.dtype == ids.dtype == np.int32
    assert labels[1 + user + 5] == tokenizer.start_header_id == answer[0]


def test_with_separator_the_separator_is_predicted(tokenizer: ChatTokenizer) -> None:
    chat = ChatFormat(tokenizer, 2, ",")
    ids, labels = labelled(chat, [Frames(0, 3), Message("user", "Hi")])
    taught = np.flatnonzero(labels != IGNORE)
    assert (labels[taught] == ids[taught + 1]).all()
    assert labels[taught].tolist() == [chat.separator_id] * 2


def test_summary_only_teaches_no_silence(tokenizer: ChatTokenizer) -> None:
    _, labels = labelled(ChatFormat(tokenizer, 1), [Frames(0, 9), Message("user", "Hi"), Frames(9, 20)], False)
    assert (labels == IGNORE).all()


@pytest.mark.parametrize("separator", ["none", "EOS", ","])
@pytest.mark.parametrize("follower", ["user", "system", "nothing"])
def test_the_last_frame_before_others_than_the_assistant_teaches_nothing(
    tokenizer: ChatTokenizer, separator: str, follower: str
) -> None:
    chat = ChatFormat(tokenizer, 3, separator)
    turns: list[Turn] = [Message("system", "Watch."), Frames(0, 4)]
    turns += [] if follower == "nothing" else [Message(follower, "Hm?")]
    ids, ranges = chat.assemble(turns)
    labels = build_labels(ids, turns, ranges, chat)
    start, end = ranges[1]
    step = 3 if separator == "none" else 4
    silent = [start + 2 + step * n for n in range(3)]  # the last image token of the frames before the last one
    assert np.flatnonzero(labels != IGNORE).tolist() == silent
    assert (labels[silent] == chat.silence_id).all()
    assert (ids[silent] == tokenizer.image_id).all()
    if separator != "none":
        assert (ids[np.array(silent) + 1] == labels[silent]).all()  # the separator itself predicts nothing
    assert labels[end - 1] == IGNORE


def test_the_request_for_a_summary_is_not_taught_and_the_summary_is_whole(tokenizer: ChatTokenizer) -> None:
    chat = ChatFormat(tokenizer, 2, "EOS")
    summary = Message("assistant", "All done.")
    turns: list[Turn] = [
        Frames(0, 1),
        Message("assistant", "Pour."),
        Message("system", "Sum up."),
        Frames(1, 2),
        summary,
    ]
    ids, ranges = chat.assemble(turns)
    labels = build_labels(ids, turns, ranges, chat)
    start, end = ranges[-1]
    assert labels[start - 1 : end - 1].tolist() == ids[start:end].tolist() == chat.message_ids(summary).tolist()
    assert ids[start - 1] == tokenizer.image_id and labels[start - 1] == tokenizer.start_header_id
    assert labels[end - 2] == tokenizer.eot_id and labels[end - 1] == IGNORE
    assert (labels[ranges[1][1] - 1 : start - 1] == IGNORE).all()  # the request, and the first tokens of its frame


@st.composite
def conversations(draw: st.DrawFn) -> list[Turn]:
    turns: list[Turn] = [Message("system", "Watch.")]
    cursor = 0
    for number in range(draw(st.integers(1, 6))):
        end = cursor + draw(st.integers(1, 7))
        turns += [
            Frames(cursor, end),
            Message(draw(st.sampled_from(["user", "assistant", "system"])), f"Turn {number}."),
        ]
        cursor = end
    return turns


@pytest.mark.parametrize("separator", ["none", "EOS", ","])
@pytest.mark.parametrize("image_tokens", [1, 5, 10])
@given(turns=conversations(), rate=st.sampled_from([-1.0, 0.0, 0.1, 0.5, 1.0]), seed=st.integers(0, 9))
def test_rules(
    tokenizer: ChatTokenizer, image_tokens: int, separator: str, turns: list[Turn], rate: float, seed: int
) -> None:
    chat = ChatFormat(tokenizer, image_tokens, separator)
    ids, labels = labelled(chat, turns)
    runs = silence_runs(
        ids, labels, image_id=tokenizer.image_id, start_header_id=tokenizer.start_header_id, image_tokens=image_tokens
    )
    assert [len(r) for r in runs] == [t.num_frames - 1 for t in turns if isinstance(t, Frames) and t.num_frames > 1]
    silent = np.concatenate([*runs, np.array([], dtype=int)])
    assert (labels[silent] == chat.silence_id).all()
    spoken = np.setdiff1d(np.flatnonzero(labels != IGNORE), silent)
    assert (labels[spoken] == ids[spoken + 1]).all()
    assert len(spoken) == sum(chat.num_tokens(t) for t in turns if isinstance(t, Message) and t.is_assistant)
    assert labels[-1] == IGNORE

    thinned = thin_silence(labels, runs, rate, random.Random(seed))
    assert (thinned[spoken] == labels[spoken]).all()
    kept = [int((thinned[run] != IGNORE).sum()) for run in runs]
    assert kept == [0 if rate < 0 else max(1, int(rate * len(run))) for run in runs]
