"""What was published with the reference: records rebuilt whole, boundaries by its rules, no answer of a dialog lost."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mmassist.packing.chat_format import ChatFormat
from mmassist.packing.conversation import Frames, Message, Turn, load_messages
from mmassist.packing.draft import Drafter
from mmassist.packing.indexing import index_like_reference, insert_knowledge
from mmassist.packing.record import Dialog, FrameStore
from mmassist.packing.report import FillReport
from mmassist.packing.sample import PackConfig, SampleBuilder, SetupConfig
from mmassist.packing.tokenizer import ChatTokenizer, TokenizerConfig, build_tokenizer

REAL_TOKENIZER = "MMASSIST_LLAMA3_TOKENIZER"  # a tokenizer.json, with which the published lengths are compared too
FULL = SetupConfig(name="full", knowledge=False, summary=False, full_length=True)
MANY_FRAMES = 100_000


@pytest.fixture(scope="module")
def published(sample_data: Path) -> list[dict[str, Any]]:
    """The prepared samples that were published: Assembly101, full length, one token a frame."""
    path = sample_data / "extra" / "proassist-outputs" / "assembly101" / "prepared" / "dialog-klg_L0_I1.sample.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture(scope="module")
def dialogs(published, sample_data: Path, bench) -> list[Dialog]:  # type: ignore[no-untyped-def]
    """The published dialogs, and those of the published samples; the first ones have no progress texts."""
    made = [dialog_of(record, bench) for record in published]
    for path in sorted((sample_data / "extra" / "proassist-outputs").glob("*/generated_dialogs/*.json")):
        generated = json.loads(path.read_text())
        for conversation in generated["conversations"]:
            messages = tuple(load_messages(conversation["conversation"], path.name))
            knowledge = generated["inferred_knowledge"]
            made.append(replace(bench.dialog([]), messages=messages, knowledge=knowledge, item_key=path.stem))
    assert len(made) == 11
    return made


def dialog_of(record: dict[str, Any], bench) -> Dialog:  # type: ignore[no-untyped-def]
    """The dialog that a published sample was made of."""
    said = [turn for turn in record["conversation"] if turn["role"] in ("user", "assistant")]
    metadata = record["metadata"]
    return replace(
        bench.dialog([]),
        messages=tuple(load_messages(said, record["video_uid"])),
        start_s=record["start_frame_idx"] / 2,
        dataset=record["dataset"],
        video_uid=record["video_uid"],
        user_type=metadata["user_type"],
        user_id=metadata["user_id"],
        goal=metadata["task_goal"],
        knowledge=metadata["knowledge"],
        quality=metadata["quality"],
    )


def test_published_records_are_rebuilt(bench, tokenizer, published) -> None:  # type: ignore[no-untyped-def]
    """Everything but the persona and what depends on Llama 3's vocabulary."""
    builder = SampleBuilder(PackConfig(image_tokens=1), FULL, ChatFormat(tokenizer, 1), compat=True)
    assert len(published) == 6
    for record in published:
        (sample,) = builder.build(dialog_of(record, bench), FrameStore("x", MANY_FRAMES), FillReport())
        ours = sample.record
        assert ours["conversation"][0]["role"] == "system"
        assert ours["conversation"][1:] == record["conversation"][1:]
        same = ("dataset", "video_uid", "clip_idx", "start_frame_idx", "end_frame_idx", "fps", "max_seq_len")
        assert {name: ours[name] for name in same} == {name: record[name] for name in same}
        assert ours["num_tokens_per_img"] == record["num_tokens_per_img"]
        assert ours["use_img_sep_token"] == record["use_img_sep_token"]
        assert ours["metadata"] == record["metadata"]


def test_frames_are_the_same_without_compat(bench, tokenizer, published) -> None:  # type: ignore[no-untyped-def]
    builder = SampleBuilder(PackConfig(image_tokens=1), FULL, ChatFormat(tokenizer, 1))
    for record in published:
        (sample,) = builder.build(dialog_of(record, bench), FrameStore("x", MANY_FRAMES), FillReport())
        runs = [turn for turn in sample.record["conversation"] if turn["role"] == "frames"]
        assert runs == [turn for turn in record["conversation"] if turn["role"] == "frames"]


def test_published_lengths(published: list[dict[str, Any]], tokenizer: ChatTokenizer) -> None:
    """Equal with Llama 3's vocabulary; with any other, what is not frames or format can be text of that size."""
    path = os.environ.get(REAL_TOKENIZER)
    chat = ChatFormat(build_tokenizer(TokenizerConfig("llama3", path)) if path else tokenizer, 1)
    for record in published:
        turns = list(iter_turns(record))
        if path:
            assert len(chat.assemble(turns)[0]) == record["seq_len"]
        texts = [turn.content for turn in turns if isinstance(turn, Message)]
        num_frames = record["end_frame_idx"] - record["start_frame_idx"]
        text_tokens = (
            record["seq_len"] - 1 - num_frames - 5 * len(texts)
        )  # BOS; two header tokens, role, blank lines, end
        assert sum(len(text.split()) for text in texts) <= text_tokens <= sum(len(text) for text in texts) // 3


