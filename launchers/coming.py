"""What jobs that are planned now will find when they begin, made by earlier jobs of their command and by other runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from launchers.jobs import Job
from launchers.slurm.queue import live_jobs
from launchers.workspace import upstream_key
from mmassist.core.item import Item
from mmassist.io.layout import UnitLayout
from mmassist.io.lock import read_holder

if TYPE_CHECKING:
    from launchers.plan import UnitPlan


@dataclass
class Coming:
    """By output folder; grows from job to job of a command.

    ``leaves_out``: items whose input no job is about to make are left out, since they would queue for nothing.
    """

    leaves_out: bool = False
    made: dict[Path, set[str]] = field(default_factory=dict)  # items that earlier jobs of the command work on
    changed: dict[Path, frozenset[str]] = field(
        default_factory=dict
    )  # those of them that were there, and were otherwise
    busy: set[Path] = field(default_factory=set)  # folders in which another run's jobs are at work

    def add(self, job: Job, plan: UnitPlan) -> None:
        """Take note of what a job is going to do."""
        self.made[job.unit.root] = {key for keys in plan.todo.values() for key in keys}
        self.changed[job.unit.root] = plan.changed

    def brings(self, unit: UnitLayout, key: str) -> bool:
        """Whether an item of a folder is being made."""
        return unit.root in self.busy or key in self.made.get(unit.root, ())

    def changes(self, job: Job, item: Item) -> list[str]:
        """The earlier stages that make something else of what ``item`` was made from."""
        nothing: frozenset[str] = frozenset()
        made_from = ((name, unit, upstream_key(item, name)) for name, unit in job.upstream.items())
        return [name for name, unit, key in made_from if key in self.changed.get(unit.root, nothing)]


def coming_for(jobs: Sequence[Job]) -> Coming:
    """Before the first job of a command is planned."""
    if jobs[0].launcher != "slurm":
        return Coming()
    own = {job.unit.root for job in jobs}
    read = {unit.root: unit for job in jobs for unit in job.upstream.values() if unit.root not in own}
    return Coming(leaves_out=True, busy={root for root, unit in read.items() if live_holders(unit)})


def live_holders(unit: UnitLayout) -> list[str]:
    """The cluster jobs that are at work in a folder."""
    holder = read_holder(unit.lock)
    return (live_jobs(holder["jobs"], holder.get("folder", "")) or []) if holder and holder["jobs"] else []
