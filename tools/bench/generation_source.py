"""Invented recordings of HoloAssist's form, and an array element that makes their dialogs in this process."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from launchers.balance import plan_elements
from launchers.compose import compose_command
from launchers.context import JournaledEngine
from launchers.execute import Execution
from launchers.jobs import Job, Sources, resolve_jobs
from launchers.prepare import assign_sides
from launchers.work import Report
from launchers.worker import Worker
from mmassist.core.rng import rng
from mmassist.io.layout import Layout, RunLayout
from mmassist.io.lock import FolderLock
from mmassist.llm.protocol import Engine
from tools.bench.balance_tables import draw_lengths
from tools.demo import holoassist
from tools.demo.procedure import Procedure

MEAN_LENGTH_S, SIGMA = 269.0, 0.6  # of HoloAssist as published, and the spread that the tables of balance assume
MIN_LENGTH_S = 20.0  # shorter ones are mostly lead-in, and would be skipped as hardly annotated
STEP_LENGTH_S = 27.0  # the published record of HoloAssist that we know has nine coarse steps in four minutes
MIN_RECORDINGS = 2  # the source wants one of training and one of validation
RUN_ID = "bench"


def write_recordings(root: Path, number: int, mean_length_s: float = MEAN_LENGTH_S) -> None:
    """Write the annotations of ``number`` recordings into an empty DATA_ROOT_DIR; equal numbers give equal files."""
    lengths = draw_lengths("holoassist", number, number * mean_length_s / 3600, SIGMA, seed=0)
    recordings = tuple(
        _build_recording(index, max(MIN_LENGTH_S, length)) for index, length in enumerate(lengths.values())
    )
    folder = root / "datasets" / holoassist.RAW_DIR
    folder.mkdir(parents=True)
    for name, content in holoassist.build_texts(recordings).items():
        text = json.dumps(content) if name.endswith(".json") else "\n".join(content) + "\n"
        (folder / name).write_text(text)


def _build_recording(index: int, length_s: float) -> holoassist.Recording:
    """Steps of all the invented tasks in a row, as many as fit into the time."""
    stages = [stage for recording in holoassist.RECORDINGS[:4] for stage in recording.procedure.stages]
    number = max(2, round(length_s / STEP_LENGTH_S))
    first = rng("bench", index).randrange(len(stages))
    chosen = tuple(stages[(first + offset) % len(stages)] for offset in range(number))
    whole = holoassist.RECORDINGS[index % 4].procedure
    split = "val" if index % 10 == 1 else "train"
    procedure = Procedure(whole.title, whole.summary, chosen)
    return holoassist.Recording(f"R{index:04d}-3May-Bench", split, procedure, length_s)


@dataclass(frozen=True)
class Work:
    """One planned element of a stage: everything lies on disk as a command leaves it for its workers."""

    layout: Layout
    job: Job
    run: RunLayout
    lock: FolderLock

    def worker(self, child: int, engine: Engine, report: Report) -> Worker:
        """A worker of the element, with that engine in the place of its own."""
        worker = Worker(self.layout.data_root, self.run, self.job.name, 0, child, report, alone=True)
        worker.context.llm = JournaledEngine(engine, self.job.unit)
        return worker


def plan_work(root: Path, words: Sequence[str], stage: str = "generate") -> Work:
    """Plan ``stage`` over the recordings below ``root``, all of them in one element.

    Raises ConfigError for a setting that is none.
    """
    command = [f"stage={stage}", "dataset=holoassist", "models=tiny", "cluster=h100x8", f"paths.data_root={root}"]
    layout, (job,) = resolve_jobs(compose_command([*command, *words]))
    sources = Sources(layout)
    sides = {job.dataset: assign_sides(layout, job, sources.listing(job), is_anew=False)}
    run = layout.run(RUN_ID)
    execution = Execution(layout, RUN_ID, run, sources, sides)
    lock = FolderLock(job.unit.lock, RUN_ID)
    lock.acquire()
    selection, plan = execution.plan(job)
    elements = plan_elements(plan.waiting(), num_nodes=1, workers=job.stage_config.num_workers)
    execution.prepare(job, lock, False, selection, plan, elements)
    return Work(layout, job, run, lock)


class Element:
    """Hands an element's tasks to workers of this process, as their supervisor does to its children."""

    def __init__(self, workers: Sequence[Worker]):
        self._workers = workers
        self._waiting = deque(workers[0].rows)
        self._num_in_hand = [0] * len(workers)
        self._wants_more = [True] * len(workers)

    async def run(self) -> float:
        """Run all tasks; returns the seconds it took on the loop's clock.

        Raises an exception group around the StageError of a worker that cannot go on.
        """
        begin_s = asyncio.get_running_loop().time()
        async with asyncio.TaskGroup() as group:
            for index, worker in enumerate(self._workers):
                worker.runner.when_roomy = lambda index=index: self._ask_for_more(group, index)  # type: ignore[misc]
            self._hand_out(group)
        return asyncio.get_running_loop().time() - begin_s

    def _ask_for_more(self, group: asyncio.TaskGroup, index: int) -> None:
        self._wants_more[index] = True
        self._hand_out(group)

    def _hand_out(self, group: asyncio.TaskGroup) -> None:
        share = -(-(len(self._waiting) + sum(self._num_in_hand)) // len(self._workers))
        for index in sorted(range(len(self._workers)), key=lambda index: self._num_in_hand[index]):
            number = self._num_in_hand[index]
            if self._waiting and (not number or (self._wants_more[index] and number < share)):
                self._num_in_hand[index] += 1
                self._wants_more[index] = False
                group.create_task(self._run(group, index, self._waiting.popleft()))

    async def _run(self, group: asyncio.TaskGroup, index: int, row: dict[str, Any]) -> None:
        await self._workers[index].run_task(row)
        self._num_in_hand[index] -= 1
        self._hand_out(group)
