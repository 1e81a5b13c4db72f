"""The command: ``python -m launchers.run stage=… dataset=… [key=value …]``."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict

from launchers.compose import compose_command
from launchers.execute import Execution, JobResult
from launchers.help import iter_help
from launchers.jobs import Job, Sources, check_on_disk, resolve_jobs, select_applicable
from launchers.plan import UnitPlan
from launchers.prepare import Sides, assign_sides
from launchers.receipts import new_run, snapshot_code, write_receipt
from launchers.report import iter_plan, iter_summary, num_failed, num_unreached
from mmassist.core.errors import ConfigError, StageError
from mmassist.io.atomic import write_json
from mmassist.io.layout import Layout

EXIT_OK, EXIT_FAILED, EXIT_USER, EXIT_INTERRUPTED = 0, 1, 2, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code: 0 all well, 1 items failed, 2 the user's mistake, 130 interrupted."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if not words or {"--help", "-h"} & set(words):
        print("\n".join(iter_help()))
        return EXIT_OK
    try:
        return _run(words)
    except ConfigError as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_USER
    except StageError as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_FAILED
    except (KeyboardInterrupt, InterruptedError):
        print("\nstopped; finished items are kept, the same command goes on from here", file=sys.stderr)
        return EXIT_INTERRUPTED
    except OSError as error:
        print(f"error: {error.strerror or error}: {error.filename or ''}".rstrip(": "), file=sys.stderr)
        return EXIT_FAILED


def _run(words: list[str]) -> int:
    combinations, remarks = select_applicable(compose_command(words))
    print("".join(f"left out: {remark}\n" for remark in remarks), end="")
    layout, jobs = resolve_jobs(combinations)
    launcher = jobs[0].launcher
    if launcher == "slurm" and not jobs[0].command.plan and shutil.which("sbatch") is None:
        raise ConfigError("there is no sbatch on this machine; say hydra/launcher=local or hydra/launcher=basic")
    stale = check_on_disk(layout, jobs)
    sources = Sources(layout)
    sides: dict[str, Sides] = {}
    for job in jobs:
        if job.dataset not in sides:
            is_anew = any(j.stage.name == "split" and j.dataset == job.dataset for j in stale)
            sides[job.dataset] = assign_sides(layout, job, sources.listing(job), is_anew)
    plans = _plan_all(layout, jobs, stale, sources, sides)  # whatever can be refused is refused here
    if jobs[0].command.plan:
        return _show_plan(layout, jobs, stale, plans)
    run_id, run = new_run(layout)
    snapshot_code(run)
    execution = Execution(layout, run_id, run, sources, sides)
    for dataset in sides:
        drops = sources.drops(dataset)
        if drops:
            write_json(run.drops(dataset), [{"dataset": dataset, **asdict(drop)} for drop in drops], "run")
            print(f"{dataset}: {len(drops)} records repaired or left out, see {run.drops(dataset)}")
            print("\n".join(f"  {drop.recording or drop.record}: {drop.reason}" for drop in drops[:3]))
    if launcher == "slurm":
        from launchers.submit import submit_jobs

        rows = submit_jobs(execution, jobs, stale)
        write_receipt(run, run_id, words, rows)
        for row in rows:
            if row["elements"]:
                print(f"{row['job']}: {row['elements']} elements in jobs {', '.join(row['job_ids'])}")
        num_elements = sum(row["elements"] for row in rows)
        print(f"submitted; run folder {run.root}" if num_elements else "all is done: nothing to do")
        return EXIT_OK
    write_receipt(run, run_id, words, [{"job": job.name, "unit": layout.relative(job.unit.root)} for job in jobs])
    results: list[JobResult] = []
    try:
        for job in jobs:
            results.append(execution.run_job(job, job in stale))
    finally:
        print("\n".join(iter_summary(layout, results)))
        print(f"run folder: {run.root}")
    is_bad = num_failed(results) or num_unreached(results) or any(r.error for r in results)
    return EXIT_FAILED if is_bad else EXIT_OK


def _plan_all(
    layout: Layout, jobs: list[Job], stale: list[Job], sources: Sources, sides: dict[str, Sides]
) -> list[UnitPlan]:
    execution = Execution(layout, "", layout.run("plan"), sources, sides)
    return [execution.plan(job, rebuild=job in stale)[1] for job in jobs]


def _show_plan(layout: Layout, jobs: list[Job], stale: list[Job], plans: list[UnitPlan]) -> int:
    changing: dict[str, list[str]] = {}  # folder -> stages that change what it is made from
    for job, plan in zip(jobs, plans, strict=True):
        if job in stale:
            print(f"{layout.relative(job.unit.root)} would be moved aside and redone")
        upstream = sorted({s for u in job.upstream.values() for s in changing.get(str(u.root), [])})
        print("\n".join(iter_plan(job.name, plan, upstream)))
        changing[str(job.unit.root)] = upstream + ([job.stage.name] if plan.redone or job in stale else [])
    return EXIT_OK


if __name__ == "__main__":
    sys.exit(main())
