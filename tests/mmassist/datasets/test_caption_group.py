import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmassist.datasets.caption_group import (
    COPY,
    SECOND,
    CaptionRecord,
    Groups,
    id_order,
    join_path,
    mark_repeated,
    read_id,
    read_path,
)

SOME_RECORDS = st.lists(
    st.tuples(st.sampled_from(["", "1", "2", "10", "a"]), st.sampled_from("xyz"), st.sampled_from("pq")), max_size=12
)


@given(SOME_RECORDS, st.randoms(use_true_random=False))
def test_one_record_of_each_id_is_kept_whatever_the_order(rows, generator):
    def gather(listed):
        groups = Groups()
        for row in listed:
            groups.at("g", "train", "f.json").records.append(CaptionRecord(*row, (0, 1)))
        groups.finish()
        kept = groups.by_key["g"].records if groups.by_key else []
        return kept, sorted(d.record for d in (groups.by_key["g"].drops if kept else groups.drops))

    shuffled = list(rows)
    generator.shuffle(shuffled)
    kept, drops = gather(rows)
    assert (kept, drops) == gather(shuffled)
    assert len(kept) + len(drops) == len(rows)
    assert [record.id for record in kept] == sorted((record.id for record in kept), key=id_order)
    named = [record.id for record in kept if record.id]
    assert len(set(named)) == len(named) and set(named) == {row[0] for row in rows if row[0]}


def test_repetitions_are_told_apart():
    rows = [("2", "b"), ("2", "a"), ("2", "b"), ("2", "a"), ("10", "c")]
    random.Random(3).shuffle(rows)
    marked = list(mark_repeated(rows, lambda row: row[0], lambda row: row[1]))
    assert [reason for _, reason in marked] == ["", COPY, SECOND, SECOND, ""]
    assert marked[0][0] == ("2", "a") and marked[-1][0][0] == "10"


def test_a_group_without_records_is_none_and_its_drops_remain():
    groups = Groups()
    groups.at("b", "train", "f.json").drop("1", "no text")
    groups.at("a", "train", "f.json").records.append(CaptionRecord("2", "x", "y", (0, 1)))
    groups.finish()
    assert list(groups.by_key) == ["a"]
    assert [(drop.recording, drop.record) for drop in groups.drops] == [("b", "1")]


@pytest.mark.parametrize(
    ("value", "found"),
    [(17, "17"), ("017", "017"), (" a\nb ", "a b"), (4.0, "4"), (10**30, str(10**30)), (-3, "-3")],
)
def test_ids(value, found):
    assert read_id(value) == found


@pytest.mark.parametrize("value", [None, True, 1.5, float("nan"), float("inf"), [], {}, ""])
def test_what_is_no_id(value):
    assert read_id(value) == ""


def test_ids_are_ordered_by_number_then_name():
    ids = ["b", "10", "9", "-1", "²", "007", "9" * 5000, "a"]
    assert sorted(ids, key=id_order) == ["007", "9", "10", "-1", "9" * 5000, "a", "b", "²"]


@pytest.mark.parametrize(
    ("value", "path"),
    [("00453/a.jpg", "00453/a.jpg"), (" ./a//b.jpg ", "a/b.jpg"), ("a/../b.jpg", "b.jpg"), ("a b/ü.jpg", "a b/ü.jpg")],
)
def test_paths(value, path):
    assert read_path(value) == path


@given(st.text(alphabet="a./\0 \n") | st.none() | st.integers())
def test_no_path_leads_out_of_its_folder(value):
    path = read_path(value)
    assert path == "" or not (path.startswith("/") or re.match(r"\.\.(/|$)", path) or "\0" in path)


@pytest.mark.parametrize(
    "value", ["", ".", "..", "/etc/passwd", "../a", "a/../../b", "x" * 300, "é" * 150, "a/" * 1000 + "b", 7, None]
)
def test_what_is_no_path(value):
    assert read_path(value) == ""


@pytest.mark.parametrize(("folder", "path"), [("images", "images/a/b.jpg"), ("", "a/b.jpg"), ("x/", "x/a/b.jpg")])
def test_a_path_in_a_folder(folder, path):
    assert join_path(folder, "a/b.jpg") == path
