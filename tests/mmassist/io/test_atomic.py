from __future__ import annotations

import errno
import json

import pytest

from mmassist.core.errors import StageError
from mmassist.io import atomic, faults


def test_a_file_appears_whole_or_not_at_all(tmp_path):
    path = tmp_path / "deep" / "file.json"
    with pytest.raises(RuntimeError), atomic.commit(path) as file:
        file.write(b"half")
        raise RuntimeError("the writer failed")
    assert list(path.parent.iterdir()) == []
    atomic.write_json(path, {"b": 1, "a": [2]})
    assert path.read_text() == '{"a":[2],"b":1}\n'


def test_the_old_content_stays_until_the_new_is_complete(tmp_path):
    path = tmp_path / "file.json"
    atomic.write_json(path, 1)
    with pytest.raises(RuntimeError), atomic.commit(path) as file:
        file.write(b"2")
        raise RuntimeError("the writer failed")
    assert json.loads(path.read_text()) == 1


def test_a_full_disk_stops_the_task(tmp_path):
    def fill(point: str) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    faults.install(fill)
    try:
        with (
            pytest.raises(StageError, match=r"x \(No space left.*\): make space"),
            atomic.commit(tmp_path / "x"),
        ):
            pass
    finally:
        faults.install(None)
    assert list(tmp_path.iterdir()) == []
