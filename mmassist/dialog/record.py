"""The dialog record of one recording: what generation writes, and what judging, splitting and packing read.

Keys are those of the files that ProAssist published, so that its readers work, with the spelling of ``knowledge_type``
put right and what is needed to trust a record added. ``original_ann`` is left out: the source's own files have it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mmassist.core.annotation import Annotation
from mmassist.core.errors import ItemError, Kind
from mmassist.dialog.annotation import Clip, render_description
from mmassist.dialog.knowledge import Knowledge
from mmassist.dialog.turn import Turn
from mmassist.dialog.usertype import USER_TYPES

SCHEMA_VERSION = 1
_RENAMED = {"knowedge_type": "knowledge_type"}
_DATASET_NAMES = {"ego4d-goalstep": "ego4d"}


@dataclass(frozen=True)
class Conversation:
    """One simulated dialog; ``user_id`` names it inside its recording."""

    user_type: str
    user_id: str
    turns: tuple[Turn, ...]

    def to_row(self) -> dict[str, Any]:
        return {
            "user_type": self.user_type,
            "user_id": self.user_id,
            "conversation": [turn.to_row() for turn in self.turns],
        }


@dataclass(frozen=True)
class Provenance:
    """How a record came about. ``failed`` lists conversations given up, with the reason."""

    generator: str
    is_scripted: bool
    engine_revision: str
    compat: bool
    settings: Mapping[str, Any]  # user types, repeats, sampling, seed, guidance
    templates: Mapping[str, int]
    answers: Mapping[str, Any]  # counts of requests, repairs, rejected answers, finish reasons
    failed: Sequence[Mapping[str, Any]] = field(default_factory=tuple)


def build_record(
    annotation: Annotation,
    clips: Sequence[Clip],
    knowledge: Knowledge,
    video_labels: Mapping[str, int],
    conversations: Sequence[Conversation],
    provenance: Provenance,
) -> dict[str, Any]:
    """Put a record together, as plain JSON."""
    num_substeps = sum(len(step.substeps) for step in annotation.steps)
    return {
        "schema_version": SCHEMA_VERSION,
        "video_uid": annotation.key,
        "inferred_goal": knowledge.goal,
        "inferred_knowledge": knowledge.render(),
        "video_labels": dict(video_labels),
        "conversations": [conversation.to_row() for conversation in conversations],
        "failed_conversations": [dict(row) for row in provenance.failed],
        "drops": [{"record": drop.record, "reason": drop.reason} for drop in annotation.drops],
        "parsed_video_anns": {
            "dataset": annotation.dataset,
            "domain": annotation.domain,
            "knowledge_type": annotation.knowledge_type,
            "video_uid": annotation.key,
            "goal_description": annotation.goal,
            "all_step_descriptions": render_description(annotation, provenance.compat),
            "clips": [[clip.start_s, clip.end_s, clip.text] for clip in clips],
            "duration": annotation.duration_s,
            "ann_ratio": annotation.ann_ratio,
            "num_steps": len(annotation.steps),
            "num_substeps": num_substeps,
            "video_start_time": annotation.start_s,
            "has_mistake": annotation.has_mistake,
            "fps": annotation.fps,
        },
        "generator": provenance.generator,
        "is_scripted": provenance.is_scripted,
        "engine_revision": provenance.engine_revision,
        "compat": provenance.compat,
        "templates": dict(provenance.templates),
        "gen_args": dict(provenance.settings),
        "answers": dict(provenance.answers),
    }


def read_record(data: bytes | str | Mapping[str, Any]) -> dict[str, Any]:
    """Read a record of this toolkit or one that ProAssist released, brought to this toolkit's keys.

    Accepts the misspelt ``knowedge_type``, the source name ``ego4d-goalstep``, ids of video groups (``grp-...``, kept
    as they are), absent ``gen_args`` and user ids. Raises ItemError for anything that is no record, an excluded video
    among them.
    """
    record = dict(_load(data))
    if "reason_to_exclude" in record:
        raise ItemError(Kind.PERMANENT, f"excluded video: {record['reason_to_exclude']}")
    for key in ("video_uid", "conversations", "parsed_video_anns"):
        if key not in record:
            raise ItemError(Kind.PERMANENT, f"no dialog record: '{key}' is missing")
    annotation = {_RENAMED.get(key, key): value for key, value in record["parsed_video_anns"].items()}
    name = annotation.get("dataset", "")
    annotation["dataset"] = _DATASET_NAMES.get(name, name)
    annotation.setdefault("video_start_time", 0.0)
    record["parsed_video_anns"] = annotation
    record["conversations"] = [_read_conversation(row, index) for index, row in enumerate(record["conversations"])]
    return {"gen_args": {}, "video_labels": {}, "failed_conversations": [], "drops": [], "generator": "", **record}


def list_conversations(record: Mapping[str, Any]) -> list[Conversation]:
    """The conversations of a record from ``read_record``."""
    return [
        Conversation(row["user_type"], row["user_id"], tuple(Turn.from_row(turn) for turn in row["conversation"]))
        for row in record["conversations"]
    ]


def make_user_id(user_type: str, index: int) -> str:
    """``talk_some_3`` for the conversation at place 3 of its record."""
    return f"{user_type}_{index}"


def record_schema() -> dict[str, Any]:
    """JSON Schema of what ``build_record`` makes."""
    text, number, count = {"type": "string"}, {"type": "number"}, {"type": "integer", "minimum": 0}
    mapping = {"type": "object"}
    user_turn = _closed({"role": {"const": "user"}, "time": number, "content": text, "labels": {"const": ""}})
    assistant_turn = _closed(
        {
            "role": {"const": "assistant"},
            "time": number,
            "content": text,
            "labels": {"type": "string", "pattern": r"^(initiative|responsive)\|[a-z_]+(,[a-z_]+)*$"},
            "progress": text,
        }
    )
    conversation = _closed(
        {
            "user_type": {"enum": list(USER_TYPES)},
            "user_id": text,
            "conversation": {"type": "array", "items": {"anyOf": [user_turn, assistant_turn]}, "minItems": 1},
        }
    )
    annotation = _closed(
        {
            "dataset": text,
            "domain": text,
            "knowledge_type": text,
            "video_uid": text,
            "goal_description": text,
            "all_step_descriptions": text,
            "clips": {
                "type": "array",
                "items": {"type": "array", "prefixItems": [number, number, text], "minItems": 3},
            },
            "duration": number,
            "ann_ratio": number,
            "num_steps": count,
            "num_substeps": count,
            "video_start_time": number,
            "has_mistake": {"type": "boolean"},
            "fps": {"type": ["number", "null"]},
        }
    )
    return _closed(
        {
            "schema_version": {"const": SCHEMA_VERSION},
            "video_uid": text,
            "inferred_goal": text,
            "inferred_knowledge": text,
            "video_labels": {"type": "object", "additionalProperties": count},
            "conversations": {"type": "array", "items": conversation, "minItems": 1},
            "failed_conversations": {"type": "array", "items": mapping},
            "drops": {"type": "array", "items": _closed({"record": text, "reason": text})},
            "parsed_video_anns": annotation,
            "generator": text,
            "is_scripted": {"type": "boolean"},
            "engine_revision": text,
            "compat": {"type": "boolean"},
            "templates": {"type": "object", "additionalProperties": {"type": "integer"}},
            "gen_args": mapping,
            "answers": mapping,
        }
    )


def _closed(properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _load(data: bytes | str | Mapping[str, Any]) -> Mapping[str, Any]:
    if isinstance(data, Mapping):
        return data
    try:
        value = json.loads(data)
    except ValueError as error:
        raise ItemError(Kind.PERMANENT, f"no dialog record: {error}") from error
    if not isinstance(value, dict):
        raise ItemError(Kind.PERMANENT, f"no dialog record: a JSON {type(value).__name__} instead of an object")
    return value


def _read_conversation(row: Mapping[str, Any], index: int) -> dict[str, Any]:
    user_type = row.get("user_type", "")
    return {"user_id": make_user_id(user_type, index), **row}
