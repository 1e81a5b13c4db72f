"""Sample boundaries as the reference draws them, for comparison only (``compat=reference``).

It differs from ``splitting`` in four ways: one reserve for the summary instead of the summary's own length; kept
context that may reach back into the previous sample; everything before the last wait lost, goal and knowledge included,
when the first assistant turn does not fit; and the last frame of the store never used. Where it would try the same cut
for ever, the exchange is left out as ``too_long``. Whatever it drops in silence is counted here.
"""

from __future__ import annotations

from collections.abc import Sequence

from mmassist.packing.conversation import Frames, Message, Turn, frame_span
from mmassist.packing.draft import Draft, Drafter
from mmassist.packing.report import FillReport
from mmassist.packing.splitting import UNLIMITED, cut_exchanges

SUMMARY_OVERHEAD = 20  # request and header, as the reference estimates them
NUM_LONGEST = 10  # progress texts, longest by words, among which the longest by tokens is looked for
MAX_ATTEMPTS = 8  # cuts of one wait before it is given up


def split_like_reference(turns: Sequence[Turn], drafter: Drafter, num_frames: int, report: FillReport) -> list[Draft]:
    """Cut one indexed conversation into samples; ``num_frames`` is the size of the frame store."""
    reserve = _summary_reserve(turns, drafter)
    if reserve > drafter.rules.max_summary_tokens:
        report.drop("dialogs", "long_summary")
        report.drop_turns(turns, "long_summary")
        return []
    budget = (drafter.rules.max_seq_len or UNLIMITED) - reserve
    drafts: list[Draft] = []
    progress, attempt = "", 0
    rest = tuple(turns)
    while rest:
        clip_idx = len(drafts)
        opening = drafter.opening(clip_idx, progress, with_knowledge=clip_idx > 0)
        accepted, exceeding = _accept(rest, budget - 1 - drafter.chat.num_tokens(opening), drafter)
        context = drafter.num_context_frames(clip_idx, attempt)
        if not accepted and exceeding is None:
            report.drop_turns(rest, "unanswered")
            break
        if not accepted and exceeding is not None:
            attempt = attempt + 1 if attempt < MAX_ATTEMPTS else 0
            rest = _discard(rest, exceeding, context if attempt else None, report)
            continue
        attempt = 0
        body, rest = rest[:accepted], rest[accepted:]
        answer = body[-1]
        assert isinstance(answer, Message)
        drafts.append(_draft(clip_idx, opening, body, drafter, num_frames))
        progress = "" if drafter.rules.is_summary_only else answer.progress
        if not cut_exchanges(rest)[0]:
            report.drop_turns(rest, "unanswered")
            break
        rest = _keep_context(rest, context)
    return drafts


def _summary_reserve(turns: Sequence[Turn], drafter: Drafter) -> int:
    texts = [t.progress for t in turns if isinstance(t, Message) and t.progress]
    if not (drafter.rules.has_summary and texts):
        return 0
    longest = sorted(texts, key=lambda text: len(text.split()), reverse=True)[:NUM_LONGEST]
    tokens = max(len(ids) for ids in drafter.chat.tokenizer.encode_batch(longest)) + 1  # BOS
    return tokens + drafter.chat.image_tokens + SUMMARY_OVERHEAD


def _accept(turns: tuple[Turn, ...], room: int, drafter: Drafter) -> tuple[int, int | None]:
    """Length of the longest prefix that ends with an assistant turn and fits, and the first such turn that does not."""
    used, accepted = 0, 0
    for position, turn in enumerate(turns):
        used += drafter.chat.num_tokens(turn)
        if isinstance(turn, Message) and turn.is_assistant:
            if used > room:
                return accepted, position
            accepted = position + 1
    return accepted, None


def _discard(rest: tuple[Turn, ...], exceeding: int, context: int | None, report: FillReport) -> tuple[Turn, ...]:
    """Lose everything before the last wait, which keeps ``context`` frames; None gives the assistant turn up."""
    last = max(i for i, turn in enumerate(rest[:exceeding]) if isinstance(turn, Frames))
    run = rest[last]
    if context is None or not isinstance(run, Frames):
        report.drop_turns(rest[: exceeding + 1], "too_long")
        return rest[exceeding + 1 :]
    report.drop_turns(rest[:last], "lead_in")
    report.drop("frames", "silence", max(0, run.num_frames - context))
    return (Frames(max(0, run.end - context), run.end), *rest[last + 1 :])


def _keep_context(rest: tuple[Turn, ...], context: int) -> tuple[Turn, ...]:
    first = rest[0]
    return (Frames(max(0, first.end - context), first.end), *rest[1:]) if isinstance(first, Frames) else rest


def _draft(clip_idx: int, opening: Message, body: tuple[Turn, ...], drafter: Drafter, num_frames: int) -> Draft:
    answer, span = body[-1], frame_span(body)
    assert isinstance(answer, Message) and span is not None
    tail: tuple[Turn, ...] = ()
    if drafter.rules.has_summary and answer.progress and span[1] + 1 < num_frames:
        tail = drafter.tail(span[1], answer.progress)
    return Draft(clip_idx, opening, body, tail)
