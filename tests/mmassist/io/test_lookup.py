"""Reading finished folders by position, without their history."""

import os
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmassist.core.errors import ConfigError
from mmassist.io.layout import UnitLayout
from mmassist.io.lookup import ItemLookup, OpenFiles, load_members
from tools.bench.loading_data import write_unit

ITEMS = {
    "000000": {"a": [("x.json", b"one"), ("y.npy", b"two")], "b": [("x.json", b"")]},
    "000001": {"c": [("x.json", b"three" * 300)]},
}


@pytest.fixture
def unit(tmp_path) -> UnitLayout:
    write_unit(tmp_path / "unit", ITEMS)
    return UnitLayout(tmp_path / "unit")


def read(lookup: ItemLookup, key: str) -> dict[str, bytes] | None:
    found = lookup.find(key)
    if found is None:
        return None
    files = OpenFiles()
    return {name: files.read(found[0], offset, size).tobytes() for name, (offset, size) in found[1].items()}


@pytest.mark.parametrize("has_tasks", [True, False])
def test_items_are_found_by_key(unit, has_tasks):
    if not has_tasks:
        unit.tasks.unlink()
    lookup = ItemLookup(unit, max_indices=1)
    for _ in range(2):
        for items in ITEMS.values():
            for key, members in items.items():
                assert read(lookup, key) == dict(members)
    assert lookup.find("d") is None


def test_an_item_made_again_is_read_where_it_lies(unit):
    """Its first task was committed without it; a later one has it."""
    write_unit(unit.root, {**ITEMS, "000002": {"d": [("x.json", b"late")]}})
    tasks = unit.tasks.read_text().replace('["a","b"]', '["a","b","d"]')
    unit.tasks.write_text(tasks)
    assert read(ItemLookup(unit), "d") == {"x.json": b"late"}
    unit.index("000002").unlink()
    assert ItemLookup(unit).find("d") is None


def test_members_are_the_same_with_and_without_the_index(unit):
    for task in ITEMS:
        by_index = load_members(unit, task)
        unit.index(task).unlink()
        assert load_members(unit, task) == by_index


def test_a_shard_of_another_length_than_its_index_is_refused(unit):
    with unit.shard("000001").open("ab") as file:
        file.write(b"\0" * 512)
    with pytest.raises(ConfigError, match=r"000001\.tar has .* bytes, its index says"):
        load_members(unit, "000001")
    with pytest.raises(ConfigError, match="copy shards/ and index/ again"):
        ItemLookup(unit).find("c")


@given(st.binary(max_size=3000), st.data())
def test_views_are_filled_one_after_the_other(tmp_path_factory, content, data):
    path = tmp_path_factory.mktemp("file") / "data"
    path.write_bytes(content)
    start = data.draw(st.integers(0, len(content)))
    sizes = data.draw(st.lists(st.integers(0, 40), max_size=1500))
    views = [memoryview(bytearray(size)) for size in sizes]
    files = OpenFiles()
    if start + sum(sizes) > len(content):
        with pytest.raises(ConfigError, match="cut short"):
            files.read_into(path, start, views)
    else:
        files.read_into(path, start, views)
        assert b"".join(views) == content[start : start + sum(sizes)]


def test_a_file_server_may_give_less_than_was_asked_for(tmp_path, monkeypatch):
    content = bytes(range(200))
    (tmp_path / "data").write_bytes(content)
    whole = os.preadv

    def give_seven(handle, views, offset):
        return whole(handle, [views[0][:7]], offset)

    monkeypatch.setattr(os, "preadv", give_seven)
    views = [memoryview(bytearray(size)) for size in (3, 40, 0, 7, 100)]
    OpenFiles().read_into(tmp_path / "data", 20, views)
    assert b"".join(views) == content[20:170]


def test_few_files_stay_open_and_none_is_passed_on(tmp_path):
    paths = [tmp_path / str(n) for n in range(5)]
    for number, path in enumerate(paths):
        path.write_bytes(bytes([number]) * 4)
    files = OpenFiles(limit=2)
    for _ in range(2):
        assert [int(files.read(path, 1, 2)[1]) for path in paths] == list(range(5))
    assert len(files._handles) == 2
    other = pickle.loads(pickle.dumps(files))
    assert not other._handles and np.array_equal(other.read(paths[3], 0, 4), [3, 3, 3, 3])
    files.close()
    assert files.read(paths[0], 0, 1) == 0
