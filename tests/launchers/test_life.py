"""The file that tells of an element from one of its starts to its end."""

from __future__ import annotations

import json
import logging
import os
import socket
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from launchers import life as life_module
from launchers.life import End, Life, Place
from mmassist.io.layout import RunLayout

PLACE = Place("encode-wtag", 3, 1, "77_3", "n4")


def read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text())


def start(item: str, task: str = "000000") -> dict[str, Any]:
    return {"event": "start", "item": item, "task": task, "attempt": 1, "inputs": "x", "again": False}


def done(item: str, **values: Any) -> dict[str, Any]:
    return {"event": "item", "item": item, "status": "done", "seconds": 2.0, "weight_s": 30.0, **values}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return RunLayout(tmp_path).life("encode-wtag", 3, 1)


def test_it_is_there_from_the_start_and_says_where_it_runs(path):
    Life(path, PLACE, gpus=8)
    assert path.name == "00003.1.json"
    row = read(path)
    where = {"job": "encode-wtag", "element": 3, "start": 1, "job_id": "77_3", "node": "n4", "gpus": 8}
    assert row.items() >= where.items()
    assert (row["host"], row["pid"]) == (socket.gethostname(), os.getpid())
    assert (row["ended"], row["end"], row["message"], row["in_hand"]) == ("", "", "", [])
    assert datetime.fromisoformat(row["started"]).utcoffset().total_seconds() == 0


def test_what_is_in_hand_is_named_with_its_worker(path, monkeypatch):
    monkeypatch.setattr(life_module, "HEARTBEAT_S", -1.0)
    life = Life(path, PLACE)
    life.begin(2, 5)
    life.add(start("a"), child=0)
    life.add(start("b", "000001"), child=1)
    life.beat()
    hands = [(hand["item"], hand["task"], hand["child"]) for hand in read(path)["in_hand"]]
    assert hands == [("a", "000000", 0), ("b", "000001", 1)]
    life.add(done("a"), child=0)
    life.lose_worker(1)
    life.beat()
    row = read(path)
    assert row["in_hand"] == [] and row["crashes"] == 1
    assert (row["workers"], row["tasks"]) == (2, 5)


def test_a_dead_worker_takes_only_its_own_items_along(path):
    life = Life(path, PLACE)
    for child in (0, 1):
        life.add(start(f"item-{child}"), child)
    life.lose_worker(0)
    life.begin(2, 2)
    assert [hand["item"] for hand in read(path)["in_hand"]] == ["item-1"]


def test_work_of_earlier_starts_is_counted_apart(path):
    life = Life(path, PLACE)
    life.add(done("a"))
    life.add(done("b", adopted=True))
    life.add({"event": "item", "item": "c", "status": "skipped", "reason": "no_video", "message": ""})
    life.add({"event": "task", "task": "000000", "committed": True})
    life.add({"event": "task", "task": "000001", "committed": False})
    life.finish(End.FAILED, "1 tasks could not be committed")
    row = read(path)
    assert row["items"] == {"done": 1, "failed": 0, "skipped": 1, "blocked": 0} and row["adopted"] == 1
    assert (row["weight_s"], row["seconds"]) == (30.0, 2.0)
    assert (row["committed"], row["open"]) == (1, 1)


def test_it_is_written_when_it_is_time_and_at_the_end(path, monkeypatch):
    life = Life(path, PLACE)
    life.add(done("a"))
    life.beat()
    assert read(path)["items"]["done"] == 0  # the file is only seconds old
    monkeypatch.setattr(life_module, "HEARTBEAT_S", -1.0)
    life.beat()
    assert read(path)["items"]["done"] == 1
    life.add(start("b"))
    life.finish(End.REQUEUED, "a time limit or a preemption came")
    row = read(path)
    assert (row["end"], row["message"]) == ("requeued", "a time limit or a preemption came")
    assert row["ended"] == row["updated"] and row["in_hand"] == []


def test_a_folder_that_cannot_be_written_stops_no_work(tmp_path, caplog):
    (tmp_path / "lives").write_text("a file where the folder should be")
    path = RunLayout(tmp_path).life("encode-wtag", 0, 0)
    with caplog.at_level(logging.WARNING):
        life = Life(path, PLACE)
        life.begin(1, 1)
        life.add(done("a"))
        life.finish(End.COMPLETED)
    assert all("cannot" in record.getMessage() for record in caplog.records) and len(caplog.records) == 3
    assert "lives" in caplog.records[0].getMessage()
