"""Captions to pairs of what is seen and what is said about it, and pairs of images and clips to samples.

Every caption that something shows ends up in exactly one sample; the others are in the report with a reason:

* ``repeated``: the same text said behind the same frame;
* ``empty``: no text; ``no_time``: no moment where the captions are told by time;
* ``no_picture``: the image or clip is missing or unreadable;
* ``after_end``: the narration lies beyond the last frame of the video;
* ``too_long``: the pair does not fit into a sample of its own.

Nothing depends on the order in which the captions are given.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from mmassist.core.annotation import Caption
from mmassist.core.errors import ItemError, Kind
from mmassist.core.seconds import frame_at
from mmassist.packing.conversation import Frames, Message
from mmassist.packing.draft import Draft, Drafter
from mmassist.packing.frame_store import FrameStore, GroupStore
from mmassist.packing.record import CaptionItem
from mmassist.packing.report import FillReport

_STALE = "the frame store was made from another list of files, redo it with stage=extract on_stale=rebuild"


@dataclass(frozen=True)
class Pair:
    """Frames, the assistant's message behind them, and the captions that it is made of."""

    frames: Frames
    message: Message
    captions: tuple[Caption, ...]


def pair_members(item: CaptionItem, store: GroupStore, report: FillReport) -> list[Pair]:
    """One pair per caption of images or clips, in the order of the frames.

    Where members have several captions, all first ones come before all second ones, so that samples stay long: within
    a sample no frame comes twice. Raises ItemError for a caption whose file is not the one that the frames are of.
    """
    placed: list[tuple[int, int, Pair]] = []
    seen: Counter[int] = Counter()
    for caption in sorted(_with_text(item, report), key=lambda c: (c.member, c.text, c.record)):
        _check_member(caption, store)
        run = store.runs[caption.member]
        if run is None:
            report.drop_captions([caption], "no_picture")
            continue
        message = Message("assistant", caption.text.strip())
        placed.append((seen[caption.member], run.start, Pair(run, message, (caption,))))
        seen[caption.member] += 1
    return [pair for _, _, pair in sorted(placed, key=lambda entry: entry[:2])]


def _check_member(caption: Caption, store: GroupStore) -> None:
    """Captions are joined to frames by position: another list of files would shift them all to other pictures."""
    if not 0 <= caption.member < len(store.runs):
        raise ItemError(Kind.PERMANENT, f"{_STALE}: {len(store.runs)} members, a caption of number {caption.member}")
    if caption.file and caption.file != store.files[caption.member]:
        found = store.files[caption.member]
        raise ItemError(Kind.PERMANENT, f"{_STALE}: {found} at place {caption.member} instead of {caption.file}")


def pair_moments(item: CaptionItem, store: FrameStore, report: FillReport) -> list[Pair]:
    """Narrations of a video behind the frames up to them, without a gap from the item's own zero on.

    A narration is said behind the first frame that lies later than its moment, or behind the last frame where no later
    one is left (the last picture is shown for up to half a second). What is said behind the same frame is one message,
    in the order of time, the same text only once.
    """
    cursor = frame_at(item.offset_s, store.fps)
    told: dict[int, list[tuple[float, Caption]]] = {}
    for time_s, caption in _in_time_order(item, report):
        frame = max(cursor, frame_at(time_s, store.fps))
        if frame > store.num_frames or cursor >= store.num_frames:
            report.drop_captions([caption], "after_end")
            continue
        told.setdefault(min(frame + 2, store.num_frames), []).append((time_s, caption))
    pairs = []
    for end, entries in sorted(told.items()):
        said: dict[str, Caption] = {}
        for _, caption in entries:
            if said.setdefault(caption.text.strip(), caption) is not caption:
                report.drop_captions([caption], "repeated")
        message = Message("assistant", " ".join(said), time_s=entries[-1][0])
        pairs.append(Pair(Frames(cursor, end), message, tuple(said.values())))
        cursor = end
    return pairs


def cut_pairs(pairs: Sequence[Pair], drafter: Drafter, report: FillReport) -> list[Draft]:
    """Fill samples of at most L tokens with pairs, in their order; the frames of a sample follow on each other."""
    drafts: list[Draft] = []
    held: list[Pair] = []
    opening, used = _begin(drafter, 0)
    for pair in pairs:
        cost = drafter.chat.num_tokens(pair.frames) + drafter.chat.num_tokens(pair.message)
        follows_on = held and held[-1].frames.end == pair.frames.start
        if held and (used + cost > drafter.rules.max_seq_len or not follows_on):
            drafts.append(_draft(len(drafts), opening, held))
            held = []
            opening, used = _begin(drafter, len(drafts))
        if used + cost > drafter.rules.max_seq_len:
            report.drop_captions(pair.captions, "too_long")
            continue
        held.append(pair)
        used += cost
    if held:
        drafts.append(_draft(len(drafts), opening, held))
    return drafts


def _begin(drafter: Drafter, clip_idx: int) -> tuple[Message, int]:
    """A sample's system message, and the tokens that it takes with the BOS before it."""
    opening = drafter.opening(clip_idx, progress="", with_knowledge=False)
    return opening, 1 + drafter.cost(opening)


def _draft(clip_idx: int, opening: Message, pairs: Sequence[Pair]) -> Draft:
    return Draft(clip_idx, opening, tuple(turn for pair in pairs for turn in (pair.frames, pair.message)), ())


def _with_text(item: CaptionItem, report: FillReport) -> list[Caption]:
    report.drop_captions([caption for caption in item.captions if not caption.text.strip()], "empty")
    return [caption for caption in item.captions if caption.text.strip()]


def _in_time_order(item: CaptionItem, report: FillReport) -> list[tuple[float, Caption]]:
    """Captions with their moment on the media's clock."""
    timed = []
    for caption in _with_text(item, report):
        if caption.time_s is None or not math.isfinite(caption.time_s):
            report.drop_captions([caption], "no_time")
        else:
            timed.append((caption.time_s + item.offset_s, caption))
    return sorted(timed, key=lambda entry: (entry[0], entry[1].text, entry[1].record))
