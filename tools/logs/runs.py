"""Run folders: which there are, what they started, and where one element's files lie. Readers of older runs, too."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from mmassist.core.errors import ConfigError
from mmassist.io.layout import Layout, RunLayout
from tools.logs.units import Unit, read_mapping
from tools.logs.words import advise

LAST = "last"
_CHILD = re.compile(r"\.(\d+)\.jsonl$")


@dataclass(frozen=True)
class Run:
    """One command's folder. ``receipt`` and ``plan`` are empty where the command did not get so far."""

    run_id: str
    layout: RunLayout

    @cached_property
    def receipt(self) -> dict[str, Any]:
        return read_mapping(self.layout.receipt)

    @cached_property
    def plan(self) -> dict[str, Any]:
        return read_mapping(self.layout.plan)

    @cached_property
    def _lives(self) -> dict[str, dict[str, list[Path]]]:
        return {}

    @property
    def exists(self) -> bool:
        return self.layout.root.is_dir()

    @property
    def jobs(self) -> list[dict[str, Any]]:
        """The receipt's rows, or those of the plan while there is no receipt."""
        rows = [row for row in self.receipt.get("jobs", []) if isinstance(row, dict) and row.get("job")]
        return rows or [{"job": job, "unit": row.get("unit", "")} for job, row in self.plan.items()]

    def job_of(self, unit: Unit) -> str:
        """The name of the job that worked on ``unit``; made from the unit's own name where no row tells it."""
        for row in self.jobs:
            if str(row.get("unit", "")).endswith(f"/{unit.path}"):
                return str(row["job"])
        return f"{unit.stage}-{unit.path}".replace("/", "-").replace("+", "-")

    def row_of(self, job: str) -> dict[str, Any]:
        return next((row for row in self.jobs if row["job"] == job), {})

    def element_of(self, job: str, task: str) -> int | None:
        """The element that a task was handed to, by the plan."""
        for number, names in enumerate(self.plan.get(job, {}).get("elements", [])):
            if task in names:
                return number
        return None

    def lives(self, job: str, element: int) -> list[dict[str, Any]]:
        """What an element did, from its first start to its last."""
        if job not in self._lives:
            self._lives[job] = {}
            for path in self.layout.life_dir(job).glob("*.json"):  # once: an array may have thousands of elements
                self._lives[job].setdefault(path.name.partition(".")[0], []).append(path)
        found = [read_mapping(path) for path in self._lives[job].get(f"{element:05d}", [])]
        return sorted((life for life in found if life), key=lambda life: life.get("start", 0))

    def job_id(self, job: str, element: int) -> str:
        """The id that SLURM gave to an element, "" when it got none."""
        row = self.row_of(job)
        windows = row.get("windows") or []
        for window in windows:
            index = element - window["first"]
            if 0 <= index < window["count"]:
                return f"{window['job_id']}_{index}" if window["count"] > 1 else str(window["job_id"])
        ids = row.get("job_ids") or []  # receipts without windows: certain only where there is one array
        if windows or len(ids) != 1:
            return ""
        return f"{ids[0]}_{element}" if row.get("elements", 1) > 1 else str(ids[0])

    def elements_of_id(self, job_id: str) -> Iterator[tuple[str, int]]:
        """Job and element that a SLURM id, with or without an index, stands for."""
        base, _, index = job_id.partition("_")
        for row in self.jobs:
            windows = row.get("windows") or [
                {"job_id": one, "first": 0, "count": row.get("elements", 1)} for one in row.get("job_ids") or []
            ]
            for window in windows:
                if str(window["job_id"]) != base:
                    continue
                chosen = [int(index)] if index else range(window["count"])
                yield from ((row["job"], window["first"] + i) for i in chosen if i < window["count"])

    def worker_logs(self, job: str, element: int) -> dict[int, Path]:
        """The logs of an element's workers by number."""
        folder, pattern = self.layout.log_dir, self.layout.log(f"{job}.{element:05d}.*").name
        found = {path: _CHILD.search(path.name) for path in folder.glob(pattern)}
        return {int(match.group(1)): path for path, match in sorted(found.items()) if match}

    def worker_output(self, job: str, element: int, child: int) -> Path:
        return self.layout.output(f"{job}.{element:05d}.{child}")

    def slurm_files(self, job: str, element: int) -> list[Path]:
        """Standard output and errors of an element as SLURM kept them; those that exist."""
        job_id = self.job_id(job, element)
        folder = self.layout.slurm_dir(job)
        names = (f"{job_id}{task}_log.{kind}" for task in ("_0", "") for kind in ("out", "err"))
        return [folder / name for name in names if job_id and (folder / name).is_file()]


def list_runs(layout: Layout) -> list[Run]:
    """All run folders, newest first: their names sort by time."""
    try:
        names = sorted((path.name for path in layout.runs.iterdir() if path.is_dir()), reverse=True)
    except FileNotFoundError:
        return []
    return [Run(name, layout.run(name)) for name in names if not name.startswith(".")]


def find_run(layout: Layout, name: str) -> Run:
    """The run called ``name``; ``last`` is the newest. Raises ConfigError with the nearest names."""
    runs = list_runs(layout)
    if name == LAST and runs:
        return runs[0]
    for run in runs:
        if run.run_id == name:
            return run
    newest = f"the newest is {runs[0].run_id!r}" if runs else f"{layout.runs} holds none"
    raise ConfigError(f"run {name!r} does not exist; {advise(name, [run.run_id for run in runs], newest)}")


def fields_of(row: Mapping[str, Any], *names: str) -> str:
    """``name value`` of what is there, for one line of text."""
    return ", ".join(f"{name} {row[name]}" for name in names if row.get(name) not in (None, ""))
