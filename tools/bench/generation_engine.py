"""Engines that stand in for a model's: one with slots and a fixed time per token, and one that is asked by the call.

Both answer with what the scripted engine writes, so dialogs are whole and everything behind the engine is the real
thing. They wait on the clock of the running loop (``tools.bench.generation_clock``).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from mmassist.core.gather import gather
from mmassist.llm.protocol import Answer, Engine, Request
from mmassist.llm.scripted import ScriptedConfig
from mmassist.packing.tiny_tokenizer import build_tiny_tokenizer

CALL_SIZE = 10  # prompts that the reference puts into one call, one per conversation
Count = Callable[[Sequence[str]], list[int]]


@dataclass(frozen=True)
class Speed:
    """How fast a simulated engine is: seconds of one decoding step, and prompt tokens per second (None: no time)."""

    step_s: float = 0.05
    prompt_tokens_per_s: float | None = None

    def seconds(self, prompt_tokens: int, output_tokens: int) -> float:
        """How long one sample holds its slot."""
        reading_s = prompt_tokens / self.prompt_tokens_per_s if self.prompt_tokens_per_s else 0.0
        return reading_s + output_tokens * self.step_s


class SlotEngine:
    """``num_slots`` samples are decoded at a time, the others queue: first come, first served.

    A sample keeps its slot for one step per token of its text and one for the token that ends it. There is no cache:
    each sample reads its whole prompt. Slots do not slow each other down.
    """

    name, revision, is_scripted = "simulated", "simulated/1", True

    def __init__(self, num_slots: int, speed: Speed, writer: Engine | None = None, count: Count | None = None):
        self.num_slots, self.speed = num_slots, speed
        self._writer = writer or build_writer()
        self._count = count or count_tiny
        self._slots = asyncio.Semaphore(num_slots)  # its waiters are served in order
        self._in_hand = 0
        self.most_in_hand = 0
        self.num_requests = self.num_samples = self.num_tokens = 0
        self.busy_s = 0.0  # slot seconds

    async def answer(self, request: Request) -> Answer:
        """The scripted answer, when its last sample is decoded."""
        answer = await self._writer.answer(request)
        lengths = [1 + length for length in self._count([sample.text for sample in answer.samples])]
        prompt = 0
        if self.speed.prompt_tokens_per_s is not None:
            prompt = sum(self._count([message.content for message in request.messages]))
        await gather(self._decode(self.speed.seconds(prompt, length)) for length in lengths)
        self.num_requests += 1
        self.num_samples += len(lengths)
        self.num_tokens += sum(lengths)
        usage = {"prompt_tokens": prompt, "completion_tokens": sum(lengths)}
        return Answer(answer.samples, self.name, usage)

    def busy_share(self, seconds: float) -> float:
        """Share of all slots' time that was used."""
        return self.busy_s / (self.num_slots * seconds)

    def close(self) -> None:
        """Nothing is held."""

    async def _decode(self, seconds: float) -> None:
        async with self._slots:
            self._in_hand += 1
            self.most_in_hand = max(self.most_in_hand, self._in_hand)
            await asyncio.sleep(seconds)
            self._in_hand -= 1
            self.busy_s += seconds


class CallEngine:
    """Asks another engine as the reference does: call after call, each waited for before the next is made.

    Requests are collected until nobody has another one, which takes virtual time: on it, what is waited for for an
    instant comes after all that can still happen now. Then one call takes up to ten of them (questions about the
    recording, windows, refinements), or all the summaries of one conversation. Run one recording at a time over it.
    """

    name, revision, is_scripted = "calls", "calls/1", True
    _INSTANT_S = 1e-6

    def __init__(self, engine: Engine):
        self._engine = engine
        self._waiting: list[tuple[Request, asyncio.Future[Answer]]] = []
        self._caller: asyncio.Task[None] | None = None
        self.calls: list[list[Request]] = []

    async def answer(self, request: Request) -> Answer:
        """The answer, when the whole call is answered."""
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append((request, future))
        if self._caller is None or self._caller.done():
            self._caller = asyncio.get_running_loop().create_task(self._call())
        return await future

    def close(self) -> None:
        """Nothing is held."""

    async def _call(self) -> None:
        await asyncio.sleep(self._INSTANT_S)
        while self._waiting:
            size = next_call([request for request, _ in self._waiting])
            call, self._waiting = self._waiting[:size], self._waiting[size:]
            self.calls.append([request for request, _ in call])
            answers = await gather(self._engine.answer(request) for request, _ in call)
            for (_, future), answer in zip(call, answers, strict=True):
                future.set_result(answer)
            await asyncio.sleep(self._INSTANT_S)


def next_call(waiting: Sequence[Request]) -> int:
    """How many of the requests, in order of coming, go into the next call.

    Summaries of one conversation come in order of their turns, so a shorter prompt begins the next conversation's.
    """
    kind = waiting[0].kind
    size = 1
    while size < len(waiting) and waiting[size].kind == kind:
        if kind == "summary":
            if waiting[size].payload["num_turns"] <= waiting[size - 1].payload["num_turns"]:
                break
        elif size == CALL_SIZE:
            break
        size += 1
    return size


def build_writer() -> Engine:
    """The scripted engine without mistakes: the reference repairs nothing, so both ways ask the same."""
    return ScriptedConfig(engine="scripted", flaw_rate=0.0).load(None)


def count_tiny(texts: Sequence[str]) -> list[int]:
    """Tokens of each text by the small tokenizer."""
    return [len(encoding.ids) for encoding in _tiny().encode_batch_fast(list(texts), add_special_tokens=False)]


@cache
def _tiny() -> Any:
    return build_tiny_tokenizer()
