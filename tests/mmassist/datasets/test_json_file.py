import json
import tempfile
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmassist.datasets import json_file
from mmassist.datasets.json_file import JsonError, iter_elements, read_element, replace_surrogates

pytestmark = pytest.mark.long

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


def write(data: bytes) -> Path:
    file = tempfile.NamedTemporaryFile(suffix=".json", delete=False)  # noqa: SIM115
    with file:
        file.write(data)
    return Path(file.name)


@given(st.lists(VALUES, max_size=6), st.booleans(), st.sampled_from([None, 1]), st.booleans(), st.integers(1, 40))
@settings(max_examples=150, deadline=None)
def test_every_entry_of_a_list_comes_once_and_is_found_again(values, is_ascii, indent, has_mark, chunk):
    text = json.dumps(values, ensure_ascii=is_ascii, indent=indent)
    path = write(b"\xef\xbb\xbf" * has_mark + text.encode())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_file, "CHUNK_BYTES", chunk)  # so that every kind of value is met across two readings
        found = list(iter_elements(path))
    assert [element.value for element in found] == values
    assert [element.key for element in found] == list(range(len(values)))
    assert [read_element(path, element.start, element.end) for element in found] == values
    path.unlink()


@given(
    st.dictionaries(st.sampled_from("abc"), VALUES, max_size=3),
    st.dictionaries(st.text(max_size=3), VALUES, max_size=4) | st.lists(VALUES, max_size=4),
    st.integers(1, 40),
)
@settings(max_examples=150, deadline=None)
def test_opened_entries_are_walked_one_level_down(others, videos, chunk):
    path = write(json.dumps({**others, "videos": videos, "z": 1}).encode())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_file, "CHUNK_BYTES", chunk)
        found = list(iter_elements(path, ("videos",)))
    inner = [element for element in found if element.parent == "videos"]
    expected = dict(enumerate(videos)) if isinstance(videos, list) else videos
    assert {element.key: element.value for element in inner} == expected
    assert {element.key: element.value for element in found if not element.parent} == {**others, "z": 1}
    assert [read_element(path, element.start, element.end) for element in inner] == list(expected.values())
    path.unlink()


@given(st.lists(VALUES, min_size=1, max_size=4), st.data())
@settings(max_examples=100, deadline=None)
def test_a_cut_file_is_refused_and_its_whole_entries_come_first(values, data):
    whole = json.dumps(values, separators=(",", ":")).encode()
    cut = data.draw(st.integers(0, len(whole) - 1))
    path = write(whole[:cut])
    found = []
    with pytest.raises(JsonError):
        for element in iter_elements(path):
            found.append(element.value)
    # a cut number reads as a shorter number
    assert found == values[: len(found)] or found[:-1] == values[: len(found) - 1]
    path.unlink()


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "is not a JSON list or object, it is empty"),
        (" \n", "is not a JSON list or object, it is empty"),
        ("7", "is not a JSON list or object, it begins with '7'"),
        ('[1, 2]"', "more behind its end at byte 6"),
        ("[1 2]", "it has '2' at byte 3"),
        ("[1, ]", "is not valid JSON at byte 4"),
        ('{"a" 1}', "no ':' at byte 5"),
        ("{1: 2}", "no key at byte 1"),
        ('[{"a": tru}]', "is not valid JSON at byte 7"),
        ("[" * 100_000, "is not valid JSON"),
    ],
)
def test_what_is_no_json_is_refused_with_the_place(tmp_path, text, message):
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(JsonError, match=message):
        list(iter_elements(path))


def test_the_outermost_value_can_be_prescribed(tmp_path):
    path = tmp_path / "x.json"
    path.write_text("{}")
    assert list(iter_elements(path, outermost="object")) == []
    with pytest.raises(JsonError, match=r"is not a JSON list, it begins with '\{'"):
        list(iter_elements(path, outermost="list"))


def test_odd_bytes_and_lone_surrogates_cost_nothing_else(tmp_path):
    path = tmp_path / "x.json"
    path.write_bytes(b'["caf\xc3\xa9", "caf\xe9", "a\\ud800b", {"k\xff": 1}, "\\ud83d\\ude00", 5]')
    found = list(iter_elements(path))
    assert [element.value for element in found] == ["café", "caf\ufffd", "a?b", {"k\ufffd": 1}, "😀", 5]
    assert [element.is_odd for element in found] == [False, True, False, True, False, False]
    assert read_element(path, found[3].start, found[3].end) == {"k\ufffd": 1}
    assert json.dumps(replace_surrogates(["x\udcff", "\ud800"])).encode() == b'["x\\ufffd", "?"]'


def test_a_place_in_a_changed_file_is_refused(tmp_path):
    path = tmp_path / "x.json"
    path.write_text('[{"a": 1}, {"b": 2}]')
    _, second = iter_elements(path)
    path.write_text('[{"aaaa": 1}, {"b": 2}]')
    with pytest.raises(JsonError, match=f"bytes {second.start} to {second.end} any more"):
        read_element(path, second.start, second.end)


def test_memory_is_that_of_an_element_and_not_of_the_file(tmp_path):
    path = tmp_path / "x.json"
    record = {"events": [{"id": number, "text": "x" * 40} for number in range(300)]}
    with path.open("w") as file:
        file.write("[" + ",".join([json.dumps(record)] * 2500) + "]")
    assert path.stat().st_size > 40e6
    tracemalloc.start()
    assert sum(1 for _ in iter_elements(path)) == 2500
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 24e6
