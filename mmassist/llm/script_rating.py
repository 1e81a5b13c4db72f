"""The scripted ratings: numbers that follow from what can be counted in a dialog, and a rationale that says what."""

from __future__ import annotations

import random
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from typing import Any

from mmassist.llm import phrases
from mmassist.llm.script import ANSWER_WITHIN_S

LOWEST, HIGHEST = 1, 5
STRAY_RATE = 0.25  # share of numbers that are one off, as the samples of a model are
FITTING_S = (2.0, 5.0, 10.0, 20.0)  # mean distance of a turn to a step that still gives 5, 4, 3, 2
LONG_WORDS = 30  # words of a turn that nobody would say in one breath

Values = dict[str, Any]


def write_rating(payload: Mapping[str, Any], generator: random.Random) -> Values:
    """Rate a conversation: shared words, questions answered and steps told, distances in time, repetitions."""
    told = [turn for turn in payload["turns"] if turn["role"] == "assistant"]
    asked = [turn for turn in payload["turns"] if turn["role"] == "user" and turn["text"].rstrip().endswith("?")]
    known = find_words(f"{payload['description']} {payload['goal']} {payload['knowledge']}")
    to_the_point = sum(bool(find_words(turn["text"]) & known) for turn in told)
    times = sorted(turn["time"] for turn in told)
    answered = sum(_distance(turn["time"], times) <= ANSWER_WITHIN_S for turn in asked)
    starts = payload["step_starts"]
    covered = sum(_distance(start, times) <= FITTING_S[1] for start in starts)
    late_s = sum(_distance(start, times) for start in starts) / len(starts) if starts and times else FITTING_S[-1] + 1
    various = len({turn["text"] for turn in told})
    short = sum(len(turn["text"].split()) <= LONG_WORDS for turn in told)
    numbers = {
        "correctness": _grade(to_the_point, len(told)),
        "helpfulness": _grade(answered + covered, len(asked) + len(starts)),
        "alignment": HIGHEST - sum(late_s > limit for limit in FITTING_S),
        "naturalness": _grade(min(various, short), len(told)),
    }
    rationale = phrases.DIALOG_RATIONALE.format(
        to_the_point=to_the_point,
        told=len(told),
        covered=covered,
        steps=len(starts),
        answered=answered,
        asked=len(asked),
        late=f"{late_s:.1f}",
        various=various,
    )
    return {"rationale": rationale, **_stray(numbers, generator)}


def write_goal_rating(payload: Mapping[str, Any], generator: random.Random) -> Values:
    """Rate aim and procedure: how much of their words the annotation has."""
    known = find_words(f"{payload['description']} {payload['given_goal']}")
    aim = find_words(payload["goal"])
    lines = [words for line in payload["knowledge"].splitlines()[1:] if (words := find_words(line))]
    found = sum(bool(words & known) for words in lines)
    numbers = {"goal_accuracy": _grade(len(aim & known), len(aim)), "knowledge_accuracy": _grade(found, len(lines))}
    rationale = phrases.GOAL_RATIONALE.format(aim=len(aim & known), words=len(aim), found=found, lines=len(lines))
    return {"rationale": rationale, **_stray(numbers, generator)}


def find_words(text: str) -> set[str]:
    """The words of more than two letters, in small letters."""
    return {word for word in "".join(c if c.isalnum() else " " for c in text.lower()).split() if len(word) > 2}


def _grade(part: int, whole: int) -> int:
    """The share as a number; nothing to rate is rated lowest."""
    return LOWEST + round((HIGHEST - LOWEST) * part / whole) if whole else LOWEST


def _stray(numbers: Mapping[str, int], generator: random.Random) -> dict[str, int]:
    made = {}
    for name, number in numbers.items():
        off = generator.choice((-1, 1)) if generator.random() < STRAY_RATE else 0
        made[name] = min(HIGHEST, max(LOWEST, number + off))
    return made


def _distance(time_s: float, times: Sequence[float]) -> float:
    """Seconds to the nearest of some sorted times."""
    at = bisect_left(times, time_s)
    return min((abs(time_s - other) for other in times[max(0, at - 1) : at + 1]), default=float("inf"))
