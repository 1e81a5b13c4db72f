"""The scripted dialog of one window: steps announced on time, questions answered, mistakes pointed out."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any

from mmassist.core.rng import rng
from mmassist.llm import phrases
from mmassist.llm.timeline import SPACING_S, Timeline, floor_tenth

ANSWER_WITHIN_S = 2.0
LONG_STEP_S = 12.0
REPLY_S = 5.0  # real speech this soon after the user's is taken for a reply
TALK_RATES = {"no_talk": 0.0, "talk_some": 0.2, "talk_more": 0.4}  # share of steps at which the user speaks
_ENDS = ("done", "end", "finish", "finished")  # the close of a recording, written as a step
_NEVER_INSTRUCT = ("wrong order", "shouldn't have", "should not have", "previous")


def write_turns(payload: Mapping[str, Any], generator: random.Random) -> list[dict[str, Any]]:
    """Turns ``{time, role, text}`` of the window that ``payload`` (of a dialog prompt) describes, in order of time."""
    history = payload["history"]
    timeline = Timeline.of_request(payload)
    _Writer(payload, timeline, generator).write(history[-1]["time"] if history else None)
    return timeline.turns


@dataclass
class _Writer:
    payload: Mapping[str, Any]
    timeline: Timeline
    generator: random.Random

    def write(self, last_s: float | None) -> None:
        self._instruct()
        if last_s is not None:
            self.timeline.blocked.append(last_s)
        steps = self.payload["steps"]
        for step in steps:
            self._correct(step)
        for step in steps:
            if self._is_chatty(step):
                self._ask(step)
            self._anchor(step)
        for step in steps:
            self._inform(step)
            self._praise(step)
        if self.payload["is_last"]:
            self._close(steps[-1])
        if not self.timeline.turns:
            self.timeline.put((self.timeline.start_s, "assistant", self._pick(phrases.CARRY_ON)))

    def _instruct(self) -> None:
        groups: list[tuple[float, str]] = []
        previous: Mapping[str, Any] | None = None
        for step in self.payload["steps"]:
            if step["is_marker"] or not is_instructed(step):
                continue
            due_s = floor_tenth(step["start_s"]) - self.generator.choice((0.0, 0.0, 0.2, 0.4))
            t = min(max(self.timeline.start_s, due_s), self.timeline.end_s)
            order = phrases.as_order(step["text"])
            is_full = len(groups) + 2 >= self.timeline.max_turns  # the goal and its answer need two
            if groups and (is_full or t - groups[-1][0] < SPACING_S):
                text = groups[-1][1] + self._pick(phrases.ALSO).format(step=order)
                if len(text) <= self.timeline.max_text_chars:
                    groups[-1] = (groups[-1][0], text)
            else:
                groups.append((t, self._announce(step, order, previous)))
            previous = step
        if self.payload["is_first"]:
            groups = self._open(groups)
        for t, text in groups:
            self.timeline.put((t, "assistant", text))

    def _open(self, groups: list[tuple[float, str]]) -> list[tuple[float, str]]:
        start = self.timeline.start_s
        goal = phrases.cut(self.payload["goal"].rstrip(" ."))
        self.timeline.put((start, "user", self._pick(phrases.GOAL).format(goal=goal)))
        if groups and groups[0][0] - start < SPACING_S:
            return [(start, groups[0][1]), *groups[1:]]
        return [(start, self._pick(phrases.GREETING)), *groups]

    def _announce(self, step: Mapping[str, Any], order: str, previous: Mapping[str, Any] | None) -> str:
        if step["note"].startswith("correction"):
            return self._pick(phrases.UNDO).format(step=order)
        if previous is None and self.payload["is_first"]:
            return self._pick(phrases.FIRST).format(step=order)
        text = self._pick(phrases.NEXT).format(step=order)
        praised = previous is not None and not previous["note"] and self.generator.random() < 0.3
        return f"{self._pick(phrases.PRAISE)} {text}" if praised else text

    def _correct(self, step: Mapping[str, Any]) -> None:
        if step["note"] and not step["note"].startswith("correction"):
            self._correct_at(step["start_s"], step["end_s"], step["note"])
        for substep in step["substeps"]:
            if substep["note"]:
                self._correct_at(substep["start_s"], substep["end_s"] or substep["start_s"], substep["note"])

    def _correct_at(self, start_s: float, end_s: float, why: str) -> None:
        text = self._pick(phrases.CORRECTION).format(why=_reason(why))
        # Only the window's part of the span, one time after the other: annotated spans can be of any length.
        first_s, last_s = (max(self.timeline.start_s, min(t, self.timeline.end_s)) for t in (start_s, end_s))
        tenths = range(math.floor(first_s * 10), math.floor(last_s * 10) + 11)
        # Near the end, where it shows and where the annotation has a time; else wherever there is room.
        late = [floor_tenth(end_s - back) for back in (0.0, 1.0, 2.0) if end_s - back >= start_s]
        times = chain(late, (t / 10 for t in reversed(tenths) if t / 10 >= start_s))
        if self.timeline.is_full or not any(self.timeline.offer((t, "assistant", text)) for t in times):
            self.timeline.append_text(end_s, text)

    def _is_chatty(self, step: Mapping[str, Any]) -> bool:
        # Error diffusion over the recording's steps: the share comes out right however windows are cut.
        rate = TALK_RATES[self.payload["user_type"]]
        phase = rng("script-phase", self.payload["goal"], self.payload["conversation"]).random()
        return math.floor((step["index"] + 1) * rate + phase) > math.floor(step["index"] * rate + phase)

    def _ask(self, step: Mapping[str, Any]) -> None:
        if step["is_marker"]:
            return
        order = phrases.as_order(step["text"])
        for utterance, reply in _exchanges(step):
            t = floor_tenth(utterance["start_s"])
            said = phrases.as_speech(utterance["text"])
            if reply is not None and self.timeline.offer(
                (t, "user", said), (floor_tenth(reply["start_s"]), "assistant", phrases.as_speech(reply["text"]))
            ):
                return
            answer = self._pick([a for _, a in phrases.QUESTIONS]).format(step=order)
            if self.timeline.offer((t, "user", said), (t, "assistant", answer)):
                return
        stock: tuple[tuple[str, str], ...] = phrases.QUESTIONS + phrases.REMARKS
        if self.payload["user_type"] == "talk_more":
            stock += phrases.CHATTY_QUESTIONS
        question, answer = self.generator.choice(stock)
        for delay_s in (2.0, 3.5, 5.0, 1.0, 8.0, 12.0, 20.0):  # soon after the step began, as doubts arise then
            t = floor_tenth(min(step["start_s"] + delay_s, step["end_s"]))
            turns = (t, "user", question.format(step=order)), (t, "assistant", answer.format(step=order))
            if self.timeline.offer(*turns):
                return
        # No gap: the question comes with the announcement, which then is its answer.
        self._ask_before(step, question.format(step=order))

    def _ask_before(self, step: Mapping[str, Any], question: str) -> None:
        if self.timeline.is_full:
            return
        spoken = [turn for turn in self.timeline.turns if turn["role"] == "assistant"]
        for turn in reversed(spoken):
            alone = all(other is turn or other["time"] != turn["time"] for other in self.timeline.turns)
            if turn["time"] <= step["start_s"] and alone:
                index = self.timeline.turns.index(turn)
                question = phrases.cut(question, self.timeline.max_text_chars)
                self.timeline.turns.insert(index, {"time": turn["time"], "role": "user", "text": question})
                return

    def _anchor(self, step: Mapping[str, Any]) -> None:
        spoken = _utterances(step)
        for index, substep in enumerate(spoken):
            before = spoken[index - 1] if index else None
            # Without the user's remark its reply would hang in the air; ``_ask`` uses the two together.
            replies = (
                before is not None and before["role"] == "user" and substep["start_s"] - before["start_s"] < REPLY_S
            )
            if substep["role"] == "assistant" and not replies and len(substep["text"].split()) > 3:
                self.timeline.offer((floor_tenth(substep["start_s"]), "assistant", phrases.as_speech(substep["text"])))

    def _inform(self, step: Mapping[str, Any]) -> None:
        actions = [s for s in step["substeps"] if s["role"] is None and not s["note"]]
        if actions and step["end_s"] - step["start_s"] >= LONG_STEP_S and self.generator.random() < 0.5:
            order = phrases.as_order(self.generator.choice(actions)["text"])
            t = floor_tenth(step["start_s"] + 4.0)
            self.timeline.offer((t, "assistant", self._pick(phrases.TIP).format(step=order)))

    def _praise(self, step: Mapping[str, Any]) -> None:
        is_clean = not step["note"] and not step["is_marker"]
        t = floor_tenth(step["end_s"])
        # The next window may begin with an instruction: leave it its second.
        if is_clean and t <= self.timeline.end_s - SPACING_S and self.generator.random() < 0.35:
            self.timeline.offer((t, "assistant", self._pick(phrases.PRAISE)))

    def _close(self, step: Mapping[str, Any]) -> None:
        text = self._pick(phrases.CLOSING)
        end = self.timeline.end_s
        for t in (floor_tenth(step["end_s"]), end, end - 0.5):
            if self.timeline.offer((round(t, 1), "assistant", text)):
                return
        self.timeline.append_text(end, text)

    def _pick(self, choices: Any) -> str:
        return str(self.generator.choice(choices))


def _exchanges(step: Mapping[str, Any]) -> Iterator[tuple[Mapping[str, Any], Mapping[str, Any] | None]]:
    """What the user really said in a step, with the assistant's real answer where one came in time."""
    spoken = _utterances(step)
    for index, said in enumerate(spoken):
        if said["role"] != "user" or len(said["text"].split()) < 2:
            continue
        replies = (
            s
            for s in spoken[index + 1 :]
            if s["role"] == "assistant" and s["start_s"] - said["start_s"] <= ANSWER_WITHIN_S
        )
        yield said, next(replies, None)


def _utterances(step: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The utterances of a step in which something is said, without remarks in front."""
    spoken = [s | {"text": phrases.strip_remarks(s["text"])} for s in step["substeps"] if s["role"] is not None]
    return [s for s in spoken if any(character.isalnum() for character in s["text"])]


def is_instructed(step: Mapping[str, Any]) -> bool:
    """Whether a step is part of the task as it should be done; one with an error inside still is."""
    note = step["note"].lower()
    if step["text"].strip(" .").lower() in _ENDS:
        return False
    return not (note.startswith("mistake") and any(mark in note for mark in _NEVER_INSTRUCT))


def _reason(note: str) -> str:
    return " ".join(note.split()).removeprefix("mistake:").strip(" .")[:600]
