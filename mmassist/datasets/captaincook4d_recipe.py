"""CaptainCook4D's step descriptions as sentences, and a recipe's steps in an order its task graph allows."""

from __future__ import annotations

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
    ignored. Where only cycles are left, the lowest number in a cycle that waits for no other cycle goes first.
    """
    nodes = graph.get("steps") if isinstance(graph, dict) else None
    if not isinstance(nodes, dict) or not nodes:
        return [], "no task graph, steps as listed in the recording"
    edges = graph.get("edges")
    if not isinstance(edges, list):
        return [], "no edges in the task graph, steps as listed in the recording"
    before: dict[str, set[str]] = {number: set() for number in nodes}
    for edge in edges:
        if isinstance(edge, list) and len(edge) == 2:
            first, then = str(edge[0]), str(edge[1])
            if first in before and then in before and first != then:
                before[then].add(first)
    order: list[str] = []
    remark = ""
    while before:
        ready = [number for number, needed in before.items() if not needed]
        if not ready:
            remark = "task graph has a cycle, broken at its lowest step number"
            ready = _outermost_cycles(before)
        chosen = min(ready, key=_rank)
        order.append(chosen)
        del before[chosen]
        for needed in before.values():
            needed.discard(chosen)
    texts = [clean_description(nodes[number]) for number in order if nodes[number] not in ("START", "END")]
    if not all(texts):
        remark = ", ".join(filter(None, (remark, "steps without description in the task graph left out")))
    return [text for text in texts if text], remark


def _outermost_cycles(before: dict[str, set[str]]) -> list[str]:
    """Nodes that need only nodes which need them in turn; there are some whenever every node needs another."""
    needs = {number: _needs(number, before) for number in before}
    return [number for number, needed in needs.items() if all(number in needs[other] for other in needed)]


def _needs(number: str, before: dict[str, set[str]]) -> set[str]:
    """All nodes that must precede one, at any distance."""
    found: set[str] = set()
    waiting = [number]
    while waiting:
        new = before[waiting.pop()] - found
        found |= new
        waiting += new
    return found


def _rank(number: str) -> tuple[int, str]:
    return (int(number) if number.isdecimal() and len(number) < 10 else 1 << 30, number)
