"""One selected dialog to finished samples: indexed, cut, tokenised, labelled, described, checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from mmassist.core.config import build
from mmassist.core.item import KEY_PATTERN
from mmassist.core.seconds import FRAMES_PER_SECOND, frame_at
from mmassist.core.stage_config import StageConfig
from mmassist.packing.chat_format import ChatFormat
from mmassist.packing.conversation import Message, Turn, frame_span, merge_runs
from mmassist.packing.draft import Draft, Drafter, SplitRules
from mmassist.packing.frame_store import FrameStore
from mmassist.packing.indexing import index_conversation, index_like_reference, insert_knowledge
from mmassist.packing.labels import build_labels
from mmassist.packing.record import Dialog, build_record
from mmassist.packing.reference_splitting import split_like_reference
from mmassist.packing.report import FillReport
from mmassist.packing.splitting import split_conversation


@dataclass(frozen=True, kw_only=True)
class PackConfig(StageConfig):
    """How long samples are and what a frame costs."""

    max_seq_len: int = 4096  # L, tokens in one sample; setup=full_length has no limit
    image_tokens: Literal[1, 5, 10, 26] = 10  # I, tokens of one frame: one pooled and a 0, 2, 3 or 5 grid
    separator: str = "none"  # between frames: none, EOS (the terminator) or a text that is one token
    keep_context_s: tuple[float, ...] = (5.0, 20.0)  # least and most seconds of a wait that go into the next sample
    max_summary_tokens: int = 768  # a dialog with a longer progress summary is left out
    seed: int = 42
    include_features: bool = False  # add each sample's features: 9.4 MB per full sample at width 1152

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.max_seq_len < 1:
            raise ValueError(f"max_seq_len is {self.max_seq_len}; it must be above 0 (setup=full_length: no limit)")
        context = self.keep_context_s
        if len(context) != 2 or not 1 / FRAMES_PER_SECOND <= context[0] <= context[1]:
            raise ValueError(f"keep_context_s is {list(context)}; it must be two rising numbers of seconds from 0.5 on")
        if self.max_summary_tokens < 1:
            raise ValueError(f"max_summary_tokens is {self.max_summary_tokens}; it must be above 0")


@dataclass(frozen=True)
class SetupConfig:
    """Which kind of samples to make; the name starts the output folder's name."""

    name: str
    knowledge: bool  # hand the recipe or manual to the assistant
    summary: bool  # end every sample with a summary of the progress
    summary_only: bool = False  # teach the summaries alone: assistant turns leave
    full_length: bool = False  # one sample per dialog, whatever its length, for evaluation on streams

    def __post_init__(self) -> None:
        if not KEY_PATTERN.fullmatch(self.name):
            raise ValueError(f"name is {self.name!r}; it must match {KEY_PATTERN.pattern}")
        if self.summary_only and (self.knowledge or not self.summary or self.full_length):
            raise ValueError("summary_only needs summary=true, knowledge=false and full_length=false")
        if self.full_length and self.summary:
            raise ValueError("full_length needs summary=false: there is no cut to sum up at")


def build_setup_config(values: Mapping[str, Any], section: str) -> SetupConfig:
    """Make the config from plain values. Raises ConfigError naming the key at fault."""
    return build(SetupConfig, values, section)


def sequence_limit(config: PackConfig, setup: SetupConfig) -> int:
    """L as it is written into folder names and records: 0 where samples have no limit."""
    return 0 if setup.full_length else config.max_seq_len


@dataclass(frozen=True)
class Sample:
    """One training sample; ``name`` is unique within its item and holds no dot."""

    name: str
    input_ids: np.ndarray  # int32 [seq_len]
    labels: np.ndarray  # int32 [seq_len], already shifted, -100 where nothing is taught
    record: dict[str, Any]


class SampleBuilder:
    """Turn dialogs into samples by one set of settings. Holds no state between dialogs but a cache of tokens."""

    def __init__(self, config: PackConfig, setup: SetupConfig, chat: ChatFormat, compat: bool = False):
        self.setup = setup
        self.chat = chat
        self.compat = compat
        self.rules = SplitRules(
            max_seq_len=sequence_limit(config, setup),
            keep_context_s=(config.keep_context_s[0], config.keep_context_s[1]),
            max_summary_tokens=config.max_summary_tokens,
            has_knowledge=setup.knowledge,
            has_summary=setup.summary,
            is_summary_only=setup.summary_only,
            seed=config.seed,
        )

    def build(self, dialog: Dialog, store: FrameStore, report: FillReport) -> list[Sample]:
        """Make the samples of one dialog, in order, none longer than L; what is left out is counted in ``report``."""
        report.count_dialog()
        samples = []
        for draft in self._drafts(dialog, store, report):
            if self.setup.summary_only:
                draft = replace(draft, body=_without_answers(draft.body))
                if not draft.tail:
                    report.drop("samples", "no_summary")
                    continue
            input_ids, ranges = self.chat.assemble(draft.turns)
            if self.compat and 0 < self.rules.max_seq_len < len(input_ids):  # its reserve is an estimate
                report.drop_turns(draft.turns, "too_long")
                continue
            samples.append(self._finish(draft, input_ids, ranges, dialog, store, report))
        return samples

    def _drafts(self, dialog: Dialog, store: FrameStore, report: FillReport) -> list[Draft]:
        self.chat.prime(dialog.messages)
        index = index_like_reference if self.compat else index_conversation
        turns = index(
            dialog.messages, num_frames=store.num_frames, start_s=dialog.start_s, fps=store.fps, report=report
        )
        if self.rules.has_knowledge:
            turns = insert_knowledge(turns, dialog.knowledge, self.compat)
        drafter = Drafter(self.rules, self.chat, dialog.item_key, dialog.user_id, dialog.knowledge, store.fps)
        split = split_like_reference if self.compat else split_conversation
        drafts = split(turns, drafter, store.num_frames, report)
        ends = [span[1] for span in (frame_span(turns), *(draft.span for draft in drafts)) if span]
        end = max(ends, default=frame_at(dialog.start_s, store.fps))
        report.drop("frames", "after_last_turn", max(0, store.num_frames - end))
        return drafts

    def _finish(
        self,
        draft: Draft,
        input_ids: np.ndarray,
        ranges: list[tuple[int, int]],
        dialog: Dialog,
        store: FrameStore,
        report: FillReport,
    ) -> Sample:
        seq_len, limit = len(input_ids), self.rules.max_seq_len
        draft.check(seq_len, limit, store.num_frames)
        labels = build_labels(input_ids, draft.turns, ranges, self.chat, with_silence=not self.setup.summary_only)
        record = build_record(draft, dialog, store, self.rules, self.chat, seq_len, self.compat)
        report.count_sample(seq_len, limit, draft.turns)
        report.count("summaries", int(bool(draft.tail)))
        return Sample(f"{dialog.user_id}-{draft.clip_idx:04d}", input_ids, labels, record)


def _without_answers(body: Sequence[Turn]) -> tuple[Turn, ...]:
    return merge_runs(turn for turn in body if not (isinstance(turn, Message) and turn.is_assistant))
