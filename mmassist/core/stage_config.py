"""The settings every stage section has: how its work is cut, run and limited. None of them can change data."""

from __future__ import annotations

from dataclasses import dataclass

from mmassist.core.config import Why, transient


@dataclass(frozen=True, kw_only=True)
class StageConfig:
    """Base of every stage's config dataclass.

    ``task_weight`` is read once, when an output folder's tasks are cut; from then on the folder's ``tasks.json`` holds.
    """

    task_weight: float = transient(600.0, why=Why.CUT)  # seconds of video in one shard
    num_workers: int = transient(1, why=Why.PACE)  # worker children of one supervisor
    items_in_flight: int = transient(1, why=Why.PACE)  # items a worker works on at a time
    item_timeout_s: float = transient(3600.0, why=Why.LIMIT)  # an item that takes longer is recorded as a timeout
    cpus_per_task: int = transient(1, why=Why.MACHINE)
    gpus_per_node: int = transient(0, why=Why.MACHINE)
    mem_gb: float = transient(4.0, why=Why.MACHINE)
    timeout_min: int = transient(1440, why=Why.MACHINE)  # limit of one array element
    max_fail_ratio: float = transient(0.2, why=Why.LIMIT)  # share of failed items above which an element stops

    def __post_init__(self) -> None:
        for name in ("task_weight", "num_workers", "items_in_flight", "item_timeout_s", "cpus_per_task", "timeout_min"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} is {getattr(self, name)!r}; it must be above 0")
        gpus, workers = self.gpus_per_node, self.num_workers
        if gpus < 0:
            raise ValueError(f"gpus_per_node is {gpus!r}; it must not be negative")
        if gpus and gpus % workers and workers % gpus:
            raise ValueError(f"gpus_per_node is {gpus}, which num_workers={workers} cannot share evenly")
        if self.mem_gb <= 0:
            raise ValueError(f"mem_gb is {self.mem_gb!r}; it must be above 0")
        if not 0 <= self.max_fail_ratio <= 1:
            raise ValueError(f"max_fail_ratio is {self.max_fail_ratio!r}; it must lie between 0 and 1")
