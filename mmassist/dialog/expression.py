"""Expressions over what judges say of a dialog: ``llm.correctness >= 4 and timing.no_resp_user_turns == 0``.

The text has Python's grammar and precedence, and is read by the rules below alone: nothing of it is ever executed.
A value that a judge could not give is null. What is computed from null is null, and so is what has no finite value
(a division by zero); a comparison with null is false, whichever it is.
"""

from __future__ import annotations

import ast
import math
import operator
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from mmassist.core.config import nearest
from mmassist.core.errors import ItemError, Kind

Values = Mapping[str, Mapping[str, float | None]]  # judge -> name of a value -> the value
Number = Callable[[Values], float | None]
Condition = Callable[[Values], bool]

DEFAULT_VALUE = "final_score"  # what a judge's name alone stands for
MAX_CHARACTERS = 1000
MAX_DEPTH = 100
ALLOWED = "numbers, JUDGE, JUDGE.VALUE, + - * /, comparisons, and, or, not, parentheses, min, max and abs"

_ARITHMETIC: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
_COMPARISONS: dict[type[ast.cmpop], Callable[[float, float], bool]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
_FUNCTIONS: dict[str, Callable[..., float]] = {"min": min, "max": max, "abs": abs}


class ExpressionError(ValueError):
    """The text is no such expression; the message names the place and what is wrong there."""


@dataclass(frozen=True)
class Name:
    """A value that an expression asks for, and where in the text; positions count from 1."""

    judge: str
    value: str
    position: int


@dataclass(frozen=True)
class Score:
    """An expression that gives a number."""

    text: str
    names: tuple[Name, ...]
    compute: Number  # raises ItemError for a value that the judge does not have


@dataclass(frozen=True)
class Filter:
    """An expression that is true or false."""

    text: str
    names: tuple[Name, ...]
    holds: Condition  # raises ItemError for a value that the judge does not have


def parse_score(text: str) -> Score:
    """Read an expression that gives a number. Raises ExpressionError."""
    reader = _Reader(text)
    compute = reader.number(reader.root)
    return Score(text, reader.names(), compute)


def parse_filter(text: str) -> Filter:
    """Read an expression that is true or false. Raises ExpressionError."""
    reader = _Reader(text)
    holds = reader.condition(reader.root)
    return Filter(text, reader.names(), holds)


def check_names(names: tuple[Name, ...], known: Mapping[str, tuple[str, ...]]) -> None:
    """Look for values that their judge never gives; judges that are not in ``known`` pass. Raises ExpressionError."""
    for name in names:
        if name.judge in known and name.value not in known[name.judge]:
            close = nearest(name.value, known[name.judge])
            raise ExpressionError(
                f"judge {name.judge!r} gives no value {name.value!r} (at position {name.position}).{close}"
            )


class _Reader:
    """Turns one text into nested functions, checking on the way that numbers and conditions stand where they may."""

    def __init__(self, text: str):
        if len(text) > MAX_CHARACTERS:
            raise ExpressionError(f"it has {len(text)} characters, {MAX_CHARACTERS} are allowed")
        plain = re.sub(r"[\r\n]", " ", text)  # a line break in YAML means nothing
        self._text = plain.lstrip()  # Python takes leading blanks for an indentation
        self._shift = len(plain) - len(self._text)
        self._names: list[Name] = []
        if not self._text:
            raise ExpressionError(f"it is empty; allowed are {ALLOWED}")
        self.root = self._parse()
        if _depth(self.root) > MAX_DEPTH:  # reading it must not end in a RecursionError
            raise ExpressionError(f"it is nested more than {MAX_DEPTH} deep")

    def names(self) -> tuple[Name, ...]:
        """The values asked for. Raises ExpressionError when there are none: the same for all dialogs."""
        if not self._names:
            raise ExpressionError("it names no judge, so that it is the same for all dialogs")
        return tuple(self._names)

    def number(self, node: ast.expr) -> Number:
        """The function that computes ``node``. Raises ExpressionError where it gives no number."""
        match node:
            case ast.Constant(value=bool()):
                raise self._refused(node)
            case ast.Constant(value=int() | float() as literal):
                return self._literal(node, literal)
            case ast.Name(id=judge):
                return self._value(node, judge, DEFAULT_VALUE)
            case ast.Attribute(value=ast.Name(id=judge), attr=value):
                return self._value(node, judge, value)
            case ast.UnaryOp(op=ast.UAdd(), operand=operand):
                return self.number(operand)
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return _computed(operator.neg, [self.number(operand)])
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _ARITHMETIC:
                return _computed(_ARITHMETIC[type(op)], [self.number(left), self.number(right)])
            case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]) if name in _FUNCTIONS:
                return self._function(node, name, arguments)
            case ast.Compare() | ast.BoolOp() | ast.UnaryOp(op=ast.Not()):
                raise self._error(node, "is true or false, where a number is needed")
        raise self._refused(node)

    def condition(self, node: ast.expr) -> Condition:
        """The function that decides ``node``. Raises ExpressionError where it is not true or false."""
        match node:
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                inner = self.condition(operand)
                return lambda values: not inner(values)
            case ast.BoolOp(op=op, values=parts):
                conditions = [self.condition(part) for part in parts]
                combine = all if isinstance(op, ast.And) else any
                return lambda values: combine(one(values) for one in conditions)
            case ast.Compare(left=left, ops=ops, comparators=others):
                if not all(type(op) in _COMPARISONS for op in ops):
                    raise self._refused(node)
                sides = [self.number(side) for side in (left, *others)]
                return _compared([_COMPARISONS[type(op)] for op in ops], sides)
        self.number(node)  # says what is wrong where it is no number either
        raise self._error(node, "is a number, where true or false is needed; compare it, as in JUDGE.VALUE >= 4")

    def _parse(self) -> ast.expr:
        try:
            with warnings.catch_warnings():  # of Python's about odd literals, which are refused anyway
                warnings.simplefilter("ignore")
                return ast.parse(self._text, mode="eval").body
        except SyntaxError as error:
            # Where the text ends too early, Python names the start of the next line.
            place = (error.offset if error.lineno == 1 and error.offset else len(self._text) + 1) + self._shift
            raise ExpressionError(
                f"it cannot be read at position {place} ({error.msg}); allowed are {ALLOWED}"
            ) from error
        except (ValueError, RecursionError, MemoryError) as error:
            raise ExpressionError(f"it cannot be read ({error}); allowed are {ALLOWED}") from error

    def _literal(self, node: ast.expr, value: float) -> Number:
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if not math.isfinite(number):
            raise self._error(node, "is no finite number")
        return lambda values: number

    def _value(self, node: ast.expr, judge: str, value: str) -> Number:
        if judge in _FUNCTIONS:
            raise self._error(node, f"names the function {judge}, which takes its arguments in parentheses")
        self._names.append(Name(judge, value, self._position(node)))
        return lambda values: _look_up(values, judge, value)

    def _function(self, node: ast.expr, name: str, arguments: list[ast.expr]) -> Number:
        if name == "abs" and len(arguments) != 1:
            raise self._error(node, f"has {len(arguments)} arguments, but abs takes one")
        if name != "abs" and len(arguments) < 2:
            raise self._error(node, f"has fewer than two arguments, which {name} takes at least")
        return _computed(_FUNCTIONS[name], [self.number(argument) for argument in arguments])

    def _refused(self, node: ast.expr) -> ExpressionError:
        return self._error(node, f"is not allowed; allowed are {ALLOWED}")

    def _error(self, node: ast.expr, what: str) -> ExpressionError:
        segment = ast.get_source_segment(self._text, node) or ""
        short = segment if len(segment) <= 60 else f"{segment[:59]}…"
        return ExpressionError(f"{short!r} at position {self._position(node)} {what}")

    def _position(self, node: ast.expr) -> int:
        before = self._text.encode()[: node.col_offset]  # Python counts bytes
        return len(before.decode()) + 1 + self._shift


def _computed(function: Callable[..., float], parts: Sequence[Number]) -> Number:
    def compute(values: Values) -> float | None:
        numbers = [part(values) for part in parts]
        if None in numbers:
            return None
        try:
            result = function(*numbers)
        except ZeroDivisionError:
            return None
        return result if math.isfinite(result) else None

    return compute


def _compared(comparisons: Sequence[Callable[[float, float], bool]], sides: Sequence[Number]) -> Condition:
    def holds(values: Values) -> bool:
        numbers = [side(values) for side in sides]
        pairs = zip(comparisons, pairwise(numbers), strict=True)
        return all(a is not None and b is not None and compare(a, b) for compare, (a, b) in pairs)

    return holds


def _look_up(values: Values, judge: str, value: str) -> float | None:
    found = values[judge]
    if value not in found:
        raise ItemError(
            Kind.PERMANENT, f"judge {judge!r} gives no value {value!r} here; it gives {', '.join(sorted(found))}"
        )
    return found[value]


def _depth(root: ast.expr) -> int:
    depth, level = 0, [root]
    while level:
        depth += 1
        level = [child for node in level for child in ast.iter_child_nodes(node) if isinstance(child, ast.expr)]
    return depth
