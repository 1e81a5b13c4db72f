"""Messages and frames to token ids and back, in Llama 3's chat format.

::

    sequence := BOS (message | frames)*
    message  := <|start_header_id|> role <|end_header_id|> \\n\\n content <|eot_id|>
    frames   := frame (separator frame)*
    frame    := the image token, I times

Image placeholders never pass through the tokenizer: messages are encoded in batches and runs of frames are repeated
bytes, which gives the same ids as tokenising the whole text because every message starts and ends with a special token.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from mmassist.core.errors import ConfigError
from mmassist.packing.conversation import Frames, Message, Turn
from mmassist.packing.token_cache import ID_BYTES
from mmassist.packing.tokenizer import BEFORE_CONTENT, EOT, ChatTokenizer

ROLES = ("system", "user", "assistant")


def separator_token(separator: str) -> str | None:
    """The token between two frames: None for ``none`` or empty, the terminator for ``EOS``, else the literal."""
    if separator in ("", "none"):
        return None
    return EOT if separator == "EOS" else separator


class ChatFormat:
    """One tokenizer with one number of tokens per frame and one separator.

    Texts are tokenised once for all formats of one tokenizer: see ``ChatTokenizer.cache``.
    """

    def __init__(self, tokenizer: ChatTokenizer, image_tokens: int, separator: str = "none"):
        self.tokenizer = tokenizer
        self.image_tokens = image_tokens
        self.separator_id = _separator_id(tokenizer, separator_token(separator))
        self.has_separator = self.separator_id is not None
        self._cache = tokenizer.cache
        self._bos = _as_bytes([tokenizer.bos_id])
        self._heads = {
            role: _as_bytes([tokenizer.start_header_id, *tokenizer.encode(role), tokenizer.end_header_id])
            for role in ROLES
        }
        self._end = _as_bytes([tokenizer.eot_id])
        between = [] if self.separator_id is None else [self.separator_id]
        self._between = len(between)
        self._frame = _as_bytes([tokenizer.image_id] * image_tokens + between)
        self._frame_tokens = image_tokens + len(between)
        self._added = {role: len(head + self._end) // ID_BYTES for role, head in self._heads.items()}

    @property
    def silence_id(self) -> int:
        """What the last token of a silent frame should predict: the separator, or the terminator without one."""
        return self.tokenizer.eot_id if self.separator_id is None else self.separator_id

    def prime(self, messages: Iterable[Message]) -> None:
        """Encode the messages that are not known yet, all in one batch."""
        self._cache.prime([message.content.strip() for message in messages])

    def prime_joined(self, parts: Sequence[str]) -> None:
        """Know the content of a message that joins ``parts`` with blanks, which other messages may share."""
        self._cache.prime_joined(parts)

    def message_ids(self, message: Message) -> np.ndarray:
        """Ids of one message with header and terminator, int32, read only."""
        return np.frombuffer(self._message(message), dtype=np.int32)

    def num_message_tokens(self, role: str, content: str) -> int:
        """Tokens of a message with header and terminator."""
        return self._added[role] + len(self._cache.ids(content.strip())) // ID_BYTES

    def num_frame_tokens(self, num_frames: int) -> int:
        """Tokens of a run: I per frame and one separator between two frames."""
        return num_frames * self._frame_tokens - self._between if num_frames else 0

    def num_tokens(self, turn: Turn) -> int:
        """Tokens of one element."""
        if isinstance(turn, Frames):
            return (turn.end - turn.start) * self._frame_tokens - self._between
        return self._added[turn.role] + len(self._cache.ids(turn.content.strip())) // ID_BYTES

    def assemble(self, turns: Sequence[Turn]) -> tuple[np.ndarray, list[tuple[int, int]]]:
        """Ids of a whole sequence with its leading BOS, int32, and the token range ``[start, end)`` of each element."""
        parts, ranges = [self._bos], []
        position = 1
        for turn in turns:
            if isinstance(turn, Frames):
                part = self._frame * (turn.end - turn.start)
                if self._between:
                    part = part[:-ID_BYTES]
            else:
                part = self._message(turn)
            parts.append(part)
            end = position + len(part) // ID_BYTES
            ranges.append((position, end))
            position = end
        return np.frombuffer(b"".join(parts), dtype=np.int32), ranges

    def _message(self, message: Message) -> bytes:
        body = self._cache.ids(message.content.strip())
        return self._heads[message.role] + body + self._end


def _as_bytes(ids: Sequence[int]) -> bytes:
    return np.array(ids, dtype=np.int32).tobytes()


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
            found.append((role, tok.decode(ids[header_end + 1 : end]).removeprefix(BEFORE_CONTENT)))
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
