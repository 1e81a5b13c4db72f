"""The captions of one item to finished samples: paired, cut, tokenised, labelled, described, checked."""

from __future__ import annotations

import numpy as np

from mmassist.core.annotation import Request
from mmassist.core.seconds import FRAMES_PER_SECOND, frame_at
from mmassist.packing.captions import Pair, cut_pairs, pair_members, pair_moments
from mmassist.packing.chat_format import ChatFormat
from mmassist.packing.conversation import Message, Turn
from mmassist.packing.draft import Draft, Drafter, SplitRules
from mmassist.packing.frame_store import FrameStore, GroupStore
from mmassist.packing.labels import build_labels
from mmassist.packing.record import CaptionItem, build_caption_record
from mmassist.packing.report import FillReport
from mmassist.packing.sample import PackConfig, Sample
from mmassist.packing.splitting import split_conversation
from mmassist.packing.wording import REQUESTS


class CaptionBuilder:
    """Turn captions into samples by one set of settings. Holds no state between items but a cache of tokens."""

    def __init__(self, config: PackConfig, request: Request, chat: ChatFormat):
        self.chat = chat
        self.rules = SplitRules(
            max_seq_len=config.max_seq_len,
            keep_context_s=(config.keep_context_s[0], config.keep_context_s[1]),
            max_summary_tokens=config.max_summary_tokens,
            has_knowledge=False,
            has_summary=False,
            is_summary_only=False,
            seed=config.seed,
            personas=REQUESTS[request],
        )

    def build(self, item: CaptionItem, store: FrameStore | GroupStore, report: FillReport) -> list[Sample]:
        """Make the samples of one item, in order, none longer than L; what is left out is counted in ``report``."""
        drafter = Drafter(self.rules, self.chat, item.item_key, "", "", store.fps or FRAMES_PER_SECOND)
        if isinstance(store, GroupStore):
            pairs = pair_members(item, store, report)
            self.chat.prime(pair.message for pair in pairs)
            drafts = cut_pairs(pairs, drafter, report)
            report.drop("frames", "not_packed", _num_unused(drafts, store))
        else:
            pairs = pair_moments(item, store, report)
            self.chat.prime(pair.message for pair in pairs)
            drafts = self._split(pairs, drafter, store, report)
            end = pairs[-1].frames.end if pairs else frame_at(item.offset_s, store.fps)
            report.drop("frames", "after_last_turn", max(0, store.num_frames - end))
        num_captions: dict[Turn, int] = {pair.message: len(pair.captions) for pair in pairs}
        return [
            self._finish(draft, item, store, sum(num_captions.get(turn, 0) for turn in draft.body), report)
            for draft in drafts
        ]

    def _split(self, pairs: list[Pair], drafter: Drafter, store: FrameStore, report: FillReport) -> list[Draft]:
        """Cut narrations at waits, as dialogs are; what was too long is found by its absence."""
        turns = [turn for pair in pairs for turn in (pair.frames, pair.message)]
        drafts = split_conversation(turns, drafter, store.num_frames, report)
        packed = {turn for draft in drafts for turn in draft.body if isinstance(turn, Message)}
        for pair in pairs:
            if pair.message not in packed:
                report.drop_captions(pair.captions, "too_long")
        return drafts

    def _finish(
        self, draft: Draft, item: CaptionItem, store: FrameStore | GroupStore, num_captions: int, report: FillReport
    ) -> Sample:
        input_ids, ranges = self.chat.assemble(draft.turns)
        seq_len, limit = len(input_ids), self.rules.max_seq_len
        draft.check(seq_len, limit, store.num_frames)
        labels = build_labels(input_ids, draft.turns, ranges, self.chat)
        record = build_caption_record(draft, item, store, self.rules, self.chat, seq_len, num_captions)
        report.count_sample(seq_len, limit, draft.turns)
        report.count("captions", num_captions)
        return Sample(f"{draft.clip_idx:04d}", input_ids, labels, record)


def _num_unused(drafts: list[Draft], store: GroupStore) -> int:
    """Frames that are in no sample."""
    is_used = np.zeros(store.num_frames, dtype=bool)
    for draft in drafts:
        is_used[slice(*draft.span)] = True
    return int(store.num_frames - is_used.sum())
