"""What tests of the engine for OpenAI's chat API have in common: an engine, its requests, and short waits."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from mmassist.core.fingerprint import canonical_json
from mmassist.llm import build_engine, build_llm_config, openai_engine
from mmassist.llm.ask import Tally, Validate
from mmassist.llm.openai_engine import OpenAIConfig, OpenAIEngine
from mmassist.llm.protocol import Answer, Message, Request
from tests.mmassist.llm.asking import ask_validated
from tests.mmassist.llm.openai_server import ScriptedServer, completion

KEY = "sk-quite-Secret-0123456789"
SCHEMA = {
    "type": "object",
    "properties": {"n": {"type": "integer", "minimum": 0, "maximum": 9}, "why": {"type": "string", "maxLength": 20}},
    "required": ["n"],
    "additionalProperties": False,
}
GOOD = completion('{"n": 1}')
NO_CERTIFICATES = ssl.create_default_context()  # reading them takes longer than most tests


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Waits a hundred times shorter; proxies of the machine stay out; loggers are left as they were."""
    monkeypatch.setattr(openai_engine, "FIRST_WAIT_S", 0.01)
    monkeypatch.setattr(openai_engine, "LONGEST_WAIT_S", 0.05)
    monkeypatch.setattr(ssl, "create_default_context", lambda *_, **__: NO_CERTIFICATES)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    names = ("openai", "httpx", "httpx2", "httpcore", "httpcore2")
    levels = {name: logging.getLogger(name).level for name in names}
    yield
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


def config(**values: Any) -> OpenAIConfig:
    made = build_llm_config({"engine": "openai", "model": "m", "timeout_s": 5, "patience_s": 5} | values, "llm")
    assert isinstance(made, OpenAIConfig)
    return made


def request(num_samples: int = 1, schema: dict[str, Any] | None = SCHEMA, **values: Any) -> Request:
    return Request("goal", "goal/1", (Message("user", "how many"),), schema, {}, num_samples, **values)


class Asking:
    """The engine as the runtime offers it: whatever it answers must fit into a journal."""

    def __init__(self, engine: OpenAIEngine):
        self.engine = engine
        self.answers: list[Answer] = []

    async def ask(self, asked: Request) -> Answer:
        answer = await self.engine.answer(asked)
        canonical_json(answer.to_row()).encode()
        self.answers.append(answer)
        return answer


def with_engine(
    place: ScriptedServer, act: Callable[[Asking], Awaitable[Any]], key: str | None = None, **more: Any
) -> Any:
    """What ``act`` makes with an engine that talks to ``place``; nothing may take longer than ten seconds."""

    async def run() -> Any:
        engine = build_engine(config(base_url=place.url, **more), key)
        assert isinstance(engine, OpenAIEngine)
        try:
            async with asyncio.timeout(10):
                return await act(Asking(engine))
        finally:
            await engine._client.close()

    return asyncio.run(run())


def read_number(value: Any) -> tuple[int, list[str]]:
    return value["n"], []


def ask(
    place: ScriptedServer,
    tally: Tally,
    asked: Request | None = None,
    validate: Validate[Any] = read_number,
    key: str | None = None,
    **more: Any,
) -> Any:
    return with_engine(place, lambda llm: ask_validated(llm, asked or request(), validate, tally), key, **more)
