"""A task's name and procedure, however it was found: given, inferred, consolidated or matched."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mmassist.core.annotation import Annotation


@dataclass(frozen=True)
class Knowledge:
    """``text`` is a publisher's own recipe or manual, kept as it ships; without it the steps speak."""

    goal: str
    steps: tuple[str, ...] = ()
    text: str = ""

    def render(self) -> str:
        """The publisher's text, or the name and one numbered line per step."""
        if self.text:
            return self.text
        lines = [self.goal, *(f"{number}. {step}" for number, step in enumerate(self.steps, start=1))]
        return "\n".join(lines)


def given_knowledge(annotation: Annotation) -> Knowledge:
    """The goal and the text that ship with the source."""
    return Knowledge(" ".join(annotation.goal.split()), (), annotation.knowledge.strip())


def known_tasks(annotation: Annotation) -> list[Knowledge]:
    """The tasks that the source says a recording may show, in its order."""
    return [Knowledge(task.title, task.steps) for task in annotation.known_tasks]


def knowledge_of_answer(answer: Mapping[str, Any]) -> tuple[Knowledge, list[str]]:
    """Knowledge from an answer to a goal or consolidation prompt, and the reasons against it."""
    goal = " ".join(answer["task"].replace("*", "").split())
    steps = tuple(" ".join(step.split()) for step in answer["steps"])
    reasons = []
    if not goal:
        reasons.append("no_title: the task has no name")
    if not all(steps):
        reasons.append("empty: a step has no text")
    return Knowledge(goal, steps), reasons


def majority(votes: Sequence[int]) -> tuple[int, int]:
    """The most frequent vote and its count; the smaller one of equals, so the order of samples does not matter."""
    counts = Counter(votes)
    winner = min(counts, key=lambda vote: (-counts[vote], vote))
    return winner, counts[winner]
