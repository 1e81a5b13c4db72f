"""Expressions of judges' values: they compute what Python would, and nothing else is ever let through."""

from __future__ import annotations

import keyword
import math
import operator
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmassist.core.errors import ItemError
from mmassist.dialog.expression import ExpressionError, check_names, parse_filter, parse_score

VALUES = {
    "timing": {"final_score": 7.0, "no_resp_user_turns": 0.0, "avg_time_diff_p": None},
    "llm": {"final_score": 4.0, "correctness": 4.5, "naturalness": 3.0},
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("timing", 7.0),
        ("timing.final_score", 7.0),
        ("0.5 * llm + timing / 2 - -1", 6.5),
        ("(llm + timing) * 2", 22.0),
        ("max(llm, timing, 9)", 9.0),
        ("min(llm.correctness, abs(-llm.naturalness))", 3.0),
        ("  llm.correctness\n  + llm.naturalness", 7.5),
        ("+llm", 4.0),
    ],
)
def test_a_score_is_a_number(text: str, expected: float) -> None:
    assert parse_score(text).compute(VALUES) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("llm.correctness >= 4 and timing.no_resp_user_turns == 0", True),
        ("llm.correctness > 4.5 or timing < 7", False),
        ("not llm.correctness > 4.5", True),
        ("3 < llm.correctness <= 4.5 < timing", True),
        ("3 < llm.correctness < 4.5", False),
        ("llm != timing", True),
        ("not (llm > 1 and timing > 9) or llm < 0", True),
    ],
)
def test_a_filter_is_true_or_false(text: str, expected: bool) -> None:
    assert parse_filter(text).holds(VALUES) is expected


@pytest.mark.parametrize("text", ["timing.avg_time_diff_p", "timing / timing.no_resp_user_turns", "1e308 * 10 * llm"])
def test_what_has_no_value_is_null_and_so_is_what_is_made_of_it(text: str) -> None:
    for expression in (text, f"-({text})", f"max({text}, 1)", f"{text} * 0", f"abs({text}) + timing"):
        assert parse_score(expression).compute(VALUES) is None
    for comparison in ("<", "<=", ">", ">=", "==", "!="):
        assert not parse_filter(f"{text} {comparison} 1").holds(VALUES)
        assert not parse_filter(f"{text} {comparison} {text}").holds(VALUES)
    assert parse_filter(f"not {text} > 1").holds(VALUES)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "it is empty; allowed are numbers, JUDGE, JUDGE.VALUE, + - * /, comparisons, and, or, not, parentheses"),
        ("5", "it names no judge"),
        ("llm >= 4", "'llm >= 4' at position 1 is true or false, where a number is needed"),
        ("1 + (llm and timing)", "'llm and timing' at position 6 is true or false, where a number is needed"),
        ("1 + llm.correctness ** 2", "'llm.correctness ** 2' at position 5 is not allowed; allowed are numbers"),
        ("é + llm ** 2", "'llm ** 2' at position 5 is not allowed"),
        ("  llm ** 2", "'llm ** 2' at position 3 is not allowed"),
        ("llm *", "it cannot be read at position 6"),
        ("2 llm", "it cannot be read at position 3"),
        ("llm = 3", "it cannot be read at position 5"),
        ("llm.correctness.mean", "'llm.correctness.mean' at position 1 is not allowed"),
        ("True + llm", "'True' at position 1 is not allowed"),
        ("llm + 'a'", "at position 7 is not allowed"),
        ("llm + 3j", "'3j' at position 7 is not allowed"),
        ("1e999 * llm", "'1e999' at position 1 is no finite number"),
        ("min + llm", "'min' at position 1 names the function min"),
        ("min(llm)", "'min(llm)' at position 1 has fewer than two arguments"),
        ("abs(llm, 1)", "'abs(llm, 1)' at position 1 has 2 arguments, but abs takes one"),
        ("max(llm, key=abs)", "'max(llm, key=abs)' at position 1 is not allowed"),
        ("max(*llm, 1)", "'*llm' at position 5 is not allowed"),
        ("round(llm)", "'round(llm)' at position 1 is not allowed"),
        ("llm if timing else 1", "'llm if timing else 1' at position 1 is not allowed"),
        ("llm" + " + 1" * 300, "it has 1203 characters, 1000 are allowed"),
        ("-" * 300 + "llm", "it is nested more than 100 deep"),
    ],
)
def test_a_mistake_in_a_score_names_its_place_and_what_is_allowed(text: str, expected: str) -> None:
    with pytest.raises(ExpressionError) as error:
        parse_score(text)
    assert expected in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("llm", "'llm' at position 1 is a number, where true or false is needed; compare it"),
        ("llm >= 4 and timing", "'timing' at position 14 is a number, where true or false is needed"),
        ("not llm", "'llm' at position 5 is a number"),
        ("llm in 3", "'llm in 3' at position 1 is not allowed"),
        ("llm is not 3", "'llm is not 3' at position 1 is not allowed"),
        ("(llm > 3) > 2", "'llm > 3' at position 2 is true or false, where a number is needed"),
        ("1 < 2", "it names no judge"),
    ],
)
def test_a_mistake_in_a_filter_likewise(text: str, expected: str) -> None:
    with pytest.raises(ExpressionError) as error:
        parse_filter(text)
    assert expected in str(error.value)


