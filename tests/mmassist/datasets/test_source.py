import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmassist.core.adapter import RawRecord
from mmassist.core.errors import ConfigError, ItemError
from mmassist.core.item import KEY_PATTERN, Geometry
from mmassist.datasets.source import Source, item_key, record_digest, replace_surrogates


@given(st.lists(st.text(st.characters(exclude_categories=()), min_size=1, max_size=150), unique=True, max_size=20))
def test_keys_are_valid_and_tell_ids_apart(ids):
    keys = [item_key(name) for name in ids]
    assert all(KEY_PATTERN.fullmatch(key) for key in keys)
    assert len(set(keys)) == len(ids)


def test_a_valid_id_is_its_own_key():
    assert item_key("R0027-12-GoPro") == "R0027-12-GoPro"
    assert item_key("P01.11").startswith("P01_11-")
    assert item_key("P01.11") != item_key("P01/11")


def test_record_digest_takes_what_json_files_hold():
    assert record_digest({"a": float("nan"), "b": "\ud800"}) == record_digest({"b": "\ud800", "a": float("nan")})
    assert record_digest({"a": 1}) != record_digest({"a": 2})


@pytest.fixture
def source(tmp_path):
    return Source("demo", tmp_path, "Demo", "v/{recording}/{recording}.mp4", "MIT")


def test_media_digest_follows_path_size_and_geometry(source):
    absent = source.media_item("a", "train")
    assert absent.sources == ("datasets/Demo/v/a/a.mp4",)
    (source.root / "v" / "a").mkdir(parents=True)
    (source.root / "v" / "a" / "a.mp4").write_bytes(b"12345")
    present = source.media_item("a", "train")
    (source.root / "v" / "a" / "a.mp4").write_bytes(b"123456")
    grown = source.media_item("a", "train")
    turned = source.media_item("a", "train", geometry=Geometry(90))
    assert len({absent.digest, present.digest, grown.digest, turned.digest}) == 4
    assert grown.digest == source.media_item("a", "train").digest


def test_all_adds_the_other_videos_on_disk(source):
    for folder, file in (("a", "a"), ("b", "b"), ("c", "other")):
        (source.root / "v" / folder).mkdir(parents=True)
        (source.root / "v" / folder / f"{file}.mp4").write_bytes(b"x")
    dialogs = [source.dialog_item("a", "train", ("x.json",), "d")]
    assert [m.key for m in source.listing(dialogs, [], "needed").media] == ["a"]
    assert [m.key for m in source.listing(dialogs, [], "all").media] == ["a", "b"]
    with pytest.raises(ConfigError, match="'which' is 'some'"):
        source.listing(dialogs, [], "some")


def test_no_training_recording_stops(source):
    with pytest.raises(ConfigError, match="no annotated training recording"):
        source.listing([source.dialog_item("a", "val", ("x.json",), "d")], [], "needed")


def test_cut_off_json_is_one_line(source):
    source.root.mkdir(parents=True)
    (source.root / "x.json").write_text('{"a": [1, 2')
    with pytest.raises(ConfigError, match=r"x\.json is not valid JSON"):
        source.read_json("x.json")


def test_text_that_is_not_utf8_is_read_with_a_remark(source):
    source.root.mkdir(parents=True)
    (source.root / "x.txt").write_bytes(b"\xef\xbb\xbfcaf\xc3\xa9")
    assert source.read_text("x.txt") == ("caf\u00e9", "")
    (source.root / "x.txt").write_bytes(b"\xef\xbb\xbfcaf\xe9")
    assert source.read_text("x.txt") == ("caf\ufffd", "not wholly UTF-8, the odd bytes became U+FFFD")
    (source.root / "folder.txt").mkdir()
    with pytest.raises(ConfigError, match=r"folder\.txt is no file; fetch it again$"):
        source.read_text("folder.txt")


def test_half_characters_are_replaced_everywhere(source):
    source.root.mkdir(parents=True)
    (source.root / "x.json").write_text(r'{"a\ud800": ["\udc00b", 1, null, "\ud83d\ude00"]}')
    assert source.read_json("x.json") == ({"a?": ["?b", 1, None, "\U0001f600"]}, "")
    assert replace_surrogates("plain") == "plain"


def test_raw_rows_are_shown_as_they_are_written(source, tmp_path):
    path = source.root / "table.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b'id,text\r\n1," two\nlines"\r\n2\r\n3,caf\xe9\r\n4,x\r\n')
    assert source.read_raw_rows("table.csv", {2, 4, 5}) == [
        RawRecord("table.csv line 2", {"id": "1", "text": " two\nlines"}),
        RawRecord("table.csv line 4", ["2"]),
        RawRecord("table.csv line 5", {"id": "3", "text": "caf\ufffd"}),
    ]
    with pytest.raises(ItemError, match=r"none\.csv does not exist"):
        source.read_raw_rows("none.csv", {1})
