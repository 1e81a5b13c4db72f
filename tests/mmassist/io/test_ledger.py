from __future__ import annotations

from mmassist.core.outcome import Outcome, Status
from mmassist.io.ledger import append_row, iter_rows, load_outcomes


def test_a_torn_line_spoils_only_itself(tmp_path):
    path = tmp_path / "a.jsonl"
    append_row(path, {"n": 1})
    with path.open("a") as file:
        file.write('{"n": 2, "text": "cut off he')
    assert list(iter_rows(path)) == [{"n": 1}]
    append_row(path, {"n": 3})
    assert list(iter_rows(path)) == [{"n": 1}, {"n": 3}]


def test_the_latest_attempt_counts_over_all_writers(tmp_path):
    rows = [Outcome("x", Status.FAILED, "transient", attempt=1), Outcome("x", Status.SKIPPED, "no_video", attempt=2)]
    append_row(tmp_path / "run-b.jsonl", rows[0].to_row())
    append_row(tmp_path / "run-a.jsonl", rows[1].to_row())
    assert load_outcomes(tmp_path) == {"x": rows[1]}


def test_no_ledger_is_no_outcome(tmp_path):
    assert load_outcomes(tmp_path / "missing") == {}
