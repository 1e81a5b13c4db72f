"""Answers as lines of text, for engines that keep to no schema: read into the values that a schema's answer would have.

Reading never raises. What is turned down is counted; what makes an answer useless is a reason, for the repair turn.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import Any

from mmassist.dialog.parsing import parse_lines
from mmassist.dialog.progress import parse_summary
from mmassist.dialog.prompts import Prompt
from mmassist.dialog.schemas import NO_INITIATIVE
from mmassist.dialog.turn import Turn

Parse = Callable[[str], tuple[Any, Sequence[str]]]  # text -> (value, reasons why it has none)

_DECORATION = re.compile(r"\*\*|__|`|^\s*(?:#+|>)\s*")
_STEP = re.compile(r"^(?:step\s+)?\d{1,3}\s*[.):](?!\d)\s*(.*)$|^step\s+\d{1,3}\s*[-–—]\s*(.*)$", re.IGNORECASE)
_BULLET = re.compile(r"^[-*•–]\s+(.*)$")
_TITLE = re.compile(r"^(?:task(?:\s+name)?|title|name|goal)\s*[:–—-]\s*(.+)$", re.IGNORECASE)
_MARKER = re.compile(r"\banswer\b(?:\s+is)?\s*[:=]", re.IGNORECASE)
# -3 and 3.5 are no numbers of a list; "3." and "3 (tea)" are 3.
_NUMBER = re.compile(r"[\s\[(<\"']*(?:task|number|no\.?|class|label|#)?\s*#?(\d{1,9})(?![.,]?\d)", re.IGNORECASE)


def line_parser(prompt: Prompt, rejected: Counter[str]) -> Parse:
    """What turns the text of an answer to ``prompt`` into a value of its shape, counting lines in ``rejected``."""
    if prompt.kind in ("goal", "consolidate"):
        return partial(parse_knowledge, rejected=rejected)
    if prompt.kind == "match":
        return partial(parse_choice, field="task", offered=range(1, len(prompt.payload["tasks"]) + 1))
    if prompt.kind == "label":
        return partial(parse_choice, field="label", offered=(0, 1, 2))
    if prompt.kind == "summary":
        return lambda text: ({"summary": parse_summary(text, compat=False)}, [])
    assert prompt.kind in ("dialog", "refine"), f"no line form for {prompt.kind}"
    return partial(parse_turns, labelled=prompt.kind == "refine", rejected=rejected)


def parse_turns(text: str, labelled: bool, rejected: Counter[str]) -> tuple[Any, list[str]]:
    """``[12.0s] Role: text [initiative|intents]`` lines."""
    parsed = parse_lines(text, compat=False, labelled=labelled)
    _count(rejected, parsed.rejected)
    return {"turns": [_turn_value(turn, labelled) for turn in parsed.turns]}, []


def parse_knowledge(text: str, rejected: Counter[str]) -> tuple[Any, list[str]]:
    """A title and numbered steps, or bullets where nothing has a number.

    The title is what a line in front of the steps calls so (``Task: ...``), else the last one there that does not lead
    over to something (``Here you go:``). Lines right below a step belong to it; everything else is turned down.
    """
    lines = [_DECORATION.sub("", line).strip() for line in text.splitlines()]
    pattern = _STEP if any(_STEP.match(line) for line in lines) else _BULLET
    heads: list[str] = []
    steps: list[str] = []
    num_rejected = 0
    can_continue = False
    for line in lines:
        match = pattern.match(line)
        if match is not None:
            steps.append(next(group for group in match.groups() if group is not None))
        elif line and not steps:
            heads.append(line)
        elif line and can_continue:
            steps[-1] += " " + _BULLET.sub(r"\1", line)
        else:
            num_rejected += bool(line)
        can_continue = bool(steps) and bool(line) and (match is not None or can_continue)
    title = _find_title(heads)
    num_rejected += len(heads) - bool(title)
    _count(rejected, {"talk": num_rejected} if num_rejected else {})
    reasons = [] if title else ["no_title: there is no line with the task's name in front of the steps"]
    return {"task": title, "steps": steps}, reasons + ([] if steps else ["no_steps: there is no line like '1. ...'"])


def parse_choice(text: str, field: str, offered: Collection[int]) -> tuple[Any, list[str]]:
    """The number behind the last ``ANSWER:``; only one that was offered counts."""
    plain = _DECORATION.sub("", text).replace("*", "")
    markers = list(_MARKER.finditer(plain))
    match = _NUMBER.match(plain, markers[-1].end()) if markers else None
    if match is None:
        return None, ["no_answer: there is no last line like 'ANSWER: <number>'"]
    number = int(match[1])
    if number not in offered:
        return None, [f"not_offered: {number} is none of {', '.join(map(str, offered))}"]
    return {"reason": "", field: number}, []


def _find_title(heads: Sequence[str]) -> str:
    for line in heads:
        match = _TITLE.match(line)
        if match is not None:
            return match[1].strip()
    return next((line for line in reversed(heads) if not line.endswith(":")), "")


def _turn_value(turn: Turn, labelled: bool) -> dict[str, Any]:
    value: dict[str, Any] = {"time": round(turn.time_s, 1), "role": turn.role, "text": turn.content}
    if labelled:
        initiative, _, intents = turn.labels.partition("|")
        # Without labels the value says so, and the check behind it asks for them.
        value |= {"initiative": initiative or NO_INITIATIVE, "intents": intents.split(",") if intents else []}
    return value


def _count(rejected: Counter[str], found: dict[str, int]) -> None:
    rejected.update({f"line_{reason}": number for reason, number in found.items()})
