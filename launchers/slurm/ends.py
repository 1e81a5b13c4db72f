"""How an array element stands or ended, told apart by our own files, SLURM's queue and its accounting. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from launchers.slurm.queue import FINISHED, AccountRow, QueueRow

SILENT_AFTER_S = 60.0  # three heartbeats of a supervisor
SILENT_FAILURE = "it died without a word"


class End(StrEnum):
    """What became of an element, or has so far."""

    COMPLETED = "completed"
    FAILED = "failed"  # it said so itself, or its process ended with an error
    TIME_LIMIT = "time limit"
    PREEMPTED = "preempted"
    CANCELLED = "cancelled"
    OUT_OF_MEMORY = "out of memory"
    NODE_FAILURE = "node failure"
    LOST = "lost"  # it died without a word, or SLURM forgot it
    UNKNOWN = "unknown"  # a run that kept no record, and SLURM has none any more
    RUNNING = "running"
    PENDING = "pending"
    REQUEUED = "requeued"  # it ran before and waits to be started again
    NEVER = "cannot start"  # pending for a reason that waiting does not mend


OPEN_ENDS = (End.RUNNING, End.PENDING, End.REQUEUED, End.NEVER)
GOOD_ENDS = (End.COMPLETED, End.RUNNING, End.PENDING, End.REQUEUED, End.UNKNOWN)
_END_OF_STATE = {
    "COMPLETED": End.COMPLETED,
    "FAILED": End.FAILED,
    "LAUNCH_FAILED": End.FAILED,
    "TIMEOUT": End.TIME_LIMIT,
    "DEADLINE": End.TIME_LIMIT,
    "PREEMPTED": End.PREEMPTED,
    "CANCELLED": End.CANCELLED,
    "REVOKED": End.CANCELLED,
    "OUT_OF_MEMORY": End.OUT_OF_MEMORY,
    "NODE_FAIL": End.NODE_FAILURE,
    "BOOT_FAIL": End.NODE_FAILURE,
    "RECONFIG_FAIL": End.NODE_FAILURE,
}
_NOT_STARTED = ("PENDING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "SPECIAL_EXIT", "RESV_DEL_HOLD")
_NEVER = frozenset(
    {
        "AccountNotAllowed",
        "BadConstraints",
        "DependencyNeverSatisfied",
        "InvalidAccount",
        "InvalidQOS",
        "JobHeldAdmin",
        "JobHeldUser",
        "JobHoldMaxRequeue",
        "PartitionConfig",
        "PartitionNodeLimit",
        "PartitionTimeLimit",
        "QOSNotAllowed",
    }
)
# Limits on a single job, and used-up budgets; limits on how much runs at once (RunMinutes too) pass by themselves.
_NEVER_LIMIT = re.compile(r"(QOS|Assoc)(Max\w*PerJob|Min|Grp(?!\w*RunMinutes)\w*Minutes)")


@dataclass(frozen=True)
class LifeRecord:
    """The part of a life file that tells how one start of an element went; what is missing in the file is empty."""

    start: int = 0
    node: str = ""
    host: str = ""
    pid: int = 0
    started: str = ""
    updated: str = ""
    ended: str = ""
    end: str = ""
    message: str = ""
    gpus: int = 0
    items: Mapping[str, int] = field(default_factory=dict)
    weight_s: float = 0.0
    in_hand: Sequence[Mapping[str, Any]] = ()

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> LifeRecord:
        """Take what is there and of the right type."""
        made: dict[str, Any] = {}
        for name in ("node", "host", "started", "updated", "ended", "end", "message"):
            made[name] = row[name] if isinstance(row.get(name), str) else ""
        for name in ("start", "pid", "gpus"):
            made[name] = row[name] if isinstance(row.get(name), int) else 0
        made["weight_s"] = float(row["weight_s"]) if isinstance(row.get("weight_s"), (int, float)) else 0.0
        items = row.get("items")
        if isinstance(items, dict):
            made["items"] = {key: value for key, value in items.items() if isinstance(value, int)}
        in_hand = row.get("in_hand")
        if isinstance(in_hand, list):
            made["in_hand"] = [entry for entry in in_hand if isinstance(entry, dict)]
        return cls(**made)

    @property
    def seconds(self) -> float:
        """How long it has been at work, by its own clock."""
        begin, end = parse_time(self.started), parse_time(self.ended or self.updated)
        return max(0.0, (end - begin).total_seconds()) if begin and end else 0.0


@dataclass(frozen=True)
class Evidence:
    """All that is known of one element.

    ``queue`` and ``account`` are None where SLURM has no row of it; whether the queue answered at all is said apart.
    ``is_process_alive`` is for work outside SLURM: None where the process cannot be seen from here.
    """

    life: LifeRecord | None = None  # of the latest start
    queue: QueueRow | None = None
    account: AccountRow | None = None
    is_queue_known: bool = True
    is_cluster_job: bool = True
    is_process_alive: bool | None = None
    keeps_lives: bool = True  # runs of older versions did not


@dataclass(frozen=True)
class Verdict:
    """``slurm`` is SLURM's own word, ``as_of`` the time of the latest sign where the present cannot be seen."""

    end: End
    message: str = ""
    slurm: str = ""
    node: str = ""
    as_of: str = ""


