import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmassist.core.annotation import Request
from mmassist.core.errors import ConfigError, ItemError, Kind
from mmassist.core.item import Geometry, Medium
from mmassist.datasets.llava import group_of
from tests.mmassist.datasets.source_samples import load_settings, reasons
from tools.demo.publication import publish, write_publication

FILE = "blip_laion_cc_sbu_558k.json"


def record(name, caption="a red kite", image=None, **more):
    turns = [{"from": "human", "value": "What is this?\n<image>"}, {"from": "gpt", "value": caption}]
    return {"id": name, "image": image or f"{name[:5]}/{name}.jpg", "conversations": turns} | more


@pytest.fixture
def load(tmp_path, make_adapter):
    """``load(records or bytes)``: the adapter over such a file."""

    def make(content):
        path = tmp_path / "datasets" / load_settings("llava")["dataset"]["raw_dir"] / FILE
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
        return make_adapter("llava", tmp_path)

    return make


def captions(adapter):
    """Group -> (file, text) of its members."""
    listing = adapter.list_items()
    media = {item.key: item for item in listing.media}
    return {
        item.key: [(media[item.media_key].sources[c.member], c.text) for c in adapter.load_captions(item).captions]
        for item in listing.dialogs
    }


def all_drops(adapter):
    listing = adapter.list_items()
    return [*listing.drops, *(drop for item in listing.dialogs for drop in adapter.load_captions(item).drops)]


def test_pictures_are_grouped_by_folder_in_order_of_their_ids(load):
    adapter = load([record("004530010"), record("002230345", "a watch"), record("004530009", "the BBC logo .")])
    listing = adapter.list_items()
    assert [item.key for item in listing.media] == [item.key for item in listing.dialogs] == ["00223", "00453"]
    item, dialog = listing.media[1], listing.dialogs[1]
    assert (item.medium, item.geometry, item.split) == (Medium.IMAGES, Geometry(fit="squash"), "train")
    assert item.duration_s == dialog.duration_s == 1.0
    assert (item.recording, dialog.media_key) == ("00453", "00453")
    assert captions(adapter)["00453"] == [
        ("datasets/LLaVA-Pretrain/images/00453/004530009.jpg", "The BBC logo."),
        ("datasets/LLaVA-Pretrain/images/00453/004530010.jpg", "A red kite."),
    ]
    assert adapter.load_captions(dialog).captions[1].record == "004530010"
    assert adapter.request is Request.CAPTION_IMAGE


def test_the_published_records_are_read(sample_root, make_adapter):
    adapter = make_adapter("llava", sample_root)
    found = captions(adapter)
    assert {key: len(members) for key, members in found.items()} == {"00223": 1, "00453": 1}
    assert found["00223"][0][1] == "A grey watch with an army style strap."
    assert found["00453"][0][1] == "Select luxury furniture 3 - inch gel memory foam mattress topper."
    assert all_drops(adapter) == []


@pytest.mark.parametrize(
    ("path", "group"),
    [("00453/1.jpg", "00453"), ("0045399/1.jpg", "00453"), ("coco/train/1.jpg", "coco/train"), ("1.jpg", "unsorted")],
)
def test_groups_come_from_the_folder(path, group):
    assert group_of(path) == group


@pytest.mark.parametrize(
    ("odd", "reason"),
    [
        (record("001110001", ""), "no text"),
        (record("001110001", "  . "), "no text"),
        (record("001110001", float("nan")), "no text"),
        (record("001110001", None), "no text"),
        (record("001110001", ["a"]), "no text"),
        ({"id": "001110001", "image": "00111/a.jpg"}, "no conversation"),
        ({"id": "001110001", "image": "00111/a.jpg", "conversations": "text"}, "no conversation"),
        ({"id": "001110001", "image": "00111/a.jpg", "conversations": []}, "no answer in the conversation"),
        (record("001110001", conversations=[None, {"from": "human", "value": "a"}]), "no answer in the conversation"),
        ({"id": "001110001", "image": "../../secret.jpg", "conversations": []}, "no usable picture path"),
        ({"id": "001110001", "image": "/etc/a.jpg", "conversations": []}, "no usable picture path"),
        ({"id": "001110001", "image": "a\0b.jpg", "conversations": []}, "no usable picture path"),
        ({"id": "001110001", "image": None, "conversations": []}, "no usable picture path"),
        ({"id": "001110001"}, "no usable picture path"),
        (record("001110001", image="é" * 130 + ".jpg"), "no usable picture path"),
        (record("001110001", image="/".join(["folder" * 10] * 100) + "/a.jpg"), "no usable picture path"),
    ],
)
def test_an_odd_record_costs_itself_alone(load, odd, reason):
    adapter = load([odd, record("001110002", "a lamp")])
    assert [text for _, text in captions(adapter)["00111"]] == ["A lamp."]
    assert reasons(all_drops(adapter)) == {"001110001": reason}


