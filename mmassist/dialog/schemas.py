"""JSON Schemas of the answers, one per kind of request: closed objects, every text and list with a limit.

Two of each. The *shape* is what an answer in any form is held to: names, types, limits. The *schema* is what a model
decodes under: as narrow as the request allows (times of the window, the turns that must stay, texts with a letter in
them), so that little is left to go wrong. What is narrower than the shape is checked behind it, in words a model
understands (``mmassist.dialog.checking``). Reasoning fields come first, so that a model thinks before it commits.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mmassist.dialog.checking import MERGE_WITHIN_S, Window, is_answered
from mmassist.dialog.label import INITIATIVES, INTENTS, OTHER
from mmassist.dialog.turn import Turn

MAX_TIME_S = 1_000_000  # more than eleven days
NO_INITIATIVE = "none"  # user turns of a refinement
TENTH_S = 0.1
# A letter of any script near the start, no bracket before it: neither blanks nor a remark like "(nods)" pass.
_LETTER = "A-Za-z\u00c0-\ud7ff"
_START = rf"^([^{_LETTER}()\[\]\s][^{_LETTER}()\[\]\x00-\x1f]{{0,7}})?[{_LETTER}]"
SPOKEN_PATTERN = rf"{_START}[^\x00-\x1f]*$"
NO_QUESTION_PATTERN = rf"{_START}([^\x00-\x1f]*[^\x00-\x1f\s?])?$"


@dataclass(frozen=True)
class Limits:
    """How much one window may hold."""

    max_turns: int = 120
    max_turn_chars: int = 1200


def goal_shape() -> dict[str, Any]:
    """``task`` is a descriptive name, ``steps`` the procedure in order; also the answer of a consolidation."""
    return _closed(task=_text(200), steps=_list(_text(600), 1, 80))


def match_shape(num_tasks: int) -> dict[str, Any]:
    """``task`` counts from 1."""
    return _closed(reason=_text(2000, minimum=0), task={"type": "integer", "minimum": 1, "maximum": num_tasks})


def label_shape() -> dict[str, Any]:
    """``label``: 1 fits the knowledge, 2 several tasks or attempts are mixed, 0 outside the domain."""
    return _closed(reason=_text(2000, minimum=0), label={"type": "integer", "enum": [0, 1, 2]})


def dialog_shape(limits: Limits) -> dict[str, Any]:
    """Turns at any time, in any order."""
    return _closed(turns=_list(_closed(**_turn_fields(limits)), 0, limits.max_turns))


def refine_shape(limits: Limits) -> dict[str, Any]:
    """Turns with labels; user turns say ``none`` and no intents."""
    return _closed(turns=_list(_closed(**_turn_fields(limits), **_labels()), 0, limits.max_turns))


def summary_shape() -> dict[str, Any]:
    """One sentence."""
    return _closed(summary=_text(2000))


def with_letters(shape: Any) -> Any:
    """The shape with a letter demanded of every text that must not be empty."""
    if isinstance(shape, list):
        return [with_letters(entry) for entry in shape]
    if not isinstance(shape, dict):
        return shape
    made = {key: with_letters(value) for key, value in shape.items()}
    return made | {"pattern": SPOKEN_PATTERN} if made.get("minLength", 0) else made


def dialog_schema(window: Window, limits: Limits) -> dict[str, Any]:
    """Turns with times of the window, in tenths of a second; in the first window the user's goal, at its start.

    The order of times cannot be said in a schema: with the goal at the very start, sorting never puts a turn before it.
    """
    time = _times_of(window)
    any_turn = with_letters(_closed(**{**_turn_fields(limits), "time": time}))
    turns = _list(any_turn, 1, limits.max_turns)
    if window.is_first:
        goal = any_turn["properties"] | {"time": {"const": time["minimum"]}, "role": {"const": "user"}}
        turns["prefixItems"] = [_closed(**goal)]
    return _closed(turns=turns)


def refine_schema(turns: Sequence[Turn], limits: Limits) -> dict[str, Any]:
    """Exactly the given turns with their times and speakers, in order, to be reworded and labelled.

    A user turn that nobody answers must not become a question. Where assistant turns lie closer than MERGE_WITHIN_S a
    second list is allowed, in which they are joined. Joining some of them cannot be said without naming every
    combination; engines without schemas may.
    """
    general = refine_shape(limits)["properties"]["turns"]["items"]
    joined = _join_close(turns)
    lists = [_exactly(some, limits, general) for some in ([turns, joined] if len(joined) < len(turns) else [turns])]
    return _closed(turns=lists[0] if len(lists) == 1 else {"anyOf": lists})


def _exactly(turns: Sequence[Turn], limits: Limits, general: dict[str, Any]) -> dict[str, Any]:
    rows = []
    for index, turn in enumerate(turns):
        is_left_alone = turn.is_user and not is_answered(turns, index)
        pattern = NO_QUESTION_PATTERN if is_left_alone else SPOKEN_PATTERN
        fields: dict[str, Any] = {
            "time": {"const": turn.time_s},
            "role": {"const": turn.role},
            "text": _text(limits.max_turn_chars) | {"pattern": pattern},
            "initiative": {"const": NO_INITIATIVE} if turn.is_user else _choice(*INITIATIVES),
            "intents": _list(_choice(*INTENTS, OTHER), *((0, 0) if turn.is_user else (1, len(INTENTS) + 1))),
        }
        rows.append(_closed(**fields))
    # ``items`` is out of reach, but servers that know no ``prefixItems`` go by it.
    return _list(general, len(rows), len(rows)) | {"prefixItems": rows}


def _join_close(turns: Sequence[Turn]) -> list[Turn]:
    kept: list[Turn] = []
    for turn in turns:
        is_close = bool(kept) and not (turn.is_user or kept[-1].is_user)
        if not (is_close and round(turn.time_s - kept[-1].time_s, 3) < MERGE_WITHIN_S):
            kept.append(turn)
    return kept


def _times_of(window: Window) -> dict[str, Any]:
    first = round(math.ceil(window.start_s * 10 - 1e-6) / 10, 1)
    last = round(math.floor(window.end_s * 10 + 1e-6) / 10, 1)
    if first > last:  # no tenth of a second lies inside
        return {"type": "number", "minimum": window.start_s, "maximum": window.end_s}
    return {"type": "number", "minimum": first, "maximum": last, "multipleOf": TENTH_S}


def _turn_fields(limits: Limits) -> dict[str, Any]:
    return {
        "time": {"type": "number", "minimum": 0, "maximum": MAX_TIME_S},
        "role": _choice("user", "assistant"),
        "text": _text(limits.max_turn_chars),
    }


def _labels() -> dict[str, Any]:
    intents = _list(_choice(*INTENTS, OTHER), 0, len(INTENTS) + 1)
    return {"initiative": _choice(*INITIATIVES, NO_INITIATIVE), "intents": intents}


def _choice(*names: str) -> dict[str, Any]:
    return {"type": "string", "enum": list(names)}


def _closed(**properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _text(maximum: int, minimum: int = 1) -> dict[str, Any]:
    return {"type": "string", "minLength": minimum, "maxLength": maximum}


def _list(items: dict[str, Any], minimum: int, maximum: int) -> dict[str, Any]:
    return {"type": "array", "items": items, "minItems": minimum, "maxItems": maximum}
