"""What was made and how long each stage took, here and on the cluster, read from task records and life files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from rich import box
from rich.table import Table

from launchers.slurm.ends import LifeRecord, parse_time
from mmassist.core.outcome import Status
from mmassist.io.layout import Layout
from mmassist.stages import PIPELINE
from tools.demo.summary import sum_records
from tools.records.run import list_runs
from tools.records.unit import list_units
from tools.rehearsal.storm import Struck

COLUMNS = ("stage", "folders", "items", "shards", "MB", "local, s", "SLURM, s", "elements", "starts", "their s")


@dataclass
class Work:
    """The lives of a stage's elements, over all commands that were run below a data root."""

    lives: list[LifeRecord] = field(default_factory=list)

    @property
    def num_elements(self) -> int:
        return sum(life.start == 0 for life in self.lives)

    @property
    def element_s(self) -> float:
        """Seconds of all starts together."""
        return sum(life.seconds for life in self.lives)

    @property
    def wall_s(self) -> float:
        """Seconds in which at least one element was at work."""
        total, until = 0.0, datetime.min
        for begin, end in sorted(self._iter_spans()):
            total += max(0.0, (end - max(begin, until)).total_seconds())
            until = max(until, end)
        return total

    def _iter_spans(self) -> Iterator[tuple[datetime, datetime]]:
        for life in self.lives:
            begin, end = parse_time(life.started), parse_time(life.ended or life.updated)
            if begin and end:
                yield begin.replace(tzinfo=None), end.replace(tzinfo=None)


def load_work(layout: Layout) -> dict[str, Work]:
    """The work of every stage of the pipeline."""
    found = {stage: Work() for stage in PIPELINE}
    for run in list_runs(layout):
        for job in run.jobs:
            for element in run.list_lives(job.name):
                rows = run.lives(job.name, element)
                found[job.stage].lives += [LifeRecord.from_row(row) for row in rows]
    return found


def render_table(local: Layout, slurm: Layout) -> Table:
    """A row per stage and one of everything; counts are those of the first root."""
    table = Table(title="what was made, and seconds at work", title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for name in COLUMNS:
        table.add_column(name, justify="left" if name == "stage" else "right")
    counts = {stage: _count(local, stage) for stage in PIPELINE}
    here, there = load_work(local), load_work(slurm)
    for stage in PIPELINE:
        table.add_row(stage, *_cells(counts[stage], here[stage], there[stage]))
    everything = [Work([life for work in works.values() for life in work.lives]) for works in (here, there)]
    table.add_section()
    table.add_row("all", *_cells([sum(column) for column in zip(*counts.values(), strict=True)], *everything))
    return table


def _count(layout: Layout, stage: str) -> list[int]:
    """Output folders, items done, shards and bytes of a stage."""
    found = [sum_records(stage, unit.dataset, unit.layout) for unit in list_units(layout) if unit.stage == stage]
    done = sum(totals.statuses[Status.DONE] for totals in found)
    return [len(found), done, sum(t.num_shards for t in found), sum(t.num_bytes for t in found)]


def _cells(counts: Sequence[int], here: Work, there: Work) -> Iterator[str]:
    folders, items, shards, num_bytes = counts
    yield from (str(folders), str(items), str(shards), f"{num_bytes / 1e6:.1f}")
    yield from (f"{here.wall_s:.0f}", f"{there.wall_s:.0f}")
    yield from (str(there.num_elements), str(len(there.lives)), f"{there.element_s:.0f}")


def render_disturbances(struck: Sequence[Struck]) -> Table:
    """A row per disturbance, in the order in which they were made."""
    table = Table(title="disturbances", title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("at, s", "what", "of", "came of it"):
        table.add_column(name, justify="right" if name == "at, s" else "left", overflow="fold")
    for one in struck:
        came = f"{'MISSED: ' if one.is_missed else ''}{one.came or 'interrupted'}"
        table.add_row(f"{one.at_s:.0f}", one.blow.what, one.caught.name, came)
    return table
