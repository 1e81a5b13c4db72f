from __future__ import annotations

import asyncio
import contextlib
import email.utils
import logging
import socket
import threading
import time
from typing import Any

import pytest

from mmassist.core.errors import ItemError, Kind, StageError
from mmassist.llm import openai_engine
from mmassist.llm.ask import Tally, ask_samples
from mmassist.llm.openai_reply import retry_after_s
from mmassist.llm.protocol import Message, Request
from tests.mmassist.llm import openai_server as server
from tests.mmassist.llm.openai_case import GOOD, Asking, ask, read_number, request, with_engine
from tests.mmassist.llm.openai_case import short_waits as short_waits
from tests.mmassist.llm.openai_server import Deed, ScriptedServer, body_of, status

pytestmark = pytest.mark.long


@pytest.mark.parametrize("deed", [server.hang, server.drip(body_of("x" * 2000), 1, 0.05)], ids=["hang", "drip"])
def test_a_try_ends_after_its_time_however_bytes_drip(deed: Deed) -> None:
    with ScriptedServer(deed, GOOD) as place:
        assert ask(place, Tally(), timeout_s=0.5) == 1
        assert len(place.seen) >= 2  # more on a machine that is busy
    with (
        ScriptedServer(usual=deed) as place,
        pytest.raises(StageError, match=r"no answer within llm.timeout_s=0.2 seconds"),
    ):
        ask(place, Tally(), timeout_s=0.2, patience_s=0.3)


def test_no_more_requests_than_allowed_are_open_at_once() -> None:
    async def many(llm: Asking) -> list[Any]:
        asked = [ask_samples(llm, request(4, seed=n), read_number, Tally()) for n in range(6)]
        return await asyncio.gather(*asked)

    with ScriptedServer(*[status(503)] * 5, usual=server.after(0.05, GOOD)) as place:
        assert with_engine(place, many, max_in_flight=3) == [[1] * 4] * 6
        assert place.most_open == 3
        assert len(place.seen) == 29


def test_waits_grow_with_jitter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openai_engine, "FIRST_WAIT_S", 1.0)
    monkeypatch.setattr(openai_engine, "LONGEST_WAIT_S", 60.0)
    waits = [[openai_engine._pause_s(0.0, n) for _ in range(200)] for n in (0, 1, 2, 6, 5000)]
    for made, longest in zip(waits, (1, 2, 4, 60, 60), strict=True):
        assert longest / 2 <= min(made) < 0.6 * longest < 0.9 * longest < max(made) <= longest
    asked = [openai_engine._pause_s(7.0, 3) for _ in range(200)]
    assert 7 <= min(asked) < 7.2 < 7.8 < max(asked) <= 8


def test_retry_after_is_waited_for() -> None:
    def dated(handler: server.Handler) -> None:
        date = email.utils.formatdate(time.time() + 2.0, usegmt=True)  # whole seconds: more than one from now
        status(503, headers={"retry_after": date})(handler)

    for deed in (status(429, headers={"retry_after": "1"}), dated):
        with ScriptedServer(deed, GOOD) as place:
            assert ask(place, Tally()) == 1
            assert 0.99 < place.seen[1].at_s - place.seen[0].at_s < 8


def test_a_long_retry_after_ends_with_the_patience() -> None:
    begin = time.monotonic()
    with (
        ScriptedServer(usual=status(429, headers={"retry-after": "86400"})) as place,
        pytest.raises(StageError, match="HTTP 429"),
    ):
        ask(place, Tally(), patience_s=0.3)
    assert time.monotonic() - begin < 8


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, 0.0),
        ({"retry-after": "12"}, 12.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after-ms": "250", "retry-after": "1"}, 0.25),
        ({"retry-after": "-3"}, 0.0),
        ({"retry-after": "nan"}, 0.0),
        ({"retry-after": "inf"}, 0.0),
        ({"retry-after": "soon"}, 0.0),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0.0),
        ({"retry-after": "Wed, 99 Foo 2015 07:28:00"}, 0.0),
    ],
)
def test_what_a_retry_after_header_may_say(headers: dict[str, str], seconds: float) -> None:
    assert retry_after_s(headers) == seconds


def test_requests_wait_for_a_server_that_comes_up_later() -> None:
    place = ScriptedServer()
    place.start()
    place.stop()
    timer = threading.Timer(0.4, place.start)
    timer.start()
    try:
        samples = with_engine(place, lambda llm: ask_samples(llm, request(5), read_number, Tally()))
        assert samples == [1] * 5
    finally:
        timer.join()
        place.stop()


def test_a_server_that_stays_away_stops_the_task() -> None:
    place = ScriptedServer()
    place.start()
    place.stop()
    begin = time.monotonic()
    with pytest.raises(StageError, match=rf"127.0.0.1:{place.port}/v1 has not answered for llm.patience_s=0.3 seconds"):
        with_engine(place, lambda llm: ask_samples(llm, request(5), read_number, Tally()), patience_s=0.3)
    assert 0.25 < time.monotonic() - begin < 8


def test_a_request_that_fails_alone_costs_its_item_and_not_the_task() -> None:
    def deed(handler: server.Handler) -> None:
        is_bad = handler.server.place.seen[-1].body["messages"][0]["content"] == "bad"
        (status(500, "cannot compile the schema") if is_bad else GOOD)(handler)

    async def both(llm: Asking) -> Any:
        bad = Request("goal", "goal/1", (Message("user", "bad"),), None, {})
        task = asyncio.ensure_future(llm.ask(bad))
        while not task.done():
            await llm.ask(request())
            await asyncio.sleep(0.01)
        return await task

    with ScriptedServer(usual=deed) as place, pytest.raises(ItemError, match="cannot compile") as found:
        with_engine(place, both, max_in_flight=1, patience_s=600)
    assert found.value.kind is Kind.TRANSIENT
    bad = [seen for seen in place.seen if seen.body["messages"][0]["content"] == "bad"]
    assert len(bad) == openai_engine.MAX_OWN_TRIES


def test_trouble_is_told_once_and_not_for_every_request(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO), ScriptedServer(*[status(503, "loading")] * 20) as place:
        with_engine(place, lambda llm: ask_samples(llm, request(8), read_number, Tally()))
    told = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(told) == 1 and "loading" in told[0] and place.url in told[0]


def test_a_host_that_swallows_connections_is_told_from_one_that_thinks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openai_engine, "CONNECT_S", 0.2)
    with contextlib.ExitStack() as stack:
        full = stack.enter_context(socket.socket())
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _ in range(4):  # what its queue holds, and a few more
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                waiting.connect(full.getsockname())
        place = ScriptedServer()
        place.port = full.getsockname()[1]
        with pytest.raises(StageError, match=r"no connection within 0.2 seconds"):
            ask(place, Tally(), patience_s=0.1)
