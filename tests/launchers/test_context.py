"""What stages get from the runtime: answers that are asked once, draws that depend on their purpose."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import numpy as np
import pytest

from launchers.context import JournaledEngine, RuntimeContext, ThreadedEncoder, _item_in_hand
from launchers.work import record_outcome
from mmassist.core.errors import Kind, StageError
from mmassist.core.outcome import Outcome, Status
from mmassist.io.layout import UnitLayout
from mmassist.llm.protocol import Answer, Message, Request, Sample
from mmassist.vision.protocol import Encoder
from tests.launchers.toy import ToySource


class CountingEngine:
    """Gives another answer every time it is asked, as a sampling model does."""

    name, revision, is_scripted = "counting", "1", False

    def __init__(self) -> None:
        self.asked = 0

    async def answer(self, request: Request) -> Answer:
        self.asked += 1
        return Answer((Sample(f"answer {self.asked}", "stop"),), self.name, {})

    def close(self) -> None:
        pass


def request(text: str) -> Request:
    return Request(
        kind="goal",
        template="goal/1",
        messages=(Message("user", text),),
        schema={"type": "object"},
        payload={},
        num_samples=1,
        seed=1,
        max_tokens=10,
        temperature=0.5,
        top_p=0.9,
    )


def ask(llm: JournaledEngine, key: str, *texts: str) -> list[str]:
    _item_in_hand.set(("000000", key))

    async def all_of_them() -> list[Answer]:
        return [await llm.ask(request(text)) for text in texts]

    return [answer.samples[0].text for answer in asyncio.run(all_of_them())]


def test_a_killed_item_asks_nothing_twice(tmp_path):
    unit, engine = UnitLayout(tmp_path), CountingEngine()
    first = ask(JournaledEngine(engine, unit), "a", "one", "two")
    again = CountingEngine()
    assert ask(JournaledEngine(again, unit), "a", "one", "two") == first
    assert again.asked == 0


def test_another_item_or_question_is_asked(tmp_path):
    unit, engine = UnitLayout(tmp_path), CountingEngine()
    llm = JournaledEngine(engine, unit)
    assert ask(llm, "a", "one") == ["answer 1"]
    assert ask(llm, "b", "one") == ["answer 2"]
    assert ask(llm, "a", "two") == ["answer 3"]


def test_a_torn_journal_line_is_asked_again(tmp_path):
    unit = UnitLayout(tmp_path)
    ask(JournaledEngine(CountingEngine(), unit), "a", "one", "two")
    path = unit.answers("000000", "a")
    path.write_bytes(path.read_bytes()[:-20])
    engine = CountingEngine()
    assert ask(JournaledEngine(engine, unit), "a", "one", "two") == ["answer 1", "answer 1"]
    assert engine.asked == 1


def test_a_task_is_told_what_was_asked_for_it(tmp_path):
    llm = JournaledEngine(CountingEngine(), UnitLayout(tmp_path))
    llm.begin_task("000000")
    ask(llm, "a", "one", "two", "one")
    report = llm.end_task("000000")
    assert (report["requests"], report["from_journal"]) == (2, 1)
    assert llm.end_task("000000") == {}  # ended already


def test_the_memory_of_an_item_is_given_back_and_its_journal_stays(tmp_path):
    engine = CountingEngine()
    llm = JournaledEngine(engine, UnitLayout(tmp_path))
    ask(llm, "a", "one")
    llm.forget("000000", "a")
    assert llm._known == {} and ask(llm, "a", "one") == ["answer 1"] and engine.asked == 1


def test_only_verdicts_on_the_item_count_as_such(tmp_path):
    source = ToySource(tmp_path, {"a": "one", "b": "two"})
    for number, (item, reason) in enumerate(
        [("a", Kind.PERMANENT), ("a", Kind.PERMANENT), ("a", Kind.KILLED), ("b", Kind.TRANSIENT), ("b", Kind.CRASH)]
    ):
        record_outcome(source.unit, Outcome(item, Status.FAILED, str(reason)), f"run-{number}", "0")
    context = RuntimeContext(source.job().stage, source.layout.data_root, source.unit, {}, {}, False, {})
    items = {item.key: item for item in source.listing().dialogs}
    assert [context.num_verdicts(items[key]) for key in "ab"] == [2, 0]


class SlowEncoder:
    """Begins batches at once and has them done later, as a GPU does; notes what was under way at the same time."""

    def __init__(self) -> None:
        self.under_way: set[int] = set()
        self.most = 0
        self.begun: list[int] = []

    def launch(self, images: np.ndarray, grids: Sequence[int]) -> SlowEncoder.Batch:
        number = int(images[0])
        self.begun.append(number)
        self.under_way.add(number)
        self.most = max(self.most, len(self.under_way))
        return SlowEncoder.Batch(self, number)

    class Batch:
        def __init__(self, encoder: SlowEncoder, number: int):
            self.encoder, self.number = encoder, number

        def fetch(self) -> dict[str, np.ndarray]:
            time.sleep(0.02)
            self.encoder.under_way.remove(self.number)
            return {"cls": np.array([self.number])}


def test_batches_begin_in_order_while_earlier_ones_are_under_way_and_the_loop_goes_on():
    encoder = SlowEncoder()
    threaded = ThreadedEncoder(lambda: encoder)  # type: ignore[arg-type, return-value]
    beats = 0

    async def beat() -> None:
        nonlocal beats
        while True:
            await asyncio.sleep(0.001)
            beats += 1

    async def ask() -> list[int]:
        heart = asyncio.create_task(beat())
        made = await asyncio.gather(*(threaded.embed(np.array([number]), (2,)) for number in range(5)))
        heart.cancel()
        return [int(one["cls"][0]) for one in made]

    assert asyncio.run(ask()) == encoder.begun == [0, 1, 2, 3, 4]
    assert encoder.most > 1
    assert beats > 5
    threaded.close()


def test_an_encoder_that_cannot_be_loaded_stops_the_task():
    def build() -> Encoder:
        raise StageError("no GPU")

    threaded = ThreadedEncoder(build)
    with pytest.raises(StageError, match="no GPU"):
        asyncio.run(threaded.embed(np.zeros(1), (2,)))
    threaded.close()
