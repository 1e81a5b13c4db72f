"""What a command would do, for ``plan=true``: reasons, division into elements and arrays, cost, and the sbatch text."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

from launchers.balance import Window
from launchers.division import divide, request_of
from launchers.jobs import Job
from launchers.plan import UnitPlan
from launchers.rates import Expectation, default_rate, expect, load_rates
from launchers.slurm.request import Request
from launchers.slurm.script import render_script
from mmassist.core.stage import Task, title_of, words_of
from mmassist.io.layout import Layout, RunLayout


def iter_preview(
    layout: Layout,
    jobs: Sequence[Job],
    plans: Sequence[UnitPlan],
    stale: Mapping[str, str],
    max_array_size: int | None,
) -> Iterator[str]:
    """Yield the lines for all jobs of a command.

    ``stale``: job name -> settings that differ, of folders that would be made anew; ``max_array_size``: the
    controller's limit where one can be asked.
    """
    at_work: dict[Path, str] = {}  # folder -> the job of this command that writes it
    for job, plan in zip(jobs, plans, strict=True):
        if job.name in stale:
            where = layout.relative(job.unit.root)
            yield f"{where} would be moved aside and redone: {stale[job.name]}"
        own = {name: at_work[unit.root] for name, unit in job.upstream.items() if unit.root in at_work}
        yield from _iter_reasons(job, plan, own)
        if plan.todo:
            at_work[job.unit.root] = job.name
            if own:
                yield f"  begins after: {', '.join(own.values())}"
            yield from _iter_work(layout, job, plan.waiting(), max_array_size)


def _iter_reasons(job: Job, plan: UnitPlan, own: Collection[str]) -> Iterator[str]:
    yield f"{job.name}: {plan.num_items} items in {len(plan.todo)} tasks to do"
    for title, counts in (("runs", plan.why), ("rests", plan.rest)):
        for reason, number in sorted(counts.items()):
            yield f"  {title}: {number} {reason} (first: {plan.examples[reason]})"
    for read, number in sorted(plan.blocked.items()):
        what = "which this command runs before" if read in own else f"run {words_of(read)} first or with it"
        yield f"  waits: {number} of these for {title_of(read)}, {what}"
    for read, number in sorted(plan.held_back.items()):
        how = f"run {words_of(read)} first, with retry=failed for those that failed there"
        yield f"  left out: {number} wait for {title_of(read)}: {how}"
    if plan.retire:
        yield f"  opens {len(plan.retire)} committed tasks again"


def _iter_work(layout: Layout, job: Job, tasks: Sequence[Task], max_array_size: int | None) -> Iterator[str]:
    largest, mean = max(task.weight for task in tasks), sum(task.weight for task in tasks) / len(tasks)
    times = f", {largest / mean:.2f} times the mean" if mean else ""
    yield f"  largest task: {largest:.0f} s of video{times}"
    request, unit, gpus = request_of(job), layout.relative(job.unit.root), job.stage_config.gpus_per_node
    bundles, windows = divide(job, tasks, max_array_size)
    rate = load_rates(layout, job.stage.name, unit, job.launcher, gpus) or default_rate(job.stage.name, unit)
    workers = job.stage_config.num_workers
    if rate is None:
        yield "  expected: not known before a first run has been measured"
    else:
        expected = expect(bundles, request.cluster.max_running, workers, gpus, rate)
        yield f"  expected: {_cost(expected, job.launcher)} ({expected.source})"
    if job.launcher == "slurm":
        arrays = ", ".join(_array(window) for window in windows)
        together = request.cluster.max_running
        yield f"  elements: {len(bundles)} of {workers} workers, {together} at once; arrays: {arrays}"
        run = layout.run("RUN")  # there is none yet to name
        yield from (f"  | {line}" for line in _script(request, windows[0], run, job.name) if line)


def _cost(expected: Expectation, launcher: str) -> str:
    size = f"{expected.num_bytes / 1e9:.2f} GB"
    if launcher != "slurm":
        return size
    hours = f"{expected.node_hours:.2f} node-hours, {expected.gpu_hours:.2f} GPU-hours"
    return f"{hours}, {expected.makespan_h:.2f} h if the nodes are free, {size}"


def _array(window: Window) -> str:
    after = "" if window.after is None else f" after array {window.after + 1}"
    return f"0-{window.count - 1}%{window.max_running}{after}"


def _script(request: Request, window: Window, run: RunLayout, job: str) -> list[str]:
    parameters = request.parameters(window.max_running, [], str(run.code))
    return render_script(parameters, window.count, str(run.slurm_dir(job))).splitlines()
