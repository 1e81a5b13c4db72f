"""How elements ended, from every mixture of what our files, the queue and the accounting say."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from launchers.slurm.ends import GOOD_ENDS, OPEN_ENDS, End, Evidence, LifeRecord, classify, parse_time
from launchers.slurm.queue import FINISHED, AccountRow, QueueRow

NOW = datetime(2026, 1, 2, 12, 0, tzinfo=UTC)
FRESH, OLD = (NOW - timedelta(seconds=30)).isoformat(), (NOW - timedelta(minutes=10)).isoformat()


def life(end: str = "", updated: str = OLD, message: str = "", **more: Any) -> LifeRecord:
    row = {"started": OLD, "updated": updated, "ended": updated if end else "", "end": end, "message": message}
    return LifeRecord.from_row({**row, "node": "n1", "host": "n1", **more})


def queue(state: str, reason: str = "") -> QueueRow:
    return QueueRow(state, reason, "n2" if state == "RUNNING" else "", "", "", "/run")


def account(state: str, exit_code: int = 0, signal: int = 0, earlier: tuple[str, ...] = ()) -> AccountRow:
    return AccountRow(state, exit_code, signal, "n3", 5, "", "", "/run", earlier)


CASES = [
    ("says it completed", Evidence(life("completed")), End.COMPLETED),
    ("completed, and killed afterwards", Evidence(life("completed"), account=account("OUT_OF_MEMORY")), End.COMPLETED),
    ("completed, then preempted", Evidence(life("completed"), queue("PENDING", "BeginTime")), End.COMPLETED),
    ("the second start runs", Evidence(life("", FRESH, start=1), queue("RUNNING")), End.RUNNING),
    ("a lost node's first record", Evidence(life(), queue("PENDING"), account("NODE_FAIL")), End.REQUEUED),
    ("running after a lost node", Evidence(life(), queue("RUNNING"), account("NODE_FAIL")), End.RUNNING),
    ("waits", Evidence(queue=queue("PENDING", "Priority")), End.PENDING),
    ("waits again", Evidence(life("requeued"), queue("PENDING", "BeginTime")), End.REQUEUED),
    ("held", Evidence(queue=queue("PENDING", "DependencyNeverSatisfied")), End.NEVER),
    ("prolog failed", Evidence(queue=queue("PENDING", "launch failed requeued held")), End.NEVER),
    ("budget", Evidence(queue=queue("PENDING", "AssocGrpCPUMinutesLimit")), End.NEVER),
    ("full for now", Evidence(queue=queue("PENDING", "AssocGrpCPURunMinutesLimit")), End.PENDING),
    ("full too", Evidence(queue=queue("PENDING", "QOSGrpGRESRunMinutes")), End.PENDING),
    ("too long", Evidence(queue=queue("PENDING", "PartitionTimeLimit")), End.NEVER),
    ("above a limit per job", Evidence(queue=queue("PENDING", "QOSMaxGRESPerJob")), End.NEVER),
    ("budget used up", Evidence(queue=queue("PENDING", "AssocGrpCPUMinutesLimit")), End.NEVER),
    ("others are running", Evidence(queue=queue("PENDING", "AssocGrpGRES")), End.PENDING),
    ("own failure", Evidence(life("failed", message="disk full"), account=account("FAILED", 1)), End.FAILED),
    ("own failure, just over", Evidence(life("failed"), queue("COMPLETING")), End.FAILED),
    ("exit without a word", Evidence(life(), account=account("FAILED", 7)), End.FAILED),
    ("time limit", Evidence(life("stopped"), account=account("TIMEOUT")), End.TIME_LIMIT),
    ("preempted", Evidence(life("stopped"), account=account("PREEMPTED")), End.PREEMPTED),
    ("cancelled", Evidence(life("stopped"), account=account("CANCELLED")), End.CANCELLED),
    ("memory", Evidence(life(), account=account("OUT_OF_MEMORY")), End.OUT_OF_MEMORY),
    ("node", Evidence(life(), account=account("NODE_FAIL")), End.NODE_FAILURE),
    ("the queue alone knows", Evidence(life(), queue("TIMEOUT")), End.TIME_LIMIT),
    ("the accounting is late", Evidence(life(), queue("NODE_FAIL"), account("RUNNING")), End.NODE_FAILURE),
    ("forgotten by the controller", Evidence(life(), account=account("RUNNING")), End.LOST),
    ("forgotten before it began", Evidence(account=account("PENDING")), End.LOST),
    ("nobody knows it", Evidence(), End.LOST),
    ("a run of an older version", Evidence(keeps_lives=False), End.UNKNOWN),
    ("completed by an older version", Evidence(account=account("COMPLETED"), keeps_lives=False), End.COMPLETED),
    ("exit 0 in the middle", Evidence(life(), account=account("COMPLETED")), End.LOST),
    ("silent", Evidence(life()), End.LOST),
    ("not silent yet", Evidence(life(updated=FRESH)), End.RUNNING),
    ("a start that never came", Evidence(life("requeued")), End.LOST),
    ("stopped", Evidence(life("stopped")), End.CANCELLED),
    ("cannot ask, alive", Evidence(life(updated=FRESH), is_queue_known=False), End.RUNNING),
    ("cannot ask, silent", Evidence(life(), is_queue_known=False), End.LOST),
    ("cannot ask, not begun", Evidence(is_queue_known=False), End.PENDING),
    ("cannot ask, requeued", Evidence(life("requeued"), is_queue_known=False), End.REQUEUED),
    ("controller down, running", Evidence(account=account("RUNNING"), is_queue_known=False), End.RUNNING),
    ("controller down, over", Evidence(life(), account=account("TIMEOUT"), is_queue_known=False), End.TIME_LIMIT),
    ("process alive", Evidence(life(), is_cluster_job=False, is_process_alive=True), End.RUNNING),
    ("process alive, not begun", Evidence(is_cluster_job=False, is_process_alive=True), End.PENDING),
    ("process gone", Evidence(life(updated=FRESH), is_cluster_job=False, is_process_alive=False), End.LOST),
    ("process gone before", Evidence(is_cluster_job=False, is_process_alive=False), End.LOST),
    ("process elsewhere", Evidence(life(updated=FRESH), is_cluster_job=False), End.RUNNING),
    ("process elsewhere, silent", Evidence(life(), is_cluster_job=False), End.UNKNOWN),
    ("interrupted", Evidence(life("stopped"), is_cluster_job=False, is_process_alive=False), End.CANCELLED),
]


@pytest.mark.parametrize(("evidence", "end"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_each_end_is_told_apart(evidence: Evidence, end: End) -> None:
    assert classify(evidence, NOW).end is end


def test_the_words_say_what_is_known() -> None:
    own = classify(Evidence(life("failed", message="no space left"), account=account("FAILED", 1)), NOW)
    assert (own.message, own.slurm, own.node) == ("no space left", "FAILED", "n1")
    killed = classify(Evidence(account=account("FAILED", 0, 9)), NOW)
    assert killed.message == "it died without a word (signal 9)"
    assert classify(Evidence(queue=queue("PENDING", "QOSMaxWallDurationPerJobLimit")), NOW).message.startswith("QOSMax")
    blind = classify(Evidence(life(updated=FRESH), is_queue_known=False), NOW)
    assert (blind.as_of, blind.message) == (FRESH, "SLURM cannot be asked")
    silent = classify(Evidence(life()), NOW)
    assert silent.as_of == OLD and "SLURM does not list it" in silent.message


def test_odd_files_are_read_as_far_as_they_go() -> None:
    record = LifeRecord.from_row({"start": "x", "ended": None, "items": [], "in_hand": [1, {"item": "a"}], "gpus": 8})
    assert (record.start, record.ended, record.in_hand, record.gpus, record.seconds) == (0, "", [{"item": "a"}], 8, 0.0)
    assert parse_time("yesterday") is None and parse_time("2026-01-02T12:00:00") == NOW


STATES = sorted(FINISHED | {"PENDING", "RUNNING", "COMPLETING", "CONFIGURING", "SUSPENDED", "REQUEUED", "STAGE_OUT"})
lives = st.none() | st.builds(
    life,
    end=st.sampled_from(["", "completed", "failed", "requeued", "stopped", "unheard of"]),
    updated=st.sampled_from([FRESH, OLD, "", (NOW + timedelta(hours=3)).isoformat()]),
)
queues = st.none() | st.builds(queue, st.sampled_from(STATES), st.sampled_from(["", "Priority", "BadConstraints"]))
accounts = st.none() | st.builds(account, st.sampled_from(STATES))
evidences = st.builds(
    Evidence,
    life=lives,
    queue=queues,
    account=accounts,
    is_queue_known=st.booleans(),
    keeps_lives=st.booleans(),
)


@given(evidences)
def test_completed_wins_and_the_queue_comes_next(evidence: Evidence) -> None:
    verdict = classify(evidence, NOW)
    says_completed = evidence.life is not None and bool(evidence.life.ended) and evidence.life.end == "completed"
    if says_completed:
        assert verdict.end is End.COMPLETED
    elif evidence.queue and not evidence.queue.is_finished and evidence.queue.state != "COMPLETING":
        assert verdict.end in OPEN_ENDS


@given(evidences)
def test_nothing_runs_for_ever(evidence: Evidence) -> None:
    """A job that the queue was asked about and does not list is over, unless it gave a sign of life just now."""
    is_listed = evidence.queue is not None and not evidence.queue.is_finished
    is_fresh = evidence.life is not None and evidence.life.updated == FRESH and not evidence.life.ended
    if evidence.is_queue_known and not is_listed and not is_fresh:
        assert classify(evidence, NOW).end not in OPEN_ENDS


@given(evidences)
def test_bad_ends_say_why(evidence: Evidence) -> None:
    verdict = classify(evidence, NOW)
    if verdict.end not in GOOD_ENDS:
        assert verdict.message or verdict.slurm or (evidence.life is not None and evidence.life.end == "failed")
