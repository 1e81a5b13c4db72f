"""The JSON record of one packed sample.

Fields are those of the reference's prepared files, so its loaders can read them, with three differences: ids and labels
lie beside the record, so assistant turns do not repeat the progress text after every turn (``compat`` keeps it);
``frames`` says where the pictures are by key; and every record names what made it (tokenizer, generator, schema).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mmassist.core.seconds import FRAMES_PER_SECOND
from mmassist.packing.chat_format import ChatFormat
from mmassist.packing.conversation import Frames, Message, Turn
from mmassist.packing.draft import Draft, SplitRules

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class FrameStore:
    """The frames of the dialog's recording. ``is_partial``: only what could be read of a damaged video."""

    key: str
    num_frames: int
    fps: float = FRAMES_PER_SECOND
    is_partial: bool = False


@dataclass(frozen=True)
class Dialog:
    """One selected dialog with times on the media's clock, and what is known about it."""

    dataset: str
    item_key: str
    video_uid: str
    side: str  # train, val or test
    user_type: str
    user_id: str
    messages: tuple[Message, ...]
    start_s: float = 0.0
    goal: str = ""
    knowledge: str = ""
    quality: float | None = None
    weight: float = 1.0
    generator: str = ""
    is_scripted: bool = False  # by the demonstration's dialog engine, not by a language model


def build_record(
    draft: Draft, dialog: Dialog, store: FrameStore, rules: SplitRules, chat: ChatFormat, seq_len: int, compat: bool
) -> dict[str, Any]:
    """Describe one sample of ``seq_len`` tokens as plain JSON values."""
    start, end = draft.span
    limit = rules.max_seq_len
    return {
        "schema_version": SCHEMA_VERSION,
        "dataset": dialog.dataset,
        "video_uid": dialog.video_uid,
        "clip_idx": draft.clip_idx,
        "split": dialog.side,
        "weight": dialog.weight,
        "frames_file": f"frames/{store.key}",
        "frames": {"unit": "frames", "key": store.key, "is_partial": store.is_partial},
        "max_seq_len": limit,
        "seq_len": seq_len,
        "fill": round(seq_len / limit, 4) if limit else None,
        "num_tokens_per_img": chat.image_tokens,
        "use_img_sep_token": chat.has_separator,
        "start_frame_idx": start,
        "end_frame_idx": end,
        "conversation": [_element(turn, compat) for turn in draft.turns],
        "fps": store.fps,
        "tokenizer": {
            "name": chat.tokenizer.name,
            "revision": chat.tokenizer.revision,
            "image_id": chat.tokenizer.image_id,
            "start_header_id": chat.tokenizer.start_header_id,
            "pad_id": chat.tokenizer.eot_id,
            "separator_id": chat.separator_id,
        },
        "generator": dialog.generator,
        "is_scripted": dialog.is_scripted,
        "metadata": {
            "user_type": dialog.user_type,
            "user_id": dialog.user_id,
            "task_goal": dialog.goal,
            "knowledge": dialog.knowledge,
            "progress": draft.progress,
            "add_knowledge": rules.has_knowledge,
            "has_summary": bool(draft.tail),
            "summary_only": rules.is_summary_only,
            "quality": dialog.quality,
        },
    }


def _element(turn: Turn, compat: bool) -> dict[str, Any]:
    if isinstance(turn, Frames):
        return {"role": "frames", "start": turn.start, "end": turn.end}
    element: dict[str, Any] = {"role": turn.role, "content": turn.content}
    if turn.time_s is not None:
        element |= {"time": turn.time_s, "labels": turn.labels}
        if compat and turn.is_assistant:
            element["progress"] = turn.progress
    return element
