"""The JSON record of one packed sample.

Fields are those of the reference's prepared files, so its loaders can read them, with three differences: ids and labels
lie beside the record, so assistant turns do not repeat the progress text after every turn (``compat`` keeps it);
``frames`` says where the pictures are by key; and every record names what made it (tokenizer, generator, schema).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mmassist.core.annotation import Caption, Request
from mmassist.packing.chat_format import ChatFormat
from mmassist.packing.conversation import Frames, Message, Turn
from mmassist.packing.draft import Draft, SplitRules
from mmassist.packing.frame_store import FrameStore, GroupStore

SCHEMA_VERSION = 1


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


@dataclass(frozen=True)
class CaptionItem:
    """The captions of one item, and what is known about them.

    ``offset_s``: where the captions' clock begins on the media's.
    """

    dataset: str
    item_key: str
    video_uid: str
    side: str  # train, val or test
    request: Request
    captions: tuple[Caption, ...]
    offset_s: float = 0.0
    weight: float = 1.0
    generator: str = ""
    is_scripted: bool = False


def build_record(
    draft: Draft, dialog: Dialog, store: FrameStore, rules: SplitRules, chat: ChatFormat, seq_len: int, compat: bool
) -> dict[str, Any]:
    """Describe one sample of a dialog, ``seq_len`` tokens, as plain JSON values."""
    metadata = {
        "user_type": dialog.user_type,
        "user_id": dialog.user_id,
        "task_goal": dialog.goal,
        "knowledge": dialog.knowledge,
        "progress": draft.progress,
        "add_knowledge": rules.has_knowledge,
        "has_summary": bool(draft.tail),
        "summary_only": rules.is_summary_only,
        "quality": dialog.quality,
    }
    return _describe(draft, dialog, store, rules, chat, seq_len, metadata, compat)


def build_caption_record(
    draft: Draft,
    item: CaptionItem,
    store: FrameStore | GroupStore,
    rules: SplitRules,
    chat: ChatFormat,
    seq_len: int,
    num_captions: int,
) -> dict[str, Any]:
    """Describe one sample of captions, ``seq_len`` tokens, as plain JSON values."""
    metadata = {"request": str(item.request), "captions": num_captions}
    return _describe(draft, item, store, rules, chat, seq_len, metadata)


def _describe(
    draft: Draft,
    origin: Dialog | CaptionItem,
    store: FrameStore | GroupStore,
    rules: SplitRules,
    chat: ChatFormat,
    seq_len: int,
    metadata: dict[str, Any],
    compat: bool = False,
) -> dict[str, Any]:
    start, end = draft.span
    limit = rules.max_seq_len
    return {
        "schema_version": SCHEMA_VERSION,
        "dataset": origin.dataset,
        "video_uid": origin.video_uid,
        "clip_idx": draft.clip_idx,
        "split": origin.side,
        "weight": origin.weight,
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
        "generator": origin.generator,
        "is_scripted": origin.is_scripted,
        "metadata": metadata,
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
