"""Run folders: which there are, what each started, and where the files of one element lie."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from mmassist.core.errors import ConfigError
from mmassist.io.layout import Layout
from tools.command import advise
from tools.records.file import Reader, number_of, rows_of, table_of, text_of
from tools.records.unit import Unit

LAST = "last"
_CHILD = re.compile(r"\.(\d+)\.jsonl$")


@dataclass(frozen=True)
class JobRow:
    """One job of a run, as its receipt or its plan has it. Receipts of older versions lack most of it."""

    run: Run
    name: str
    stage: str
    dataset: str
    unit: str  # below DATA_ROOT_DIR
    elements: int = 0
    job_ids: tuple[str, ...] = ()
    windows: tuple[tuple[str, int, int], ...] = ()  # job id, first element, number of elements
    after: tuple[str, ...] = ()  # ids of the jobs that it waits for
    host: str = ""  # of the command, or of whoever holds the folder
    pid: int = 0
    is_submitted: bool = True  # False: there is a plan and no receipt

    @property
    def key(self) -> tuple[str, str]:
        return (self.run.run_id, self.name)

    @property
    def is_cluster_job(self) -> bool:
        return bool(self.job_ids)

    def fits(self, filters: Mapping[str, Sequence[str]]) -> bool:
        """Whether ``stage=`` and ``dataset=`` mean it."""
        return self.stage in filters.get("stage", (self.stage,)) and self.dataset in filters.get(
            "dataset", (self.dataset,)
        )

    def held_by(self, lock: Mapping[str, Any]) -> JobRow:
        """The same with the process that holds the folder's lock, which of an unfinished submission is its own."""
        return replace(self, host=text_of(lock, "host"), pid=int(number_of(lock, "pid")))

    def iter_elements(self) -> Iterator[tuple[int, str]]:
        """Number and SLURM's id of every element; a window of one element is a plain job without an index."""
        if not self.is_cluster_job:
            yield from ((number, "") for number in range(self.elements))
            return
        for job_id, first, count in self.windows:
            for number in range(first, first + count):
                yield number, _element_id(job_id, number - first, count)

    def job_id(self, element: int) -> str:
        """The id that SLURM gave to an element, "" when it got none."""
        for job_id, first, count in self.windows:
            if first <= element < first + count:
                return _element_id(job_id, element - first, count)
        return ""

    def elements_of(self, job_id: str) -> Iterator[int]:
        """The elements that a SLURM id, with or without an index, stands for."""
        base, _, index = job_id.partition("_")
        for one, first, count in self.windows:
            if one == base:
                yield from (first + i for i in ([int(index)] if index else range(count)) if i < count)


