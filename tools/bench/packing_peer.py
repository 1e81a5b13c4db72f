"""Ids and labels of a sample as the reference's loader makes them: everything through the tokenizer, labels by offset.

The sample's conversation is written out as one string with its image placeholders, tokenised with offset mapping, and
the ranges of characters that are to be learned become positions of tokens.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from mmassist.packing.labels import IGNORE

if TYPE_CHECKING:
    from tokenizers import Tokenizer as Backend

BOS, EOT = "<|begin_of_text|>", "<|eot_id|>"


class WholeText:
    """``backend`` reads special tokens out of texts and knows ``image_token``; ``separator`` is a text or empty."""

    def __init__(self, backend: Backend, image_tokens: int, separator: str = "", image_token: str = "<image>"):
        self._backend = backend
        self._separator = separator
        self._frame = image_token * image_tokens
        self._last_image = len(self._frame) - len(image_token)
        self._silence_id = int(backend.token_to_id(separator or EOT) or 0)

    def build(self, record: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray]:
        """Ids and labels, int32, of a sample's record."""
        text, spoken, silent = self._write(record["conversation"], not record["metadata"]["summary_only"])
        encoding = self._backend.encode(text, add_special_tokens=False)
        input_ids = np.array(encoding.ids, dtype=np.int32)
        starts = np.array([start for start, _ in encoding.offsets])
        labels = np.full(len(input_ids), IGNORE, dtype=np.int32)
        for first, end in spoken:
            begin, stop = np.searchsorted(starts, (first, end))
            labels[begin - 1 : stop - 1] = input_ids[begin:stop]
        labels[np.searchsorted(starts, silent)] = self._silence_id
        return input_ids, labels

    def _write(self, turns: list[dict[str, Any]], with_silence: bool) -> tuple[str, list[tuple[int, int]], list[int]]:
        """The text, where the assistant's messages lie in it, and where the last image of each silent frame begins."""
        parts, spoken, silent = [BOS], [], []
        position = len(BOS)
        for turn in turns:
            if turn["role"] == "frames":
                num_frames = turn["end"] - turn["start"]
                part = self._separator.join([self._frame] * num_frames)
                step = len(self._frame) + len(self._separator)
                if with_silence:
                    silent += [position + self._last_image + step * n for n in range(num_frames - 1)]
            else:
                part = f"<|start_header_id|>{turn['role']}<|end_header_id|>\n\n{turn['content']}{EOT}"
                if turn["role"] == "assistant":
                    spoken.append((position, position + len(part)))
            parts.append(part)
            position += len(part)
        return "".join(parts), spoken, silent
