"""JSON Schemas of the answers, one per kind of request: closed objects, every text and list with a limit.

Limits keep a runaway generation from reaching ``max_tokens``; engines that decode under a schema need them as well.
Reasoning fields come first, so that a model thinks before it commits itself.
"""

from __future__ import annotations

from typing import Any

from mmassist.dialog.label import INITIATIVES, INTENTS, OTHER

MAX_TURN_CHARS = 4000
MAX_TURNS = 400
MAX_TIME_S = 1_000_000  # more than eleven days
NO_INITIATIVE = "none"  # user turns of a refinement


def goal_schema() -> dict[str, Any]:
    """``task`` is a descriptive name, ``steps`` the procedure in order; also the answer of a consolidation."""
    return _closed(task=_text(200), steps=_list(_text(600), 1, 80))


def match_schema(num_tasks: int) -> dict[str, Any]:
    """``task`` counts from 1."""
    return _closed(reason=_text(2000, minimum=0), task={"type": "integer", "minimum": 1, "maximum": num_tasks})


def label_schema() -> dict[str, Any]:
    """``label``: 1 fits the knowledge, 2 several tasks or attempts are mixed, 0 outside the domain."""
    return _closed(reason=_text(2000, minimum=0), label={"type": "integer", "enum": [0, 1, 2]})


def dialog_schema() -> dict[str, Any]:
    return _closed(turns=_list(_closed(**_turn_fields()), 0, MAX_TURNS))


def refine_schema() -> dict[str, Any]:
    """Turns with labels; user turns say ``none`` and no intents."""
    fields = _turn_fields() | {
        "initiative": {"type": "string", "enum": [*INITIATIVES, NO_INITIATIVE]},
        "intents": _list({"type": "string", "enum": [*INTENTS, OTHER]}, 0, len(INTENTS) + 1),
    }
    return _closed(turns=_list(_closed(**fields), 0, MAX_TURNS))


def summary_schema() -> dict[str, Any]:
    return _closed(summary=_text(2000))


def _turn_fields() -> dict[str, Any]:
    return {
        "time": {"type": "number", "minimum": 0, "maximum": MAX_TIME_S},
        "role": {"type": "string", "enum": ["user", "assistant"]},
        "text": _text(MAX_TURN_CHARS),
    }


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
