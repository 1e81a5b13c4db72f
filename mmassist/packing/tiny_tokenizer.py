"""A small byte-level tokenizer of Llama 3's format that needs no download.

Text is split as Llama 3 splits it, 256 bytes and 768 merges make the vocabulary, and the 256 special tokens follow in
Llama 3's own order. Counts are higher than a real tokenizer's (short words only); everything else behaves the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmassist.core.fingerprint import digest

if TYPE_CHECKING:
    from tokenizers import Tokenizer

NUM_MERGES = 768
SPLIT_REGEX = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_NAMED_SPECIALS = (
    "<|begin_of_text|>",
    "<|end_of_text|>",
    "<|reserved_special_token_0|>",
    "<|reserved_special_token_1|>",
    "<|finetune_right_pad_id|>",
    "<|reserved_special_token_2|>",
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<|eom_id|>",
    "<|eot_id|>",
    "<|python_tag|>",
)
SPECIAL_TOKENS = (*_NAMED_SPECIALS, *(f"<|reserved_special_token_{n}|>" for n in range(3, 248)))


def tiny_revision() -> str:
    """Digest of everything that decides the ids."""
    from mmassist.packing.tiny_vocabulary import MERGES

    return digest([SPLIT_REGEX, MERGES.split(), list(SPECIAL_TOKENS)])


def build_tiny_tokenizer() -> Tokenizer:
    """Build it from the committed merges: the same ids on every machine."""
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers

    from mmassist.packing.tiny_vocabulary import MERGES

    parts = MERGES.split()
    merges = list(zip(parts[::2], parts[1::2], strict=True))
    tokens = [*sorted(pre_tokenizers.ByteLevel.alphabet()), *(left + right for left, right in merges)]
    vocabulary = {token: index for index, token in enumerate(tokens)}
    assert len(vocabulary) == 256 + NUM_MERGES, "two merges make the same token"
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges, ignore_merges=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLIT_REGEX), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIAL_TOKENS])
    return tokenizer
