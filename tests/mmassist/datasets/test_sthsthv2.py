import hashlib
import json
import re
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmassist.core.annotation import Request
from mmassist.core.errors import ConfigError
from mmassist.core.item import UPRIGHT, Medium
from mmassist.datasets.sthsthv2 import group_of
from tests.mmassist.datasets.source_samples import load_settings, reasons
from tools.demo.publication import publish, write_publication

VAL = [{"id": "900", "label": "opening a drawer"}]


def record(clip, label="pushing a cup"):
    return {"id": clip, "label": label, "template": "Pushing [something]", "placeholders": ["a cup"]}


@pytest.fixture
def load(tmp_path, make_adapter):
    """``load(train, validation)``: the adapter over such lists; each may be bytes."""

    def make(train, validation=VAL, **changes):
        folder = tmp_path / "datasets" / load_settings("sthsthv2")["dataset"]["raw_dir"] / "labels"
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in (("train", train), ("validation", validation)):
            text = content if isinstance(content, bytes) else json.dumps(content).encode()
            (folder / f"{name}.json").write_bytes(text)
        return make_adapter("sthsthv2", tmp_path, **changes)

    return make


def captions(adapter):
    """Group -> (clip, text) of its members."""
    listing = adapter.list_items()
    media = {item.key: item for item in listing.media}
    return {
        item.key: [(Path(media[item.key].sources[c.member]).stem, c.text) for c in adapter.load_captions(item).captions]
        for item in listing.dialogs
    }


def all_drops(adapter):
    listing = adapter.list_items()
    return [*listing.drops, *(drop for item in listing.dialogs for drop in adapter.load_captions(item).drops)]


def test_clips_are_grouped_by_number_and_split(load):
    adapter = load([record("600"), record("511"), record("512"), record(7, "  holding naïve café ")])
    assert captions(adapter) == {
        "train-000000": [("7", "Holding naïve café.")],
        "train-000001": [("511", "Pushing a cup.")],
        "train-000002": [("512", "Pushing a cup."), ("600", "Pushing a cup.")],
        "val-000003": [("900", "Opening a drawer.")],
    }
    listing = adapter.list_items()
    assert [item.split for item in listing.dialogs] == ["train", "train", "train", "val"]
    item = listing.media[2]
    assert (item.medium, item.geometry, item.duration_s) == (Medium.CLIPS, UPRIGHT, 8.0)
    assert item.sources[0] == "datasets/sthsth-v2/videos/videos/512.webm"
    assert adapter.request is Request.DESCRIBE_CLIP


def test_another_group_size(load):
    assert list(captions(load([record("600"), record("511")], group_size=100))) == [
        "train-000005",
        "train-000006",
        "val-000009",
    ]


