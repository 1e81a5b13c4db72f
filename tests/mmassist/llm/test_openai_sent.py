from __future__ import annotations

import pytest

from mmassist.core.errors import ItemError, Kind
from mmassist.llm import openai_engine
from mmassist.llm.ask import Tally, ask_samples
from mmassist.llm.protocol import Message, Request, Sample
from tests.mmassist.llm import openai_server as server
from tests.mmassist.llm.openai_case import Asking, ask, read_number, request, with_engine
from tests.mmassist.llm.openai_case import short_waits as short_waits
from tests.mmassist.llm.openai_server import ScriptedServer, completion


def test_every_sample_has_a_seed_of_its_own_and_always_the_same() -> None:
    seeds = []
    for _ in range(2):
        with ScriptedServer() as place:
            with_engine(place, lambda llm: ask_samples(llm, request(10, seed=7), read_number, Tally()))
            seeds.append(sorted(seen.body["seed"] for seen in place.seen))
    assert seeds[0] == seeds[1]
    assert len(set(seeds[0])) == 10 and 7 in seeds[0] and 0 <= seeds[0][0] <= seeds[0][-1] < 2**31


def test_samples_stay_in_the_order_of_their_seeds() -> None:
    def deed(handler: server.Handler) -> None:
        seed = handler.server.place.seen[-1].body["seed"]
        server.after(0.2 if seed == 7 else 0.0, completion(f"{seed}"))(handler)

    async def two(llm: Asking) -> tuple[Sample, ...]:
        return (await llm.ask(request(2, schema=None, seed=7))).samples

    with ScriptedServer(usual=deed) as place:
        first, second = with_engine(place, two)
    assert (first.text, second.text) == ("7", str(openai_engine.seed_of(7, 1) % 2**31))


def test_what_is_sent() -> None:
    limited = {"type": "array", "items": {"type": "string", "maxLength": 3}, "maxItems": 2}
    for schemas_of, sent in (("full", limited), ("plain", {"type": "array", "items": {"type": "string"}})):
        with ScriptedServer(completion('["a"]')) as place:
            asked = request(schema=limited, seed=5, max_tokens=77, temperature=0.25, top_p=0.5)
            ask(place, Tally(), asked, lambda value: (value, []), schemas=schemas_of)
            assert place.seen[0].body == {
                "model": "m",
                "messages": [{"role": "user", "content": "how many"}],
                "max_tokens": 77,
                "temperature": 0.25,
                "top_p": 0.5,
                "seed": 5,
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "goal", "schema": sent, "strict": True},
                },
            }
    with ScriptedServer() as place:
        ask(place, Tally(), request(max_tokens=77), max_tokens_field="max_completion_tokens")
        assert place.seen[0].body["max_completion_tokens"] == 77
        assert "max_tokens" not in place.seen[0].body


def test_tokens_are_counted_over_all_samples() -> None:
    usage = {"prompt_tokens": 50, "completion_tokens": 7, "total_tokens": 57}
    details = usage | {"prompt_tokens_details": {"cached_tokens": 48, "audio_tokens": None}}
    with ScriptedServer(completion('{"n": 1}', usage=usage), usual=completion('{"n": 1}', usage=details)) as place:
        answer = with_engine(place, lambda llm: llm.ask(request(3)))
    assert answer.usage == {"prompt_tokens": 150, "completion_tokens": 21, "cached_tokens": 96}
    assert answer.engine == "openai m"


def test_a_prompt_that_no_file_could_hold_is_refused_here() -> None:
    asked = Request("goal", "goal/1", (Message("user", "\ud800"),), None, {})
    with ScriptedServer() as place, pytest.raises(ItemError, match="surrogate") as found:
        with_engine(place, lambda llm: llm.engine.answer(asked))
    assert (found.value.kind, place.seen) == (Kind.PERMANENT, [])
