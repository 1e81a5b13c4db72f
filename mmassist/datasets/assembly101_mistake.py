"""Assembly101's mistake rows: what was joined to what, whether it was right, and how that is told."""

from __future__ import annotations

from typing import NamedTuple

LABELS = ("correct", "mistake", "correction")

_PREPOSITIONS = {"attach": "to", "detach": "from", "position": "on"}
_INVERSES = {"attach": "detach", "detach": "attach"}
# The publisher's four kinds of mistake by a word that every spelling of them has, typing errors included.
_REMARKS = (
    ("previous", "previous one is a mistake"),
    ("happened", "shouldn't have happened"),
    ("order", "wrong order"),
    ("position", "wrong position"),
)


class MistakeRow(NamedTuple):
    """A row of a mistake file, in seconds of the video; ``cells`` are the row as read."""

    start_s: float
    end_s: float
    verb: str
    this: str
    that: str
    label: str
    remark: str
    record: str
    cells: tuple[str, ...]

    def names(self, text: str) -> bool:
        """Whether a coarse step's text is this row's action without the second part."""
        return text.lower() == f"{self.verb} {self.this}".lower()


def is_verb(verb: str) -> bool:
    return verb.lower() in _PREPOSITIONS


def word_action(verb: str, this: str, that: str) -> str:
    """``attach wheel to chassis``; "" when verb or part are not known. No part is joined to itself."""
    if not is_verb(verb) or not this:
        return ""
    verb = verb.lower()
    return f"{verb} {this}" if that in ("", this) else f"{verb} {this} {_PREPOSITIONS[verb]} {that}"


def word_note(row: MistakeRow, verb: str, is_main: bool) -> str:
    """What is said behind a step about a row: "" for a correct one.

    ``verb`` is the row's, or the step's where the row has none that is known. A row that does not give the step its
    text (``is_main`` false) says what it is about.
    """
    action = word_action(verb, row.this, row.that)
    if row.label == "mistake":
        about = "" if is_main else action
        return ": ".join(part for part in ("mistake", about, normalise_remark(row.remark)) if part)
    if row.label == "correction":
        undone = word_action(_INVERSES.get(verb.lower(), ""), row.this, row.that)
        return f'correction of "{undone}"' if undone else "correction"
    return ""


def word_note_compat(row: MistakeRow, text: str) -> str:
    """The reference: the remark as it is, and the undone action by exchanging letters wherever they occur."""
    if row.label == "mistake":
        return f"mistake: {row.remark}"
    if row.label == "correction":
        pairs = (
            (("detach", "attach"), ("from", "to")) if row.verb == "detach" else (("attach", "detach"), ("to", "from"))
        )
        for old, new in pairs:
            text = text.replace(old, new)
        return f'correction of "{text}"'
    return ""


def word_action_compat(row: MistakeRow) -> str:
    """The reference: every verb but attach goes with "from"."""
    return f"{row.verb} {row.this} {'to' if row.verb == 'attach' else 'from'} {row.that}"


def normalise_remark(remark: str) -> str:
    """One spelling per kind of mistake; other remarks stay as they are."""
    found = (spelling for word, spelling in _REMARKS if word in remark.lower())
    return next(found, remark)
