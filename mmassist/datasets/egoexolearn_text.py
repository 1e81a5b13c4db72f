"""EgoExoLearn's narrations, which machines translated and rewrote, without what those left behind in them."""

from __future__ import annotations

import re

_ABSENT = {"", "nan", "none", "null"}
_INVISIBLE = re.compile("[\u200b-\u200f\u2060\ufeff]")
_TASK = re.compile(r"(?:rephrase|rewrite|translate)\s+(?:the|this)\s+sentence(?:\s+as)?\s*:", re.IGNORECASE)
_LABEL = re.compile(r"(?:^|\s)video\s+\d+\s*:", re.IGNORECASE)
_REMARK = re.compile(
    r"i['\u2019]?\s?a?m (?:ready|sorry)\b|(?:sure|certainly)[,!. ]|please provide\b|as an ai\b", re.IGNORECASE
)


def choose_text(plain_text: str, text: str) -> tuple[str, str]:
    """The sentence of a row in one line, and what had to be done for it ("" = nothing); no sentence: ("", reason).

    The narration without hands counts, the plain translation where that one is absent or is a remark of the machine.
    """
    for raw, fallback in ((plain_text, ""), (text, "no usable narration without hands, narration_en used")):
        sentence, repair = clean_text(raw)
        if sentence:
            return sentence, ", ".join(filter(None, (fallback, repair)))
    is_remark = any(_REMARK.match(" ".join(raw.split())) for raw in (plain_text, text))
    return "", "a remark of the translating machine instead of a narration" if is_remark else "no narration"


def clean_text(raw: str) -> tuple[str, str]:
    """A narration in one line without what does not belong to it, and what was taken out ("" = nothing).

    The task a machine repeats (``Rephrase the sentence as:``) is taken off. Numbered answers (``Video 1: a`` and
    ``Video 2: b``) are joined, each wording once. A remark to the user instead of a narration is no text at all.
    """
    repairs = []
    visible = _INVISIBLE.sub("", raw)
    if visible != raw:
        repairs.append("invisible characters taken out")
    text = " ".join(visible.split())
    if found := _TASK.match(text):
        text = text[found.end() :].strip()
        repairs.append("the machine's task taken off")
    if _LABEL.match(text):
        parts = [part.strip() for part in _LABEL.split(text)]
        text = " ".join(dict.fromkeys(filter(None, parts)))
        repairs.append("numbered answers joined")
    if text.lower() in _ABSENT or _REMARK.match(text):
        return "", ""
    if "\ufffd" in text:
        repairs.append("bytes that are not UTF-8 became U+FFFD")
    return text, ", ".join(repairs)
