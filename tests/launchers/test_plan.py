"""Reruns: what is done stays, what can be done is done, nothing is lost and nothing twice."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest

from launchers.work import record_outcome
from mmassist.core.errors import ConfigError, ItemError, Kind
from mmassist.core.outcome import Outcome, Status
from mmassist.io.reader import UnitReader
from tests.launchers.toy import ToySource


def test_items_are_cut_into_tasks_by_weight_and_key_order(tmp_path):
    source = ToySource(tmp_path, {"c": "3", "a": "1", "b": "2"})
    assert source.run().processed == ["a", "b", "c"]
    assert source.tasks() == [("000000", ("a", "b")), ("000001", ("c",))]
    assert source.made() == {"a": "1", "b": "2", "c": "3"}


def test_a_second_run_does_nothing(tmp_path):
    source = ToySource(tmp_path, {"a": "1", "b": "bad", "c": "skip"})
    source.run()
    again = source.run()
    assert again.processed == []
    assert again.plan.rest == {"done": 1, "failed: permanent": 1, "skipped: no_video": 1}


@pytest.mark.parametrize(
    ("text", "retry", "runs"),
    [
        ("hiccup", "none", True),
        ("block", "none", True),
        ("bad", "none", False),
        ("bug", "none", False),
        ("bad", "failed", True),
        ("hiccup", "failed", True),
        ("skip", "failed", False),
        ("skip", "all", True),
        ("fine", "failed", False),
        ("fine", "all", True),
    ],
)
def test_which_items_a_rerun_takes_up(tmp_path, text, retry, runs):
    source = ToySource(tmp_path, {"a": text})
    source.run()
    assert (source.run(retry=retry).processed == ["a"]) is runs


def test_a_changed_input_brings_back_what_was_skipped_or_failed(tmp_path):
    source = ToySource(tmp_path, {"a": "1", "b": "bad", "c": "skip"}, weight=9)
    source.run()
    source.texts |= {"b": "mended", "c": "it came"}
    assert source.run().processed == ["b", "c"]
    assert source.tasks() == [("000000", ("a", "b", "c")), ("000001", ("b", "c"))]
    assert source.made() == {"a": "1", "b": "mended", "c": "it came"}


def test_a_task_of_which_nothing_was_made_is_filled_in_place(tmp_path):
    source = ToySource(tmp_path, {"a": "block", "b": "block"})
    source.run()
    assert source.made() == {} and not list(source.unit.shard_dir.glob("*"))
    source.texts = {"a": "1", "b": "2"}
    source.run()
    assert source.tasks() == [("000000", ("a", "b"))]
    assert source.made() == {"a": "1", "b": "2"}


def test_new_recordings_get_new_tasks(tmp_path):
    source = ToySource(tmp_path, {"b": "1"})
    source.run()
    source.texts |= {"a": "2"}
    source.run()
    assert source.tasks() == [("000000", ("b",)), ("000001", ("a",))]


def test_a_changed_input_of_a_finished_item_stops_and_is_named(tmp_path):
    source = ToySource(tmp_path, {"a": "1", "b": "2"})
    source.run()
    source.texts["a"] = "other"
    changed = r"the inputs of 1 finished items changed since \(first: a, by its records in the source\); say on_stale="
    with pytest.raises(ConfigError, match=changed):
        source.run()
    assert source.made() == {"a": "1", "b": "2"}
    assert source.run(on_stale="rebuild").processed == ["a"]
    assert source.made() == {"a": "other", "b": "2"}
    assert source.tasks() == [("000000", ("a", "b"))]


def test_redoing_everything_gives_the_same_bytes(tmp_path):
    source = ToySource(tmp_path, {"a": "1", "b": "2", "c": "skip"}, weight=9)
    source.run()
    before = source.unit.shard("000000").read_bytes()
    assert source.run(retry="all").processed == ["a", "b", "c"]
    assert source.unit.shard("000000").read_bytes() == before


def test_limit_and_items_select_by_key(tmp_path):
    source = ToySource(tmp_path, {k: k for k in "abcde"})
    assert source.run(limit=2).processed == ["a", "b"]
    assert source.run(limit=2).processed == []
    assert source.run(items=("d",)).processed == ["d"]
    assert source.run().processed == ["c", "e"]
    assert source.made() == {k: k for k in "abcde"}


def test_an_unknown_item_is_refused(tmp_path):
    source = ToySource(tmp_path, {"R007-DSLR": "1"})
    with pytest.raises(ConfigError, match=r"toys has no item 'R007-DSL'. Did you mean 'R007-DSLR'"):
        source.run(items=("R007-DSL",))


def test_groups_never_share_a_shard(tmp_path):
    source = ToySource(tmp_path, {k: k for k in "abcd"}, weight=9)
    source.sides = {"a": "train", "b": "val", "c": "train", "d": "test"}
    source.run()
    assert dict(source.tasks()) == {"train-000000": ("a", "c"), "val-000000": ("b",), "test-000000": ("d",)}


def test_one_bad_item_is_one_row_with_a_traceback(tmp_path):
    source = ToySource(tmp_path, {"a": "1", "b": "bug", "c": "bad"}, weight=9)
    source.run()
    outcomes = source.outcomes()
    assert outcomes["b"].status is Status.FAILED and outcomes["b"].reason == "permanent"
    assert outcomes["b"].message == "KeyError: 'missing'"
    assert "raise KeyError" in (tmp_path / outcomes["b"].traceback).read_text()
    assert outcomes["c"].message == "cannot be read" and outcomes["c"].attempt == 1
    source.run(retry="failed")
    assert source.outcomes()["c"].attempt == 2
    assert source.made() == {"a": "1"}


def test_records_left_out_of_a_finished_item_are_named(tmp_path):
    source = ToySource(tmp_path, {"a": "patchy", "b": "text"})
    source.run()
    (path,) = (source.unit.ledger_dir / "drops").iterdir()
    (row,) = (json.loads(line) for line in path.read_text().splitlines())
    expected = {"dataset": "toys", "item": "a", "recording": "a", "record": "line 2", "reason": "no text"}
    assert row == expected | {"attempt": 1, "run_id": "run-1"}
    assert source.outcomes() == {} and source.made() == {"a": "patchy", "b": "text"}
    assert source.run().plan.num_items == 0


def test_a_run_that_is_plainly_broken_stops(tmp_path):
    texts = {f"{i:03d}": "bad" if i % 4 == 0 else "skip" if i % 4 == 1 else "fine" for i in range(120)}
    source = ToySource(tmp_path, texts, weight=1000)
    with pytest.raises(Exception, match=r"of 50 items failed, more than max_fail_ratio=0.2 allows"):
        source.run()
    assert len(source.outcomes()) < 60  # it stopped early; skipped items did not count


def test_an_item_whose_side_changed_leaves_its_old_shard(tmp_path):
    source = ToySource(tmp_path, {"a": "block", "b": "block"}, weight=9)
    source.sides = {"a": "val", "b": "val"}
    source.run()
    source.texts = {"a": "1", "b": "2"}
    source.sides = {"a": "test", "b": "val"}
    source.run()
    assert source.unit.shard("test-000000").exists()
    reader = UnitReader(source.unit, "toy")
    assert reader.read("a").names == ["text.txt"] and source.made() == {"a": "1", "b": "2"}
    assert json.loads(source.unit.record("val-000000").read_text())["items"] == ["b"]


def test_a_task_does_not_wait_for_items_that_are_not_asked_for(tmp_path):
    source = ToySource(tmp_path, {"a": "block", "b": "block", "c": "block"}, weight=9)
    source.run()
    source.texts = {"a": "1", "b": "2", "c": "3"}
    source.run(limit=1)
    assert source.made() == {"a": "1"}
    del source.texts["b"]
    source.run()
    assert source.made() == {"a": "1", "c": "3"}


def test_finished_tasks_without_a_manifest_are_refused(tmp_path):
    source = ToySource(tmp_path, {"a": "1"})
    source.run()
    source.unit.manifest.unlink()
    with pytest.raises(ConfigError, match=r"manifest.json is missing, but finished tasks lie there"):
        source.run()


def test_a_shard_that_was_deleted_is_made_again(tmp_path):
    source = ToySource(tmp_path, {"a": "1", "b": "2", "c": "3"})
    source.run()
    before = source.unit.shard("000000").read_bytes()
    source.unit.shard("000000").unlink()
    again = source.run()
    assert again.processed == ["a", "b"] and again.plan.why == {"output is missing": 2}
    assert source.unit.shard("000000").read_bytes() == before


def test_damaged_bytes_are_never_passed_on(tmp_path):
    source = ToySource(tmp_path, {"a": "aaaa", "b": "bbbb"})
    source.run()
    shard = source.unit.shard("000000")
    before = shard.read_bytes()
    shard.write_bytes(before.replace(b"aaaa", b"aXaa"))
    with pytest.raises(ItemError, match=r"holds other bytes than were written for a; make it again with stage=toy"):
        source.made()
    source.run(retry="all", items=("b",))
    source.run()
    assert source.made() == {"a": "aaaa", "b": "bbbb"}


def test_a_lost_task_list_loses_nothing(tmp_path):
    source = ToySource(tmp_path, {"a": "1", "b": "2", "c": "3"})
    source.run()
    source.unit.tasks.unlink()
    source.texts["aa"] = "4"
    source.run()
    assert source.made() == {"a": "1", "aa": "4", "b": "2", "c": "3"}
    assert source.tasks()[-1] == ("000002", ("aa",))


def test_items_gone_from_the_source_are_named_and_left_out_on_request(tmp_path):
    source = ToySource(tmp_path, {"a": "1", "b": "2"})
    source.run()
    del source.texts["a"]
    assert source.run().plan.gone == ["a"]
    assert source.made() == {"a": "1", "b": "2"}
    assert source.run(on_stale="rebuild").processed == []
    assert source.made() == {"b": "2"}
    assert source.run().plan.gone == []


@pytest.mark.slow
def test_a_million_items_are_planned_within_four_gigabytes():
    done = subprocess.run([sys.executable, "-m", "tools.bench.planning"], capture_output=True, text=True, check=True)
    (total,) = (line for line in done.stdout.splitlines() if line.startswith("total"))
    peak_mb = float(re.search(r"peak (\d+) MB", total)[1])
    assert "1000000 items" in total and peak_mb < 4000


@pytest.mark.parametrize(("reason", "runs"), [(Kind.KILLED, True), (Kind.CRASH, False)])
def test_one_dead_worker_is_no_verdict_for_a_later_run_either(tmp_path, reason, runs):
    """Its supervisor died as well, before it could give the item its second chance."""
    source = ToySource(tmp_path, {"a": "text"})
    source.run()
    source.texts["b"] = "more"
    digest = "digest of more"
    outcome = Outcome("b", Status.FAILED, str(reason), "the worker died", digest, 1, "000001")
    record_outcome(source.unit, outcome, "run-0", "0-supervisor")
    assert (source.run().processed == ["b"]) is runs
