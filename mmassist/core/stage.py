"""What a stage is and what the runtime gives it.

A stage turns items into members of a shard. It never opens an output path, reads an environment variable, knows its
rank, or catches ``Exception``: loop, resume, retries, ledger, commit, signals and progress belong to the runtime.
"""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import AsyncIterable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from mmassist.core.adapter import Adapter, Content
from mmassist.core.item import Drop, Item, ItemKind

if TYPE_CHECKING:
    import numpy as np

Member = tuple[str, bytes]  # name below ``<item key>/`` and content


@dataclass
class Outputs:
    """What one item became.

    ``members`` may be a generator, plain or asynchronous: the runtime writes each member as it comes, so a long video
    never sits in memory.
    Names must come in sorted order. ``stats`` are counts that the runtime adds up over a task; a generator may still
    fill them in while it runs, and ``drops`` too.
    """

    members: Iterable[Member] | AsyncIterable[Member]
    stats: dict[str, float] = field(default_factory=dict)
    drops: list[Drop] = field(default_factory=list)  # records of the source that are not in it, or were repaired


class ItemReader(Protocol):
    """Random access to what an earlier stage made of one item."""

    names: Sequence[str]  # sorted, without the ``<item key>/`` prefix
    digest: str

    def read(self, name: str) -> bytes: ...

    def verify(self) -> None:
        """Check that the bytes are the ones written; small items are checked when opened. Raises ItemError."""
        ...


class LanguageModel(Protocol):
    """The engine as a stage sees it: batched, journaled and counted by the runtime (``mmassist.llm.protocol``)."""

    async def ask(self, request: Any) -> Any: ...


class ImageEncoder(Protocol):
    """The encoder as a stage sees it (``mmassist.vision.protocol``)."""

    async def embed(self, images: np.ndarray, grids: Sequence[int]) -> dict[str, np.ndarray]: ...

    def facts(self, frame_size: int) -> dict[str, Any]: ...


class Context(Protocol):
    """What the runtime hands to a stage."""

    data_root: Path  # DATA_ROOT_DIR; sources of items are relative to it
    compat: bool  # True: the reference's rules, for comparison only

    @property
    def adapter(self) -> Adapter: ...

    @property
    def llm(self) -> LanguageModel: ...

    @property
    def encoder(self) -> ImageEncoder: ...

    def rng(self, purpose: str, key: str) -> random.Random:
        """A generator that depends on the run's seed, ``purpose`` and ``key`` alone."""
        ...

    def read(self, read: str, key: str) -> ItemReader:
        """What an entry of the stage's ``reads`` made of item ``key``.

        Raises Blocked when it is not there yet, Skip when it was skipped.
        """
        ...

    def side(self, item: Item) -> str:
        """``train``, ``val`` or ``test``: where the item's recording was assigned before any dialog existed."""
        ...

    def count(self, name: str, amount: float = 1) -> None:
        """Add to a running statistic of the worker (shown in status, not stored with the item)."""
        ...

    def num_verdicts(self, item: Item) -> int:
        """How often earlier runs found that the item itself is at fault: a retry has to ask for something else."""
        ...

    @property
    def planned_revision(self) -> Mapping[str, Any]:
        """What ``Stage.revision`` said when this work was planned; files outside of the run may have changed since."""
        ...


def stage_of(read: str) -> str:
    """``judge`` of ``judge@llm``: the stage of an entry in ``Stage.reads``."""
    return read.partition("@")[0]


def name_of(read: str) -> str:
    """``llm`` of ``judge@llm``: which output of a stage that has several, by its section's ``name``; else empty."""
    return read.partition("@")[2]


def title_of(read: str) -> str:
    """``judge (llm)``, for people."""
    name = name_of(read)
    return f"{stage_of(read)} ({name})" if name else read


def words_of(read: str) -> str:
    """``stage=judge judge=llm``: what a command that makes it says."""
    stage, name = stage_of(read), name_of(read)
    return f"stage={stage} {stage}={name}" if name else f"stage={stage}"


Section = Callable[[Mapping[str, Any], str], Any]  # (values, section name) -> config dataclass


class Stage(ABC):
    """Base of all stages; one module in ``mmassist.stages`` each, constructed from its config sections."""

    name: ClassVar[str]
    place: ClassVar[int]  # stages run in the order of these numbers, which leave room between them
    home: ClassVar[str]  # folder below ``processed_data/<dataset>/`` with all its outputs
    version: ClassVar[int]  # raise it when the same settings give other bytes
    kind: ClassVar[ItemKind]
    reads: ClassVar[tuple[str, ...]]  # outputs that are read: STAGE or STAGE@NAME; an instance may narrow or name them
    sections: ClassVar[dict[str, Section]]  # config sections that shape the outputs
    contents: ClassVar[tuple[Content, ...]] = tuple(Content)  # the sources that it is for
    reads_source: bool = False  # whether the source's annotations are read beside ``reads``
    reads_side: ClassVar[bool] = False  # whether outputs depend on the side that an item's recording is on

    def __init__(self, configs: dict[str, Any]):
        self.configs = configs

    @classmethod
    def folder(cls, configs: dict[str, Any]) -> str:
        """Where the outputs of these settings lie below ``processed_data/<dataset>/``: ``home`` or a folder in it."""
        return cls.home

    @property
    def engine(self) -> Any:
        """The settings of the language model that the stage asks (``mmassist.llm.config``), None if it asks none."""
        return self.configs.get("llm")

    def check(self) -> None:
        """Raise ConfigError for what is certain to fail later (absent weights); must not load heavy packages."""
        return None

    def origin_of(self, read: str) -> str:
        """The setting because of which ``read`` is read (``split.filter``); empty where none decides it."""
        return ""

    def check_reads(self, settings: Mapping[str, Mapping[str, Any]], compat: bool) -> None:
        """Raise ConfigError for settings that do not fit what is read, or not the reference's rules (``compat``).

        ``settings``: for each of ``reads``, the settings that its folder is made with.
        """
        return None

    def revision(self) -> dict[str, Any]:
        """What else belongs into the fingerprint: revisions of models and templates."""
        return {}

    def group(self, item: Item, split: str) -> str:
        """Items of different groups never share a shard; the group's name starts the shard's name."""
        return ""

    def setup(self, ctx: Context) -> None:
        """Load what all items need, once per worker."""
        return None

    def close(self) -> None:
        """Give back what ``setup`` or ``process`` took."""
        return None

    @abstractmethod
    async def process(self, item: Item, ctx: Context) -> Outputs:
        """Make one item's outputs; raise ItemError, Skip or Blocked for this item alone."""


@dataclass(frozen=True)
class Task:
    """The items of one shard, in key order. ``name`` is the shard's stem (``000003`` or ``train-000003``)."""

    name: str
    items: tuple[str, ...]
    weight: float
