"""Simulate how evenly work is spread over nodes, for real and invented lengths of recordings.

    python -m tools.bench.balance [--data DATASETS] [--task-weight 600] [--noise]

DATASETS is a folder in the publishers' layouts (``DATA_ROOT_DIR/datasets``). Items are cut into tasks, tasks bundled
into array elements and these into arrays as a command does it, with the workers per node of ``cluster=h100x8``. Prints
the simulated makespan over the least there can be, max(total / workers, longest recording), and after a stroke the
same figure for plain striding: worker i of n takes items i, i+n, i+2n and so on, in key order. With ``--noise`` each
recording's cost is off by a log-normal factor (sigma 0.2) and each node's speed by up to 10 %; printed are medians
of several draws.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from launchers.balance import plan_elements, plan_windows
from launchers.compose import compose_command
from launchers.jobs import Job, resolve_jobs
from launchers.plan import Selection, plan_unit
from launchers.workspace import Workspace
from mmassist.core.stage import Task
from tools.bench.balance_simulation import Pool, run_windows, stride
from tools.bench.balance_tables import Table, iter_real, iter_synthetic

STAGES = ("extract", "generate", "encode")
NOISY_STAGES = ("generate", "encode")  # extract has too many workers a node for several elements of each
NODES = (8, 16, 32, 64, 128, 256)
MAX_ARRAY_SIZE = 1001  # SLURM's default
ROUNDS = 4  # cluster.elements_per_slot
DRAWS = 9
SIGMA, SPEED_RANGE = 0.2, 0.1


@dataclass(frozen=True)
class Case:
    """A source's recordings cut into one stage's tasks."""

    table: Table
    stage: str
    workers: int  # on one node
    tasks: Sequence[Task]

    def bound_s(self, nodes: int) -> float:
        """No order of work can be faster, seconds of video."""
        return max(self.table.total_s / (nodes * self.workers), self.table.longest_s)

    def makespan_s(self, nodes: int, rounds: int, costs: Mapping[str, float], speeds: Sequence[float]) -> float:
        """Of our elements and arrays, with what each recording really costs and how fast each node really is."""
        elements = plan_elements(self.tasks, nodes, self.workers, rounds)
        order, windows = plan_windows(len(elements), MAX_ARRAY_SIZE, nodes)
        real = [[sum(costs[key] for key in task.items) for task in elements[number]] for number in order]
        return run_windows(real, windows, Pool(speeds, self.workers))

    def ratio(self, nodes: int) -> float:
        """Makespan over the bound, all workers being equally fast."""
        return self.makespan_s(nodes, ROUNDS, self.table.lengths, [1.0] * nodes) / self.bound_s(nodes)

    def stride_ratio(self, nodes: int) -> float:
        """The same for plain striding over items."""
        return stride(list(self.table.lengths.values()), nodes * self.workers) / self.bound_s(nodes)

    def noisy_ratio(self, nodes: int, rounds: int) -> float:
        """Median over several draws of costs and speeds; the bound is that of the drawn values."""
        return median(self._draw(nodes, rounds, seed) for seed in range(DRAWS))

    def _draw(self, nodes: int, rounds: int, seed: int) -> float:
        rng = random.Random(seed)
        costs = {key: length * rng.lognormvariate(0, SIGMA) for key, length in self.table.lengths.items()}
        speeds = [rng.uniform(1 - SPEED_RANGE, 1 + SPEED_RANGE) for _ in range(nodes)]
        bound = max(sum(costs.values()) / (sum(speeds) * self.workers), max(costs.values()) / max(speeds))
        return self.makespan_s(nodes, rounds, costs, speeds) / bound


class Cutter:
    """Cuts recordings into tasks with a real job's plan, in an empty DATA_ROOT_DIR."""

    def __init__(self, root: Path, task_weight: float | None = None):
        (root / "datasets").mkdir(exist_ok=True)
        words = [f"stage={','.join(STAGES)}", "dataset=holoassist", "models=tiny", "hydra/launcher=slurm"]
        words += ["cluster=h100x8", f"paths.data_root={root}", "-m"]
        words += [f"{stage}.task_weight={task_weight}" for stage in STAGES if task_weight]
        _, jobs = resolve_jobs(compose_command(words))
        self._root = root
        self._jobs: dict[str, Job] = {job.stage.name: job for job in jobs}

    def cut(self, table: Table, stage: str) -> Case:
        job = self._jobs[stage]
        items = table.items(job.stage.kind)
        workspace = Workspace(job.stage, job.upstream, self._root)
        try:
            plan = plan_unit(job, Selection(items, {}, frozenset(items)), workspace)
        finally:
            workspace.close()
        return Case(table, stage, job.stage_config.num_workers, plan.tasks)


def iter_report(tables: Iterable[Table], cutter: Cutter) -> Iterator[str]:
    """Yield a Markdown table: ours / striding."""
    yield from _heading("tasks")
    for case in _iter_cases(tables, cutter):
        cells = [f"{case.ratio(nodes):.2f} / {case.stride_ratio(nodes):.2f}" for nodes in NODES]
        yield _row(case, [str(len(case.tasks)), *cells])


def iter_noisy_report(tables: Iterable[Table], cutter: Cutter) -> Iterator[str]:
    """Yield a Markdown table: one element per node / as many, up to four, as the plan chooses."""
    yield from _heading("tasks")
    for case in _iter_cases(tables, cutter, NOISY_STAGES):
        cells = [f"{case.noisy_ratio(nodes, 1):.2f} / {case.noisy_ratio(nodes, ROUNDS):.2f}" for nodes in NODES]
        yield _row(case, [str(len(case.tasks)), *cells])


def _iter_cases(tables: Iterable[Table], cutter: Cutter, stages: Sequence[str] = STAGES) -> Iterator[Case]:
    for table in tables:
        for stage in stages:
            yield cutter.cut(table, stage)


def _heading(*names: str) -> Iterator[str]:
    columns = ["source", "stage, workers per node", *names, *(f"{nodes} nodes" for nodes in NODES)]
    yield f"| {' | '.join(columns)} |"
    yield "|---" * len(columns) + "|"


def _row(case: Case, cells: Sequence[str]) -> str:
    kind = "real" if case.table.is_real else "synthetic"
    name = f"{case.table.name} ({kind}, {len(case.table.lengths)}, {case.table.total_s / 3600:.0f} h)"
    return f"| {' | '.join([name, f'{case.stage} {case.workers}', *cells])} |"


def main() -> int:
    """Print the report."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.bench.balance", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, help="folder in the publishers' layouts; without it only invented tables")
    parser.add_argument("--task-weight", type=float, help="seconds of video in one task, instead of the stages' own")
    parser.add_argument("--noise", action="store_true", help="with costs and speeds that are not as planned")
    arguments = parser.parse_args()
    if arguments.data and not arguments.data.is_dir():
        parser.error(f"--data {arguments.data} is no folder")
    if arguments.task_weight is not None and not arguments.task_weight > 0:
        parser.error(f"--task-weight {arguments.task_weight:g} must be above 0")
    tables = [*(iter_real(arguments.data) if arguments.data else ()), *iter_synthetic()]
    report: Callable[[Iterable[Table], Cutter], Iterator[str]] = iter_noisy_report if arguments.noise else iter_report
    with tempfile.TemporaryDirectory() as folder:
        for line in report(tables, Cutter(Path(folder), arguments.task_weight)):
            print(line, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