class Run:
    """One command's folder, read when it is first asked for something. It need not be there."""

    def __init__(self, layout: Layout, run_id: str, reader: Reader | None = None):
        self.run_id, self.layout = run_id, layout.run(run_id)
        self._reader = reader or Reader()
        self._lives: dict[str, dict[int, list[Path]]] = {}

    @cached_property
    def receipt(self) -> dict[str, Any]:
        return self._reader.read_object(self.layout.receipt) or {}

    @cached_property
    def plan(self) -> dict[str, Any]:
        return self._reader.read_object(self.layout.plan) or {}

    @property
    def exists(self) -> bool:
        return self.layout.root.is_dir()

    @property
    def launcher(self) -> str:
        return text_of(self.receipt, "launcher")

    @property
    def user(self) -> str:
        return text_of(self.receipt, "user")

    @property
    def time(self) -> str:
        return text_of(self.receipt, "time")

    @property
    def command(self) -> list[str]:
        words = self.receipt.get("command")
        return [str(word) for word in words] if isinstance(words, list) else []

    @property
    def keeps_lives(self) -> bool:
        """Runs of older versions wrote down neither what their elements did nor their launcher."""
        return bool(self.launcher)

    @cached_property
    def jobs(self) -> list[JobRow]:
        """The receipt's rows; of a submission without receipt those that were planned so far."""
        if isinstance(self.receipt.get("jobs"), list):
            jobs = [self._job_row(row) for row in rows_of(self.receipt, "jobs")]
            return [job for job in jobs if job.name and job.unit]
        if self.layout.receipt.exists():
            return []  # it cannot be read, which the reader has noted
        return [
            JobRow(self, name, *_facts_of(name, row), text_of(row, "unit"), is_submitted=False)
            for name, row in self.plan.items()
            if isinstance(row, dict) and text_of(row, "unit")
        ]

    def job(self, name: str) -> JobRow:
        """The row of a job; of one that no row tells of, such as one of a half submission, what its name says."""
        found = next((row for row in self.jobs if row.name == name), None)
        return found or JobRow(self, name, *_facts_of(name, {}), "", is_submitted=False)

    def job_of(self, unit: Unit) -> JobRow:
        """The job that worked on ``unit``; one with the name that it would have where no row tells of it."""
        found = next((row for row in self.jobs if row.unit.endswith(f"/{unit.path}")), None)
        return found or self.job(f"{unit.stage}-{unit.path}".replace("/", "-").replace("+", "-"))

    def bundles(self, job: str) -> list[list[str]] | None:
        """The tasks of every element, by the plan; None when it does not tell."""
        found = table_of(self.plan, job).get("elements")
        is_whole = isinstance(found, list) and all(isinstance(bundle, list) for bundle in found)
        return found if is_whole else None

    def element_of(self, job: str, task: str) -> int | None:
        """The element that a task was handed to, by the plan."""
        return next((number for number, names in enumerate(self.bundles(job) or ()) if task in names), None)

    def list_lives(self, job: str) -> dict[int, list[Path]]:
        """Life files by element, each from its first start to its last; other names are left alone."""
        found: dict[int, list[tuple[int, str]]] = {}
        folder = self.layout.life_dir(job)
        for name in self._reader.list_names(folder, ".json"):
            element, _, start = name.removesuffix(".json").partition(".")
            if element.isdigit() and start.isdigit():
                found.setdefault(int(element), []).append((int(start), name))
        return {element: [folder / name for _, name in sorted(names)] for element, names in found.items()}

    def lives(self, job: str, element: int) -> list[dict[str, Any]]:
        """What an element did, from its first start to its last, as far as it can be read."""
        if job not in self._lives:  # once: an array may have thousands of elements
            self._lives[job] = self.list_lives(job)
        return [life for path in self._lives[job].get(element, ()) if (life := self._reader.read_object(path))]

    def worker_logs(self, job: str, element: int) -> dict[int, Path]:
        """The logs of an element's workers by number."""
        folder, pattern = self.layout.log_dir, self.layout.log(f"{job}.{element:05d}.*").name
        found = {path: _CHILD.search(path.name) for path in folder.glob(pattern)}
        return {int(match.group(1)): path for path, match in sorted(found.items()) if match}

    def worker_output(self, job: str, element: int, child: int) -> Path:
        return self.layout.output(f"{job}.{element:05d}.{child}")

    def slurm_files(self, job: str, element: int) -> list[Path]:
        """Standard output and errors of an element as SLURM kept them; those that exist."""
        job_id, folder = self.job(job).job_id(element), self.layout.slurm_dir(job)
        names = (f"{job_id}{task}_log.{kind}" for task in ("_0", "") for kind in ("out", "err"))
        return [folder / name for name in names if job_id and (folder / name).is_file()]

    def _job_row(self, row: Mapping[str, Any]) -> JobRow:
        name, job_ids = text_of(row, "job"), _texts(row, "job_ids")
        elements = row["elements"] if isinstance(row.get("elements"), int) else 1
        windows = tuple(_iter_windows(rows_of(row, "windows")))
        if not windows and len(job_ids) == 1:
            windows = ((job_ids[0], 0, elements),)
        return JobRow(
            self,
            name,
            *_facts_of(name, row),
            text_of(row, "unit"),
            elements=elements,
            job_ids=job_ids,
            windows=windows,
            after=_texts(row, "after"),
            host=text_of(self.receipt, "host"),
            pid=int(number_of(self.receipt, "pid")),
        )


def list_runs(layout: Layout, reader: Reader | None = None) -> list[Run]:
    """All run folders, the newest first: their names begin with the time."""
    reader = reader or Reader()
    return [Run(layout, name, reader) for name in reversed(reader.list_folders(layout.runs))]


def find_run(runs: Sequence[Run], word: str) -> Run:
    """The run that ``word`` names, by its id or the beginning of it, by its folder, or as ``last``, the newest.

    Raises ConfigError with the nearest names.
    """
    if word == LAST and runs:
        return runs[0]
    name = word.rstrip("/").rpartition("/")[2]
    matching = [run for run in runs if run.run_id == name] or [
        run for run in runs if name and run.run_id.startswith(name)
    ]
    if len(matching) > 1:
        raise ConfigError(
            f"{word!r} begins the names of {len(matching)} runs, such as {matching[0].run_id}; say more of it"
        )
    if not matching:
        newest = f"the newest is '{runs[0].run_id}'" if runs else "there is none yet"
        raise ConfigError(f"there is no run {word!r}; {advise(name, [run.run_id for run in runs], newest)}")
    return matching[0]


def _element_id(job_id: str, index: int, count: int) -> str:
    return job_id if count == 1 else f"{job_id}_{index}"


def _facts_of(name: str, row: Mapping[str, Any]) -> tuple[str, str]:
    """Stage and source of a job; where the row does not say them the folder or the job's name does."""
    stage, _, rest = name.partition("-")
    parts = text_of(row, "unit").split("/")
    dataset = parts[1] if len(parts) > 1 else rest.partition("-")[0]
    return text_of(row, "stage") or stage, text_of(row, "dataset") or dataset


def _iter_windows(rows: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, int, int]]:
    for row in rows:
        if "job_id" in row and all(isinstance(row.get(name), int) for name in ("first", "count")):
            yield str(row["job_id"]), row["first"], row["count"]


def _texts(row: Mapping[str, Any], name: str) -> tuple[str, ...]:
    found = row.get(name)
    return tuple(str(value) for value in found) if isinstance(found, list) else ()
