"""What the runtime hands to a stage: inputs, the source's reader, engines with batching and journal, randomness."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from launchers.workspace import Workspace
from mmassist.core.adapter import Adapter
from mmassist.core.errors import Kind, Skip
from mmassist.core.item import Item
from mmassist.core.outcome import Status
from mmassist.core.rng import rng
from mmassist.core.stage import Stage
from mmassist.datasets import build_adapter, build_dataset_config
from mmassist.io.layout import UnitLayout
from mmassist.io.ledger import append_row, iter_rows
from mmassist.io.reader import ShardItem
from mmassist.llm import build_engine
from mmassist.llm.meter import Meter, Stretch, count_answer
from mmassist.llm.protocol import Answer, Engine, Request
from mmassist.vision import build_encoder
from mmassist.vision.protocol import Encoder

if TYPE_CHECKING:
    import numpy as np

_item_in_hand: ContextVar[tuple[str, str]] = ContextVar("item in hand")  # task name, item key


class RuntimeContext:
    """Implements ``mmassist.core.stage.Context`` for one job in one process.

    ``secret`` is the key of the stage's language model, from the environment; it is passed on and kept nowhere.
    """

    def __init__(
        self,
        stage: Stage,
        data_root: Path,
        unit: UnitLayout,
        upstream: Mapping[str, UnitLayout],
        sections: Mapping[str, Any],
        compat: bool,
        sides: Mapping[str, str],
        secret: str | None = None,
        planned_revision: Mapping[str, Any] | None = None,
    ):
        self.data_root, self.compat = data_root, compat
        self.planned_revision = planned_revision or {}
        self._secret = secret
        self.statistics: Counter[str] = Counter()
        self._stage, self._unit, self._sections, self._sides = stage, unit, sections, sides
        self._workspace = Workspace(stage, upstream, data_root, is_listing_late=True)

    @cached_property
    def adapter(self) -> Adapter:
        config = build_dataset_config(self._sections["dataset"], "dataset")
        return build_adapter(config, self.data_root, self.compat)

    @cached_property
    def llm(self) -> JournaledEngine:
        return JournaledEngine(build_engine(self._stage.engine, self._secret), self._unit)

    @cached_property
    def encoder(self) -> ThreadedEncoder:
        return ThreadedEncoder(lambda: build_encoder(self._stage.configs["encoder"]))

    def rng(self, purpose: str, key: str) -> random.Random:
        seed = getattr(self._stage.configs[self._stage.name], "seed", 0)
        return rng(seed, purpose, key)

    def read(self, stage: str, key: str) -> ShardItem:
        return self._workspace.read(stage, key)

    def side(self, item: Item) -> str:
        side = self._sides[item.key]
        if not side:
            raise Skip("no_side", f"recording {item.recording} is on no side of the split, see splits/audit.json")
        return side

    def count(self, name: str, amount: float = 1) -> None:
        self.statistics[name] += amount  # type: ignore[assignment]

    @cached_property
    def _verdicts(self) -> Counter[str]:
        rows = (row for path in self._unit.ledger_dir.glob("*.jsonl") for row in iter_rows(path))
        is_verdict = {"status": Status.FAILED, "reason": Kind.PERMANENT}
        return Counter(row["item"] for row in rows if all(row[name] == value for name, value in is_verdict.items()))

    def num_verdicts(self, item: Item) -> int:
        """How often earlier runs found that the item itself is at fault."""
        return self._verdicts[item.key]

    def begin_task(self, task: str) -> None:
        """Note that the task is in hand from now on."""
        if self._stage.engine is not None:
            self.llm.begin_task(task)

    def end_task(self, task: str) -> dict[str, Any]:
        """What the language model did for the task, as plain JSON; empty for stages that ask none."""
        return self.llm.end_task(task) if self._stage.engine is not None else {}

    def inputs(self, item: Item) -> str:
        """Digest of what the item is made from, for the runtime's own bookkeeping."""
        return self._workspace.inputs(item, self._sides.get(item.key, ""))

    @contextlib.contextmanager
    def in_hand(self, task: str, item: Item) -> Iterator[None]:
        """Mark whose answers the language model gives from here on; concurrent items do not see each other's mark."""
        token = _item_in_hand.set((task, item.key))
        try:
            yield
        finally:
            _item_in_hand.reset(token)
            if "llm" in self.__dict__:
                self.llm.forget(task, item.key)

    def close(self) -> None:
        self._workspace.close()
        self._stage.close()
        if "encoder" in self.__dict__:
            self.encoder.close()
        if "llm" in self.__dict__:
            self.llm.close()


class JournaledEngine:
    """A language model whose answers are kept until the item is done: a killed item asks nothing twice."""

    def __init__(self, engine: Engine, unit: UnitLayout):
        self._engine, self._unit = engine, unit
        self._known: dict[Path, dict[str, Answer]] = {}  # of the items in hand
        self._meter = Meter()
        self._stretches: dict[str, Stretch] = {}  # of the tasks in hand

    @property
    def name(self) -> str:
        return self._engine.name

    @property
    def revision(self) -> Any:
        return self._engine.revision

    @property
    def is_scripted(self) -> bool:
        return self._engine.is_scripted

    async def ask(self, request: Request) -> Answer:
        task, key = _item_in_hand.get()
        path = self._unit.answers(task, key)
        if path not in self._known:
            self._known[path] = _load_answers(path)
        known, name = self._known[path], request.digest()
        counts = self._stretches[task].counts if task in self._stretches else Counter[str]()
        if name in known:
            counts["from_journal"] += 1
            return known[name]
        self._meter.start(request.num_samples)
        try:
            answer = await self._engine.answer(request)
        finally:
            self._meter.finish(request.num_samples)
        # No fsync: a kill loses nothing that was written, and a power cut costs only answers of items in hand.
        append_row(path, {"request": name, "answer": answer.to_row()}, sync=False)
        known[name] = answer
        count_answer(counts, answer, request.is_repair)
        return answer

    def forget(self, task: str, key: str) -> None:
        """Give back the memory of an item that is done with."""
        self._known.pop(self._unit.answers(task, key), None)

    def begin_task(self, task: str) -> None:
        self._stretches[task] = self._meter.begin()

    def end_task(self, task: str) -> dict[str, Any]:
        stretch = self._stretches.pop(task, None)
        return self._meter.report(stretch) if stretch is not None else {}

    def close(self) -> None:
        self._engine.close()


class ThreadedEncoder:
    """Runs the encoder beside the event loop: one thread loads it and begins batches, one waits for them.

    On a GPU a batch is begun long before it is done, so the next ones are queued on the device while one is computed.
    """

    def __init__(self, build: Callable[[], Encoder]):
        self._build = build
        self._beginning = ThreadPoolExecutor(1, thread_name_prefix="encoder")
        self._fetching = ThreadPoolExecutor(1, thread_name_prefix="features")

    @cached_property
    def _encoder(self) -> Encoder:
        return self._build()

    def facts(self, frame_size: int) -> dict[str, Any]:
        return self._encoder.facts(frame_size)

    async def embed(self, images: np.ndarray, grids: Sequence[int]) -> dict[str, np.ndarray]:
        loop = asyncio.get_running_loop()
        launched = await loop.run_in_executor(self._beginning, lambda: self._encoder.launch(images, grids))
        return await loop.run_in_executor(self._fetching, launched.fetch)

    def close(self) -> None:
        for pool in (self._beginning, self._fetching):
            pool.shutdown(wait=True, cancel_futures=True)


def _load_answers(path: Path) -> dict[str, Answer]:
    return {row["request"]: Answer.from_row(row["answer"]) for row in iter_rows(path)}
