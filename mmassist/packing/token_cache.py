"""Texts to ids, every text once for all settings that share a tokenizer.

A tokenizer whose splitter never joins what stands before a blank with what comes behind it gives a text the ids of its
pieces, one behind the other. Llama 3's is such a splitter: no branch of its pattern goes from a visible character into
a blank. There only pieces that were not met before pass the tokenizer, and a text costs little more than looking its
words up; where the splitter is another one, whole texts pass it.
"""

from __future__ import annotations

import json
import re
from array import array
from collections.abc import Callable, Collection, Iterable, Sequence
from itertools import chain
from typing import TYPE_CHECKING

from mmassist.packing.tiny_tokenizer import SPLIT_REGEX

if TYPE_CHECKING:
    from tokenizers import Tokenizer as Backend

ID_BYTES = array("i").itemsize  # 4
MAX_BYTES = 64 << 20  # of keys and ids together; an item has about one megabyte of text
ENTRY_BYTES = 200  # what Python adds to each key with its value, about
# Python's whitespace contains all that the splitter takes for it, so this cuts nowhere where the splitter might not.
_CUT = re.compile(r"(?<=\S)(?= )")

Encode = Callable[[Sequence[str]], list[list[int]]]


class TokenCache:
    """Ids of texts that stand behind ``before``, the ids of which included, as int32 bytes in native order.

    Texts begin with a visible character or are empty. Bounded: beyond ``max_bytes`` everything is forgotten, which
    changes how long something takes and nothing else.
    """

    def __init__(self, encode_batch: Encode, is_by_piece: bool, before: str = "", max_bytes: int = MAX_BYTES):
        self._encode_batch = encode_batch
        self.is_by_piece = is_by_piece
        self._before = before
        self._max_bytes = max_bytes
        self._num_bytes = 0
        self._texts: dict[str, tuple[str, bytes]] = {}  # the first piece, and the ids behind it
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
        missing = [text for text in dict.fromkeys(texts) if text not in self._texts]
        if not missing:
            return
        split = [split_at_blanks(text) if self.is_by_piece else (text, []) for text in missing]
        for text, (first, rest) in zip(missing, self._look_up(split), strict=True):
            self._texts[text] = first, rest
            self._num_bytes += len(text) + len(rest) + ENTRY_BYTES

    def prime_joined(self, parts: Sequence[str]) -> None:
        """Know the text that has these parts with a blank between them without looking their words up again.

        Parts that begin or end with a blank may be more than their pieces together; such a text is left to ``ids``.
        """
        text = " ".join(parts)
        if not self.is_by_piece or text in self._texts or any(not part or part != part.strip() for part in parts):
            return
        self.prime(parts)
        (first, ids), *behind = [self._texts[part] for part in parts]
        self._learn([(first, [piece for piece, _ in behind])])
        self._texts[text] = first, ids + b"".join(self._others[piece] + rest for piece, rest in behind)
        self._num_bytes += len(text) + len(self._texts[text][1]) + ENTRY_BYTES

    def ids(self, text: str) -> bytes:
        """Ids of one text."""
        found = self._texts.get(text)
        if found is None:
            self.prime((text,))
            found = self._texts[text]
        return self._firsts[found[0]] + found[1]

    def _look_up(self, split: Sequence[tuple[str, list[str]]]) -> list[tuple[str, bytes]]:
        """First pieces, which are known then, and the ids of the others."""
        firsts, other = self._firsts, self._others.__getitem__
        found: list[tuple[str, bytes]] = []
        unknown: dict[int, tuple[str, list[str]]] = {}
        for number, (first, rest) in enumerate(split):
            try:
                found.append((first, b"".join(map(other, rest))))
            except KeyError:
                found.append((first, b""))
                unknown[number] = first, rest
            else:
                if first not in firsts:
                    unknown[number] = first, rest
        if unknown:
            self._learn(unknown.values())
            for number, (first, rest) in unknown.items():
                found[number] = first, b"".join(map(other, rest))
        return found

    def _learn(self, split: Collection[tuple[str, list[str]]]) -> None:
        """Encode the pieces among these that are not known yet."""
        firsts = list({first: None for first, _ in split if first not in self._firsts})
        behind = chain.from_iterable(rest for _, rest in split)
        others = list({piece: None for piece in behind if piece not in self._others})
        if firsts or others:
            found = self._encode([self._before + piece for piece in firsts] + [f" {piece}" for piece in others])
            self._remember(self._firsts, firsts, found[: len(firsts)])
            self._remember(self._others, others, found[len(firsts) :])

    def _encode(self, texts: Sequence[str]) -> list[bytes]:
        return [array("i", ids).tobytes() for ids in self._encode_batch(texts)]

    def _remember(self, entries: dict[str, bytes], keys: Sequence[str], values: Sequence[bytes]) -> None:
        entries.update(zip(keys, values, strict=True))
        self._num_bytes += sum(map(len, keys)) + sum(map(len, values)) + ENTRY_BYTES * len(keys)

    def _forget(self) -> None:
        self._texts.clear()
        self._firsts.clear()
        self._others.clear()
        self._num_bytes = 0


def split_at_blanks(text: str) -> tuple[str, list[str]]:
    """The first piece of a text, and the others without the blank before each of them.

    A piece ends before a blank that follows a visible character, so joining all with blanks gives the text.
    """
    pieces = text.split()
    if not pieces or " ".join(pieces) != text:  # more than words with one blank between them
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
