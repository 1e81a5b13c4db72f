"""Times to frames: a timed dialog becomes messages with runs of frames between them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from mmassist.core.seconds import frame_at
from mmassist.packing.conversation import Frames, Message, Turn
from mmassist.packing.report import FillReport
from mmassist.packing.wording import knowledge_text


def index_conversation(
    messages: Sequence[Message], *, num_frames: int, start_s: float, fps: float, report: FillReport
) -> tuple[Turn, ...]:
    """Put every message behind the frames that come before its time.

    Frames run from ``start_s`` without a gap. A message at frame i (``frame_at``) stands behind frame i - 1; one that
    would have no frame of its own (same time as the one before, or earlier) comes one frame later, so order is kept and
    every message has at least one frame before it. The last frame of the store may be used. Messages beyond the end of
    the store are left out and counted as ``after_end``, empty ones as ``empty``.
    """
    turns: list[Turn] = []
    cursor = frame_at(start_s, fps)
    for message in messages:
        assert message.time_s is not None
        if not message.content:
            report.drop_turns([message], "empty")
            continue
        frame = max(frame_at(message.time_s, fps), cursor + 1)
        if frame > num_frames:
            report.drop_turns([message], "after_end")
            continue
        turns += [Frames(cursor, frame), message]
        cursor = frame
    return tuple(turns)


def index_like_reference(
    messages: Sequence[Message], *, num_frames: int, start_s: float, fps: float, report: FillReport
) -> tuple[Turn, ...]:
    """Do it as the reference does.

    A message beyond the end is moved to the last frame as long as one is left, the last frame itself is never used, and
    from the first message without a frame on everything is left out.
    """
    turns: list[Turn] = []
    cursor = math.floor(start_s * fps)
    for number, message in enumerate(messages):
        assert message.time_s is not None
        frame = min(math.floor(message.time_s * fps), num_frames - 1)
        if frame <= cursor:
            frame = cursor + 1
        if frame >= num_frames:
            report.drop_turns(messages[number:], "after_end")
            break
        turns += [Frames(cursor, frame), message]
        cursor = frame
    return tuple(turns)


def insert_knowledge(turns: Sequence[Turn], knowledge: str, compat: bool = False) -> tuple[Turn, ...]:
    """Add the task knowledge right after the user's opening message; where the assistant opens, before everything.

    So every assistant turn is given with the knowledge. In ``compat`` it stands behind the first user message wherever
    that is, and is left out without one.
    """
    if not knowledge.strip():
        return tuple(turns)
    message = Message("system", knowledge_text(knowledge))
    for position, turn in enumerate(turns):
        if isinstance(turn, Message) and turn.role == "user":
            return (*turns[: position + 1], message, *turns[position + 1 :])
        if isinstance(turn, Message) and not compat:
            break
    return tuple(turns) if compat else (message, *turns)


def shift(messages: Sequence[Message], offset_s: float) -> list[Message]:
    """Move messages from the annotation's clock to the media's clock."""
    return [replace(m, time_s=m.time_s + offset_s) for m in messages if m.time_s is not None]
