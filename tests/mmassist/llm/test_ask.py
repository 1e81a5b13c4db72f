from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from mmassist.core.errors import ItemError, Kind
from mmassist.llm.ask import Tally, ask_samples, ask_validated
from mmassist.llm.protocol import Answer, Message, Request, Sample

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
        "finish_reasons": {"stop": 1},
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
