"""Run jobs on this machine: in this process (``basic``) or under a supervisor with worker children (``local``)."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from launchers.child import child_environment, count_gpus, scratch_folder, spawn_worker
from launchers.collector import paused_collector
from launchers.jobs import Job, Sources
from launchers.life import End, Life, Place
from launchers.plan import Coming, Selection, UnitPlan, plan_unit, select_items
from launchers.prepare import Sides, apply_plan, move_aside, write_elements
from launchers.progress import JobProgress
from launchers.slurm.queue import are_alive
from launchers.supervise import Limits, Supervisor
from launchers.work import Report
from launchers.worker import JsonLog, Worker, root_logging
from launchers.workspace import Workspace
from mmassist.core.errors import ConfigError, StageError
from mmassist.core.outcome import Status
from mmassist.core.stage import Task
from mmassist.io.atomic import write_json
from mmassist.io.layout import Layout, RunLayout
from mmassist.io.lock import FolderLock
from mmassist.io.shard import clean_dead_attempts


@dataclass
class JobResult:
    """What a job did in this command and how its items stand now."""

    job: Job
    plan: UnitPlan
    run_id: str = ""
    events: dict[str, dict[str, Any]] = field(default_factory=dict)  # the last event of every item
    error: str = ""

    def add(self, event: dict[str, Any]) -> None:
        """Take note of one event of a worker; a replaced worker may report an item again."""
        if event["event"] == "item":
            self.events[event["item"]] = event

    @property
    def counts(self) -> Counter[Status]:
        return Counter(Status(event["status"]) for event in self.events.values())

    @property
    def reasons(self) -> dict[tuple[Status, str], list[str]]:
        """Items that did not succeed, by status and reason."""
        found: dict[tuple[Status, str], list[str]] = {}
        for key, event in sorted(self.events.items()):
            if event["status"] != Status.DONE:
                found.setdefault((Status(event["status"]), event["reason"]), []).append(key)
        return found


class Execution:
    """Runs the jobs of one command one after another; each is planned when its turn comes."""

    def __init__(self, layout: Layout, run_id: str, run: RunLayout, sources: Sources, sides: Mapping[str, Sides]):
        self.layout, self.run_id, self.run = layout, run_id, run
        self._sources, self.sides = sources, sides
        self._plans: dict[str, dict[str, Any]] = {}

    def run_job(self, job: Job, rebuild: bool) -> JobResult:
        """Plan and run one job. Raises ConfigError (Locked) when another run holds its folder."""
        lock = FolderLock(job.unit.lock, self.run_id, are_alive)
        lock.acquire()
        try:
            selection, plan = self.plan(job, rebuild)
            tasks = sorted(plan.waiting(), key=lambda task: (-task.weight, task.name))
            self.prepare(job, lock, rebuild, selection, plan, [tasks] if tasks else [])
            result = JobResult(job, plan, self.run_id)
            if tasks:
                with JobProgress(f"{job.stage.name} {job.dataset}", plan.num_items) as progress:
                    self._work(job, [t.name for t in tasks], result, progress)
            return result
        finally:
            lock.release()

    @paused_collector()
    def prepare(
        self,
        job: Job,
        lock: FolderLock,
        rebuild: bool,
        selection: Selection,
        plan: UnitPlan,
        bundles: Sequence[Sequence[Task]],
    ) -> None:
        """Put the job's plan, divided into elements, on disk: in its folder, whose lock is held, and in the run's."""
        if rebuild:
            move_aside(job.unit, self.run_id)
            lock.acquire()
        clean_dead_attempts(job.unit)
        if job.stage.reads_side or not self.layout.unit(job.dataset, "splits").assignment.exists():
            self.sides[job.dataset].save(self.layout, job.dataset)
        apply_plan(self.layout, job, plan, self.run_id)
        write_elements(self.run, job, plan, selection, bundles, self.run_id)
        self._plans[job.name] = {
            "unit": self.layout.relative(job.unit.root),
            "fingerprint": job.fingerprint,
            "items": plan.num_items,
            "runs": dict(plan.why),
            "rests": dict(plan.rest),
            "elements": [[task.name for task in bundle] for bundle in bundles],
        }
        write_json(self.run.plan, self._plans, "run")

    @paused_collector()
    def plan(self, job: Job, rebuild: bool = False, coming: Coming | None = None) -> tuple[Selection, UnitPlan]:
        """The job's selected items and what there is to do; changes nothing. Adds it to ``coming``."""
        selection = select_items(job, self._sources.listing(job), self.sides[job.dataset].of_item)
        workspace = Workspace(job.stage, job.upstream, self.layout.data_root)
        try:
            plan = plan_unit(job, selection, workspace, rebuild, coming)
        finally:
            workspace.close()
        if coming is not None:
            coming.add(job, plan)
        return selection, plan

    def _work(self, job: Job, tasks: list[str], result: JobResult, progress: JobProgress) -> None:
        def report(event: dict[str, Any]) -> None:
            progress.add(event)
            result.add(event)

        place = Place(job.name)
        life = Life(self.run.life(job.name, place.element, place.start), place, count_gpus())
        end, message = End.STOPPED, "interrupted"
        try:
            if job.launcher == "basic":
                self._run_here(job, tasks, report, life)
            else:
                self._supervise(job, tasks, report, life)
            end, message = End.COMPLETED, ""
        except StageError as error:
            result.error = str(error)
            end, message = End.FAILED, str(error)
        finally:
            life.finish(end, message)

    def _run_here(self, job: Job, tasks: list[str], report: Report, life: Life) -> None:
        def tell_of(event: dict[str, Any]) -> None:
            life.add(event)
            life.beat()
            report(event)

        life.begin(1, len(tasks))
        os.environ.update(job.environment)
        handler = JsonLog(self.run.log(f"{job.name}.00000.0"))
        with root_logging(handler, job.command.log_level), terminate_as_interrupt():
            worker = Worker(self.layout.data_root, self.run, job.name, 0, 0, tell_of, alone=True)
            try:
                asyncio.run(_run_all(worker, life))
            finally:
                worker.close()

    def _supervise(self, job: Job, tasks: list[str], report: Report, life: Life) -> None:
        config = job.stage_config
        cores = os.cpu_count() or 1
        num_workers = min(job.command.num_workers or min(config.num_workers, cores), len(tasks))
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") * 0.9 / num_workers
        limits = Limits(config.item_timeout_s, memory, config.max_fail_ratio)
        with scratch_folder(None, f"mmassist-{self.run_id}-") as scratch:

            def spawn(child: int) -> Any:
                environment = child_environment(child, num_workers, count_gpus(), scratch) | job.environment
                return spawn_worker(self.layout.data_root, self.run, job.name, 0, child, job.python, environment)

            Supervisor(job.unit, self.run_id, 0, tasks, num_workers, limits, spawn, report, life).run()


def check_here(jobs: Sequence[Job]) -> None:
    """Raises ConfigError for what only other launchers can do, and for a key that is not in the environment."""
    for job in jobs:
        engine = job.stage.engine
        if job.launcher == "basic" and job.python != sys.executable:
            raise ConfigError(
                f"{job.stage.name} needs the interpreter {job.python}, and hydra/launcher=basic runs in this process; "
                "say hydra/launcher=local"
            )
        if engine is not None and engine.secret_name and not os.environ.get(engine.secret_name):
            raise ConfigError(
                f"the environment variable {engine.secret_name} is not set; it has to hold the server's key"
            )


def job_in_the_way(job: Job) -> str:
    """Who is at work in the job's folder, so that the command would be refused now; "" for nobody."""
    return FolderLock(job.unit.lock, "", are_alive).describe_holder()


async def _run_all(worker: Worker, life: Life) -> None:
    for row in worker.rows:
        committed = await worker.run_task(row)
        life.add({"event": "task", "task": row["name"], "committed": committed})


@contextmanager
def terminate_as_interrupt() -> Iterator[None]:
    """Treat SIGTERM like Ctrl-C, so that a polite kill ends with a message instead of silence."""

    def interrupt(number: int, _: Any) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
