"""What an output folder holds: its tasks, what was committed, and how every item stands. A pure reader."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from mmassist.core.errors import ConfigError
from mmassist.core.outcome import Outcome, Status
from mmassist.core.stage import Task
from mmassist.io.layout import UnitLayout
from mmassist.io.ledger import load_outcomes
from mmassist.io.shard import find_damage, load_records, load_tasks


@dataclass(frozen=True)
class Done:
    """Where a finished item lies and what it was made from."""

    task: str
    inputs: str


@dataclass(frozen=True)
class UnitState:
    """The folder as it is. ``damaged`` are committed tasks whose shard or index is missing or cut short."""

    tasks: list[Task] = field(default_factory=list)
    committed: frozenset[str] = frozenset()
    damaged: frozenset[str] = frozenset()
    done: dict[str, Done] = field(default_factory=dict)
    outcomes: dict[str, Outcome] = field(default_factory=dict)  # latest per item, of those not simply done


def check_manifest(unit: UnitLayout, records: Iterable[Any]) -> None:
    """Raises ConfigError when finished tasks lie in a folder without a manifest to say what they are."""
    if not unit.manifest.exists() and any(True for _ in records):
        raise ConfigError(
            f"{unit.manifest} is missing, but finished tasks lie there and nobody can say how they were made; "
            "bring the file back, or move the folder away"
        )


def load_state(unit: UnitLayout) -> UnitState:
    """Read the folder. Raises ConfigError as ``check_manifest`` does."""
    records = load_records(unit)
    check_manifest(unit, records)
    done = {
        key: Done(name, row["inputs"])
        for name, record in records.items()
        for key, row in record["outcomes"].items()
        if row["status"] == Status.DONE
    }
    damaged = frozenset(name for name, record in records.items() if find_damage(unit, record))
    outcomes = load_outcomes(unit.ledger_dir)
    return UnitState(_all_tasks(load_tasks(unit), records), frozenset(records), damaged, done, outcomes)


def _all_tasks(listed: list[Task], records: dict[str, dict[str, Any]]) -> list[Task]:
    """The folder's tasks; a committed one is what its record says, whatever became of the list."""
    tasks = {task.name: task for task in listed}
    for name, record in records.items():
        weight = tasks[name].weight if name in tasks else 0.0
        tasks[name] = Task(name, tuple(record["items"]), weight)
    return list(tasks.values())
