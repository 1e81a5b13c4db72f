"""Put a plan on disk: who is on which side, manifest, retired tasks, the folder's tasks, and what each element does."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from launchers.collector import paused_collector
from launchers.jobs import Job, build_stage
from launchers.plan import Selection, UnitPlan
from launchers.versions import code_commit, installed_versions
from mmassist.core.errors import ConfigError
from mmassist.core.fingerprint import iter_differences
from mmassist.core.item import Listing
from mmassist.core.stage import Task
from mmassist.datasets.assignment import assign
from mmassist.io.atomic import read_json, write_json
from mmassist.io.layout import Layout, RunLayout, UnitLayout
from mmassist.io.shard import retire_task, save_tasks

SIDE_RULES = ("seed", "official_eval", "group_by", "keep_eval")  # settings of split that put recordings on sides


@dataclasses.dataclass(frozen=True)
class Sides:
    """The assignment of a source's recordings to train, val and test, and the rules that made it."""

    rules: dict[str, Any]
    recordings: dict[str, str]
    audit: Any
    of_item: dict[str, str]  # dialog item key -> side

    def save(self, layout: Layout, dataset: str) -> None:
        """Keep the assignment in ``splits/``; from then on recordings keep their side."""
        unit = layout.unit(dataset, "splits")
        kept = {"rules": self.rules, "recordings": self.recordings}
        if not unit.assignment.exists() or read_json(unit.assignment) != kept:
            write_json(unit.audit, self.audit, "assignment")
            write_json(unit.assignment, kept, "assignment")


@paused_collector()
def assign_sides(layout: Layout, job: Job, listing: Listing, is_anew: bool) -> Sides:
    """Assign a source's recordings, keeping the side of those in ``splits/assignment.json``.

    A pure function of the source's list, what was assigned before and the rules. ``is_anew``: the command redoes the
    splits, so other rules may give other sides. Raises ConfigError when the rules changed otherwise.
    """
    unit = layout.unit(job.dataset, "splits")
    split = build_stage("split", job.sections).configs["split"]
    rules = {name: getattr(split, name) for name in SIDE_RULES}
    existing: dict[str, str] = {}
    if unit.assignment.exists():
        kept = read_json(unit.assignment)
        existing = kept["recordings"]
        changed = list(iter_differences(kept["rules"], rules))
        if changed and is_anew:
            existing = {}
        elif changed:
            key, old, new = changed[0]
            raise ConfigError(
                f"{layout.relative(unit.assignment)} was made with split.{key}={old!r}, now it is {new!r}; recordings "
                f"keep their side. Use the old value, or stage=split on_stale=rebuild to assign all anew"
            )
    made = assign(listing.dialogs, existing, split.seed, split.official_eval, split.group_by, split.keep_eval)
    of_item = {item.key: made.sides.get(item.recording, "") for item in listing.dialogs}
    values = made.to_json()
    return Sides(rules, values["recordings"], values["audit"], of_item)


def apply_plan(layout: Layout, job: Job, plan: UnitPlan, run_id: str) -> None:
    """Write manifest and tasks and open retired tasks again. The caller holds the folder's lock."""
    if job.command.retry == "all":  # finished items of open tasks are asked for again as well
        for task, keys in plan.todo.items():
            for key in keys:
                job.unit.fragment(task, key).unlink(missing_ok=True)
    if not job.unit.manifest.exists():
        write_json(job.unit.manifest, _manifest(job, run_id), "manifest")
    for task, redo in sorted(plan.retire.items()):
        retire_task(job.unit, task, redo, run_id)
    save_tasks(job.unit, plan.tasks)


def move_aside(unit: UnitLayout, run_id: str) -> Path:
    """Move a folder made with other settings out of the way; returns where it is now."""
    target = unit.aside(run_id)
    unit.root.rename(target)
    (target / unit.lock.name).unlink(missing_ok=True)
    for path in (unit.assignment, unit.audit):  # recordings keep their side whatever else is redone
        kept = target / path.name
        if kept.exists():
            write_json(path, read_json(kept), "assignment")
    return target


def write_elements(
    run: RunLayout, job: Job, plan: UnitPlan, selection: Selection, bundles: Sequence[Sequence[Task]], run_id: str
) -> None:
    """Write the job's composed settings and one file per element with all it needs to know of its items."""
    config = {
        "run_id": run_id,
        "name": job.name,
        "stage": job.stage.name,
        "dataset": job.dataset,
        "compat": job.compat,
        "sections": job.sections,
        "revision": job.settings.get("revision", {}),
        "unit": str(job.unit.root),
        "upstream": {name: str(unit.root) for name, unit in job.upstream.items()},
        "retry": job.command.retry,
        "log_level": job.command.log_level,
    }
    write_json(run.config(job.name), config, "run")
    home = {key: name for name, keys in plan.todo.items() for key in keys}
    for index, bundle in enumerate(bundles):
        rows = [_task_row(task, plan, selection, home) for task in bundle]
        write_json(run.element(job.name, index), {"tasks": rows}, "run")


def _task_row(task: Task, plan: UnitPlan, selection: Selection, home: Mapping[str, str]) -> dict[str, Any]:
    todo = set(plan.todo[task.name])
    rows = []
    for key in task.items:
        if home.get(key, task.name) != task.name:
            continue  # it left for another group's task
        row: dict[str, Any] = {"key": key}
        if key in selection.items:
            row["item"] = selection.items[key].to_row()
            row["side"] = selection.sides.get(key, "")
        row["todo"] = key in todo
        row["attempts"] = plan.attempts.get(key, 0)
        rows.append(row)
    return {"name": task.name, "weight": task.weight, "items": rows}


def _manifest(job: Job, run_id: str) -> dict[str, Any]:
    return {
        "schema_version": 1,
        "stage": job.stage.name,
        "dataset": job.dataset,
        "fingerprint": job.fingerprint,
        "settings": job.settings,
        "models": _models(job),
        "versions": installed_versions(),
        "commit": code_commit(),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "created_by": run_id,
    }


def _models(job: Job) -> dict[str, str]:
    """Who wrote and judged what the job makes or reads, by stage; settings hold digests of models that may move."""
    models: dict[str, str] = {}
    for unit in job.upstream.values():
        if unit.manifest.exists():
            models |= read_json(unit.manifest).get("models", {})
    return models if job.stage.engine is None else {**models, job.stage.name: job.stage.engine.generator}
