"""A sample before it becomes ids, and what all its parts cost: shared by both ways of finding sample boundaries."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from mmassist.core.rng import rng
from mmassist.packing.chat_format import ChatFormat
from mmassist.packing.conversation import Frames, Message, Turn, frame_span, num_frames_of
from mmassist.packing.wording import PERSONAS, SUMMARY_PERSONA, SUMMARY_REQUEST, knowledge_text


@dataclass(frozen=True)
class SplitRules:
    """What a sample may hold: ``max_seq_len`` 0 is no limit, ``keep_context_s`` the least and most kept of a wait.

    ``personas`` are the sentences of which each sample's system message begins with one.
    """

    max_seq_len: int
    keep_context_s: tuple[float, float]
    max_summary_tokens: int
    has_knowledge: bool
    has_summary: bool
    is_summary_only: bool
    seed: int
    personas: tuple[str, ...] = PERSONAS


@dataclass(frozen=True)
class Draft:
    """One sample: its system message, its part of the conversation, and the summary at its end if there is one."""

    clip_idx: int
    opening: Message
    body: tuple[Turn, ...]
    tail: tuple[Turn, ...]

    @cached_property
    def turns(self) -> tuple[Turn, ...]:
        return (self.opening, *self.body, *self.tail)

    @property
    def progress(self) -> str | None:
        """The summary that the sample teaches, None without one."""
        last = self.tail[-1] if self.tail else None
        return last.content if isinstance(last, Message) else None

    @cached_property
    def span(self) -> tuple[int, int]:
        """The frames ``[start, end)`` of the sample, the summary's frame included."""
        found = frame_span(self.turns)
        assert found is not None, "every assistant turn has a frame before it"
        return found

    def check(self, seq_len: int, max_seq_len: int, num_stored: int) -> None:
        """Assert what every sample promises: ``seq_len`` tokens fit, frames follow on each other and are stored."""
        start, end = self.span
        assert num_frames_of(self.turns) == end - start, "runs of frames follow on each other"
        assert end <= num_stored, "every frame is in the store"
        assert not max_seq_len or seq_len <= max_seq_len, "the splitter keeps the budget"


class Drafter:
    """The parts of one dialog's or caption item's samples. Draws depend on seed, item, dialog and sample alone."""

    def __init__(self, rules: SplitRules, chat: ChatFormat, item_key: str, user_id: str, knowledge: str, fps: float):
        self.rules = rules
        self.chat = chat
        low, high = rules.keep_context_s
        self._context_frames = max(1, round(low * fps)), max(1, round(high * fps))
        self._key = (rules.seed, item_key, user_id)
        self._knowledge = knowledge.strip() if rules.has_knowledge else ""
        self._request_cost = chat.num_message_tokens("system", SUMMARY_REQUEST) + chat.num_frame_tokens(1)

    def opening(self, clip_idx: int, progress: str, with_knowledge: bool) -> Message:
        """The system message: who the assistant is, what happened before, what it knows."""
        if self.rules.is_summary_only:
            persona = SUMMARY_PERSONA
        else:
            persona = rng("persona", *self._key, clip_idx).choice(self.rules.personas)
        knowledge = knowledge_text(self._knowledge) if with_knowledge and self._knowledge else ""
        parts = [part for part in (persona, progress, knowledge) if part]
        self.chat.prime_joined(parts)
        return Message("system", " ".join(parts))

    def num_context_frames(self, clip_idx: int, attempt: int = 0) -> int:
        """How much of a wait the next sample keeps, drawn evenly."""
        return rng("context", *self._key, clip_idx, attempt).randint(*self._context_frames)

    def tail(self, end: int, progress: str) -> tuple[Turn, ...]:
        """The request to sum up, one more frame, and the answer."""
        return (Message("system", SUMMARY_REQUEST), Frames(end, end + 1), Message("assistant", progress))

    def cost(self, turn: Turn) -> int:
        """Tokens of one element.

        In summary-only samples an assistant turn leaves and joins two runs of frames: it costs one separator at most.
        """
        if self.rules.is_summary_only and isinstance(turn, Message) and turn.is_assistant:
            return int(self.chat.has_separator)
        return self.chat.num_tokens(turn)

    def total(self, turns: tuple[Turn, ...]) -> int:
        return sum(map(self.cost if self.rules.is_summary_only else self.chat.num_tokens, turns))

    def summary_cost(self, progress: str) -> int:
        """Tokens of the summary's part, whose assistant message always stays."""
        return self._request_cost + self.chat.num_message_tokens("assistant", progress)

    def num_frames_in(self, room: int) -> int:
        """How many frames more a run can have for ``room`` tokens."""
        return room // (self.chat.image_tokens + int(self.chat.has_separator))
