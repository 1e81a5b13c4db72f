"""The command: ``python -m tools.cancel RUN|last [--yes] [stage=…] [dataset=…]``.

Stops what is still alive of one run and nothing else. Exit code 0: all of it is gone, or nothing was alive; 1:
something is still there or cannot be reached; 2: a mistake in the command.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shlex
import signal
import sys
import time
from collections.abc import Mapping, Sequence

from launchers.ending import EXIT_FAILED, EXIT_OK
from launchers.slurm.queue import cancel_jobs
from mmassist.core.errors import ConfigError
from mmassist.stages import PIPELINE
from tools.cancel.alive import LiveJob, LiveProcess, list_jobs, list_processes
from tools.command import Grammar, check_values, open_layout, read_words, run_command
from tools.records.run import Run, find_run, list_runs

GRAMMAR = Grammar(("stage", "dataset"), ("--yes",), {"--wait": "a number of seconds; say --wait N"})
DEFAULT_WAIT_S = 60
ASK_AGAIN_S = 5.0  # a job that was just being requeued is back in the queue afterwards
USAGE = """\
Stop what is still alive of a run: its SLURM jobs, or its process on this machine. What is finished is kept.

  python -m tools.cancel 20260131-101500-ab12cd      a run by its id, as in runs/, or by the beginning of it
  python -m tools.cancel last                        the newest run
  python -m tools.cancel last stage=encode           jobs of this stage alone; dataset= likewise

  --yes       do not ask
  --wait N    wait at most N seconds until they are gone (60)
  --root FOLDER    in place of DATA_ROOT_DIR
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    return run_command(
        _run, USAGE, arguments, needs_words=True, stopped="stopped waiting; what was cancelled stays cancelled"
    )


def _run(arguments: list[str]) -> int:
    words = read_words(arguments, GRAMMAR)
    word = words.one_target("run: its id as in runs/, the beginning of it, or last")
    wait_s = words.whole_number("--wait", DEFAULT_WAIT_S)
    layout, wanted = open_layout(words), words.filters
    run = find_run(list_runs(layout), word)
    check_values("stage", wanted.get("stage", ()), PIPELINE)
    check_values("dataset", wanted.get("dataset", ()), {row.dataset for row in run.jobs})
    processes = list_processes(layout, run)
    jobs = list_jobs(run, wanted)
    far = [process for process in processes if not process.is_here]
    near = [process for process in processes if process.is_here]
    if near and wanted and not jobs:
        named = " and ".join(f"{name}=" for name in wanted)
        raise ConfigError(f"run {run.run_id} is one process for all its stages; leave {named} out")
    for process in far:
        print(f"{process.what}: process {process.pid} runs on {process.host}; give this command there")
    if not near and not jobs:
        print(f"nothing of run {run.run_id} is alive{' on this machine' if far else ''}")
        return EXIT_FAILED if far else EXIT_OK
    _confirm("--yes" in words.flags, run, near, jobs)
    # A submission under way is stopped first: it would go on submitting.
    left = _stop_processes(near, wait_s) + _cancel_jobs(run, jobs, wanted, wait_s)
    _print_rest(run, jobs, wanted)
    return EXIT_FAILED if left or far else EXIT_OK


def _confirm(is_sure: bool, run: Run, processes: Sequence[LiveProcess], jobs: Mapping[str, LiveJob]) -> None:
    if not run.receipt:
        print(f"run {run.run_id} has no receipt: its submission was interrupted, or is still under way")
    for process in processes:
        print(f"{process.what}: process {process.pid}")
    for job in jobs.values():
        print(job.line())
    if is_sure:
        return
    if not sys.stdin.isatty():
        raise ConfigError("nothing was stopped; say --yes where nobody can be asked")
    if input("stop them? [y/N] ").strip().lower() not in ("y", "yes"):
        raise ConfigError("nothing was stopped")


def _stop_processes(processes: Sequence[LiveProcess], wait_s: float) -> int:
    """Ask processes to stop, which lets them finish the items in hand; returns how many are still there."""
    for process in processes:
        # SIGTERM, not SIGINT: a shell starts what it puts into the background deaf to the latter.
        if process.is_alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGTERM)
    end = time.monotonic() + wait_s
    while any(process.is_alive for process in processes) and time.monotonic() < end:
        time.sleep(0.2)
    for process in processes:
        state = "still finishing items; ask again, and it stops at once" if process.is_alive else "stopped"
        print(f"{process.what}: process {process.pid} {state}")
    return sum(process.is_alive for process in processes)


def _cancel_jobs(run: Run, jobs: Mapping[str, LiveJob], wanted: Mapping[str, Sequence[str]], wait_s: float) -> int:
    """Cancel jobs, and those that are submitted meanwhile, until none is left; returns how many are left."""
    if not jobs:
        return 0
    begin = last = time.monotonic()
    known = dict(jobs)
    refusals = _cancel(list(jobs.values()))
    while left := list_jobs(run, wanted):
        now = time.monotonic()
        if now - begin > wait_s:
            break
        again = [job for job in left.values() if not job.is_ending]
        if again and (now - last > ASK_AGAIN_S or left.keys() - known.keys()):
            refusals, last = _cancel(again), now
        known |= left
        time.sleep(0.5)
    for job in known.values():
        print(f"{job.name}: job {job.job_id} {'is still there: ' + job.line() if job.job_id in left else 'cancelled'}")
    if left and refusals:
        print("\n".join(refusals), file=sys.stderr)
    return len(left)


def _cancel(jobs: Sequence[LiveJob]) -> list[str]:
    """Cancel jobs, one stage after the other as they come; returns SLURM's own words about those it refused."""
    refusals: list[str] = []
    for _, group in itertools.groupby(jobs, key=lambda job: job.row.stage):  # one scancel works in parallel
        refusals += cancel_jobs([job.job_id for job in group])
    return refusals


def _print_rest(run: Run, cancelled: Mapping[str, LiveJob], wanted: Mapping[str, Sequence[str]]) -> None:
    """What was over already, what goes on, and how to continue."""
    others = list_jobs(run, {}) if wanted else {}
    for row in run.jobs:
        ids = [job_id for job_id in row.job_ids if job_id not in cancelled]
        alive = [job_id for job_id in ids if job_id in others]
        if alive:
            waits = any(job_id in cancelled for job_id in row.after)
            why = "; it waited for what was cancelled and uses what is there" if waits else ""
            print(f"{row.name}: job {', '.join(alive)} goes on{why}")
        over = [job_id for job_id in ids if job_id not in others]
        if over and not wanted:
            print(f"{row.name}: job {', '.join(over)} was over already")
    again = f": {shlex.join(run.command)}" if run.command else ""
    print(f"finished items are kept; the same command goes on from here{again}")


if __name__ == "__main__":
    sys.exit(main())
