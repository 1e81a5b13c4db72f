from __future__ import annotations

import errno
import json
import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmassist.core.outcome import Outcome, Status
from mmassist.io import faults
from mmassist.io.disk import DiskError
from mmassist.io.ledger import append_row, iter_rows, load_outcomes
from tests.mmassist.io.disk_faults import at_point, calls_of, failing, largest_file, points_of


@pytest.fixture(autouse=True)
def no_faults():
    yield
    faults.install(None)


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


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.ESTALE])
def test_every_failing_call_is_one_clear_line(tmp_path, code):
    path = tmp_path / "ledger" / "a.jsonl"
    calls = calls_of(lambda: append_row(path, {"n": 0}))
    assert [points_of(lambda: append_row(path, {"n": 0}))[n] for n in calls[:4]] == [
        "ledger:mkdir",
        "ledger:open",
        "ledger:write",
        "ledger:fsync",
    ]
    for number in calls[:4]:
        with failing(number, code), pytest.raises(DiskError, match=r"cannot write .*a\.jsonl \(") as caught:
            append_row(path, {"n": 1})
        assert "\n" not in str(caught.value)
    append_row(path, {"n": 2})
    assert list(iter_rows(path))[-1] == {"n": 2}


@pytest.mark.parametrize("room", [0, 1, 5, 15, 16])
def test_a_line_that_fits_only_in_part_is_taken_back(tmp_path, room):
    path = tmp_path / "a.jsonl"
    append_row(path, {"n": 1})
    before = path.read_bytes()
    with largest_file(len(before) + room), pytest.raises(DiskError, match="File too large"):
        append_row(path, {"text": "longer"})
    assert path.read_bytes() == before


@given(st.lists(st.tuples(st.integers(0, 60), st.text(max_size=20), st.booleans()), max_size=12))
def test_rows_are_there_exactly_if_the_call_returned(steps):
    """Each step: room that is left, the row's text, whether a killed process leaves half a line before it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.jsonl")
        written = []
        for number, (room, text, is_torn) in enumerate(steps):
            if is_torn:
                with path.open("a") as file:
                    file.write('{"n": 7, "te')
            row = {"n": number, "text": text}
            try:
                with largest_file((path.stat().st_size if path.exists() else 0) + room):
                    append_row(path, row)
            except DiskError:
                continue
            written.append(row)
        assert list(iter_rows(path)) == written


def test_half_a_line_is_never_glued_to_anothers(tmp_path, monkeypatch):
    """Half a row reaches the disk, another process appends its own, then the first goes on."""
    path = tmp_path / "a.jsonl"
    append_row(path, {"n": 0})
    whole, cuts = os.write, [4, None]

    def write(handle: int, data: bytes) -> int:
        cut = cuts.pop(0) if cuts else None
        done = whole(handle, data[:cut])
        if cut:
            monkeypatch.setattr(os, "write", whole)
            append_row(path, {"n": "other"})
            monkeypatch.setattr(os, "write", write)
        return done

    monkeypatch.setattr(os, "write", write)
    append_row(path, {"n": 1})
    assert list(iter_rows(path)) == [{"n": 0}, {"n": "other"}, {"n": 1}]


def test_a_disk_that_takes_half_of_everything_is_an_error(tmp_path, monkeypatch):
    path = tmp_path / "a.jsonl"
    append_row(path, {"n": 0})
    before, whole = path.read_bytes(), os.write
    monkeypatch.setattr(os, "write", lambda handle, data: whole(handle, data[: len(data) // 2]))
    with pytest.raises(DiskError):
        append_row(path, {"n": 1})
    assert path.read_bytes() == before


def test_a_folder_that_goes_just_then_is_made_again(tmp_path):
    path = tmp_path / "journal" / "a.jsonl"
    number = points_of(lambda: append_row(path, {"n": 0})).index("ledger:open")
    path.unlink()
    with at_point(number, lambda _: path.parent.rmdir()):
        append_row(path, {"n": 1})
    assert list(iter_rows(path)) == [{"n": 1}]


def test_lines_that_are_no_rows_are_passed_over(tmp_path):
    path = tmp_path / "a.jsonl"
    lines = [b"", b"5", b'"x"', b"[1]", b"\0\0\0\0", b"\xff\xfe\x00", b"null", b'{"n":', b"\x80abc", b'{"n":1}']
    path.write_bytes(b"\n".join(lines) + b"\n" + json.dumps({"n": 2}).encode())
    assert list(iter_rows(path)) == [{"n": 1}]