def iter_turns(record: dict[str, Any]) -> Iterator[Turn]:
    for turn in record["conversation"]:
        if turn["role"] == "frames":
            yield Frames(turn["start"], turn["end"])
        else:
            yield Message(turn["role"], turn["content"])


@pytest.mark.parametrize("separator", ["none", "EOS"])
@pytest.mark.parametrize("image_tokens", [1, 5, 10])
@pytest.mark.parametrize("max_seq_len", [700, 1000, 4096])
def test_boundaries_follow_the_rules_of_the_reference(  # type: ignore[no-untyped-def]
    dialogs, tokenizer, max_seq_len, image_tokens, separator
) -> None:
    """Against the rules written down once more, from their description."""
    chat = ChatFormat(tokenizer, image_tokens, separator)
    setup = SetupConfig(name="knowledge", knowledge=True, summary=True)
    config = PackConfig(max_seq_len=max_seq_len, image_tokens=image_tokens, separator=separator)
    builder = SampleBuilder(config, setup, chat, compat=True)
    num_compared = 0
    for dialog in dialogs:
        num_frames = int(max(message.time_s or 0.0 for message in dialog.messages) * 2) + 3
        report = FillReport()
        samples = builder.build(dialog, FrameStore("x", num_frames), report)
        turns = index_like_reference(
            dialog.messages, num_frames=num_frames, start_s=dialog.start_s, fps=2, report=FillReport()
        )
        drafter = Drafter(builder.rules, chat, dialog.item_key, dialog.user_id, dialog.knowledge, 2)
        expected = list(iter_cuts(list(insert_knowledge(turns, dialog.knowledge, compat=True)), drafter))
        if report.stats().get("dropped_turns_too_long"):
            continue  # where the reference tries for ever, or its estimate of the summary is too short
        num_compared += 1
        bodies = []
        for sample in samples:
            body = sample.record["conversation"][1:]
            bodies.append(body[:-3] if sample.record["metadata"]["has_summary"] else body)
            summary_end = sample.record["end_frame_idx"]
            assert summary_end < num_frames  # the last frame is never used
        assert [[as_pair(turn) for turn in body] for body in bodies] == [
            [(turn.start, turn.end) if isinstance(turn, Frames) else (turn.role, turn.content) for turn in body]
            for body in expected
        ]
    assert num_compared >= (2 if max_seq_len == 700 else 6)


def as_pair(turn: dict[str, Any]) -> tuple[Any, Any]:
    return (turn["start"], turn["end"]) if turn["role"] == "frames" else (turn["role"], turn["content"])


def iter_cuts(turns: list[Turn], drafter: Drafter) -> Iterator[Sequence[Turn]]:
    """The turns of each sample: the longest prefix that ends with an answer and leaves room for the reserve."""
    chat = drafter.chat
    texts = sorted({t.progress for t in turns if isinstance(t, Message) and t.progress}, key=lambda t: -len(t.split()))
    reserve = max((len(chat.tokenizer.encode(t)) + 1 for t in texts[:10]), default=0)
    budget = drafter.rules.max_seq_len - (reserve + chat.image_tokens + 20 if texts else 0)
    progress, clip_idx, attempt = "", 0, 0
    while any(isinstance(turn, Message) and turn.is_assistant for turn in turns):
        used = 1 + chat.num_tokens(drafter.opening(clip_idx, progress, with_knowledge=clip_idx > 0))
        fitting, exceeding = 0, None
        for number, turn in enumerate(turns):
            used += chat.num_tokens(turn)
            if isinstance(turn, Message) and turn.is_assistant:
                if used > budget:
                    exceeding = number
                    break
                fitting = number + 1
        kept = drafter.num_context_frames(clip_idx, attempt)
        if fitting:
            yield turns[:fitting]
            answer = turns[fitting - 1]
            assert isinstance(answer, Message)
            progress, clip_idx, attempt = answer.progress, clip_idx + 1, 0
            turns = turns[fitting:]
        else:
            last_wait = max(n for n, turn in enumerate(turns[:exceeding]) if isinstance(turn, Frames))
            turns, attempt = turns[last_wait:], attempt + 1
            if attempt > 8:
                return
        if turns and isinstance(turns[0], Frames):
            turns = [Frames(max(0, turns[0].end - kept), turns[0].end), *turns[1:]]


def test_published_dialogs_pack_whole(bench, sample_data: Path) -> None:  # type: ignore[no-untyped-def]
    """Five dialogs of the published data: every answer is taught once, nothing is dropped but waits."""
    paths = sorted((sample_data / "extra" / "proassist-outputs").glob("*/generated_dialogs/*.json"))
    assert len(paths) == 5
    for path in paths:
        for conversation in json.loads(path.read_text())["conversations"]:
            messages = tuple(load_messages(conversation["conversation"], path.name))
            dialog = replace(bench.dialog([]), messages=messages)
            store = FrameStore("x", int(max(m.time_s for m in messages) * 2) + 60)
            report = FillReport()
            bench.builder().build(dialog, store, report)
            stats = report.stats()
            assert stats["answers"] == sum(m.is_assistant for m in messages)
            assert "dropped_answers" not in stats
