"""What SLURM says of submitted jobs: its queue and its accounting. Tolerant readers, and one way to cancel."""

from __future__ import annotations

import logging
import os
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from mmassist.core.errors import StageError

log = logging.getLogger(__name__)
Row = TypeVar("Row")
TIMEOUT_S = 60.0  # a controller that is down is noticed by SLURM's own commands after about 10 s
MAX_IDS = 400  # per command
FINISHED = frozenset(
    {
        "BOOT_FAIL",
        "CANCELLED",
        "COMPLETED",
        "DEADLINE",
        "FAILED",
        "LAUNCH_FAILED",
        "NODE_FAIL",
        "OUT_OF_MEMORY",
        "PREEMPTED",
        "RECONFIG_FAIL",
        "REVOKED",
        "TIMEOUT",
    }
)
_QUEUE_FORMAT = "%F|%K|%T|%r|%N|%S|%L|%Z"  # the folder last: it alone may hold a bar
_FOLDER_FORMAT = "%F|%j|%T|%Z"  # of jobs that are known by their folder alone; it may hold a bar as well
_ACCOUNT_FORMAT = "JobID,State,ExitCode,NodeList,ElapsedRaw,Start,End,WorkDir"
_FORGOTTEN = "Invalid job id"


@dataclass(frozen=True)
class QueueRow:
    """One array element, or plain job, as the controller sees it. Times are UTC, "" where SLURM names none."""

    state: str
    reason: str  # why it is pending, or why it ended
    node: str
    start: str  # of the latest run; of a pending one the expected start
    time_left: str  # "1-02:03:04" or "UNLIMITED"
    workdir: str

    @property
    def is_finished(self) -> bool:
        return self.state in FINISHED


@dataclass(frozen=True)
class AccountRow:
    """The latest run of one array element, or plain job, in the accounting. Times are UTC, "" where unknown."""

    state: str
    exit_code: int
    signal: int
    node: str
    elapsed_s: int
    start: str
    end: str
    workdir: str
    earlier: tuple[str, ...] = ()  # states of the runs before it was started again, oldest first


@dataclass(frozen=True)
class FolderJob:
    """A job or array that is not over, by the name it was submitted with; ``states`` are those of its elements."""

    job_id: str
    name: str
    states: frozenset[str]


def live_jobs(job_ids: Sequence[str], folder: str) -> list[str] | None:
    """The jobs and arrays that SLURM has not finished and that work in ``folder`` ("" = wherever), as they were given.

    Jobs that SLURM has forgotten are not live. None when it cannot be asked.
    """
    base = {job_id: job_id.partition("_")[0] for job_id in job_ids}
    live = set()
    for batch in _batches(base.values()):
        text = _squeue(batch, [])
        if text is None:
            return None
        for job_id, _, row in _iter_queue(text):
            if not row.is_finished and is_in_folder(row.workdir, folder):
                live.add(job_id)
    return [job_id for job_id in job_ids if base[job_id] in live]


def are_alive(job_ids: Sequence[str], folder: str) -> bool:
    """Whether SLURM still has any of the jobs as unfinished; True when it cannot be asked."""
    live = live_jobs(job_ids, folder)
    return live is None or bool(live)


def read_queue(job_ids: Sequence[str], folder: str = "") -> dict[str, QueueRow] | None:
    """All that the controller remembers of jobs and arrays, by element (``123_4``, ``123`` for a plain job).

    Finished elements are among them for some minutes. None when SLURM cannot be asked.
    """
    found: dict[str, QueueRow] = {}
    for batch in _batches(job_ids):
        text = _squeue(batch, ["-t", "all"])
        if text is None:
            return None
        for job_id, indices, row in _iter_queue(text):
            if is_in_folder(row.workdir, folder):
                found.update(_expand(job_id, indices, row))
    return found


def read_accounting(job_ids: Sequence[str], folder: str = "") -> dict[str, AccountRow] | None:
    """What the accounting holds of jobs and arrays, by element. None where there is no accounting, or no answer."""
    runs: dict[str, list[AccountRow]] = {}
    unstarted: dict[str, AccountRow] = {}
    for batch in _batches(job_ids):
        done = _ask(["sacct", "-X", "-P", "-n", "-D", "-o", _ACCOUNT_FORMAT, "-j", ",".join(batch)])
        if done is None or done.returncode or (done.stderr.strip() and not done.stdout):
            return None
        for job_id, indices, row in _iter_accounts(done.stdout):
            if not is_in_folder(row.workdir, folder):
                continue
            if indices.startswith("["):
                unstarted.update(_expand(job_id, indices, row))
                continue
            for element in _expand(job_id, indices, row):
                runs.setdefault(element, []).append(row)
    # The row of what has not started yet is behind the times: an element's own row counts.
    return {**unstarted, **{element: _latest(rows) for element, rows in runs.items()}}


def read_folder_jobs(folder: str, user: str) -> list[FolderJob]:
    """The unfinished jobs and arrays of ``user`` (name or number) that work in ``folder``, whoever submitted them.

    Raises StageError with SLURM's own words when it cannot be asked.
    """
    words = ["squeue", "-h", "-a", "--user", user, "-o", _FOLDER_FORMAT]
    done = _ask_or_raise(words)
    if done.returncode:
        raise StageError(f"{' '.join(done.stderr.split()) or 'squeue failed'}; jobs may be alive, ask again")
    wanted, names, states = os.path.realpath(folder), dict[str, str](), dict[str, set[str]]()
    for line in done.stdout.splitlines():
        fields = line.split("|", 3)
        if len(fields) == 4 and fields[3] and os.path.realpath(fields[3]) == wanted:
            names[fields[0]] = fields[1]
            states.setdefault(fields[0], set()).add(fields[2])
    return [FolderJob(job_id, name, frozenset(states[job_id])) for job_id, name in names.items()]


