"""Node features as ``sbatch --constraint`` asks for them: names joined by ``&``, ``,`` or ``|``, with brackets."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection

Test = Callable[[Collection[str]], bool]
_TOKENS = re.compile(r"\s*([A-Za-z0-9_.:+=%/@-]+(?:\*\d+)?|[&|,()\[\]])")


class UnknownSyntax(ValueError):
    """The constraint is written in a way that only SLURM itself can judge."""


def parse_constraint(text: str) -> Test:
    """The test that one node's features must pass for an allocation of one node.

    ``[a|b]`` asks that all nodes agree, which one node always does. Raises UnknownSyntax, also where ``&`` and ``|``
    are mixed without brackets, since SLURM's versions differ in which binds tighter.
    """
    tokens = _split(text)
    test, rest = _parse_level(tokens)
    if rest:
        raise UnknownSyntax(text)
    return test


def _split(text: str) -> list[str]:
    tokens, place = [], 0
    while place < len(text.rstrip()):
        found = _TOKENS.match(text, place)
        if found is None:
            raise UnknownSyntax(text)
        tokens.append(found[1])
        place = found.end()
    return tokens


def _parse_level(tokens: list[str]) -> tuple[Test, list[str]]:
    first, rest = _parse_term(tokens)
    tests, operators = [first], set()
    while rest and rest[0] in ("&", ",", "|"):
        operators.add("|" if rest[0] == "|" else "&")
        test, rest = _parse_term(rest[1:])
        tests.append(test)
    if len(operators) > 1:
        raise UnknownSyntax("& and | without brackets")
    combine = any if "|" in operators else all
    return (lambda features: combine(test(features) for test in tests)), rest


def _parse_term(tokens: list[str]) -> tuple[Test, list[str]]:
    if not tokens:
        raise UnknownSyntax("a name is missing")
    head, rest = tokens[0], tokens[1:]
    if head in ("(", "["):
        test, rest = _parse_level(rest)
        if not rest or rest[0] != (")" if head == "(" else "]"):
            raise UnknownSyntax("brackets do not match")
        return test, rest[1:]
    if head in "&|,)]":
        raise UnknownSyntax(f"{head} without a name")
    name, _, count = head.partition("*")
    if count and int(count) > 1:  # so many nodes of the kind, and an element has one
        return (lambda features: False), rest
    return (lambda features: name in features), rest
