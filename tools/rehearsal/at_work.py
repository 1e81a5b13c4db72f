"""Elements of a run in the middle of their work: found by their life files, held still for a moment, let go again."""

from __future__ import annotations

import signal
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmassist.io.layout import Layout, UnitLayout
from slurm.private.cluster import Cluster
from slurm.private.process import send
from tools.records.run import JobRow, Run


@dataclass(frozen=True)
class Caught:
    """An element whose workers are halted; ``open_tasks`` it has still to commit."""

    job: JobRow
    element: int
    life: Mapping[str, Any]
    open_tasks: Sequence[str]

    @property
    def job_id(self) -> str:
        return str(self.life["job_id"])

    @property
    def node(self) -> str:
        return str(self.life["node"])

    @property
    def name(self) -> str:
        return f"{self.job.name}, element {self.element}, {self.job_id} on {self.node}"


def workers_of(life: Mapping[str, Any]) -> list[int]:
    """Process ids of the workers that an element has started."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rsplit(")", 1)[1].split()
            words = (path.parent / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if int(fields[1]) == life["pid"] and b"launchers.worker" in words and fields[0] != "Z":
            found.append(int(path.parent.name))
    return found


def halt(life: Mapping[str, Any]) -> list[int]:
    """Halt an element's workers, so that its work lasts; returns their process ids."""
    pids = workers_of(life)
    send(pids, signal.SIGSTOP)
    return pids


def let_go(life: Mapping[str, Any]) -> None:
    """Let halted workers work on."""
    send(workers_of(life), signal.SIGCONT)


@dataclass(frozen=True)
class Scene:
    """A run on a private cluster, looked at afresh by every question."""

    cluster: Cluster
    layout: Layout
    run_id: str

    def look(self) -> Run:
        """The run's files as they are now."""
        return Run(self.layout, self.run_id)

    def state_of(self, job_id: str) -> str:
        """SLURM's word for an element's state, "" when it gives no answer."""
        return (self.cluster.ask("squeue", "-h", "-t", "all", "-o", "%T", "-j", job_id) or "").strip()

    def life(self, caught: Caught) -> dict[str, Any]:
        """The life that was caught, as it stands now."""
        return next(life for life in self._lives(caught) if life["start"] == caught.life["start"])

    def next_life(self, caught: Caught) -> dict[str, Any] | None:
        """The latest life of the element since the one that was caught; None before its next start."""
        later = [life for life in self._lives(caught) if life["start"] > caught.life["start"]]
        return later[-1] if later else None

    def is_at_work(self, caught: Caught) -> bool:
        """Whether the life that was caught goes on."""
        return _is_alive(self.life(caught))

    def _lives(self, caught: Caught) -> list[dict[str, Any]]:
        return self.look().lives(caught.job.name, caught.element)

    def list_alive(self, stage: str = "", node: str = "") -> list[tuple[JobRow, int, dict[str, Any]]]:
        """The elements at work with their latest life, those of a stage or on a node alone."""
        run = self.look()
        jobs = [job for job in run.jobs if stage in ("", job.stage)]
        found = [(job, element, run.lives(job.name, element)) for job in jobs for element in run.list_lives(job.name)]
        return [
            (job, element, lives[-1])
            for job, element, lives in found
            if lives and node in ("", lives[-1]["node"]) and _is_alive(lives[-1])
        ]

    def count_tasks(self, stage: str) -> tuple[int, int]:
        """Tasks of a stage that are committed, of those that this run was given, and how many these are."""
        run = self.look()
        tasks = [(job, [t for b in run.bundles(job.name) or () for t in b]) for job in run.jobs if job.stage == stage]
        total = sum(len(names) for _, names in tasks)
        return total - sum(len(self._open(job, names)) for job, names in tasks), total

    def catch(self, stage: str, least: int, spared_nodes: Collection[str]) -> Caught | None:
        """Halt the workers of an element that has ``least`` tasks to commit or more; None when there is none now."""
        for job, element, life in self.list_alive(stage):
            bundle = (self.look().bundles(job.name) or [])[element]
            if life["node"] in spared_nodes or len(self._open(job, bundle)) < least or not halt(life):
                continue
            caught = Caught(job, element, life, self._open(job, bundle))  # now that nobody commits any more
            if len(caught.open_tasks) >= least and self.is_at_work(caught):
                return caught
            let_go(life)
        return None

    def _open(self, job: JobRow, tasks: Sequence[str]) -> list[str]:
        unit = UnitLayout(self.layout.data_root / job.unit)
        return [task for task in tasks if not unit.record(task).exists()]


def _is_alive(life: Mapping[str, Any]) -> bool:
    """Whether its supervisor runs; a life that was cut off says nothing of its end."""
    return not life["ended"] and Path(f"/proc/{life['pid']}").exists()
