"""Looking pieces up gives the ids of tokenising whole texts, each passes the tokenizer once, and memory is bounded."""

from __future__ import annotations

import itertools
import os
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers

from mmassist.packing.chat_format import ChatFormat, decode_conversation
from mmassist.packing.record import FrameStore
from mmassist.packing.report import FillReport
from mmassist.packing.sample import PackConfig, SampleBuilder
from mmassist.packing.tiny_tokenizer import build_tiny_tokenizer
from mmassist.packing.token_cache import TokenCache, split_at_blanks, splits_before_blanks
from mmassist.packing.tokenizer import ChatTokenizer, TokenizerConfig, build_tokenizer
from tests.mmassist.packing.conftest import SETUPS, Bench

pytestmark = pytest.mark.long

REAL_TOKENIZER = "MMASSIST_LLAMA3_TOKENIZER"  # a tokenizer.json to run the same tests with
BLANKS = " \n\t\r\x0b\x1c\x85\xa0\u2003\u2028\u3000"
MIXED = st.text(st.sampled_from("ab Zé9,.!'s-_日\U0001f600" + BLANKS), max_size=40)
BLANK = st.text(st.sampled_from("ab. \n"), max_size=12)
TEXTS = st.one_of(BLANK, MIXED, st.text(st.characters(codec="utf-8"), max_size=30), st.from_regex(r"\w+( ?\w+[.,]?)*"))


def ids(data: bytes) -> list[int]:
    found: list[int] = np.frombuffer(data, dtype=np.int32).tolist()
    return found


def _merging_blanks() -> Tokenizer:
    """As the tiny one, but blanks and line ends become one token wherever the splitter leaves them together."""
    backend = build_tiny_tokenizer()
    blanks = ["".join(pair) for pair in itertools.product("\u0120\u010a\u0109", repeat=2)]
    merges = [(blank[0], blank[1]) for blank in blanks] + [(pair, one) for pair in blanks for one in "\u0120\u010a"]
    tokens = [*sorted(pre_tokenizers.ByteLevel.alphabet()), *("".join(merge) for merge in merges)]
    backend.model = models.BPE(vocab={token: n for n, token in enumerate(dict.fromkeys(tokens))}, merges=merges)
    return backend


@pytest.fixture(scope="module", params=["tiny", "merging blanks", "real"])
def any_tokenizer(request: pytest.FixtureRequest) -> ChatTokenizer:
    """Tokenizers of Llama 3's splitter; the real one where the environment names it, else the tiny one again."""
    path = os.environ.get(REAL_TOKENIZER) if request.param == "real" else None
    if request.param == "merging blanks":
        return ChatTokenizer(_merging_blanks(), "blanks", "<image>", "x")
    return build_tokenizer(TokenizerConfig("llama3", path) if path else TokenizerConfig("tiny"))


@given(texts=st.lists(TEXTS, max_size=4))
def test_pieces_have_the_ids_of_the_whole_text(any_tokenizer: ChatTokenizer, texts: list[str]) -> None:
    cache = TokenCache(any_tokenizer.encode_batch, is_by_piece=True, before="\n\n")
    stripped = [text.strip() for text in texts]
    cache.prime(stripped)
    for text in stripped:
        assert ids(cache.ids(text)) == any_tokenizer.encode("\n\n" + text)


@given(parts=st.lists(TEXTS, min_size=1, max_size=4))
def test_joined_parts_have_the_ids_of_the_joined_text(any_tokenizer: ChatTokenizer, parts: list[str]) -> None:
    cache = TokenCache(any_tokenizer.encode_batch, is_by_piece=True, before="\n\n")
    cache.prime_joined(parts)
    text = " ".join(parts).strip()
    assert ids(cache.ids(text)) == any_tokenizer.encode("\n\n" + text)


@given(TEXTS)
def test_pieces_put_together_are_the_text(text: str) -> None:
    first, others = split_at_blanks(text)
    assert " ".join([first, *others]) == text


def _altered(change: Callable[[Tokenizer], None]) -> Tokenizer:
    backend = build_tiny_tokenizer()
    change(backend)
    return backend


def _split_otherwise(backend: Tokenizer) -> None:
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)


def _split_nowhere(backend: Tokenizer) -> None:
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)


def _normalize(backend: Tokenizer) -> None:
    backend.normalizer = normalizers.Replace(". ", ".")


def _add_token(backend: Tokenizer) -> None:
    backend.add_tokens([AddedToken("of the", normalized=False)])


ALTERED = [_split_otherwise, _split_nowhere, _normalize, _add_token]


def test_llama_3_is_known_to_split_before_blanks(any_tokenizer: ChatTokenizer) -> None:
    assert splits_before_blanks(build_tiny_tokenizer())
    assert any_tokenizer.cache.is_by_piece


