"""A stage over text files, and a way to run it without Hydra: what plan and work do shows on disk."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from launchers.compose import Command
from launchers.jobs import Job
from launchers.plan import UnitPlan, plan_unit, select_items
from launchers.prepare import apply_plan, write_elements
from launchers.work import FailureGauge, TaskRunner
from launchers.worker import load_element
from launchers.workspace import Workspace
from mmassist.core.errors import Blocked, ItemError, Kind, Skip
from mmassist.core.item import Drop, Item, ItemKind, Listing
from mmassist.core.outcome import Outcome
from mmassist.core.stage import Outputs, Stage
from mmassist.core.stage_config import StageConfig
from mmassist.io.layout import Layout, UnitLayout
from mmassist.io.ledger import load_outcomes
from mmassist.io.lock import FolderLock
from mmassist.io.reader import UnitReader
from mmassist.io.shard import clean_dead_attempts, load_tasks


class Toy(Stage):
    """Copies an item's text; what the text says decides what becomes of it."""

    name = "toy"
    version = 1
    kind = ItemKind.DIALOG
    reads = ()
    sections: ClassVar[dict[str, Any]] = {}

    @classmethod
    def folder(cls, configs: dict[str, Any]) -> str:
        return "toys"

    def group(self, item: Item, split: str) -> str:
        return split

    async def process(self, item: Item, ctx: Any) -> Outputs:
        text = ctx.texts[item.key]
        ctx.processed.append(item.key)
        if text.startswith("skip"):
            raise Skip("no_video", "there is none")
        if text.startswith("block"):
            raise Blocked("extract of it")
        if text.startswith("bad"):
            raise ItemError(Kind.PERMANENT, "cannot be read")
        if text.startswith("hiccup"):
            raise ItemError(Kind.TRANSIENT, "file server is away")
        if text.startswith("bug"):
            raise KeyError("missing")
        drops = [Drop(item.recording, "line 2", "no text")] if text.startswith("patchy") else []
        return Outputs([("text.txt", text.encode())], {"letters": len(text)}, drops)


class ToyContext:
    def __init__(self, texts: Mapping[str, str], workspace: Workspace):
        self.texts, self.workspace, self.processed = texts, workspace, []

    def inputs(self, item: Item) -> str:
        return item.digest

    def in_hand(self, task: str, item: Item) -> Any:
        return contextlib.nullcontext()

    def begin_task(self, task: str) -> None: ...

    def end_task(self, task: str) -> dict[str, Any]:
        return {}


@dataclass
class ToyRun:
    """What one run did."""

    plan: UnitPlan
    processed: list[str]
    events: list[dict[str, Any]] = field(default_factory=list)


class ToySource:
    """A data root with one toy unit; change ``texts`` and run again."""

    def __init__(self, root: Path, texts: Mapping[str, str], weight: float = 2.0):
        self.layout, self.texts, self._runs, self._weight = Layout(root), dict(texts), 0, weight
        self.unit: UnitLayout = self.layout.unit("toys", "toys")
        self.sides: dict[str, str] = {}

    def job(self, **command: Any) -> Job:
        defaults: dict[str, Any] = {"retry": "none", "items": None, "limit": None, "on_stale": "stop", "plan": False}
        values = defaults | {"compat": "none", "num_workers": None, "log_level": "info"} | command
        stage = Toy({"toy": StageConfig(task_weight=self._weight)})
        settings = {"stage": "toy"}
        return Job(stage, "toys", {}, Command(stage="toy", **values), "basic", self.unit, settings, {})

    def listing(self) -> Listing:
        items = [
            Item("toys", key, ItemKind.DIALOG, "train", (), f"digest of {text}", key, duration_s=1.0, media_key=key)
            for key, text in sorted(self.texts.items())
        ]
        return Listing((), tuple(items))

    def run(self, **command: Any) -> ToyRun:
        self._runs += 1
        run_id = f"run-{self._runs}"
        job, run = self.job(**command), self.layout.run(run_id)
        clean_dead_attempts(self.unit)
        selection = select_items(job, self.listing(), self.sides)
        workspace = Workspace(job.stage, {}, self.layout.data_root)
        plan = plan_unit(job, selection, workspace)
        apply_plan(self.layout, job, plan, run_id)
        bundles = [plan.waiting()]
        write_elements(run, job, plan, selection, bundles, run_id)
        context = ToyContext(self.texts, workspace)
        made = ToyRun(plan, context.processed)
        config = {"run_id": run_id, "name": job.name}
        gauge, report = FailureGauge(0.2), made.events.append
        lock = FolderLock(self.unit.lock, run_id)
        lock.acquire()
        runner = TaskRunner(job.stage, context, self.layout, self.unit, run, config, run_id, "n1", report, gauge)
        for row in load_element(run, job.name, 0):
            asyncio.run(runner.run_task(row))
        lock.release()
        return made

    def made(self) -> dict[str, str]:
        """Item -> text, from the committed shards."""
        reader = UnitReader(self.unit, "toy")
        return {key: reader.read(key).read("text.txt").decode() for key in reader.keys()}  # noqa: SIM118

    def tasks(self) -> list[tuple[str, tuple[str, ...]]]:
        return [(task.name, task.items) for task in load_tasks(self.unit)]

    def outcomes(self) -> dict[str, Outcome]:
        return load_outcomes(self.unit.ledger_dir)
