"""CaptainCook4D's step descriptions as sentences, and a recipe's steps in an order its task graph allows."""

from __future__ import annotations

import heapq
import re
from typing import Any

_PREFIX = re.compile(r"([A-Za-z()]+(?: [A-Za-z()]+){0,3})( ?)-( ?)(\S.*)")


def clean_description(value: Any) -> str:
    """Turn ``Verb-Sentence`` into the sentence, with regular spacing and a capital at its start.

    The verb goes where the sentence has one of its own: it repeats the verb, begins with a capital, or stands apart
    from the hyphen. Otherwise the verb is the sentence's (``Add-1 egg to a blender``, ``season-pepper to taste``).
    """
    text = " ".join(value.split()) if isinstance(value, str) else ""
    found = _PREFIX.fullmatch(text)
    if found:
        verb, gap_before, gap_after, sentence = found.groups()
        is_whole = verb.split()[-1].lower() in sentence.lower() or sentence[0].isupper()
        is_whole = is_whole or (bool(gap_before or gap_after) and sentence[0].isalpha())
        text = sentence if is_whole else f"{verb} {sentence}"
    return text[:1].upper() + text[1:]


def order_steps(graph: Any) -> tuple[list[str], str]:
    """Descriptions of a task graph's steps, each after all that must precede it; and a remark ("" = none).

    Among steps that may come next the lowest number does, so the order is always the same. Edges to unknown steps are
    ignored; in a cycle the lowest number goes first.
    """
    nodes = graph.get("steps") if isinstance(graph, dict) else None
    if not isinstance(nodes, dict) or not nodes:
        return [], "no task graph, steps as listed in the recording"
    numbers = {number: str(text) for number, text in nodes.items()}
    before: dict[str, set[str]] = {number: set() for number in numbers}
    for edge in graph.get("edges") or []:
        if isinstance(edge, list) and len(edge) == 2:
            first, then = str(edge[0]), str(edge[1])
            if first in numbers and then in numbers and first != then:
                before[then].add(first)
    ready = [(_rank(number), number) for number, needed in before.items() if not needed]
    heapq.heapify(ready)
    order: list[str] = []
    remark = ""
    waiting = {number for number, needed in before.items() if needed}
    while ready or waiting:
        if not ready:
            remark = "task graph has a cycle, broken at the lowest step number"
            number = min(waiting, key=lambda number: (_rank(number), number))
            waiting.discard(number)
        else:
            number = heapq.heappop(ready)[1]
        order.append(number)
        for later in sorted(waiting):
            before[later].discard(number)
            if not before[later]:
                waiting.discard(later)
                heapq.heappush(ready, (_rank(later), later))
    texts = [clean_description(numbers[number]) for number in order if numbers[number] not in ("START", "END")]
    return [text for text in texts if text], remark


def _rank(number: str) -> int:
    return int(number) if number.isdecimal() else 1 << 30
