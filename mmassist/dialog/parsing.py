"""Turns as lines of text: the reference's grammar, and a tolerant reading of what models make of it."""

from __future__ import annotations

import math
import re
from collections import Counter
from dataclasses import dataclass, field, replace

from mmassist.dialog.label import DEFAULT_LABELS, parse_labels
from mmassist.dialog.turn import Turn, merge_repeats

ROLES = ("user", "assistant")

_REFERENCE_LINE = re.compile(r"\[([^\]]*)s\] ([^:]*): (.*)")
_LABEL_GROUP = re.compile(r"\[([^\[\]|]*\|[^\[\]]*)\]")
_BULLET = re.compile(r"^(?:[-*•–]|\d{1,3}[.)])\s+")
_EMPHASIS = re.compile(r"\*\*|__|`")
_LINE = re.compile(r"^\[([^\]]*)\]\s*([A-Za-z][A-Za-z _-]*?)\s*:\s*(.*)$")
_NUMBER = r"(\d+(?:\.\d+)?)\s*(?:s|sec|seconds)?"
_TIME = re.compile(rf"^\s*{_NUMBER}(?:\s*(?:-|–|to)\s*{_NUMBER})?\s*$", re.IGNORECASE)


@dataclass
class ParsedTurns:
    """Turns in the order of the text, and how many lines were turned down, by reason."""

    turns: list[Turn]
    rejected: Counter[str] = field(default_factory=Counter)


def parse_lines(text: str, compat: bool, labelled: bool = True) -> ParsedTurns:
    """Read ``[12.0s] Role: text [initiative|intents]`` lines.

    Reference: the bracket is the line's first character and holds one number and ``s``; everything else is passed over
    (it is counted here all the same) and an unknown initiative raises UnknownInitiative. Corrected: blanks, bullets and
    bold in front, a missing ``s`` and ranges (their start) are accepted, and text lines right below a turn continue it;
    an assistant turn without labels has none, where the reference makes some up. Never raises. Both: neighbours of the
    same role and time become one turn.
    """
    return _parse_reference(text, labelled) if compat else _parse_tolerant(text, labelled)


def _parse_reference(text: str, labelled: bool) -> ParsedTurns:
    turns = []
    rejected: Counter[str] = Counter()
    for line in text.split("\n"):
        match = _REFERENCE_LINE.match(line)
        if match is None:
            rejected["no_turn"] += bool(line.strip())
            continue
        role = match[2].lower()
        try:
            time_s = float(match[1])
        except ValueError:
            rejected["bad_time"] += 1
            continue
        content = match[3].strip()
        if role not in ROLES:
            rejected["unknown_role"] += 1
        elif content.startswith("("):
            rejected["note"] += 1
        else:
            labels = ""
            if labelled and role == "assistant":
                group = _LABEL_GROUP.search(content)
                labels = parse_labels(group[1], compat=True)[0] if group else DEFAULT_LABELS
            turns.append(Turn(role, time_s, _LABEL_GROUP.sub("", content).strip(), labels))
    return ParsedTurns(merge_repeats(turns), +rejected)


def _parse_tolerant(text: str, labelled: bool) -> ParsedTurns:
    turns: list[Turn] = []
    rejected: Counter[str] = Counter()
    can_continue = False  # only the line right below an accepted turn can continue it
    for raw in text.splitlines():
        line = _EMPHASIS.sub("", _BULLET.sub("", raw.strip())).strip()
        match = _LINE.match(line)
        if not line:
            can_continue = False
        elif match is not None:
            turn, reason = _read_turn(match, labelled, rejected)
            can_continue = turn is not None
            if turn is not None:
                turns.append(turn)
            else:
                rejected[reason] += 1
        elif can_continue and not line.startswith(("[", "(")):
            turns[-1] = _continue(turns[-1], line, labelled)
        else:
            rejected["note" if line.startswith("(") else "no_turn"] += 1
    return ParsedTurns(merge_repeats(turns), rejected)


def _read_turn(match: re.Match[str], labelled: bool, rejected: Counter[str]) -> tuple[Turn | None, str]:
    time_s = _read_time(match[1])
    if time_s is None:
        return None, "bad_time"
    role = match[2].strip().lower()
    if role not in ROLES:
        return None, "unknown_role"
    content = " ".join(_LABEL_GROUP.sub("", match[3]).split())
    if not content:
        return None, "empty"
    labels = ""
    if labelled and role == "assistant":
        group = _LABEL_GROUP.search(match[3])
        labels, is_known = parse_labels(group[1], compat=False) if group else ("", True)
        rejected.update([] if is_known else ["unknown_initiative"])
    turn = Turn(role, time_s, content, labels)
    return (None, "note") if turn.is_remark else (turn, "")


def _continue(turn: Turn, line: str, labelled: bool) -> Turn:
    group = _LABEL_GROUP.search(line)
    content = f"{turn.content} {' '.join(_LABEL_GROUP.sub('', line).split())}".strip()
    if labelled and group and not turn.is_user and not turn.labels:
        return replace(turn, content=content, labels=parse_labels(group[1], compat=False)[0])
    return replace(turn, content=content)


def _read_time(text: str) -> float | None:
    match = _TIME.match(text)
    if match is None:
        return None
    time_s = float(match[1])
    return time_s if math.isfinite(time_s) else None
