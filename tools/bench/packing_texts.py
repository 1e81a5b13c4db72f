"""Dialogs with the words of real English prose, and a tokenizer of a real one's size that has learned from it.

The prose is what every Python brings along: the reference manual's topics and the docstrings of the standard library. A
text is a window of it, one word in a hundred replaced by one that occurs nowhere else, so that no cache ever has all.
"""

from __future__ import annotations

import ast
import random
import string
import sysconfig
from functools import cache
from pathlib import Path

from mmassist.core.rng import rng
from mmassist.packing.conversation import Message
from mmassist.packing.record import Dialog
from mmassist.packing.tiny_tokenizer import SPECIAL_TOKENS, SPLIT_REGEX

NEW_WORDS = 0.01
WAITS = {"short": (3.0, 6.0, 10.0, 20.0), "long": (5.0, 20.0, 60.0, 240.0)}  # seconds between two answers


@cache
def prose() -> tuple[str, ...]:
    """All words, in order."""
    from pydoc_data.topics import topics

    words: list[str] = []
    for text in topics.values():
        words += text.split()
    for path in _sources():
        tree = ast.parse(path.read_bytes())
        for node in ast.walk(tree):
            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)):
                words += (ast.get_docstring(node) or "").split()
    return tuple(word for word in words if word[0].isalnum() and len(word) < 20)


def _sources() -> list[Path]:
    return sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))


def make_dialog(number: int, minutes: float, waits: str = "short") -> Dialog:
    """A made-up dialog of that length; equal numbers give equal dialogs.

    A user's goal, then answers after one of the waits each, and a question now and then.
    """
    rand = rng("bench", number, waits)
    messages = [Message("user", _text(rand, 6, 12), 2.0)]
    time_s = 3.0
    while time_s < minutes * 60 - 2:
        progress = f"Elapsed time: {time_s:.1f} seconds. {_text(rand, 60, 110)}"
        messages.append(Message("assistant", _text(rand, 8, 30), time_s, "initiative|instruction", progress))
        if rand.random() < 0.2:
            messages.append(Message("user", _text(rand, 4, 14), time_s + 2.0))
            messages.append(Message("assistant", _text(rand, 8, 30), time_s + 2.0, "responsive|instruction", progress))
        time_s += rand.choice(WAITS[waits])
    key = f"bench-{number}"
    knowledge = _text(rand, 80, 160)
    return Dialog("bench", key, key, "train", "talk_some", "talk_some_0", tuple(messages), knowledge=knowledge)


def _text(rand: random.Random, low: int, high: int) -> str:
    words = prose()
    start, num = rand.randrange(len(words) - high), rand.randint(low, high)
    text = [_new_word(rand) if rand.random() < NEW_WORDS else word for word in words[start : start + num]]
    return " ".join(text).capitalize() + "."


def _new_word(rand: random.Random) -> str:
    return "".join(rand.choices(string.ascii_lowercase, k=rand.randint(4, 10)))


def train_tokenizer(path: Path, vocab_size: int) -> None:
    """Write a byte-level tokenizer with Llama 3's splitter, learned from the standard library's sources."""
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

    backend = Tokenizer(models.BPE(ignore_merges=True))
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLIT_REGEX), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    texts = [" ".join(prose()), *(source.read_text(errors="replace") for source in _sources())]
    backend.train_from_iterator(texts, trainer)
    backend.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIAL_TOKENS])
    backend.save(str(path))