def cancel_jobs(job_ids: Sequence[str]) -> list[str]:
    """Cancel jobs and arrays; returns SLURM's own words about those it refused. One that is over is no refusal.

    Raises StageError when SLURM cannot be asked.
    """
    refusals: list[str] = []
    for batch in _batches(job_ids):
        done = _ask_or_raise(["scancel", *batch])
        refusals += [line for line in done.stderr.splitlines() if line.strip() and _FORGOTTEN not in line]
    return refusals


def parse_indices(text: str) -> list[int]:
    """``0-3,7%2`` -> 0, 1, 2, 3, 7: SLURM's short form of array indices."""
    found: list[int] = []
    for part in text.partition("%")[0].strip("[]").split(","):
        span, _, step = part.partition(":")
        first, _, last = span.partition("-")
        found += range(int(first), int(last or first) + 1, int(step or 1))
    return found


def _latest(rows: list[AccountRow]) -> AccountRow:
    # A run that waits for its start has none yet, and is the latest.
    ordered = sorted(rows, key=lambda row: (not row.start, row.start))
    return replace(ordered[-1], earlier=tuple(row.state for row in ordered[:-1]))


def _iter_queue(text: str) -> Iterator[tuple[str, str, QueueRow]]:
    for line in text.splitlines():
        fields = line.split("|", 7)
        if len(fields) < 8:
            continue  # a warning of SLURM's among the rows
        job_id, indices, state, reason, node, start, left, workdir = fields
        row = QueueRow(state, "" if reason == "None" else reason, node, _time(start), left, workdir)
        yield job_id, "" if indices == "N/A" else indices, row


def _iter_accounts(text: str) -> Iterator[tuple[str, str, AccountRow]]:
    for line in text.splitlines():
        fields = line.split("|", 7)
        if len(fields) < 8:
            continue
        element, state, code, node, elapsed, start, end, workdir = fields
        job_id, _, indices = element.partition("_")
        exit_code, _, signal = code.partition(":")
        yield (
            job_id,
            indices,
            AccountRow(
                state.split()[0] if state else "",  # "CANCELLED by 1000"
                _number(exit_code),
                _number(signal),
                "" if node == "None assigned" else node,
                _number(elapsed),
                _time(start),
                _time(end),
                workdir,
            ),
        )


def _expand(job_id: str, indices: str, row: Row) -> dict[str, Row]:
    if not indices:
        return {job_id: row}
    try:
        return {f"{job_id}_{index}": row for index in parse_indices(indices)}
    except ValueError:  # "1-3,7,..." where the site's SLURM shortens what it cannot print
        log.warning("cannot read the array indices %r of job %s", indices, job_id)
        return {}


def _squeue(job_ids: Sequence[str], options: Sequence[str]) -> str | None:
    """The rows of the jobs; those that SLURM has forgotten have none. None when it cannot be asked."""
    done = _ask(["squeue", "-h", "-a", *options, "-o", _QUEUE_FORMAT, "-j", ",".join(job_ids)])
    if done is None:
        return None
    if done.returncode == 0:
        return done.stdout
    if _FORGOTTEN not in done.stderr:
        log.info("squeue: %s", done.stderr.strip())
        return None
    if len(job_ids) == 1:
        return ""
    texts = [_squeue([job_id], options) for job_id in job_ids]  # one of them hides the others
    return None if None in texts else "".join(text or "" for text in texts)


def _ask(words: Sequence[str]) -> subprocess.CompletedProcess[str] | None:
    try:
        return _ask_or_raise(words)
    except StageError as error:
        log.info("%s", error)
        return None


def _ask_or_raise(words: Sequence[str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            words, capture_output=True, text=True, errors="replace", check=False, timeout=TIMEOUT_S, env=_environment()
        )
    except subprocess.TimeoutExpired as error:
        raise StageError(f"{words[0]} gave no answer within {TIMEOUT_S:g} s") from error
    except OSError as error:
        raise StageError(f"{words[0]} cannot be started: {error.strerror}") from error


def _environment() -> dict[str, str]:
    """The shell's, less what would change the output of SLURM's commands; times in UTC, indices in full."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SQUEUE_", "SACCT_", "SCANCEL_"))}
    return {**kept, "SLURM_BITSTR_LEN": "0", "SLURM_TIME_FORMAT": "standard", "TZ": "UTC"}


def is_in_folder(workdir: str, folder: str) -> bool:
    """Whether a job is ours; the accounting names no folder of a run that ended before it began."""
    return not folder or workdir in ("", folder, os.path.realpath(folder))


def _batches(job_ids: Iterable[str]) -> Iterator[Sequence[str]]:
    job_ids = [job_id for job_id in dict.fromkeys(job_ids) if job_id]  # an empty id would ask for everybody's jobs
    for start in range(0, len(job_ids), MAX_IDS):
        yield job_ids[start : start + MAX_IDS]


def _number(text: str) -> int:
    return int(text) if text.isdigit() else 0


def _time(text: str) -> str:
    """``2026-01-02T03:04:05`` with its zone; "" for Unknown, None and N/A."""
    return f"{text}+00:00" if text[:1].isdigit() else ""
