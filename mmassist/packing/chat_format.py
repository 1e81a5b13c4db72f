"""Messages and frames to token ids and back, in Llama 3's chat format.

::

    sequence := BOS (message | frames)*
    message  := <|start_header_id|> role <|end_header_id|> \\n\\n content <|eot_id|>
    frames   := frame (separator frame)*
    frame    := the image token, I times

Image placeholders never pass through the tokenizer: messages are encoded in batches and runs of frames are filled in by
numpy, which gives the same ids as tokenising the whole text because every message starts and ends with a special token.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from mmassist.core.errors import ConfigError
from mmassist.packing.conversation import Frames, Message, Turn
from mmassist.packing.tokenizer import EOT, ChatTokenizer

ROLES = ("system", "user", "assistant")
CACHE_SIZE = 4096  # messages; a conversation has a few hundred


def separator_token(separator: str) -> str | None:
    """The token between two frames: None for ``none`` or empty, the terminator for ``EOS``, else the literal."""
    if separator in ("", "none"):
        return None
    return EOT if separator == "EOS" else separator


class ChatFormat:
    """One tokenizer with one number of tokens per frame and one separator."""

    def __init__(self, tokenizer: ChatTokenizer, image_tokens: int, separator: str = "none"):
        self.tokenizer = tokenizer
        self.image_tokens = image_tokens
        self.separator_id = _separator_id(tokenizer, separator_token(separator))
        self._roles = {role: tokenizer.encode(role) for role in ROLES}
        self._cache: dict[tuple[str, str], np.ndarray] = {}

    @property
    def has_separator(self) -> bool:
        return self.separator_id is not None

    @property
    def silence_id(self) -> int:
        """What the last token of a silent frame should predict: the separator, or the terminator without one."""
        return self.tokenizer.eot_id if self.separator_id is None else self.separator_id

    def prime(self, messages: Iterable[Message]) -> None:
        """Encode the messages that are not known yet, all in one batch."""
        if len(self._cache) > CACHE_SIZE:
            self._cache.clear()
        missing = sorted({(m.role, m.content.strip()) for m in messages} - self._cache.keys())
        bodies = self.tokenizer.encode_batch([f"\n\n{content}" for _, content in missing])
        tok = self.tokenizer
        for (role, content), body in zip(missing, bodies, strict=True):
            ids = [tok.start_header_id, *self._roles[role], tok.end_header_id, *body, tok.eot_id]
            self._cache[role, content] = np.array(ids, dtype=np.int32)

    def message_ids(self, message: Message) -> np.ndarray:
        """Ids of one message with header and terminator, int32."""
        key = (message.role, message.content.strip())
        if key not in self._cache:
            self.prime([message])
        return self._cache[key]

    def num_frame_tokens(self, num_frames: int) -> int:
        """Tokens of a run: I per frame and one separator between two frames."""
        return num_frames * self.image_tokens + (max(0, num_frames - 1) if self.has_separator else 0)

    def num_tokens(self, turn: Turn) -> int:
        """Tokens of one element."""
        if isinstance(turn, Frames):
            return self.num_frame_tokens(turn.num_frames)
        return len(self.message_ids(turn))

    def assemble(self, turns: Sequence[Turn]) -> tuple[np.ndarray, list[tuple[int, int]]]:
        """Ids of a whole sequence with its leading BOS, int32, and the token range ``[start, end)`` of each element."""
        self.prime(turn for turn in turns if isinstance(turn, Message))
        ranges = []
        position = 1
        for turn in turns:
            ranges.append((position, position + self.num_tokens(turn)))
            position = ranges[-1][1]
        ids = np.full(position, self.tokenizer.image_id, dtype=np.int32)
        ids[0] = self.tokenizer.bos_id
        for turn, (start, end) in zip(turns, ranges, strict=True):
            if isinstance(turn, Message):
                ids[start:end] = self.message_ids(turn)
            elif self.separator_id is not None:
                ids[start + self.image_tokens : end : self.image_tokens + 1] = self.separator_id
        return ids, ranges


def _separator_id(tokenizer: ChatTokenizer, token: str | None) -> int | None:
    if token is None:
        return None
    ids = tokenizer.encode_marked(token)
    if len(ids) != 1 or ids[0] == tokenizer.image_id:
        raise ConfigError(f"'pack.separator' is {token!r}; it must be none, EOS or a text that is one token ({ids})")
    return ids[0]


def decode_conversation(input_ids: Sequence[int] | np.ndarray, chat: ChatFormat) -> list[tuple[str, str | int]]:
    """Read ids back: ``(role, content)`` for a message, ``("frames", number)`` for a run of frames.

    Raises ValueError when the ids are not of the format.
    """
    tok = chat.tokenizer
    ids = [int(i) for i in input_ids]
    if not ids or ids[0] != tok.bos_id:
        raise ValueError("the sequence does not begin with the BOS token")
    found: list[tuple[str, str | int]] = []
    position = 1
    while position < len(ids):
        if ids[position] == tok.image_id:
            num_frames, position = _read_run(ids, position, chat)
            found.append(("frames", num_frames))
        elif ids[position] == tok.start_header_id:
            header_end, end = ids.index(tok.end_header_id, position), ids.index(tok.eot_id, position)
            role = tok.decode(ids[position + 1 : header_end])
            found.append((role, tok.decode(ids[header_end + 1 : end]).removeprefix("\n\n")))
            position = end + 1
        else:
            raise ValueError(f"token {ids[position]} at {position} starts neither a message nor a frame")
    return found


def _read_run(ids: list[int], position: int, chat: ChatFormat) -> tuple[int, int]:
    image, step = chat.tokenizer.image_id, chat.image_tokens
    num_frames = 0
    while position < len(ids) and ids[position] == image:
        if ids[position : position + step] != [image] * step:
            raise ValueError(f"the frame at {position} has fewer than {step} tokens")
        num_frames, position = num_frames + 1, position + step
        if chat.has_separator and ids[position : position + 2] == [chat.separator_id, image]:
            position += 1
    return num_frames, position
