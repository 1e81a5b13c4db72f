"""What became of every element of a job: its lives, SLURM's queue and accounting, weighed one against the other."""

from __future__ import annotations

import os
import socket
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from launchers.slurm.ends import GOOD_ENDS, End, Evidence, LifeRecord, Verdict, classify, parse_time
from launchers.slurm.queue import AccountRow, QueueRow, is_in_folder, read_accounting, read_queue
from mmassist.io.lock import process_start
from tools.records.file import Reader
from tools.records.run import JobRow

CLOCK_SLACK_S = 5.0
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Element:
    """One element: its number, SLURM's id of it, the latest start, and how it stands."""

    number: int
    job_id: str
    life: LifeRecord | None
    verdict: Verdict


@dataclass
class Lives:
    """The life files of a job."""

    latest: dict[int, LifeRecord] = field(default_factory=dict)  # by element
    gpu_hours: float = 0.0
    starts: int = 0


@dataclass
class JobState:
    """A job with its elements, and what their lives add up to."""

    row: JobRow
    elements: list[Element] = field(default_factory=list)
    lives: Lives = field(default_factory=lambda: Lives())

    @property
    def ends(self) -> Counter[End]:
        return Counter(element.verdict.end for element in self.elements)

    @property
    def is_interrupted(self) -> bool:
        """Whether it was never submitted to its end and nobody is at it; not known of a process elsewhere."""
        row = self.row
        return not row.is_submitted and (not row.host or is_process_alive(row.host, row.pid, "") is False)

    @property
    def is_bad(self) -> bool:
        return self.is_interrupted or any(end not in GOOD_ENDS for end in self.ends)

    @property
    def live(self) -> list[tuple[Element, LifeRecord]]:
        """The elements that are at work now, with what they say of it."""
        return [(e, e.life) for e in self.elements if e.life and not e.life.ended and e.verdict.end is End.RUNNING]


class Cluster:
    """SLURM's rows of the jobs asked about. What it was not asked counts as known: there is nothing to know."""

    def __init__(self) -> None:
        self._queue: dict[str, QueueRow] | None = {}
        self._accounts: dict[str, AccountRow] | None = {}

    @property
    def is_queue_known(self) -> bool:
        return self._queue is not None

    @property
    def is_accounting_known(self) -> bool:
        return self._accounts is not None

    def ask_queue(self, job_ids: Sequence[str]) -> None:
        self._queue = read_queue(job_ids)

    def ask_accounting(self, job_ids: Sequence[str]) -> None:
        self._accounts = read_accounting(job_ids)

    def find(self, element: str, folder: str) -> tuple[QueueRow | None, AccountRow | None]:
        """Rows of one element, if the job works in ``folder``: ids are given out again after a loss of state."""
        queue, account = (self._queue or {}).get(element), (self._accounts or {}).get(element)
        return (
            queue if queue and is_in_folder(queue.workdir, folder) else None,
            account if account and is_in_folder(account.workdir, folder) else None,
        )

    def list_elements(self, job_ids: Sequence[str]) -> list[str]:
        """Every element of these jobs that SLURM has a row of, in order."""
        known = (self._queue or {}).keys() | (self._accounts or {}).keys()
        parts = [element.partition("_") for element in known]
        mine = [part for part in parts if part[0] in job_ids]
        return ["".join(part) for part in sorted(mine, key=lambda p: (int(p[0]), int(p[2] or 0)))]


def judge_jobs(rows: Sequence[JobRow], reader: Reader, cluster: Cluster) -> list[JobState]:
    """How every element of the jobs stands.

    SLURM is asked about the jobs whose lives leave a question, and lives are read again after it: one that ended in
    between must not look as if it had died without a word.
    """
    lives = {row.key: read_lives(row, reader) for row in rows}
    unsure = [row for row in rows if row.is_cluster_job and not _is_over(row, lives[row.key])]
    ids = [job_id for row in unsure for job_id in row.job_ids]
    if ids:
        cluster.ask_queue(ids)
        asked = [row for row in unsure if _needs_accounting(row, lives[row.key], cluster)]
        cluster.ask_accounting([job_id for row in asked for job_id in row.job_ids])
    for row in unsure:
        lives[row.key] = read_lives(row, reader)
    return [_judge(row, lives[row.key], cluster) for row in rows]


def read_lives(row: JobRow, reader: Reader) -> Lives:
    """All life files of a job, as they are now."""
    found = Lives()
    for element, paths in row.run.list_lives(row.name).items():
        for path in paths:
            content = reader.read_object(path)
            if content is None:
                continue
            life = LifeRecord.from_row(content)
            found.starts += 1
            found.gpu_hours += life.gpus * life.seconds / 3600
            found.latest[element] = life
    return found


def is_process_alive(host: str, pid: int, not_after: str) -> bool | None:
    """Whether a process of this machine lives that began by ``not_after``; None where it cannot be seen from here."""
    if host != socket.gethostname() or pid <= 0:
        return None
    start = process_start(pid)
    limit = parse_time(not_after)
    if not start or limit is None:
        return bool(start)
    age_s = float(Path("/proc/uptime").read_text().split()[0]) - int(start) / _TICKS
    return time.time() - age_s <= limit.timestamp() + CLOCK_SLACK_S


def _is_over(row: JobRow, lives: Lives) -> bool:
    ended = [life for life in lives.latest.values() if life.ended and life.end == "completed"]
    return bool(row.windows) and len(ended) >= row.elements


def _needs_accounting(row: JobRow, lives: Lives, cluster: Cluster) -> bool:
    if not row.windows:
        return True
    for number, job_id in row.iter_elements():
        life, (queue, _) = lives.latest.get(number), cluster.find(job_id, str(row.run.layout.code))
        is_listed = queue is not None and not queue.is_finished
        if not is_listed and not (life and life.ended and life.end in ("completed", "failed")):
            return True
    return False


def _judge(row: JobRow, lives: Lives, cluster: Cluster) -> JobState:
    state = JobState(row, lives=lives)
    now = datetime.now(UTC)
    if row.is_cluster_job and not row.windows:  # an older version's: which ids there were, SLURM alone knows
        elements = list(enumerate(cluster.list_elements(row.job_ids)))
    elif not row.is_cluster_job and not lives.starts and row.run.bundles(row.name) == []:
        elements = []
    else:
        elements = list(row.iter_elements())
    for number, job_id in elements:
        life = lives.latest.get(number)
        queue, account = cluster.find(job_id, str(row.run.layout.code)) if job_id else (None, None)
        evidence = Evidence(
            life=life,
            queue=queue,
            account=account,
            is_queue_known=cluster.is_queue_known,
            is_cluster_job=row.is_cluster_job,
            is_process_alive=None if row.is_cluster_job else _is_alive(row, life),
            keeps_lives=row.run.keeps_lives,
        )
        state.elements.append(Element(number, job_id, life, classify(evidence, now)))
    return state


def _is_alive(row: JobRow, life: LifeRecord | None) -> bool | None:
    if life:
        return is_process_alive(life.host, life.pid, life.started)
    return is_process_alive(row.host, row.pid, row.run.time)
