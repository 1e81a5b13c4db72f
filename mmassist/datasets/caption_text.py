"""Captions as the publishers write them, made into plain sentences."""

from __future__ import annotations

from typing import Any

_FINAL = (".", "!", "?", "\u2026", "\u3002", "\uff01", "\uff1f")
_CLOSING = "\"'\u201d\u2019\u00bb)]}"
_OPEN_ENDED = ",;:"


def tidy_text(value: Any) -> str:
    """``value`` with every run of white space made one blank; "" for what is no text, or has no letter or digit."""
    if not isinstance(value, str):
        return ""
    text = " ".join(value.split())
    return text if any(map(str.isalnum, text)) else ""


def make_sentence(value: Any) -> str:
    """A caption as a sentence: first letter capital, final punctuation, nothing else changed.

    The first letter or digit counts, behind an opening quote too. The last mark follows without a blank; a comma,
    semicolon or colon at the end gives way to the full stop. "" as in ``tidy_text``.
    """
    text = tidy_text(value)
    if not text:
        return ""
    first = next(place for place, character in enumerate(text) if character.isalnum())
    text = text[:first] + text[first].upper() + text[first + 1 :]
    if text.rstrip(_CLOSING).endswith(_FINAL):
        mark = text[-1]
        return text[:-1].rstrip() + mark if mark in _FINAL else text
    return text.rstrip(_OPEN_ENDED + " ") + "."