def test_the_names_say_what_is_asked_for_and_where() -> None:
    names = parse_filter("llm.correctness >= 4 and timing > 3").names
    assert [(n.judge, n.value, n.position) for n in names] == [
        ("llm", "correctness", 1),
        ("timing", "final_score", 26),
    ]
    check_names(names, {"timing": ("final_score",)})  # of llm nothing is known
    with pytest.raises(ExpressionError, match=r"'llm' gives no value 'correctness' \(at position 1\).* 'corectness'"):
        check_names(names, {"llm": ("corectness", "overall")})


def test_a_value_that_a_judge_does_not_have_fails_the_item_and_names_what_there_is() -> None:
    with pytest.raises(ItemError, match="'llm' gives no value 'corectness' here; it gives correctness, final_score"):
        parse_score("llm.corectness").compute(VALUES)


class Nullable:
    """A number or nothing, to let Python itself evaluate an expression by the rules for null."""

    def __init__(self, value: float | None):
        self.value = value if value is not None and math.isfinite(value) else None

    def _with(self, other: Nullable, compute: Callable[[float, float], float]) -> Nullable:
        if self.value is None or other.value is None:
            return Nullable(None)
        try:
            return Nullable(compute(self.value, other.value))
        except ZeroDivisionError:
            return Nullable(None)

    def _is(self, other: Nullable, compare: Callable[[float, float], bool]) -> bool:
        return self.value is not None and other.value is not None and compare(self.value, other.value)

    def __add__(self, other: Nullable) -> Nullable:
        return self._with(other, operator.add)

    def __sub__(self, other: Nullable) -> Nullable:
        return self._with(other, operator.sub)

    def __mul__(self, other: Nullable) -> Nullable:
        return self._with(other, operator.mul)

    def __truediv__(self, other: Nullable) -> Nullable:
        return self._with(other, operator.truediv)

    def __neg__(self) -> Nullable:
        return Nullable(None if self.value is None else -self.value)

    def __lt__(self, other: Nullable) -> bool:
        return self._is(other, operator.lt)

    def __le__(self, other: Nullable) -> bool:
        return self._is(other, operator.le)

    def __gt__(self, other: Nullable) -> bool:
        return self._is(other, operator.gt)

    def __ge__(self, other: Nullable) -> bool:
        return self._is(other, operator.ge)

    def __eq__(self, other: object) -> bool:
        assert isinstance(other, Nullable)
        return self._is(other, operator.eq)

    def __ne__(self, other: object) -> bool:
        assert isinstance(other, Nullable)
        return self._is(other, operator.ne)

    __hash__ = None  # type: ignore[assignment]


def choose(function: Callable[..., float], *numbers: Nullable) -> Nullable:
    values = [number.value for number in numbers]
    return Nullable(None if None in values else function(*values))


# Pairs of a text of ours and the same for Python, which needs its numbers wrapped.
literals = st.floats(0, 100).map(lambda number: (repr(number), f"number({number!r})"))
names = st.sampled_from(["a.x", "a.y", "b.x", "b.final_score"]).map(lambda name: (name, name)) | st.just(
    ("b", "b.final_score")
)


def deeper_numbers(inner: st.SearchStrategy[tuple[str, str]]) -> st.SearchStrategy[tuple[str, str]]:
    def call(function: str, *parts: tuple[str, str]) -> tuple[str, str]:
        ours, pythons = (", ".join(texts) for texts in zip(*parts, strict=True))
        return f"{function}({ours})", f"choose({function}, {pythons})"

    return (
        st.builds(
            lambda a, op, b: (f"{a[0]} {op} {b[0]}", f"{a[1]} {op} {b[1]}"), inner, st.sampled_from("+-*/"), inner
        )
        | inner.map(lambda a: (f"-{a[0]}", f"-{a[1]}"))
        | inner.map(lambda a: (f"({a[0]})", f"({a[1]})"))
        | st.builds(call, st.sampled_from(["min", "max"]), inner, inner)
        | inner.map(lambda a: call("abs", a))
    )


