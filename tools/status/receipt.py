"""What was started: the jobs that run folders tell of, receipts of older versions included."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from mmassist.io.layout import Layout, RunLayout
from tools.status.files import Reader


@dataclass(frozen=True)
class JobRow:
    """One job of a receipt. Receipts of older versions lack most of it."""

    run: RunLayout
    run_id: str
    name: str
    stage: str
    unit: str
    elements: int
    job_ids: tuple[str, ...]
    windows: tuple[tuple[str, int, int], ...]  # job id, first element, number of elements
    launcher: str
    host: str
    pid: int
    user: str
    time: str
    command: tuple[str, ...]
    keeps_lives: bool
    is_submitted: bool = True  # False: there is a plan and no receipt

    @property
    def key(self) -> tuple[str, str]:
        return (self.run_id, self.name)

    def held_by(self, lock: Mapping[str, Any]) -> JobRow:
        """The same with the process that holds the folder's lock, which of an unfinished submission is its own."""
        pid = lock.get("pid")
        return replace(self, host=_text(lock, "host"), pid=pid if isinstance(pid, int) else 0)

    @property
    def is_cluster_job(self) -> bool:
        return bool(self.job_ids)


def list_run_ids(layout: Layout, reader: Reader) -> list[str]:
    """Run folders, the newest first: their names begin with the time."""
    return list(reversed(reader.list_names(layout.runs)))


def read_jobs(layout: Layout, run_id: str, reader: Reader) -> list[JobRow]:
    """The jobs that a run folder tells of; of a submission without receipt those that were planned so far."""
    run = layout.run(run_id)
    receipt = reader.read_object(run.receipt)
    rows = (receipt or {}).get("jobs")
    if isinstance(rows, list):
        jobs = [_job_row(run, run_id, receipt or {}, row) for row in rows if isinstance(row, dict)]
        return [job for job in jobs if job.name and job.unit]
    if run.receipt.exists():
        return []  # it cannot be read, which the reader has noted
    plan = reader.read_object(run.plan) or {}
    return [
        _job_row(run, run_id, {}, {"job": name, "unit": row.get("unit"), "elements": 0}, is_submitted=False)
        for name, row in plan.items()
        if isinstance(row, dict) and isinstance(row.get("unit"), str)
    ]


def _job_row(
    run: RunLayout, run_id: str, receipt: Mapping[str, Any], row: Mapping[str, Any], is_submitted: bool = True
) -> JobRow:
    windows = tuple(
        (str(w["job_id"]), w["first"], w["count"])
        for w in row.get("windows") or ()
        if isinstance(w, dict) and isinstance(w.get("first"), int) and isinstance(w.get("count"), int) and "job_id" in w
    )
    job_ids = tuple(str(job_id) for job_id in row.get("job_ids") or ())
    elements = row["elements"] if isinstance(row.get("elements"), int) else 1
    if not windows and len(job_ids) == 1:
        windows = ((job_ids[0], 0, elements),)
    pid = receipt.get("pid")
    return JobRow(
        run=run,
        run_id=run_id,
        name=_text(row, "job"),
        stage=_text(row, "stage") or _text(row, "job").partition("-")[0],
        unit=_text(row, "unit"),
        elements=elements,
        job_ids=job_ids,
        windows=windows,
        launcher=_text(receipt, "launcher"),
        host=_text(receipt, "host"),
        pid=pid if isinstance(pid, int) else 0,
        user=_text(receipt, "user"),
        time=_text(receipt, "time"),
        command=tuple(str(word) for word in receipt.get("command") or ()),
        keeps_lives="launcher" in receipt,
        is_submitted=is_submitted,
    )


def _text(row: Mapping[str, Any], name: str) -> str:
    value = row.get(name)
    return value if isinstance(value, str) else ""
