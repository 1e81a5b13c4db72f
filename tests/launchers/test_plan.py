"""Reruns: what is done stays, what can be done is done, nothing is lost and nothing twice."""

from __future__ import annotations

import pytest

from mmassist.core.errors import ConfigError
from mmassist.core.outcome import Status
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
    with pytest.raises(ConfigError, match=r"inputs of 1 finished items changed since \(first: a\).*on_stale=rebuild"):
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


def test_a_run_that_is_plainly_broken_stops(tmp_path):
    texts = {f"{i:03d}": "bad" if i % 4 == 0 else "skip" if i % 4 == 1 else "fine" for i in range(120)}
    source = ToySource(tmp_path, texts, weight=1000)
    with pytest.raises(Exception, match=r"of 50 items failed, more than max_fail_ratio=0.2 allows"):
        source.run()
    assert len(source.outcomes()) < 60  # it stopped early; skipped items did not count
