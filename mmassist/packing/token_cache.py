"""Texts to ids, every text once for all settings that share a tokenizer.

A tokenizer whose splitter never joins what stands before a blank with what comes behind it gives a text the ids of its
pieces, one behind the other. Llama 3's is such a splitter: no branch of its pattern goes from a visible character into
a blank. There only pieces that were not met before pass the tokenizer, and a text costs little more than looking its
words up; where the splitter is another one, whole texts pass it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from mmassist.packing.tiny_tokenizer import SPLIT_REGEX

if TYPE_CHECKING:
    from tokenizers import Tokenizer as Backend

ID_BYTES = 4  # an int32
MAX_BYTES = 64 << 20  # of keys and ids together; an item has about one megabyte of text
ENTRY_BYTES = 200  # what Python adds to each key with its value, about
# Python's whitespace contains all that the splitter takes for it, so this cuts nowhere where the splitter might not.
_CUT = re.compile(r"(?<=\S)(?= )")

Encode = Callable[[Sequence[str]], list[list[int]]]


class TokenCache:
    """Ids of texts as int32 bytes in native order.

    Bounded: beyond ``max_bytes`` everything is forgotten, which changes how long something takes and nothing else.
    """

    def __init__(self, encode_batch: Encode, is_by_piece: bool, max_bytes: int = MAX_BYTES):
        self._encode_batch = encode_batch
        self._is_by_piece = is_by_piece
        self._max_bytes = max_bytes
        self._num_bytes = 0
        self._texts: dict[str, bytes] = {}
        self._firsts: dict[str, bytes] = {}  # pieces at the beginning of a text
        self._others: dict[str, bytes] = {}  # pieces behind a blank, which the keys lack

    @property
    def num_bytes(self) -> int:
        """About what the cache holds in memory."""
        return self._num_bytes

    def prime(self, texts: Iterable[str]) -> None:
        """Encode the texts that are not known yet, what has to pass the tokenizer in one batch."""
        if self._num_bytes > self._max_bytes:
            self._forget()
        known = self._texts
        missing = [text for text in dict.fromkeys(texts) if text not in known]
        if not missing:
            return
        found = self._join_pieces(missing) if self._is_by_piece else self._encode(missing)
        known.update(zip(missing, found, strict=True))
        self._num_bytes += sum(map(len, missing)) + sum(map(len, found)) + ENTRY_BYTES * len(missing)

    def ids(self, text: str) -> bytes:
        """Ids of one text."""
        found = self._texts.get(text)
        if found is None:
            self.prime((text,))
            found = self._texts[text]
        return found

    def _join_pieces(self, texts: Sequence[str]) -> list[bytes]:
        split = [split_at_blanks(text) for text in texts]
        firsts, others = self._firsts, self._others
        self._learn(firsts, [first for first, _ in split if first not in firsts], "")
        behind = chain.from_iterable(rest for _, rest in split)
        self._learn(others, [piece for piece in behind if piece not in others], " ")
        look_up = others.__getitem__
        return [firsts[first] + b"".join(map(look_up, rest)) for first, rest in split]

    def _learn(self, pieces: dict[str, bytes], missing: Sequence[str], before: str) -> None:
        if missing:
            missing = list(dict.fromkeys(missing))
            found = self._encode([before + piece for piece in missing])
            pieces.update(zip(missing, found, strict=True))
            self._num_bytes += sum(map(len, missing)) + sum(map(len, found)) + ENTRY_BYTES * len(missing)

    def _encode(self, texts: Sequence[str]) -> list[bytes]:
        return [np.array(ids, dtype=np.int32).tobytes() for ids in self._encode_batch(texts)]

    def _forget(self) -> None:
        for entries in (self._texts, self._firsts, self._others):
            entries.clear()
        self._num_bytes = 0


def split_at_blanks(text: str) -> tuple[str, list[str]]:
    """The first piece of a text, and the others without the blank before each of them.

    A piece ends before a blank that follows a visible character, so joining all with blanks gives the text.
    """
    pieces = text.split(" ")
    if pieces != text.split():
        pieces = _CUT.split(text)
        return pieces[0], [piece[1:] for piece in pieces[1:]]
    return pieces[0], pieces[1:]


def splits_before_blanks(backend: Backend) -> bool:
    """Whether the tokenizer is known to give a text the ids of its pieces: Llama 3's splitter, and nothing around it.

    A normalizer or an added token that may be read out of a text could join two pieces.
    """
    if backend.normalizer is not None or backend.pre_tokenizer is None:
        return False
    if any(not token.special for token in backend.get_added_tokens_decoder().values()):
        return False
    described = json.loads(backend.pre_tokenizer.__getstate__())
    steps = described.get("pretokenizers", [])
    if [step["type"] for step in steps] != ["Split", "ByteLevel"]:
        return False
    split, byte_level = steps
    return (
        split["pattern"] == {"Regex": SPLIT_REGEX}
        and (split["behavior"], split["invert"]) == ("Isolated", False)
        and (byte_level["add_prefix_space"], byte_level["use_regex"]) == (False, False)
    )
