"""Sentences of a narration as annotators wrote them: tags in several spellings, sentences glued together.

Tags by the publisher's documentation (https://ego4d-data.org): ``#C`` the wearer of the camera, ``#O`` anybody else,
``#Unsure`` what the annotator could not name, ``#Summary``. The subject follows as a letter: ``#C C picks a knife``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

_WEARER = r"c(?:[^\w#]*c){0,2}\b"  # "C", "C C", "CC", "Cc C", "C- C", "C  C"
_TAG = re.compile(rf"#\s*(?:(?P<wearer>{_WEARER})|(?P<other>o\b)|(?P<summary>summary\b))", re.IGNORECASE)
_UNSURE = re.compile(r"#\s*unsure\b", re.IGNORECASE)
_SUBJECT = re.compile(rf"{_WEARER}(?=['\u2019\s])", re.IGNORECASE)
_LEADING, _TRAILING = " ,.;:-\u2013", " ,.;:"

NO_TEXT = "no text"
UNSURE = "unsure"
OTHER = "of somebody else"
SUMMARY = "a summary"
UNTAGGED = "not said to be of the wearer"


@dataclass(frozen=True)
class Sentence:
    """A sentence of the wearer, ``C`` its subject; or why it is left out, and its text as written."""

    text: str
    refusal: str = ""


def split_sentences(narration: Any) -> list[Sentence]:
    """Take a narration apart; there is always at least one sentence.

    A sentence goes from one person's tag to the next. It is refused when ``#unsure`` stands in it or alone before it.
    Without a tag it is the wearer's only if it begins with the letter: "C opens the drawer".
    """
    if not isinstance(narration, str) or not narration.strip():
        return [Sentence("", NO_TEXT)]
    sentences = []
    is_unsure = False
    for kind, raw in _iter_parts(narration):
        is_unsure = is_unsure or _UNSURE.search(raw) is not None
        text = _tidy(_UNSURE.sub(" ", raw))
        if not text and not (is_unsure and kind):
            continue  # an empty tag; "#unsure" alone counts for what follows
        sentences.append(_judge(kind, text, raw, is_unsure))
        is_unsure = False
    return sentences or [Sentence(" ".join(narration.split()), UNSURE if is_unsure else NO_TEXT)]


def _iter_parts(narration: str) -> Iterator[tuple[str, str]]:
    """Yield kind ("" without a tag) and text behind the tag, up to the next one."""
    tags = list(_TAG.finditer(narration))
    head = narration[: tags[0].start()] if tags else narration
    if head.strip():
        subject = _SUBJECT.match(head.lstrip())
        yield ("wearer", head.lstrip()[subject.end() :]) if subject else ("", head)
    ends = [tag.start() for tag in tags[1:]] + [len(narration)]
    for tag, end in zip(tags, ends, strict=False):  # without a tag there is an end too many
        yield str(tag.lastgroup), narration[tag.end() : end]


def _judge(kind: str, text: str, raw: str, is_unsure: bool) -> Sentence:
    if is_unsure:
        return Sentence(" ".join(raw.split()), UNSURE)
    if kind != "wearer":
        return Sentence(text, {"other": OTHER, "summary": SUMMARY}.get(kind, UNTAGGED))
    subject = "C" if text[0] in "'\u2019" else "C "
    return Sentence(subject + text + ("" if text[-1] in "!?" else "."))


def _tidy(raw: str) -> str:
    return " ".join(raw.split()).lstrip(_LEADING).rstrip(_TRAILING)
