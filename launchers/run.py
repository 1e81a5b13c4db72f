"""The command: ``python -m launchers.run stage=… dataset=… [key=value …]``."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from launchers.coming import coming_for
from launchers.compose import compose_command
from launchers.ending import EXIT_FAILED, EXIT_OK, end_command
from launchers.execute import Execution, JobResult, check_here, job_in_the_way
from launchers.help import iter_help
from launchers.job_config import iter_job_configs, take_flag
from launchers.jobs import Job, Sources, check_on_disk, resolve_jobs, select_applicable
from launchers.plan import UnitPlan
from launchers.prepare import Sides, assign_sides
from launchers.receipts import job_row, new_run, snapshot_code, write_receipt
from launchers.report import iter_submitted, iter_summary, num_failed, num_unreached
from mmassist.io.atomic import write_json
from mmassist.io.filesystem import check_filesystem
from mmassist.io.layout import Layout, RunLayout
from mmassist.io.lock import Locked


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code: 0 all well, 1 items failed, 2 the user's mistake, 130 interrupted."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    return end_command(lambda: _run(words), "stopped; finished items are kept, the same command goes on from here")


@dataclass(frozen=True)
class Ground:
    """What a command stands on once everything it says has been checked."""

    words: list[str]
    layout: Layout
    jobs: list[Job]
    stale: dict[str, str]  # jobs whose folder is made anew, and what differs
    sources: Sources
    sides: dict[str, Sides]

    def execution(self, run_id: str, run: RunLayout) -> Execution:
        return Execution(self.layout, run_id, run, self.sources, self.sides)

    def plan_all(self) -> list[UnitPlan]:
        """Plan every job; whatever can be refused is refused here."""
        execution, coming = self.execution("", self.layout.run("plan")), coming_for(self.jobs)
        return [execution.plan(job, job.name in self.stale, coming)[1] for job in self.jobs]


def _run(words: list[str]) -> int:
    if not words or {"--help", "-h"} & set(words):
        print("\n".join(iter_help()))
        return EXIT_OK
    words, is_shown = take_flag(words)
    if is_shown:
        print("\n".join(iter_job_configs(words)))
        return EXIT_OK
    ground = stand_on_ground(words)
    jobs = ground.jobs
    if jobs[0].command.plan:
        return _show_plan(ground)
    return _submit(ground) if jobs[0].launcher == "slurm" else _work(ground)


def stand_on_ground(words: list[str]) -> Ground:
    """Check all that a command says against its sources and what is on disk. Raises ConfigError."""
    combinations, remarks = select_applicable(compose_command(words))
    print("".join(f"left out: {remark}\n" for remark in remarks), end="")
    layout, jobs = resolve_jobs(combinations)
    check_here(jobs)
    stale = check_on_disk(layout, jobs)
    ground = Ground(words, layout, jobs, stale, Sources(layout), {})
    for job in jobs:
        if job.dataset not in ground.sides:
            is_anew = any(j.stage.name == "split" and j.dataset == job.dataset for j in jobs if j.name in stale)
            ground.sides[job.dataset] = assign_sides(layout, job, ground.sources.listing(job), is_anew)
    return ground


def _begin(ground: Ground) -> Execution:
    """Make the run folder, with the code.

    Raises ConfigError for an output folder that cannot be written, StageError when the run folder cannot.
    """
    for job in ground.jobs:
        check_filesystem(job.unit)
    run_id, run = new_run(ground.layout)
    try:
        snapshot_code(run)
    except BaseException:
        shutil.rmtree(run.root, ignore_errors=True)
        raise
    return ground.execution(run_id, run)


def _tell_drops(ground: Ground, run: RunLayout) -> None:
    """Write down and show what was repaired or left out while listing the sources."""
    for dataset in ground.sides:
        drops = ground.sources.drops(dataset)
        if drops:
            write_json(run.drops(dataset), [{"dataset": dataset, **asdict(drop)} for drop in drops], "run")
            print(f"{dataset}: {len(drops)} records repaired or left out, see {run.drops(dataset)}")
            print("\n".join(f"  {drop.recording or drop.record}: {drop.reason}" for drop in drops[:3]))


def _submit(ground: Ground) -> int:
    from launchers.submit import check_site, submit_jobs

    controller, remarks = check_site(ground.layout, ground.jobs)
    _print_notes(remarks)
    execution = _begin(ground)
    try:
        rows = submit_jobs(execution, ground.jobs, ground.stale, ground.words, controller)
    except BaseException:
        shutil.rmtree(execution.run.root, ignore_errors=True)  # nothing was done for it, and nothing will be
        raise
    print("\n".join(iter_submitted(rows)))
    if not any(row["elements"] for row in rows):
        shutil.rmtree(execution.run.root, ignore_errors=True)  # it would pass for the latest run
        return EXIT_FAILED if any(row["failed"] or row["held_back"] for row in rows) else EXIT_OK
    _tell_drops(ground, execution.run)
    print(f"submitted; run folder {execution.run.root}")
    print(f"watch: python -m tools.status {execution.run_id}   cancel: python -m tools.cancel {execution.run_id}")
    return EXIT_OK


def _work(ground: Ground) -> int:
    ground.plan_all()
    execution = _begin(ground)
    layout, run, jobs = ground.layout, execution.run, ground.jobs
    _tell_drops(ground, run)
    rows = [job_row(layout, job) for job in jobs]
    write_receipt(run, execution.run_id, ground.words, jobs[0].launcher, rows)
    results: list[JobResult] = []
    try:
        for job in jobs:
            results.append(execution.run_job(job, job.name in ground.stale))
    except Locked:
        if not results:
            shutil.rmtree(run.root, ignore_errors=True)  # nothing was done for it
        raise
    finally:
        print("\n".join(iter_summary(layout, results)))
        print(f"run folder: {run.root}")
    is_bad = num_failed(results) or num_unreached(results) or any(r.error for r in results)
    return EXIT_FAILED if is_bad else EXIT_OK


def _show_plan(ground: Ground) -> int:
    from launchers.preview import iter_preview

    max_array_size = None
    if ground.jobs[0].launcher == "slurm" and shutil.which("sbatch") is not None:
        from launchers.submit import check_site

        controller, remarks = check_site(ground.layout, ground.jobs)
        max_array_size = controller.max_array_size
        _print_notes(remarks)
    plans = ground.plan_all()
    _print_notes([remark for job in ground.jobs if (remark := job_in_the_way(job))])
    print("\n".join(iter_preview(ground.layout, ground.jobs, plans, ground.stale, max_array_size)))
    return EXIT_OK


def _print_notes(remarks: Sequence[str]) -> None:
    print("".join(f"note: {remark}\n" for remark in remarks), end="")


if __name__ == "__main__":
    sys.exit(main())
