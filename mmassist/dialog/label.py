"""Labels of assistant turns: who took the initiative, and to what end."""

from __future__ import annotations

from collections.abc import Iterable

INITIATIVES = ("initiative", "responsive")
INTENTS = ("instruction", "correction", "info_sharing", "feedback")  # in the order in which labels list them
OTHER = "other"
DEFAULT_LABELS = f"{INITIATIVES[0]}|{OTHER}"

_SPELLINGS = {  # substring -> initiative; what models write instead of the two words
    "initiative": "initiative",
    "proactive": "initiative",
    "responsive": "responsive",
    "reactive": "responsive",
    "response": "responsive",
}
_MARKS = {"instruction": "instruction", "correction": "correction", "info": "info_sharing", "feedback": "feedback"}


class UnknownInitiative(ValueError):
    """The reference discards a whole batch over a label such as ``[proactive|instruction]``."""


def join_labels(initiative: str, intents: Iterable[str]) -> str:
    """``initiative|instruction,feedback``: intents once each and in a fixed order, ``other`` for none."""
    given = set(intents)
    return f"{initiative}|{','.join(intent for intent in INTENTS if intent in given) or OTHER}"


def parse_labels(group: str, compat: bool) -> tuple[str, bool]:
    """Turn ``a|b`` as a model wrote it into labels, and say whether the initiative was understood.

    Raises UnknownInitiative under the reference's rules, which know the two words only.
    """
    first, _, second = group.lower().partition("|")
    intents = [intent for mark, intent in _MARKS.items() if mark in second]
    if compat:
        for word in INITIATIVES:
            if word in first:
                return join_labels(word, intents), True
        raise UnknownInitiative(f"unknown initiative in [{group}]")
    for mark, word in _SPELLINGS.items():
        if mark in first:
            return join_labels(word, intents), True
    return join_labels(INITIATIVES[0], intents), False
