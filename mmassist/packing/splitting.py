"""Long conversations to samples of at most L tokens.

The unit is an *exchange*: everything up to and including one assistant turn. A sample is the longest run of exchanges
that fits together with its summary, and the rest goes on in the next one. What a cut leaves out is bounded and counted:

* of the wait before a later sample's first exchange only the last k frames stay (the reference keeps context likewise,
  but its k frames may reach back into the previous sample; here they never do);
* where the first exchange alone is too long, frames go and words stay: a silent lead-in never costs the goal (first
  user turn) or the knowledge;
* an exchange whose words do not fit is left out as ``too_long``; goal and knowledge move on to the next exchange;
* the frame of a summary is not used again: where the next turn needs it, the cut moves to an earlier exchange.

So every assistant turn is in exactly one sample or in the report, and no frame is in two samples of one dialog.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mmassist.packing.conversation import Frames, Message, Turn, frame_span, num_frames_of
from mmassist.packing.draft import Draft, Drafter
from mmassist.packing.report import FillReport

UNLIMITED = 1 << 60


@dataclass(frozen=True)
class Exchange:
    """Runs of frames and messages that end with an assistant turn."""

    turns: tuple[Turn, ...]

    @property
    def answer(self) -> Message:
        last = self.turns[-1]
        assert isinstance(last, Message)
        return last

    @property
    def span(self) -> tuple[int, int]:
        found = frame_span(self.turns)
        assert found is not None, "every turn has a frame before it"
        return found


def split_conversation(turns: Sequence[Turn], drafter: Drafter, num_frames: int, report: FillReport) -> list[Draft]:
    """Cut one indexed conversation into samples; ``num_frames`` is the size of the frame store."""
    return _Splitter(turns, drafter, num_frames, report).run()


class _Splitter:
    def __init__(self, turns: Sequence[Turn], drafter: Drafter, num_frames: int, report: FillReport):
        self.drafter = drafter
        self.rules = drafter.rules
        self.limit = self.rules.max_seq_len or UNLIMITED
        self.num_frames = num_frames
        self.report = report
        self.goal = next((t for t in turns if isinstance(t, Message) and t.role == "user"), None)
        self.exchanges, self.unanswered = cut_exchanges(turns)

    def run(self) -> list[Draft]:
        if self._has_long_summary():
            self.report.drop("dialogs", "long_summary")
            for exchange in self.exchanges:
                self.report.drop_turns(exchange.turns, "long_summary")
            self._drop_unanswered(floor=0)
            return []
        drafts: list[Draft] = []
        carried: tuple[Turn, ...] = ()  # goal and knowledge of exchanges that were left out
        position, floor, progress, knows = 0, 0, "", False
        while position < len(self.exchanges):
            clip_idx = len(drafts)
            opening = self.drafter.opening(clip_idx, progress, with_knowledge=knows)
            room = self.limit - 1 - self.drafter.cost(opening)  # 1: BOS
            context = self.drafter.num_context_frames(clip_idx)
            first = carried + self._from_floor(position, floor, context if drafts else UNLIMITED)
            body = self._fit(first, room - self.drafter.tail_cost(self._tail(position) or ()), context)
            if body is None:
                carried = self._leave_out(first)
                floor = self.exchanges[position].span[1]
                position += 1
                continue
            taken, tail = self._extend(position, room, self.drafter.total(body))
            for exchange in self.exchanges[position + 1 : position + taken]:
                body += exchange.turns
            drafts.append(Draft(clip_idx, opening, body, tail))
            position, floor, carried = position + taken, drafts[-1].span[1], ()
            progress = self.exchanges[position - 1].answer.progress
            knows = knows or any(isinstance(t, Message) and t.role == "system" for t in body)
        self.report.drop_turns(carried, "too_long")
        self._drop_unanswered(floor)
        return drafts

    def _drop_unanswered(self, floor: int) -> None:
        """Count what comes after the last answer, but not the frames before ``floor``: a summary may have used one."""
        later = [Frames(max(floor, t.start), t.end) if isinstance(t, Frames) else t for t in self.unanswered]
        self.report.drop_turns(later, "unanswered")

    def _from_floor(self, position: int, floor: int, context: int) -> tuple[Turn, ...]:
        """An exchange whose first wait starts behind the previous sample and lasts ``context`` frames at most."""
        turns = self.exchanges[position].turns
        at = next(i for i, turn in enumerate(turns) if isinstance(turn, Frames))
        run = turns[at]
        assert isinstance(run, Frames)
        earliest = max(floor, run.start)
        start = max(earliest, run.end - context)
        self.report.drop("frames", "silence", start - earliest)
        return (*turns[:at], Frames(start, run.end), *turns[at + 1 :])

    def _fit(self, turns: tuple[Turn, ...], room: int, context: int) -> tuple[Turn, ...] | None:
        """The exchange with as many frames as fit: whole waits leave from the front, words stay; None if words alone
        are too long."""
        if self.drafter.total(turns) <= room:
            return turns
        fitting = None
        for at, run in enumerate(turns):
            if not isinstance(run, Frames):
                continue
            words = tuple(turn for turn in turns[:at] if isinstance(turn, Message))
            rest = turns[at + 1 :]
            keep = min(context, run.num_frames)
            shorter = (*words, Frames(run.end - keep, run.end), *rest)
            if self.drafter.total(shorter) <= room:
                fitting = shorter
                break
            if not num_frames_of(rest):
                keep = self._num_frames_in(room - self.drafter.total(words + rest))
                fitting = (*words, Frames(run.end - keep, run.end), *rest) if keep > 0 else None
        if fitting is not None:
            self.report.drop("frames", "silence", num_frames_of(turns) - num_frames_of(fitting))
        return fitting

    def _num_frames_in(self, room: int) -> int:
        separator = int(self.drafter.chat.has_separator)
        return (room + separator) // (self.drafter.chat.image_tokens + separator)

    def _leave_out(self, turns: tuple[Turn, ...]) -> tuple[Turn, ...]:
        """Count an exchange as too long; returns its goal and knowledge, which belong to what comes next."""
        kept = tuple(t for t in turns if isinstance(t, Message) and self._is_kept(t))
        self.report.drop_turns([t for t in turns if isinstance(t, Frames) or not self._is_kept(t)], "too_long")
        return kept

    def _is_kept(self, message: Message) -> bool:
        return message is self.goal or message.role == "system"

    def _extend(self, position: int, room: int, used: int) -> tuple[int, tuple[Turn, ...]]:
        """How many exchanges from ``position`` on fit together, and their summary; the first one costs ``used``."""
        costs = [used]
        for exchange in self.exchanges[position + 1 :]:
            used += self.drafter.total(exchange.turns)
            if used > room:
                break
            costs.append(used)
        # From the end, so that only the summaries of the last few exchanges are ever tokenised.
        for taken in range(len(costs), 0, -1):
            tail = self._tail(position + taken - 1)
            if tail is not None and costs[taken - 1] + self.drafter.tail_cost(tail) <= room:
                return taken, tail
        return max(t for t in range(1, len(costs) + 1) if self._tail(position + t - 1) is None), ()

    def _tail(self, position: int) -> tuple[Turn, ...] | None:
        """The summary behind an exchange; empty where none is to be had, None where the next turn needs the frame."""
        exchange = self.exchanges[position]
        end = exchange.span[1]
        if not (self.rules.has_summary and exchange.answer.progress):
            return ()
        if position + 1 == len(self.exchanges):
            return self.drafter.tail(end, exchange.answer.progress) if end < self.num_frames else ()
        next_wait = next(t for t in self.exchanges[position + 1].turns if isinstance(t, Frames))
        return self.drafter.tail(end, exchange.answer.progress) if next_wait.num_frames > 1 else None

    def _has_long_summary(self) -> bool:
        limit = self.rules.max_summary_tokens
        if not self.rules.has_summary:
            return False
        empty = self.drafter.tail_cost(self.drafter.tail(0, ""))
        texts = {e.answer.progress for e in self.exchanges if e.answer.progress}
        # A token of a byte-level tokenizer covers at least one byte: most texts need no tokenising to be short enough.
        doubtful = [text for text in texts if empty + len(text.encode()) > limit]
        return any(self.drafter.tail_cost(self.drafter.tail(0, text)) > limit for text in doubtful)


def cut_exchanges(turns: Sequence[Turn]) -> tuple[list[Exchange], tuple[Turn, ...]]:
    """The exchanges of a conversation, and what comes after its last assistant turn."""
    exchanges: list[Exchange] = []
    begin = 0
    for position, turn in enumerate(turns):
        if isinstance(turn, Message) and turn.is_assistant:
            exchanges.append(Exchange(tuple(turns[begin : position + 1])))
            begin = position + 1
    return exchanges, tuple(turns[begin:])
