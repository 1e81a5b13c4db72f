"""Long conversations to samples of at most L tokens.

The unit is an *exchange*: everything up to and including one assistant turn. A sample is the longest run of exchanges
that fits together with its summary, and the rest goes on in the next one. What a cut leaves out is bounded and counted:

* of the wait before a later sample's first exchange, k frames are sure to stay, drawn for each sample (the reference
  keeps context likewise, but its k frames may reach back into the previous sample; here they never do);
* where the first exchange alone is too long, frames go and words stay: a silent lead-in never costs the goal (first
  user turn) or the knowledge;
* the room that is left when no more exchange fits goes to the frames that would leave: none is lost that fits;
* an exchange whose words do not fit is left out as ``too_long``; goal and knowledge move on to the next exchange;
* the frame of a summary is not used again: where the next turn needs it, the cut moves to an earlier exchange.

So every assistant turn is in exactly one sample or in the report, and no frame is in two samples of one dialog.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

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

    @cached_property
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
        self.costs = [drafter.total(exchange.turns) for exchange in self.exchanges]

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
            whole = carried + self._from_floor(position, floor)
            first = self._fit(whole, room - self._summary_cost(position), clip_idx)
            if first is None:
                carried = self._leave_out(whole)
                position += 1
                continue
            taken, tail, used = self._extend(position, room, self.drafter.total(first))
            body = self._widen(whole, first, room - used)
            self.report.drop("frames", "silence", num_frames_of(whole) - num_frames_of(body))
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

    def _from_floor(self, position: int, floor: int) -> tuple[Turn, ...]:
        """An exchange without the frames that the sample before it has used."""
        turns = self.exchanges[position].turns
        at = next(i for i, turn in enumerate(turns) if isinstance(turn, Frames))
        run = turns[at]
        assert isinstance(run, Frames)
        return turns if run.start >= floor else (*turns[:at], Frames(floor, run.end), *turns[at + 1 :])

    def _fit(self, turns: tuple[Turn, ...], room: int, clip_idx: int) -> tuple[Turn, ...] | None:
        """The exchange with the frames that are sure to stay; None if its words and one frame are too long.

        The first sample keeps all where that fits. Otherwise whole waits leave from the front until those behind them
        fit with the drawn context of the first one that is left; the last wait may keep less.
        """
        if clip_idx == 0 and self.drafter.total(turns) <= room:
            return turns
        context = self.drafter.num_context_frames(clip_idx)
        left = num_frames_of(turns)
        for run in turns:
            if isinstance(run, Frames):
                left -= run.num_frames
                shorter = last_frames(turns, left + min(context, run.num_frames))
                if self.drafter.total(shorter) <= room:
                    return shorter
        least = last_frames(turns, 1)
        spare = room - self.drafter.total(least)
        return self._widen(turns, least, spare) if spare >= 0 else None

    def _widen(self, whole: tuple[Turn, ...], kept: tuple[Turn, ...], room: int) -> tuple[Turn, ...]:
        """As many of the last frames of an exchange as ``room`` tokens more than those of ``kept`` allow."""
        num_kept, num_frames = num_frames_of(kept), num_frames_of(whole)
        limit = self.drafter.total(kept) + room
        # Where frames come back between words they start a run, which saves a separator: hence the loop.
        num_kept = min(num_frames, num_kept + self.drafter.num_frames_in(room))
        while num_kept < num_frames and self.drafter.total(last_frames(whole, num_kept + 1)) <= limit:
            num_kept += 1
        return last_frames(whole, num_kept)

    def _leave_out(self, turns: tuple[Turn, ...]) -> tuple[Turn, ...]:
        """Count an exchange as too long; returns its goal and knowledge, which belong to what comes next."""
        kept = tuple(t for t in turns if isinstance(t, Message) and self._is_kept(t))
        self.report.drop_turns([t for t in turns if isinstance(t, Frames) or not self._is_kept(t)], "too_long")
        return kept

    def _is_kept(self, message: Message) -> bool:
        return message is self.goal or message.role == "system"

    def _extend(self, position: int, room: int, used: int) -> tuple[int, tuple[Turn, ...], int]:
        """How many exchanges from ``position`` on fit together, their summary, and what it all takes.

        The first one costs ``used``.
        """
        costs = [used]
        for cost in self.costs[position + 1 :]:
            used += cost
            if used > room:
                break
            costs.append(used)
        # From the end, so that only the summaries of the last few exchanges are ever tokenised.
        for taken in range(len(costs), 0, -1):
            last = position + taken - 1
            total = costs[taken - 1] + self._summary_cost(last)
            if total <= room and not self._needs_frame(last):
                return taken, self._tail(last), total
        taken = max(t for t in range(1, len(costs) + 1) if self._needs_frame(position + t - 1))
        return taken, (), costs[taken - 1]

    def _has_summary(self, position: int) -> bool:
        """Whether a summary may stand behind an exchange: there is one, and a frame for it."""
        exchange = self.exchanges[position]
        return self.rules.has_summary and bool(exchange.answer.progress) and exchange.span[1] < self.num_frames

    def _needs_frame(self, position: int) -> bool:
        """Whether the turn behind an exchange needs the frame that the summary would take."""
        if position + 1 == len(self.exchanges) or not self._has_summary(position):
            return False
        wait = next(turn for turn in self.exchanges[position + 1].turns if isinstance(turn, Frames))
        return wait.num_frames == 1

    def _summary_cost(self, position: int) -> int:
        if not self._has_summary(position) or self._needs_frame(position):
            return 0
        return self.drafter.summary_cost(self.exchanges[position].answer.progress)

    def _tail(self, position: int) -> tuple[Turn, ...]:
        exchange = self.exchanges[position]
        return self.drafter.tail(exchange.span[1], exchange.answer.progress) if self._has_summary(position) else ()

    def _has_long_summary(self) -> bool:
        limit = self.rules.max_summary_tokens
        if not self.rules.has_summary:
            return False
        empty = self.drafter.summary_cost("")
        texts = {e.answer.progress for e in self.exchanges if e.answer.progress}
        # A token of a byte-level tokenizer covers at least one byte: most texts need no tokenising to be short enough.
        doubtful = [text for text in texts if empty + (len(text) if text.isascii() else len(text.encode())) > limit]
        self.drafter.chat.prime(Message("assistant", text) for text in doubtful)
        return any(self.drafter.summary_cost(text) > limit for text in doubtful)


def last_frames(turns: Sequence[Turn], num_frames: int) -> tuple[Turn, ...]:
    """The same words with the last ``num_frames`` frames alone."""
    kept: list[Turn] = []
    for turn in reversed(turns):
        if isinstance(turn, Message):
            kept.append(turn)
        elif num_frames > 0:
            kept.append(Frames(max(turn.start, turn.end - num_frames), turn.end))
            num_frames -= turn.num_frames
    return tuple(reversed(kept))


def cut_exchanges(turns: Sequence[Turn]) -> tuple[list[Exchange], tuple[Turn, ...]]:
    """The exchanges of a conversation, and what comes after its last assistant turn."""
    exchanges: list[Exchange] = []
    begin = 0
    for position, turn in enumerate(turns):
        if isinstance(turn, Message) and turn.is_assistant:
            exchanges.append(Exchange(tuple(turns[begin : position + 1])))
            begin = position + 1
    return exchanges, tuple(turns[begin:])