@given(st.integers(0, 300_000), st.sampled_from(["train", "val"]))
def test_a_group_is_a_function_of_clip_and_split(number, split):
    key = group_of(split, str(number), 256)
    assert key == f"{split}-{number // 256:06d}"
    assert group_of(split, str(number // 256 * 256), 256) == key


@pytest.mark.parametrize(
    ("odd", "reason"),
    [
        (record("5", ""), "no text"),
        (record("5", None), "no text"),
        (record("5", float("nan")), "no text"),
        (record("5", 7), "no text"),
        ({"id": "5"}, "no text"),
        (record("../5"), "no usable clip id"),
        (record("a/5"), "no usable clip id"),
        (record(".."), "no usable clip id"),
        (record("900"), "in the validation list as well"),
    ],
)
def test_an_odd_record_costs_itself_alone(load, odd, reason):
    adapter = load([odd, record("6"), record("800")])
    assert captions(adapter)["train-000000"] == [("6", "Pushing a cup.")]
    assert reasons(all_drops(adapter)) == {odd["id"]: reason}


@pytest.mark.parametrize("odd", [None, 7, "text", [], {}, {"label": "a b"}, record(None), record(True), record(1.5)])
def test_what_has_no_id_is_named_by_its_place(load, odd):
    assert reasons(all_drops(load([odd, record("6")]))) == {"labels/train.json entry 0": "no usable clip id"}


def test_ids_that_are_no_numbers_have_a_group_of_their_own(load):
    found = captions(load([record("clip b"), record("x7"), record("-3"), record("³"), record("6")]))
    assert found["train-other"] == [(name, "Pushing a cup.") for name in ("-3", "clip b", "x7", "³")]
    assert list(found) == ["train-000000", "train-other", "val-000003"]


def test_an_id_counts_once(load):
    adapter = load([record("6", "b"), record("6", "a"), record(6, "a"), record("06", "c")])
    assert captions(adapter)["train-000000"] == [("06", "C."), ("6", "A.")]
    assert sorted(drop.reason for drop in all_drops(adapter)) == ["copy of another record", "second record of its id"]


def test_without_a_label_in_validation_a_clip_is_trained_on(load):
    adapter = load([record("6")], [*VAL, {"id": "6", "label": " "}])
    assert captions(adapter)["train-000000"] == [("6", "Pushing a cup.")]
    assert reasons(all_drops(adapter)) == {"6": "no text"}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
@given(
    st.lists(st.tuples(st.sampled_from(["1", "2", "300", "x"]), st.sampled_from(["a b", "c d", ""])), max_size=10),
    st.randoms(use_true_random=False),
)
def test_order_in_the_file_means_nothing(load, rows, generator):
    rows = [record(*row) for row in [*rows, ("4", "a fixed one")]]
    one = load(rows)
    listing, found, drops = one.list_items(), captions(one), all_drops(one)
    shuffled = list(rows)
    generator.shuffle(shuffled)
    other = load(shuffled)
    assert (other.list_items(), captions(other), all_drops(other)) == (listing, found, drops)
    assert sum(map(len, found.values())) + len(drops) == len(rows) + len(VAL)


def test_the_files_other_names(load, tmp_path):
    adapter = load([record("6")])
    folder = adapter.source.root / "labels"
    (folder / "train.json").rename(folder / "something-something-v2-train.json")
    assert "train-000000" in captions(adapter)
    assert adapter.list_items().dialogs[0].sources == ("datasets/sthsth-v2/labels/something-something-v2-train.json",)
    needs = {need.path for need in adapter.list_needs()}
    assert needs == {"labels/*train.json", "labels/*validation.json"}
    assert all(list(adapter.source.root.glob(path)) for path in needs)
    both = load([record("7")])
    assert captions(both)["train-000000"] == [("7", "Pushing a cup.")]
    assert reasons(all_drops(both)) == {
        "labels/something-something-v2-train.json": "not read, labels/train.json is there"
    }


def test_odd_bytes(load):
    text = json.dumps([record("6", "caf@"), record("7", "na\udfffve")]).replace(", ", ",\r\n")
    adapter = load(b"\xef\xbb\xbf" + text.encode().replace(b"@", b"\xe9"))
    assert captions(adapter)["train-000000"] == [("6", "Caf\ufffd."), ("7", "Na?ve.")]
    assert reasons(all_drops(adapter)) == {"6": "not wholly UTF-8, the odd bytes became U+FFFD"}


def test_raw_records_are_found_again(load):
    rows = [record("7"), record("6")]
    adapter = load(rows)
    found = adapter.load_records(adapter.list_items().dialogs[0])
    assert [raw.value for raw in found] == [rows[1], rows[0]]
    assert re.fullmatch(r"labels/train\.json at byte \d+, for 6", found[0].where)


@pytest.mark.parametrize("content", [b"", b"[{", b"no json", b'{"a": 1} 2'])
def test_a_useless_file_is_one_line(load, content):
    with pytest.raises(ConfigError, match=r"labels/validation\.json .*; fetch it again$"):
        load([record("6")], content).list_items()
    with pytest.raises(ConfigError, match=r"labels/train\.json .*; fetch it again$"):
        load(content).list_items()


def test_missing_files_and_wrong_settings(tmp_path, make_adapter, load):
    with pytest.raises(ConfigError, match=r"sthsth-v2/labels/validation\.json does not exist; .*DATA_ROOT_DIR"):
        make_adapter("sthsthv2", tmp_path).list_items()
    with pytest.raises(ConfigError, match="no annotated training recording"):
        load([]).list_items()
    with pytest.raises(ConfigError, match="group_size is 0; it must be at least 1"):
        load([record("6")], group_size=0)
    with pytest.raises(ConfigError, match="train_files is empty"):
        load([record("6")], train_files=[])
    for wrong in ("videos/a.webm", ""):
        with pytest.raises(ConfigError, match=r"\{recording\}"):
            load([record("6")], video_pattern=wrong)
    with pytest.raises(ConfigError, match="is not a JSON list"):
        load({"6": record("6")}).list_items()


def test_labels_of_the_test_clips_are_not_asked_for(load):
    adapter = load([record("6")])
    (adapter.source.root / "labels" / "test.json").write_text('[{"id": "1"}]')
    assert all_drops(adapter) == [] and len(adapter.list_items().media) == 2


def test_the_demonstration_is_as_published(tmp_path, make_adapter):
    from tools.demo import sthsthv2

    write_publication(tmp_path, publish("sthsthv2"))
    adapter = make_adapter("sthsthv2", tmp_path)
    found = captions(adapter)
    assert sum(len(members) for key, members in found.items() if key.startswith("train")) == sthsthv2.NUM_TRAIN
    assert sum(len(members) for key, members in found.items() if key.startswith("val")) == sthsthv2.NUM_VAL
    assert all_drops(adapter) == []
    paths = [tmp_path / source for item in adapter.list_items().media for source in item.sources]
    assert sum(not path.exists() for path in paths) == 1


@pytest.mark.parametrize("fps", [Fraction(12), Fraction(30000, 1001)])
def test_every_picture_of_a_clip_has_its_number_and_time(tmp_path, fps):
    import av

    from tools.demo.frame_code import read_number
    from tools.demo.sthsthv2 import write_webm

    paths = [tmp_path / "a.webm", tmp_path / "b.webm"]
    for path in paths:
        write_webm(path, 30, fps, first=1200)
    with av.open(paths[0]) as container:
        stream = container.streams.video[0]
        pictures = [(f.pts * stream.time_base, f.to_ndarray(format="gray")) for f in container.decode(stream)]
    assert [read_number(picture) for _, picture in pictures] == list(range(1200, 1230))
    assert all(abs(time - number / fps) <= Fraction(1, 1000) for number, (time, _) in enumerate(pictures))
    assert len({hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}) == 1