@pytest.mark.parametrize("odd", [None, 7, "text", [], [1], {}, float("nan")])
def test_what_is_no_record_is_named_by_its_place(load, odd):
    adapter = load([record("001110002"), odd])
    assert len(captions(adapter)["00111"]) == 1
    assert reasons(all_drops(adapter)) == {f"{FILE} entry 1": "no usable picture path"}


def test_a_record_without_id_goes_by_its_picture(load):
    adapter = load([record("001110001", id=None), record("001110002")])
    (item,) = adapter.list_items().dialogs
    assert [c.record for c in adapter.load_captions(item).captions] == ["001110002", "00111/001110001.jpg"]


def test_turns_in_another_order_and_several_answers(load):
    swapped = record("001110001")
    swapped["conversations"].reverse()
    twice = record("001110002", "")
    twice["conversations"].append({"from": "gpt", "value": "a second answer"})
    adapter = load([swapped, twice])
    assert [text for _, text in captions(adapter)["00111"]] == ["A red kite.", "A second answer."]
    assert reasons(all_drops(adapter)) == {"001110002": "more than one answer, the first taken"}


def test_an_id_counts_once_and_a_picture_may_have_two(load):
    rows = [
        record("001110001", "b first"),
        record("001110001", "a second"),
        record("001110002"),
        record("001110002"),
        record("001110003", image="00111/001110002.jpg"),
    ]
    adapter = load(rows)
    assert [text for _, text in captions(adapter)["00111"]] == ["A second.", "A red kite.", "A red kite."]
    assert len(adapter.list_items().media[0].sources) == 3
    assert [(drop.record, drop.reason) for drop in all_drops(adapter)] == [
        ("001110001", "second record of its id"),
        ("001110002", "copy of another record"),
    ]


def test_bytes_and_characters_no_file_should_hold(load):
    text = json.dumps([record("001110001", "na\ud800ve"), record("001110002", "caf@")])
    adapter = load(b"\xef\xbb\xbf" + text.replace(", ", ",\r\n").encode().replace(b"@", b"\xe9"))
    assert [text for _, text in captions(adapter)["00111"]] == ["Na?ve.", "Caf\ufffd."]
    assert reasons(all_drops(adapter)) == {"001110002": "not wholly UTF-8, the odd bytes became U+FFFD"}


NAMES = [f"{folder:05d}{number:04d}" for folder in (1, 2) for number in range(4)]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
@given(
    st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(["a cat", "a dog", "", None])), min_size=1, max_size=12),
    st.randoms(use_true_random=False),
)
def test_order_in_the_file_means_nothing(load, rows, generator):
    rows = [*rows, ("000039999", "a fixed one")]
    shuffled = list(rows)
    generator.shuffle(shuffled)
    one = load([record(*row) for row in rows])
    listing, found, drops = one.list_items(), captions(one), all_drops(one)
    other = load([record(*row) for row in shuffled])
    assert other.list_items() == listing
    assert captions(other) == found
    assert all_drops(other) == drops
    assert sum(map(len, found.values())) + len(drops) == len(rows)


def test_digests_follow_what_is_said_of_which_picture(load):
    rows = [record("001110001"), record("001110002"), record("002220001")]
    before = load(rows).list_items()
    rows[0]["conversations"][0]["value"] = "another question"
    assert load([rows[2], rows[1], rows[0], record("001110003", "")]).list_items().dialogs == before.dialogs
    rows[0]["conversations"][1]["value"] = "a blue kite"
    after = load(rows).list_items()
    assert [a.digest == b.digest for a, b in zip(before.dialogs, after.dialogs, strict=True)] == [False, True]
    assert before.media == after.media
    path = load(rows).source.root / "images" / "00222" / "002220001.jpg"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"x")
    with_picture = load(rows).list_items()
    assert [a.digest == b.digest for a, b in zip(after.media, with_picture.media, strict=True)] == [True, False]


