"""A shared tokenizer, and random dialogs."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest

from mmassist.packing.chat_format import ChatFormat
from mmassist.packing.conversation import Message
from mmassist.packing.record import Dialog
from mmassist.packing.sample import PackConfig, SampleBuilder, SetupConfig
from mmassist.packing.tiny_tokenizer import build_tiny_tokenizer
from mmassist.packing.tokenizer import ChatTokenizer, TokenizerConfig, build_tokenizer
from tools.bench.packing_peer import WholeText

pytest.importorskip("tokenizers")

SETUPS = {
    "knowledge": SetupConfig(name="knowledge", knowledge=True, summary=True),
    "no_knowledge": SetupConfig(name="no_knowledge", knowledge=False, summary=True),
    "summary_only": SetupConfig(name="summary_only", knowledge=False, summary=True, summary_only=True),
    "full_length": SetupConfig(name="full_length", knowledge=True, summary=False, full_length=True),
}


@pytest.fixture(scope="session")
def tokenizer() -> ChatTokenizer:
    return build_tokenizer(TokenizerConfig("tiny"))


@cache
def whole_text(image_tokens: int, separator: str) -> WholeText:
    """Ids and labels by the rules of the reference's loader, with the tiny tokenizer."""
    from tokenizers import AddedToken

    backend = build_tiny_tokenizer()
    backend.add_special_tokens([AddedToken("<image>", special=True, normalized=False)])
    return WholeText(backend, image_tokens, {"none": "", "EOS": "<|eot_id|>"}.get(separator, separator))


class Bench:
    """Builds samples with one tokenizer, whatever the other settings."""

    def __init__(self, tokenizer: ChatTokenizer):
        self.tokenizer = tokenizer

    def builder(
        self, setup: str = "knowledge", separator: str = "none", compat: bool = False, **settings: object
    ) -> SampleBuilder:
        config = replace(PackConfig(), separator=separator, **settings)
        return SampleBuilder(config, SETUPS[setup], ChatFormat(self.tokenizer, config.image_tokens, separator), compat)

    @staticmethod
    def dialog(turns: list[tuple[float, str, str]], **fields: object) -> Dialog:
        """Turns as (time, role, content); assistant turns get a progress text unless ``progress`` is False."""
        with_progress = fields.pop("progress", True)
        messages = tuple(
            Message(
                role,
                content.strip(),
                time_s,
                labels="initiative|instruction" if role == "assistant" else "",
                progress=f"At {time_s:.1f} s the user was told: {content[:60].strip()}"
                if role == "assistant" and with_progress
                else "",
            )
            for time_s, role, content in turns
        )
        values: dict[str, object] = {
            "dataset": "wtag",
            "item_key": "T1",
            "video_uid": "T1",
            "side": "train",
            "user_type": "talk_some",
            "user_id": "talk_some_0",
            "messages": messages,
            "goal": "Making coffee",
            "knowledge": "Making coffee\n1. Boil water.\n2. Pour it.",
            "quality": 7.5,
        }
        return Dialog(**{**values, **fields})  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def bench(tokenizer: ChatTokenizer) -> Bench:
    return Bench(tokenizer)
