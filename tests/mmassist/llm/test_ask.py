from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from mmassist.core.errors import ItemError, Kind
from mmassist.llm.ask import Tally, ask_samples, schema_reasons
from mmassist.llm.protocol import Answer, Message, Request, Sample
from tests.mmassist.llm.asking import ask_validated

SCHEMA = {
    "type": "object",
    "properties": {"n": {"type": "integer"}},
    "required": ["n"],
    "additionalProperties": False,
}


class Replies:
    """A model that says what it is told to, and remembers what it was asked."""

    def __init__(self, *replies: Sequence[Sample]):
        self.replies = list(replies)
        self.requests: list[Request] = []

    async def ask(self, request: Request) -> Answer:
        self.requests.append(request)
        return Answer(tuple(self.replies.pop(0)), "fake")


def request(num_samples: int = 1, schema: dict[str, Any] | None = SCHEMA) -> Request:
    return Request("goal", "goal/1", (Message("user", "how many"),), schema, {}, num_samples)


def small(value: Any) -> tuple[int, list[str]]:
    return value["n"], ["too_big: n is above 9"] if value["n"] > 9 else []


def ask(model: Replies, tally: Tally) -> int:
    return asyncio.run(ask_validated(model, request(), small, tally))


def test_a_valid_answer_needs_one_request() -> None:
    tally, model = Tally(), Replies([Sample('{"n": 3}')])
    assert ask(model, tally) == 3
    assert tally.to_row() == {
        "num_requests": 1,
        "num_samples": 1,
        "num_repairs": 0,
        "num_failures": 0,
        "rejected": {},
        "repaired": {},
        "finish_reasons": {"stop": 1},
        "engines": ["fake"],
    }


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        (Sample('{"n": 3'), "invalid_json"),
        (Sample('Here: {"n": 3}'), "invalid_json"),
        (Sample('{"n": NaN}'), "invalid_json"),
        (Sample('{"n": "three"}'), "schema"),
        (Sample("{}"), "schema"),
        (Sample('{"n": 3, "m": 4}'), "schema"),
        (Sample('{"n": 30}'), "too_big"),
        (Sample('{"n": 3}', "length"), "length"),
    ],
)
def test_a_bad_answer_is_shown_with_the_reasons_and_repaired(bad: Sample, code: str) -> None:
    tally, model = Tally(), Replies([bad], [Sample('{"n": 4}')])
    assert ask(model, tally) == 4
    assert (tally.num_repairs, tally.num_failures, dict(tally.rejected)) == (1, 0, {code: 1})
    first, repair = model.requests
    assert repair.messages[:-2] == first.messages
    assert repair.messages[-2] == Message("assistant", bad.text)
    assert code in repair.messages[-1].content
    assert repair.seed != first.seed and repair.is_repair


def test_one_repair_turn_and_no_more() -> None:
    tally, model = Tally(), Replies([Sample("x")], [Sample('{"n": 30}')], [Sample('{"n": 3}')])
    with pytest.raises(ItemError, match="too_big") as found:
        ask(model, tally)
    assert found.value.kind is Kind.PERMANENT
    assert len(model.requests) == 2
    assert (tally.num_failures, dict(tally.rejected)) == (1, {"invalid_json": 1, "too_big": 1})


def test_of_many_samples_the_valid_ones_are_kept() -> None:
    tally, model = Tally(), Replies([Sample('{"n": 1}'), Sample("x"), Sample('{"n": 2}')])
    assert asyncio.run(ask_samples(model, request(3), small, tally)) == [1, 2]
    assert (tally.num_samples, tally.num_repairs, dict(tally.rejected)) == (3, 0, {"invalid_json": 1})


def test_plain_text_goes_to_the_caller_as_it_is() -> None:
    model = Replies([Sample("SUMMARY: fine")])
    read = asyncio.run(ask_validated(model, request(schema=None), lambda text: (text.upper(), []), Tally()))
    assert read == "SUMMARY: FINE"


def test_an_answer_is_held_to_its_shape_where_decoding_is_narrower() -> None:
    narrow = {**SCHEMA, "properties": {"n": {"const": 7}}}
    tally, model = Tally(), Replies([Sample('{"n": 3}')])
    assert asyncio.run(ask_validated(model, request(schema=narrow), small, tally, shape=SCHEMA)) == 3
    assert model.requests[0].schema == narrow


def test_lines_are_read_and_then_held_to_the_same_shape() -> None:
    def parse(text: str) -> tuple[Any, list[str]]:
        return ({"n": int(text)}, []) if text.isdigit() else (None, ["no_number: there is none"])

    tally, model = Tally(), Replies([Sample("five")], [Sample("5")])
    asked = asyncio.run(ask_validated(model, request(schema=None), small, tally, SCHEMA, parse))
    assert (asked, dict(tally.rejected)) == (5, {"no_number": 1})
    tally, model = Tally(), Replies([Sample("30")], [Sample("5")])
    assert asyncio.run(ask_validated(model, request(schema=None), small, tally, SCHEMA, parse)) == 5
    assert dict(tally.rejected) == {"too_big": 1}


@pytest.mark.parametrize("value", [3.3, 88.4, 0.1 + 0.2, 1e6, 0, 5, 99999.9])
def test_multiples_of_a_tenth_are_recognised(value: float) -> None:
    assert schema_reasons(value, {"multipleOf": 0.1}) == []


def test_what_is_no_multiple_is_said() -> None:
    assert schema_reasons(3.35, {"multipleOf": 0.1}) == ["schema: at $ 3.35 is not a multiple of 0.1"]
    assert schema_reasons("x", {"multipleOf": 0.1}) == []


def test_tokens_are_summed_by_kind_and_stay_out_of_the_row() -> None:
    tally = Tally()
    for kind in ("dialog", "summary", "summary"):
        tally.note(Answer((Sample(""),), "big 2", {"prompt_tokens": 10, "cached_tokens": 4}), kind)
    tally.note(Answer((Sample(""),), "big 1"), "goal")
    assert tally.num_tokens("prompt_tokens") == 30
    assert tally.num_tokens("cached_tokens", ["summary"]) == 8
    assert tally.num_tokens("completion_tokens") == 0
    assert tally.to_row()["engines"] == ["big 1", "big 2"]
    assert "token" not in str(tally.to_row())


def test_deeply_nested_json_is_an_invalid_answer() -> None:
    tally, model = Tally(), Replies([Sample("[" * 100_000)], [Sample('{"n": 4}')])
    assert ask(model, tally) == 4
    assert dict(tally.rejected) == {"invalid_json": 1}
