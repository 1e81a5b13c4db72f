"""A report as plain values, with the field names of docs/status.md."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from mmassist.datasets.json_file import replace_surrogates
from tools.status.job import JobState
from tools.status.report import SCHEMA_VERSION, Report, UnitReport, list_bad_ends

ITEM_COUNTS = ("total", "done", "kept", "failed", "blocked", "skipped")


def report_row(report: Report) -> dict[str, Any]:
    """The whole report."""
    row: dict[str, Any] = replace_surrogates(
        {
            "schema_version": SCHEMA_VERSION,
            "data_root": report.data_root,
            "time": report.time,
            "exit_code": report.exit_code,
            "is_queue_known": report.is_queue_known,
            "is_accounting_known": report.is_accounting_known,
            "problems": report.problems,
            "units": [_unit_row(unit) for unit in report.units],
        }
    )
    return row


def _unit_row(report: UnitReport) -> dict[str, Any]:
    count = report.count
    items = {name: getattr(count, name) for name in ITEM_COUNTS}
    return {
        "unit": f"processed_data/{report.unit.path}",
        "dataset": report.unit.dataset,
        "stage": report.unit.stage,
        "items": {**items, "running": report.running, "waiting": report.waiting},
        "tasks": {"total": count.tasks, "committed": count.committed},
        "num_bytes": count.num_bytes,
        "items_per_s": round(report.items_per_s, 4),
        "eta_s": None if report.eta_s is None else round(report.eta_s),
        "gpu_hours": round(report.gpu_hours, 4),
        "reasons": [asdict(reason) for reason in count.reasons],
        "is_bad": report.is_bad,
        "jobs": [_job_row(job) for job in report.jobs],
    }


def _job_row(job: JobState) -> dict[str, Any]:
    row = job.row
    return {
        "run_id": row.run.run_id,
        "job": row.name,
        "launcher": row.run.launcher,
        "user": row.run.user,
        "time": row.run.time,
        "command": row.run.command,
        "job_ids": list(row.job_ids),
        "is_submitted": row.is_submitted,
        "is_interrupted": job.is_interrupted,
        "elements": len(job.elements),
        "starts": job.lives.starts,
        "gpu_hours": round(job.lives.gpu_hours, 4),
        "ends": {str(end): number for end, number in sorted(job.ends.items())},
        "bad_ends": [{**asdict(bad), "end": str(bad.end)} for bad in list_bad_ends(job)],
        "in_hand": [
            {"element": element.number, "node": life.node, **entry}
            for element, life in job.live
            for entry in life.in_hand
        ],
    }
