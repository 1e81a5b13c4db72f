"""What the runtime hands to a stage: inputs, the source's reader, engines with batching and journal, randomness."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from launchers.workspace import Workspace
from mmassist.core.adapter import Adapter
from mmassist.core.errors import Skip
from mmassist.core.item import Item
from mmassist.core.rng import rng
from mmassist.core.stage import Stage
from mmassist.datasets import build_adapter, build_dataset_config
from mmassist.io.layout import UnitLayout
from mmassist.io.ledger import append_row, iter_rows
from mmassist.io.reader import ShardItem
from mmassist.llm import build_engine
from mmassist.llm.protocol import Answer, Engine, Request
from mmassist.vision import build_encoder

if TYPE_CHECKING:
    import numpy as np

_item_in_hand: ContextVar[tuple[str, str]] = ContextVar("item in hand")  # task name, item key


MAX_JOURNALS = 64  # journals of items in hand kept in memory


class RuntimeContext:
    """Implements ``mmassist.core.stage.Context`` for one job in one process."""

    def __init__(
        self,
        stage: Stage,
        data_root: Path,
        unit: UnitLayout,
        upstream: Mapping[str, UnitLayout],
        sections: Mapping[str, Any],
        compat: bool,
        sides: Mapping[str, str],
    ):
        self.data_root, self.compat = data_root, compat
        self.statistics: Counter[str] = Counter()
        self._stage, self._unit, self._sections, self._sides = stage, unit, sections, sides
        self._workspace = Workspace(stage, upstream, data_root, is_listing_late=True)

    @cached_property
    def adapter(self) -> Adapter:
        config = build_dataset_config(self._sections["dataset"], "dataset")
        return build_adapter(config, self.data_root, self.compat)

    @cached_property
    def llm(self) -> JournaledEngine:
        return JournaledEngine(build_engine(self._stage.configs["llm"]), self._unit)

    @cached_property
    def encoder(self) -> ThreadedEncoder:
        return ThreadedEncoder(build_encoder(self._stage.configs["encoder"]))

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

    def close(self) -> None:
        self._workspace.close()
        self._stage.close()
        if "llm" in self.__dict__:
            self.llm.close()


class JournaledEngine:
    """A language model whose answers are kept until the item is done: a killed item asks nothing twice."""

    def __init__(self, engine: Engine, unit: UnitLayout):
        self._engine, self._unit = engine, unit
        self._known: dict[Path, dict[str, Answer]] = {}

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
        path = self._unit.answers(*_item_in_hand.get())
        if path not in self._known:
            if len(self._known) >= MAX_JOURNALS:
                del self._known[next(iter(self._known))]
            self._known[path] = _load_answers(path)
        known, name = self._known[path], request.digest()
        if name not in known:
            answer = await self._engine.answer(request)
            # No fsync: a kill loses nothing that was written, and a power cut costs only answers of items in hand.
            append_row(path, {"request": name, "answer": answer.to_row()}, sync=False)
            known[name] = answer
        return known[name]

    def close(self) -> None:
        self._engine.close()


class ThreadedEncoder:
    """Runs the encoder beside the event loop, so the next pictures are decoded meanwhile."""

    def __init__(self, encoder: Any):
        self._encoder = encoder

    def __getattr__(self, name: str) -> Any:
        return getattr(self._encoder, name)

    async def embed(self, images: np.ndarray) -> dict[str, np.ndarray]:
        made: dict[str, np.ndarray] = await asyncio.to_thread(self._encoder.embed_batch, images)
        return made


def _load_answers(path: Path) -> dict[str, Answer]:
    return {row["request"]: Answer.from_row(row["answer"]) for row in iter_rows(path)}