@pytest.mark.parametrize("change", ALTERED)
def test_another_splitter_gets_whole_texts(change: Callable[[Tokenizer], None]) -> None:
    backend = _altered(change)
    assert not splits_before_blanks(backend)
    tokenizer = ChatTokenizer(backend, "other", "<image>", "x")
    text = "Take the top of the mug. Pour  it\n in."
    assert ids(tokenizer.cache.ids(text)) == tokenizer.encode("\n\n" + text)
    tokenizer.cache.prime_joined(["Go on.", "of the mug"])
    assert ids(tokenizer.cache.ids("Go on. of the mug")) == tokenizer.encode("\n\nGo on. of the mug")


class CountingTokenizer(ChatTokenizer):
    """Notes every text that passes the tokenizer."""

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        self.passed = getattr(self, "passed", Counter[str]())
        self.passed.update(texts)
        return super().encode_batch(texts)


def _variants(tokenizer: ChatTokenizer) -> list[SampleBuilder]:
    """All setups, numbers of tokens a frame, separators and lengths."""
    return [
        SampleBuilder(
            PackConfig(max_seq_len=length, image_tokens=image_tokens, separator=separator),  # type: ignore[arg-type]
            setup,
            ChatFormat(tokenizer, image_tokens, separator),
        )
        for setup, image_tokens, separator, length in itertools.product(
            SETUPS.values(), (1, 5, 10), ("none", "EOS"), (600, 1200, 4096)
        )
    ]


@pytest.mark.parametrize("by_piece", [True, False])
def test_all_variants_tokenise_a_text_once(bench: Bench, by_piece: bool) -> None:
    backend = build_tiny_tokenizer() if by_piece else _altered(_split_otherwise)
    tokenizer = CountingTokenizer(backend, "tiny", "<image>", "x")
    words = [
        "boil",
        "some",
        "water,",
        "fold",
        "the",
        "filter.",
        "Rinse",
        "it",
        "and",
        "wait",
        "a",
        "minute",
        "or",
        "two",
    ]
    turns = [
        (1.0, "user", "I want coffee."),
        *((4.0 + 8 * n, "assistant", " ".join(words[: n % 12 + 3])) for n in range(40)),
    ]
    dialog = bench.dialog(turns)
    builders = _variants(tokenizer)
    tokenizer.passed.clear()  # roles and separators
    samples = [sample for builder in builders for sample in builder.build(dialog, FrameStore("T1", 700), FillReport())]
    assert len(samples) > len(builders) == 72
    assert set(tokenizer.passed.values()) == {1}
    if by_piece:
        said = " ".join(
            [*(m.content for m in dialog.messages), *(m.progress for m in dialog.messages), dialog.knowledge]
        )
        assert len(tokenizer.passed) < len(set(said.split())) + 150  # and the fixed sentences
        assert max(map(len, tokenizer.passed)) < 30
    else:
        assert all(f"\n\n{message.content}" in tokenizer.passed for message in dialog.messages)
    again = [sample for builder in builders for sample in builder.build(dialog, FrameStore("T1", 700), FillReport())]
    assert set(tokenizer.passed.values()) == {1}
    assert [s.input_ids.tobytes() for s in again] == [s.input_ids.tobytes() for s in samples]


@pytest.mark.parametrize("by_piece", [True, False])
def test_memory_is_bounded_and_forgetting_changes_nothing(tokenizer: ChatTokenizer, by_piece: bool) -> None:
    limit = 20_000
    cache = TokenCache(tokenizer.encode_batch, by_piece, before="\n\n", max_bytes=limit)
    highest = 0
    for number in range(600):
        text = f"Step {number} of many, as told at {number / 7:.3f} s."
        assert ids(cache.ids(text)) == tokenizer.encode("\n\n" + text)
        highest = max(highest, cache.num_bytes)
    assert limit < highest < limit + 3_000  # one text above the limit, and then empty
    assert cache.num_bytes < 600 * 100


def test_a_piece_learned_behind_a_blank_is_not_taken_for_a_first_one(tokenizer: ChatTokenizer) -> None:
    cache = TokenCache(tokenizer.encode_batch, is_by_piece=True, before="\n\n")
    for text in ("the mug", "mug the", "the", "mug"):
        assert ids(cache.ids(text)) == tokenizer.encode("\n\n" + text)


def test_messages_read_back_from_pieces(tokenizer: ChatTokenizer, bench: Bench) -> None:
    text = "One  two\n\n three\t four <|eot_id|> five."
    (sample,) = bench.builder().build(bench.dialog([(1.0, "assistant", text)]), FrameStore("x", 99), FillReport())
    assert ("assistant", text) in decode_conversation(sample.input_ids, ChatFormat(tokenizer, 10))