numbers = st.recursive(literals | names, deeper_numbers, max_leaves=12)
signs = st.sampled_from(["<", "<=", ">", ">=", "==", "!="])
comparisons = st.builds(
    lambda first, rest: (
        first[0] + "".join(f" {sign} {side[0]}" for sign, side in rest),
        first[1] + "".join(f" {sign} {side[1]}" for sign, side in rest),
    ),
    numbers,
    st.lists(st.tuples(signs, numbers), min_size=1, max_size=3),
)
conditions = st.recursive(
    comparisons,
    lambda inner: (
        st.builds(
            lambda a, op, b: (f"{a[0]} {op} {b[0]}", f"{a[1]} {op} {b[1]}"),
            inner,
            st.sampled_from(["and", "or"]),
            inner,
        )
        | inner.map(lambda a: (f"not {a[0]}", f"not {a[1]}"))
        | inner.map(lambda a: (f"({a[0]})", f"({a[1]})"))
    ),
    max_leaves=6,
)
some_values = st.fixed_dictionaries(
    {
        "a": st.fixed_dictionaries(
            {name: st.none() | st.sampled_from([0.0, 1.0]) | st.floats(-99, 99) for name in "xy"}
        ),
        "b": st.fixed_dictionaries({name: st.none() | st.floats(-99, 99) for name in ("x", "final_score")}),
    }
)


def by_python(text: str, values: dict[str, dict[str, float | None]]) -> Any:
    spaces = {
        judge: type(judge, (), {name: Nullable(value) for name, value in one.items()}) for judge, one in values.items()
    }
    builtins: dict[str, Any] = {"min": min, "max": max, "abs": abs, "choose": choose, "number": Nullable}
    return eval(text, {"__builtins__": {}}, builtins | spaces)


@given(numbers, some_values)
def test_numbers_are_what_python_computes(texts: tuple[str, str], values: dict[str, dict[str, float | None]]) -> None:
    ours, pythons = texts
    try:
        score = parse_score(ours)
    except ExpressionError as error:
        assert str(error).startswith(("it names no judge", "it has ", "it is nested"))
        return
    assert score.compute(values) == by_python(pythons, values).value


@given(conditions, some_values)
def test_conditions_are_what_python_decides(texts: tuple[str, str], values: dict[str, dict[str, float | None]]) -> None:
    ours, pythons = texts
    try:
        condition = parse_filter(ours)
    except ExpressionError as error:
        assert str(error).startswith(("it names no judge", "it has ", "it is nested"))
        return
    assert condition.holds(values) is by_python(pythons, values)


SIGNS = "()+-*/.,<>=!:[]{}'\"\\#@%&|^~;\n\0 "
PIECES = (
    "a",
    "b",
    ".x",
    "1",
    "1e9",
    "min(",
    "abs(",
    "__import__('os')",
    ".__class__",
    "None",
    "True",
    "f''",
    ":=",
    "**",
)
words = st.sampled_from([*SIGNS, *PIECES, *keyword.kwlist])


@given(st.lists(words, max_size=12).map(" ".join) | st.lists(words, max_size=12).map("".join) | st.text(max_size=30))
def test_any_text_is_computed_or_refused(text: str) -> None:
    values = {"a": {"x": 1.0, "final_score": 2.0}, "b": {"x": None, "final_score": 0.0}}
    for parse in (parse_score, parse_filter):
        try:
            found = parse(text)
        except ExpressionError as error:
            assert str(error) and "\n" not in str(error).replace(text, "")
            continue
        if all(name.judge in values and name.value in values[name.judge] for name in found.names):
            result = found.compute(values) if hasattr(found, "compute") else found.holds(values)  # type: ignore[union-attr]
            assert result is None or isinstance(result, (float, bool))


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('touch {}')",
        "llm.__class__.__mro__[1].__subclasses__()",
        "(lambda: open('{}', 'w'))() + llm",
        "[open('{}', 'w') for _ in (1,)][0] + llm",
        "(x := open('{}', 'w')) and llm",
        "min(llm, open('{}', 'w'))",
        "f\"{{open('{}', 'w')}}\" + llm",
        "llm + open('{}', 'w').write('')",
        "min.__self__.eval('1') + llm",
        "await llm",
        "llm @ llm",
        "llm[0]",
        "{{**llm}}",
    ],
)
def test_nothing_of_a_refused_text_runs(text: str, tmp_path) -> None:
    for parse in (parse_score, parse_filter):
        with pytest.raises(ExpressionError):
            parse(text.format(tmp_path / "made"))
    assert not list(tmp_path.iterdir())
