from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from mmassist.llm.protocol import Answer, Message, Request, Sample

REQUEST = Request("dialog", "dialog/1", (Message("user", "hi"),), {"type": "object"}, {"goal": "tea"}, seed=3)

CHANGES: list[dict[str, Any]] = [
    {"kind": "refine"},
    {"template": "dialog/2"},
    {"messages": (Message("user", "ho"),)},
    {"schema": None},
    {"payload": {"goal": "coffee"}},
    {"num_samples": 2},
    {"seed": 4},
    {"max_tokens": 1},
    {"temperature": 0.6},
    {"top_p": 0.5},
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: next(iter(change)))
def test_whatever_changes_the_answer_changes_the_digest(change: dict[str, Any]) -> None:
    assert replace(REQUEST, **change).digest() != REQUEST.digest()
    assert replace(REQUEST).digest() == REQUEST.digest()


def test_answers_survive_a_journal() -> None:
    answer = Answer((Sample("{}"), Sample("{", "length")), "scripted", {"prompt_tokens": 3})
    assert Answer.from_row(json.loads(json.dumps(answer.to_row()))) == answer


def test_a_request_with_an_answer_in_it_is_a_repair() -> None:
    assert not REQUEST.is_repair
    assert replace(REQUEST, messages=(*REQUEST.messages, Message("assistant", "{"))).is_repair