def classify(evidence: Evidence, now: datetime) -> Verdict:
    """Weigh the evidence.

    An element that says it completed has. What the queue still lists is not over, whatever the accounting says: of a
    lost node that shows the end of the first run before the second begins. Then the element's own account of its
    failure counts, then SLURM's record of its end. Who is known to nobody, and silent, is lost.
    """
    life, queue, account = evidence.life, evidence.queue, evidence.account
    slurm = _slurm_word(queue, account)
    node = (life.node if life else "") or (queue.node if queue else "") or (account.node if account else "")
    if life and life.ended and life.end == "completed":
        return Verdict(End.COMPLETED, slurm=slurm, node=node)
    if queue and not queue.is_finished:
        return _in_queue(evidence, queue, slurm, node)
    if life and life.ended and life.end == "failed":
        return Verdict(End.FAILED, life.message, slurm, node)
    state = _final_state(queue, account)
    if state:
        return _by_state(evidence, state, slurm, node)
    if not evidence.is_cluster_job:
        return _by_process(evidence, life, now, node)
    return _by_files(evidence, life, now, slurm, node)


def _in_queue(evidence: Evidence, row: QueueRow, slurm: str, node: str) -> Verdict:
    life, account = evidence.life, evidence.account
    if row.state not in _NOT_STARTED:
        if row.state == "COMPLETING" and life and life.ended and life.end == "failed":
            return Verdict(End.FAILED, life.message, slurm, node)
        return Verdict(End.RUNNING, "suspended" if row.state == "SUSPENDED" else "", slurm, row.node or node)
    if row.reason in _NEVER or "held" in row.reason.lower() or _NEVER_LIMIT.match(row.reason):
        return Verdict(End.NEVER, row.reason, slurm, "")
    ran_before = life is not None or (account is not None and (bool(account.earlier) or account.state in FINISHED))
    return Verdict(End.REQUEUED if ran_before else End.PENDING, row.reason, slurm, node)


def _final_state(queue: QueueRow | None, account: AccountRow | None) -> str:
    """SLURM's word for the end, or "". The accounting may lag, and shows lost jobs as running for ever."""
    if account and account.state in FINISHED:
        return account.state
    return queue.state if queue and queue.is_finished else ""


def _by_state(evidence: Evidence, state: str, slurm: str, node: str) -> Verdict:
    life, account = evidence.life, evidence.account
    end = _END_OF_STATE[state]
    message = life.message if life and life.ended else ""
    if end is End.COMPLETED and (life or evidence.keeps_lives):
        return Verdict(End.LOST, message or "it never said that it had ended", slurm, node)
    if end is End.FAILED and not message:
        message = SILENT_FAILURE + (f" ({_how(account)})" if account else "")
    return Verdict(end, message, slurm, node)


def _by_process(evidence: Evidence, life: LifeRecord | None, now: datetime, node: str) -> Verdict:
    """Work outside SLURM: the process decides where it can be seen, its heartbeat elsewhere."""
    if life and life.ended:
        return Verdict(End.CANCELLED, life.message or "stopped", "", node)
    if evidence.is_process_alive is not None:
        if evidence.is_process_alive:
            return Verdict(End.RUNNING if life else End.PENDING, node=node)
        return Verdict(End.LOST, "it died without a word" if life else "the command ended before it began", "", node)
    if life is None:
        return Verdict(End.UNKNOWN, "its process cannot be seen from here and it has not begun")
    if _is_silent(life, now):
        # Work in one process writes only between items, which may be long: silence alone proves nothing.
        return Verdict(End.UNKNOWN, f"its process on {life.host} cannot be seen from here", "", node, life.updated)
    return Verdict(End.RUNNING, node=node, as_of=life.updated)


def _by_files(evidence: Evidence, life: LifeRecord | None, now: datetime, slurm: str, node: str) -> Verdict:
    """SLURM names no end and does not list it, or cannot be asked."""
    asked = evidence.is_queue_known
    account = evidence.account
    as_of = "" if asked else (life.updated if life else "")
    if life and life.ended:
        if life.end == "requeued":
            if not asked:
                return Verdict(End.REQUEUED, "SLURM cannot be asked", slurm, node, as_of)
            return Verdict(End.LOST, "it asked to be started again; SLURM does not list it any more", slurm, node)
        return Verdict(End.CANCELLED, life.message or "ended by a signal", slurm, node)
    if life:
        if not _is_silent(life, now):
            return Verdict(End.RUNNING, "" if asked else "SLURM cannot be asked", slurm, node, as_of)
        where = "SLURM does not list it any more" if asked else "SLURM cannot be asked"
        return Verdict(End.LOST, f"it died without a word; {where}", slurm, node, life.updated)
    if not asked:
        is_running = account is not None and account.state not in ("", *_NOT_STARTED)
        return Verdict(End.RUNNING if is_running else End.PENDING, "SLURM cannot be asked", slurm, node)
    if not evidence.keeps_lives:
        return Verdict(End.UNKNOWN, "SLURM has no record of it any more", slurm, node)
    return Verdict(End.LOST, "it never began and SLURM does not list it any more", slurm, node)


def _is_silent(life: LifeRecord, now: datetime) -> bool:
    """Whether the last heartbeat is too old. One far in the future is another clock's, and tells nothing either."""
    updated = parse_time(life.updated)
    return updated is None or abs((now - updated).total_seconds()) > SILENT_AFTER_S


def parse_time(text: str) -> datetime | None:
    """A moment from ISO text, UTC where it names no zone; None for anything else."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _slurm_word(queue: QueueRow | None, account: AccountRow | None) -> str:
    if queue and not queue.is_finished:
        return queue.state
    return _final_state(queue, account) or (account.state if account else "")


def _how(account: AccountRow) -> str:
    return f"signal {account.signal}" if account.signal else f"exit code {account.exit_code}"
