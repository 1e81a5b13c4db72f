"""A model's ratings: read from its answers, as JSON or as lines of text, and summed up over several samples."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, pstdev
from typing import Any

from mmassist.dialog.rubric import HIGHEST, LOWEST, RATIONALE, Criterion

# What models put around a line of a list, a table or a heading.
_DECORATION = re.compile(r"^[\s>#|*•·\-–—]*(?:\d+[.)]\s+)?")
_REMARK = r"(?:\s*(?:\([^)]*\)|\[[^\]]*\]))?"
_LABEL = re.compile(rf"{RATIONALE}s?{_REMARK}\s*(?:[:=|]|[-–—](?=\s)|$)\s*(.*)", re.IGNORECASE)
# A sentence like "alignment: 3 turns are late" is no rating: behind the number only a remark may follow.
_VALUE = re.compile(
    r"(?:\s*(?:score|rating))?\s*(?:[:=|]|[-–—](?=\s)|\s)\s*(?P<number>[+-]?\d{1,9}(?:\.\d{1,9})?)"
    r"(?:\s*(?:/|out\s+of|of)\s*(?P<scale>\d{1,9}))?(?P<rest>\s*(?:[-–—.,;:()\[|]|(?:to|or)\s+\d).*|\s*)",
    re.IGNORECASE,
)
_RANGE = re.compile(r"\s*(?:[-–—]|to|or)\s*\d", re.IGNORECASE)


@dataclass(frozen=True)
class Rating:
    """One sample: a whole number per criterion, and why."""

    numbers: Mapping[str, int]
    rationale: str


def read_rating(answer: Any, criteria: Sequence[Criterion], has_schemas: bool) -> tuple[Rating, list[str]]:
    """The rating in an answer, with the reasons against it; a validation callback of ``mmassist.llm.ask``.

    With schemas the answer is an object that already holds to ``rubric.rating_schema``.
    """
    if not has_schemas:
        return read_lines(answer, criteria)
    rating = Rating({c.name: int(answer[c.name]) for c in criteria}, answer[RATIONALE].strip())
    return rating, [] if rating.rationale else ["no_rationale: the rationale is empty"]


def read_lines(text: str, criteria: Sequence[Criterion]) -> tuple[Rating, list[str]]:
    """Take ``criterion: n`` from lines of text, however they are decorated (bold, bullets, ``4/5``, ``4 out of 5``).

    All other lines, from one that begins with ``rationale`` where there is one, are the rationale. Reasons against the
    answer: a criterion that is missing or has several numbers, a number that is not whole, out of range or on another
    scale, and no rationale at all.
    """
    numbers: dict[str, int] = {}
    reasons: list[str] = []
    said: list[str] = []
    is_labelled = False
    for line in text.splitlines():
        plain = _undecorated(line)
        found = _find_value(plain, criteria)
        label = _LABEL.fullmatch(plain)
        if found is not None:
            name, match = found
            number, reason = _whole(name, match)
            if not reason and numbers.get(name, number) != number:
                reason = f"several_numbers: {name} is rated more than once, and not alike"
            if reason:
                reasons.append(reason)
            numbers.setdefault(name, number)
        elif label is not None and not is_labelled:
            is_labelled, said = True, [label[1]]
        else:
            said.append(plain)
    missing = [criterion.name for criterion in criteria if criterion.name not in numbers]
    reasons += [f"no_number: the line '{name}: n' is missing" for name in missing]
    rationale = " ".join(" ".join(said).split())
    rationale = rationale.encode(errors="replace").decode()  # no file could hold half a surrogate pair
    if not rationale:
        reasons.append("no_rationale: the line 'rationale: ...' is missing or empty")
    return Rating(numbers, rationale), reasons


def aggregate(samples: Sequence[int]) -> dict[str, Any]:
    """``mean`` and ``spread`` (standard deviation over just these samples) beside the samples; null without any."""
    mean = fmean(samples) if samples else None
    return {"mean": mean, "spread": pstdev(samples) if samples else None, "samples": list(samples)}


def summarise(ratings: Sequence[Rating], criteria: Sequence[Criterion], reason: str = "") -> dict[str, Any]:
    """One row: every criterion aggregated, the rationales in the order of the samples, and why there are none."""
    row: dict[str, Any] = {c.name: aggregate([rating.numbers[c.name] for rating in ratings]) for c in criteria}
    return row | {"rationales": [rating.rationale for rating in ratings], "reason": reason}


def overall(row: Mapping[str, Any], criteria: Sequence[Criterion]) -> float | None:
    """Mean of the criteria's means; None for a row without ratings."""
    means = [row[criterion.name]["mean"] for criterion in criteria]
    return None if None in means else fmean(means)


def _undecorated(line: str) -> str:
    line = re.sub(r"[*`\"]|__", "", line)
    return _DECORATION.sub("", line, count=1).strip()


def _find_value(line: str, criteria: Sequence[Criterion]) -> tuple[str, re.Match[str]] | None:
    for criterion in criteria:
        name = re.sub("_", "[ _-]?", criterion.name)
        start = re.match(rf"{name}{_REMARK}(?![a-z_])", line, re.IGNORECASE)
        match = _VALUE.fullmatch(line, start.end()) if start else None
        if match:
            return criterion.name, match
    return None


def _whole(name: str, match: re.Match[str]) -> tuple[int, str]:
    """The number of a line, and the reason against it."""
    value, scale = float(match["number"]), match["scale"]
    shown = match[0].strip(" :=|")
    if _RANGE.match(match["rest"]):
        return 0, f"several_numbers: {name} is {shown!r}; it must be one number"
    if value != int(value):
        return 0, f"not_whole: {name} is {shown!r}; it must be a whole number"
    if (scale and int(scale) != HIGHEST) or not LOWEST <= value <= HIGHEST:
        return 0, f"out_of_range: {name} is {shown!r}; it must be a whole number from {LOWEST} to {HIGHEST}"
    return int(value), ""