def test_a_changed_file_is_noticed(load):
    adapter = load([record("001110001")])
    (item,) = adapter.list_items().dialogs
    changed = load([record("001110000"), record("001110001")])
    for read in (changed.load_captions, changed.load_records):
        with pytest.raises(ItemError, match="have changed") as error:
            read(item)
        assert error.value.kind is Kind.TRANSIENT


def test_raw_records_are_found_again(load):
    rows = [record("001110002", "naïve"), record("001110001"), record("002220001")]
    adapter = load(json.dumps(rows, ensure_ascii=False, indent=1).encode())
    found = adapter.load_records(adapter.list_items().dialogs[0])
    assert [raw.value for raw in found] == [rows[1], rows[0]]
    assert found[0].where.startswith(f"{FILE} at byte ") and found[0].where.endswith("for 001110001")


@pytest.mark.parametrize("content", [b"", b"[{", b"no json", b"[] []", b"7"])
def test_a_useless_file_is_one_line(load, content):
    with pytest.raises(ConfigError, match=rf"{FILE} .*; fetch it again$") as error:
        load(content).list_items()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("content", [[], [None]])
def test_a_file_without_captions_stops(load, content):
    with pytest.raises(ConfigError, match="no annotated training recording"):
        load(content).list_items()


@pytest.mark.parametrize("content", [{}, {"data": [record("001110001")]}])
def test_what_is_no_list_of_captions_says_so(load, content):
    with pytest.raises(ConfigError, match="is not a JSON list"):
        load(content).list_items()


@pytest.mark.parametrize("folder", ["", ".", "./"])
def test_pictures_may_lie_in_the_sources_own_folder(load, make_adapter, tmp_path, folder):
    before = load([record("001110001")]).list_items().media[0]
    picture = tmp_path / "datasets" / "LLaVA-Pretrain" / "00111" / "001110001.jpg"
    picture.parent.mkdir(parents=True)
    picture.write_bytes(b"x")
    adapter = make_adapter("llava", tmp_path, image_dir=folder)
    (item,) = adapter.list_items().media
    assert [tmp_path / source for source in item.sources] == [picture]
    picture.unlink()
    (gone,) = make_adapter("llava", tmp_path, image_dir=folder).list_items().media
    assert gone.digest != item.digest != before.digest


def test_a_missing_file_is_named_with_what_to_do(tmp_path, make_adapter):
    adapter = make_adapter("llava", tmp_path)
    assert [need.path for need in adapter.list_needs()] == [FILE]
    with pytest.raises(ConfigError, match=rf"LLaVA-Pretrain/{FILE} does not exist; .*DATA_ROOT_DIR"):
        adapter.list_items()
    with pytest.raises(ConfigError, match="'which' is 'some'"):
        (tmp_path / "datasets" / "LLaVA-Pretrain").mkdir(parents=True)
        (tmp_path / "datasets" / "LLaVA-Pretrain" / FILE).write_text(json.dumps([record("001110001")]))
        make_adapter("llava", tmp_path).list_items("some")


def test_the_demonstration_is_as_published(tmp_path, make_adapter):
    from PIL import Image, UnidentifiedImageError

    from tools.demo import llava
    from tools.demo.frame_code import read_number

    write_publication(tmp_path, publish("llava"))
    adapter = make_adapter("llava", tmp_path)
    assert {key: len(members) for key, members in captions(adapter).items()} == {"00123": 20, "00457": 20}
    assert sorted(drop.reason for drop in all_drops(adapter)) == ["copy of another record", "no text"]
    sources = [source for item in adapter.list_items().media for source in item.sources]
    modes, unreadable = set(), []
    for number, source in enumerate(sources):
        try:
            with Image.open(tmp_path / source) as image:
                modes.add((image.format, image.mode))
                squashed = image.convert("L").resize((384, 384))
        except (OSError, UnidentifiedImageError):
            unreadable.append(number)
            continue
        assert read_number(np.asarray(squashed)) == number
    assert unreadable == [llava.MISSING, llava.BROKEN]
    assert modes == {("JPEG", "RGB"), ("JPEG", "L"), ("JPEG", "CMYK"), ("PNG", "RGB")}
    assert publish("llava").files == publish("llava").files
