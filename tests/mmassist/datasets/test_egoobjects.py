import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmassist.core.annotation import Request
from mmassist.core.errors import ConfigError
from mmassist.core.item import UPRIGHT, Medium
from mmassist.datasets.egoobjects_file import Box, read_measure
from mmassist.datasets.egoobjects_text import is_central, pluralise, render_objects
from tests.mmassist.datasets.source_samples import load_settings, reasons
from tools.demo.publication import publish, write_publication

pytestmark = pytest.mark.long

TRAIN, EVAL = "EgoObjectsV1_unified_train.json", "EgoObjectsV1_unified_eval.json"
CENTRE = [900.0, 500.0, 100.0, 80.0]


def image(number, setting="S1", video="01", **more):
    values = {"id": number, "url": f"{setting}_{video}_{number}.jpg", "width": 1920, "height": 1080}
    return values | {"group_id": setting, "video_id": video, "subset": "train"} | more


def box(number, image_id, name="mug", corner=CENTRE, **more):
    values = {"id": number, "image_id": image_id, "bbox": corner, "area": corner[2] * corner[3]}
    return values | {"category_freeform": name} | more


def content(images, annotations):
    return {"info": {}, "images": images, "annotations": annotations, "categories": []}


@pytest.fixture
def load(tmp_path, make_adapter):
    """``load(images, annotations, evaluation=None)``: the adapter over such a file, or over raw bytes."""

    def make(images, annotations=(), evaluation=None, **changes):
        folder = tmp_path / "datasets" / load_settings("egoobjects")["dataset"]["raw_dir"]
        folder.mkdir(parents=True, exist_ok=True)
        raw = images if isinstance(images, bytes) else json.dumps(content(images, list(annotations))).encode()
        (folder / TRAIN).write_bytes(raw)
        if evaluation is not None:
            (folder / EVAL).write_text(json.dumps(evaluation))
            changes = {"eval_file": EVAL, **changes}
        return make_adapter("egoobjects", tmp_path, **changes)

    return make


def texts(adapter):
    """Picture's id -> text."""
    items = adapter.list_items().dialogs
    return {caption.record: caption.text for item in items for caption in adapter.load_captions(item).captions}


def all_drops(adapter):
    listing = adapter.list_items()
    return [*listing.drops, *(drop for item in listing.dialogs for drop in adapter.load_captions(item).drops)]


def sides(adapter):
    """Picture's file -> split."""
    return {Path(source).name: item.split for item in adapter.list_items().media for source in item.sources}


# ---- text


def made_box(name="mug", area=1.0, corner=(0, 0, 1, 1)):
    left, top, width, height = corner
    return Box("1", name, area, left, top, left + width, top + height, (0, 1))


def test_objects_are_counted_largest_first():
    boxes = [made_box("mug", 5), made_box("box", 1), made_box("Mug", 4), made_box("knife", 2), made_box("knife", 9)]
    assert render_objects(boxes, 1, 1) == "2 knives, mug, Mug, box"
    assert render_objects([made_box("b", 1), made_box("a", 1)], 1, 1) == "a, b"
    assert render_objects([], 1, 1) == ""


@pytest.mark.parametrize(
    ("corner", "central"),
    [
        ((300, 100, 119.9, 50), False),
        ((300, 100, 120, 50), False),  # shares an edge with the square, which begins at 420
        ((300, 100, 120.1, 50), True),
        ((1500, 0, 100, 10), False),
        ((1499, -5, 100, 10), True),
        ((1499, -15, 100, 10), False),
        ((-10, -10, 5000, 5000), True),
        ((900, 1080, 10, 10), False),
    ],
)
def test_an_object_counts_when_some_of_it_lies_in_the_centred_square(corner, central):
    assert is_central(made_box(corner=corner), 1920, 1080) is central
    turned = (corner[1], corner[0], corner[3], corner[2])
    assert is_central(made_box(corner=turned), 1080, 1920) is central


@pytest.mark.parametrize(
    ("name", "plural"),
    [
        ("mug", "mugs"),
        ("glasses", "glasses"),
        ("power plugs and sockets", "power plugs and sockets"),
        ("water glass", "water glasses"),
        ("box", "boxes"),
        ("tooth brush", "tooth brushes"),
        ("watch", "watches"),
        ("battery", "batteries"),
        ("Toy", "Toys"),
        ("TV", "TVs"),
        ("Kitchen knife", "Kitchen knives"),
        ("Knife", "Knives"),
        ("speaker (stereo equipment)", "speakers (stereo equipment)"),
        ("mouse (pointing device)", "mice (pointing device)"),
        ("pack of straw berries", "packs of straw berries"),
        ("house/car key", "house/car keys"),
        ("footwear", "footwear"),
        ("y", "ys"),
        ("茶碗", "茶碗s"),
    ],
)
def test_plurals(name, plural):
    assert pluralise(name) == plural


@given(st.text(min_size=1))
def test_a_plural_never_fails_and_keeps_the_beginning(name):
    assert pluralise(name)


@pytest.mark.parametrize("value", [None, True, "text", float("nan"), float("inf"), [], 10**400])
def test_what_is_no_measure(value):
    assert read_measure(value) is None


# ---- items


def test_pictures_of_one_setting_share_a_group(load):
    images = [image(number, f"S{number % 5}", f"{number % 3:02d}") for number in range(60)]
    adapter = load(images, [box(number, number) for number in range(60)], num_groups=3)
    listing = adapter.list_items()
    assert {item.key for item in listing.media} <= {"train-0000", "train-0001", "train-0002"}
    groups = [{Path(source).name.split("_")[0] for source in item.sources} for item in listing.media]
    assert sum(map(len, groups)) == 5 == len(set().union(*groups))
    item = listing.media[0]
    assert (item.medium, item.geometry, item.split) == (Medium.IMAGES, UPRIGHT, "train")
    assert item.duration_s == len(item.sources) / 2
    assert item.sources[0].startswith("datasets/EgoObjects/images/S")
    assert adapter.request is Request.LIST_OBJECTS
    fewer = load(images[10:], [box(number, number) for number in range(60)], num_groups=3).list_items()
    remaining = {i.key: [s for s in i.sources if int(s.split("_")[-1][:-4]) >= 10] for i in listing.media}
    assert {item.key: list(item.sources) for item in fewer.media} == remaining


def test_without_a_setting_the_video_counts_and_without_that_the_picture(load):
    images = [image(n, **{"group_id": None, "video_id": f"V{n % 2}"}) for n in range(20)]
    listing = load(images, [box(n, n) for n in range(20)]).list_items()
    assert sorted(len(item.sources) for item in listing.media) == [10, 10]
    for record in images:
        del record["group_id"], record["video_id"]
    assert len(load(images, [box(n, n) for n in range(20)]).list_items().media) > 10


def test_captions_and_raw_records(load):
    images = [image(12), image(3)]
    boxes = [box(1, 12), box(2, 3, "lamp"), box(3, 12, "tray", [800.0, 400.0, 900.0, 600.0]), box(4, "12")]
    adapter = load(images, boxes)
    (item,) = adapter.list_items().dialogs
    assert [(c.member, c.record, c.text) for c in adapter.load_captions(item).captions] == [
        (0, "3", "lamp"),
        (1, "12", "tray, 2 mugs"),
    ]
    found = adapter.load_records(item)
    assert [raw.value for raw in found] == [images[1], boxes[1], images[0], boxes[0], boxes[2], boxes[3]]
    assert found[0].where.startswith(f"{TRAIN} at byte ") and found[0].where.endswith(", for 3")


def test_the_lists_may_come_in_any_order(load):
    images, boxes = [image(1), image(2)], [box(1, 1), box(2, 2, "lamp")]
    expected = load(images, boxes).list_items()
    swapped = json.dumps({"annotations": boxes[::-1], "categories": [], "images": images[::-1]}).encode()
    assert load(b"\xef\xbb\xbf" + swapped).list_items() == expected


# ---- odd records


@pytest.mark.parametrize(
    ("odd", "reason"),
    [
        (box(9, 1, "pen", [10.0, 10.0, 50.0, 50.0]), "outside the centre"),
        (box(9, 1, "pen", [900.0, 500.0, 0.0, 10.0]), "no box, or an empty one"),
        (box(9, 1, "pen", [900.0, 500.0, -5.0, 10.0]), "no box, or an empty one"),
        (box(9, 1, "pen", [900.0, 500.0, float("nan"), 10.0]), "no box, or an empty one"),
        (box(9, 1, "pen", bbox=[900.0, 500.0, None, 10.0]), "no box, or an empty one"),
        (box(9, 1, "pen", bbox=[900.0, 500.0, 10.0]), "no box, or an empty one"),
        (box(9, 1, "pen", bbox=None), "no box, or an empty one"),
        (box(9, 1, "pen", bbox={"x": 1}), "no box, or an empty one"),
        (box(9, 1, ""), "no name"),
        (box(9, 1, None), "no name"),
        (box(9, 1, float("nan")), "no name"),
        (box(9, 1, 7), "no name"),
        (box(9, 77), "its image is not listed or not usable"),
        (box(9, None), "no image id"),
        ({"id": 9}, "no image id"),
        (box(1, 1), "copy of another record"),
        (box(1, 1, "zebra"), "second record of its id"),
    ],
)
def test_an_odd_object_costs_itself_alone(load, odd, reason):
    adapter = load([image(1)], [odd, box(1, 1)])
    assert texts(adapter) == {"1": "mug"}
    assert reasons(all_drops(adapter)) == {f"annotation {odd['id']}": reason}


@pytest.mark.parametrize("odd", [None, 7, "text", [], {}, {"id": True}, {"id": {"a": 1}}])
def test_what_is_no_record_is_named_by_its_place(load, odd):
    adapter = load([image(1), odd], [box(1, 1), odd])
    assert texts(adapter) == {"1": "mug"}
    assert reasons(all_drops(adapter)) == {
        f"{TRAIN} images entry 1": "no usable image id or file name",
        f"{TRAIN} annotations entry 1": "no image id",
    }


@pytest.mark.parametrize(
    ("odd", "reason"),
    [
        (image(2, width=None), "no usable width or height"),
        (image(2, height=0), "no usable width or height"),
        (image(2, height=-5), "no usable width or height"),
        (image(2, height=float("nan")), "no usable width or height"),
        (image(2, url=""), "no usable image id or file name"),
        (image(2, url="../2.jpg"), "no usable image id or file name"),
        (image(2), "no usable object"),
    ],
)
def test_an_odd_picture_costs_itself_alone(load, odd, reason):
    adapter = load([odd, image(1)], [box(1, 1)])
    assert texts(adapter) == {"1": "mug"}
    assert reasons(all_drops(adapter)) == {"image 2": reason}


def test_the_boxes_of_an_odd_picture_are_named(load):
    adapter = load([image(2, width=None), image(1), image(3)], [box(1, 1), box(2, 2), box(3, 3, "pen", [0, 0, 9, 9])])
    assert reasons(all_drops(adapter)) == {
        "annotation 2": "its image is not listed or not usable",
        "annotation 3": "outside the centre",
        "image 2": "no usable width or height",
        "image 3": "no object in the centre",
    }


def test_a_picture_counts_once(load):
    adapter = load([image(1, "S2"), image(1), image(1), image(2)], [box(1, 1), box(2, 2)])
    assert sorted(sides(adapter)) == ["S1_01_1.jpg", "S1_01_2.jpg"]
    assert sorted(drop.reason for drop in all_drops(adapter)) == ["copy of another record", "second record of its id"]


@pytest.mark.parametrize(
    "other",
    [{"width": 1500}, {"height": 1440}, {"group_id": "S2"}, {"video_id": "02"}, {"subset": "test"}, {"url": "a.jpg"}],
)
def test_which_of_two_pictures_counts_is_no_matter_of_order(load, other):
    rows = [image(1, subset="val"), image(1, subset="val") | other]
    edge = box(1, 1, "pen", [300.0, 0.0, 100.0, 10.0])  # in the centre of a narrow picture
    train = [image(5, "S5")], [box(5, 5)]
    one = load(*train, content(rows, [edge, box(2, 1)]))
    before = one.list_items(), texts(one), sides(one)
    two = load(*train, content(rows[::-1], [edge, box(2, 1)]))
    assert (two.list_items(), texts(two), sides(two)) == before


@pytest.mark.parametrize(
    "other", [{"category_freeform": "pen"}, {"bbox": [0.0, 0.0, 9.0, 9.0]}, {"area": 1.0}, {"bbox": None}]
)
def test_which_of_two_boxes_counts_is_no_matter_of_order(load, other):
    rows = [box(1, 1), box(1, 1) | other]
    boxes = [box(2, 1, "lamp", area=100.0)]
    assert texts(load([image(1)], boxes + rows)) == texts(load([image(1)], boxes + rows[::-1]))


def test_areas_order_objects_however_large_they_are(load):
    sofa = box(1, 1, "sofa", [-3.0, -0.7, 3844.2, 1804.9])
    table = box(2, 1, "table", [322.7, 662.0, 3517.5, 1498.8])
    huge = image(1, width=3840, height=2160)
    assert texts(load([huge], [table, sofa])) == {"1": "sofa, table"}
    for unusable in (None, "wide", float("nan"), -1, 0):
        assert texts(load([huge], [table, sofa | {"area": unusable}])) == {"1": "sofa, table"}
    assert texts(load([huge], [table, sofa | {"area": "5"}])) == {"1": "table, sofa"}


def test_odd_bytes(load):
    raw = json.dumps(content([image(1), image(2, main_category="b@")], [box(1, 1, "mu\ud800g\n (cup)"), box(2, 2)]))
    adapter = load(raw.replace(", ", ",\r\n").encode().replace(b"@", b"\xff"))
    assert texts(adapter) == {"1": "mu?g (cup)", "2": "mug"}
    assert reasons(all_drops(adapter)) == {"image 2": "not wholly UTF-8, the odd bytes became U+FFFD"}


# ---- evaluation


def test_the_file_for_evaluation_is_read_when_asked_for(load):
    held_out = content([image(8, "S8", subset="val"), image(9, "S9", subset="test")], [box(1, 8), box(2, 9)])
    adapter = load([image(1)], [box(1, 1)], held_out)
    assert sides(adapter) == {"S1_01_1.jpg": "train", "S8_01_8.jpg": "val", "S9_01_9.jpg": "test"}
    assert [need.path for need in adapter.list_needs()] == [TRAIN, EVAL]
    assert sides(load([image(1)], [box(1, 1)], held_out, eval_file=None)) == {"S1_01_1.jpg": "train"}


def test_no_video_is_on_two_sides(load):
    held_out = content(
        [
            image(8, "S1", "02", subset="val"),
            image(9, "S1", "02", subset="test"),
            image(7, "S7", url="S1_03_4.jpg"),
            image(6, "S6", subset="val"),
        ],
        [box(n, n) for n in (6, 7, 8, 9)],
    )
    train = [image(1), image(2, video="02"), image(4, video="03"), image(5, "S2", "02")]
    adapter = load(train, [box(n, n) for n in (1, 2, 4, 5)], held_out)
    assert sides(adapter) == {
        "S1_01_1.jpg": "train",
        "S2_02_5.jpg": "train",
        "S1_02_8.jpg": "test",
        "S1_02_9.jpg": "test",
        "S1_03_4.jpg": "val",
        "S6_01_6.jpg": "val",
    }
    assert reasons(all_drops(adapter)) == dict.fromkeys(("image 2", "image 4"), "its video is in evaluation")


# ---- the whole file


NAMES = st.sampled_from(["mug", "pen", "lamp", "", None])
CORNERS = st.sampled_from([CENTRE, [800.0, 400.0, 10.0, 10.0], [0.0, 0.0, 5.0, 5.0], None])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(
    st.lists(st.tuples(st.integers(0, 3), st.sampled_from(["S1", "S2"]), st.sampled_from(["01", "02"])), max_size=6),
    st.lists(st.tuples(st.integers(1, 9), st.integers(0, 4), NAMES, CORNERS), max_size=10),
    st.randoms(use_true_random=False),
)
def test_order_in_the_file_means_nothing(load, pictures, boxes, generator):
    images = [image(50), *(image(*picture) for picture in pictures)]
    annotations = [box(99, 50), *({**box(n, i, name), "bbox": corner} for n, i, name, corner in boxes)]
    one = load(images, annotations)
    before = one.list_items(), texts(one), all_drops(one)
    generator.shuffle(images)
    generator.shuffle(annotations)
    other = load(images, annotations)
    assert (other.list_items(), texts(other), all_drops(other)) == before
    named = sum(drop.record.startswith("image") for drop in before[2])
    assert len(before[1]) + named == len(images)


def test_digests_follow_what_is_shown(load):
    images, boxes = [image(1), image(2, "S2")], [box(1, 1), box(2, 2)]
    before = load(images, boxes).list_items().dialogs
    images[0]["gaia_id"], boxes[0]["instance_id"] = 5, 6
    assert load(images, [*boxes, box(3, 1, "pen", [0, 0, 9, 9])]).list_items().dialogs == before
    after = load(images, [*boxes, box(3, 1, "pen")]).list_items().dialogs
    assert sorted(a.digest == b.digest for a, b in zip(before, after, strict=True)) == [False, True]


@pytest.mark.parametrize(
    "raw", [b"", b'{"images": [', b"[]", b"{}", b'{"images": null}', b'{"images": [], "annotations": []}', b"[1, 2]"]
)
def test_a_useless_file_is_one_line(load, raw):
    with pytest.raises(ConfigError, match=rf"{TRAIN} .*; fetch it again$") as error:
        load(raw).list_items()
    assert "\n" not in str(error.value)


def test_pictures_without_any_object_stop(load):
    with pytest.raises(ConfigError, match="no annotated training recording"):
        load([image(1)]).list_items()


def test_missing_files_and_wrong_settings(tmp_path, make_adapter, load):
    with pytest.raises(ConfigError, match=rf"EgoObjects/{TRAIN} does not exist; .*DATA_ROOT_DIR"):
        make_adapter("egoobjects", tmp_path).list_items()
    with pytest.raises(ConfigError, match=rf"EgoObjects/{EVAL} does not exist"):
        load([image(1)], [box(1, 1)], eval_file=EVAL).list_items()
    for wrong in (0, 10_001):
        with pytest.raises(ConfigError, match="it must lie between 1 and 10000"):
            load([image(1)], num_groups=wrong)
    with pytest.raises(ConfigError, match="eval_file and train_file are both"):
        load([image(1)], eval_file=TRAIN)


def test_the_demonstration_is_as_published(tmp_path, make_adapter):
    from PIL import Image

    from tools.demo.frame_code import read_number

    write_publication(tmp_path, publish("egoobjects"))
    adapter = make_adapter("egoobjects", tmp_path, eval_file=EVAL)
    assert sorted(sides(adapter).values()) == ["test"] * 2 + ["train"] * 28 + ["val"] * 2
    assert {drop.reason for drop in all_drops(adapter)} == {
        "outside the centre",
        "no object in the centre",
        "no usable object",
    }
    assert any(text.endswith("2 coasters") for text in texts(adapter).values())
    sources = [tmp_path / source for item in adapter.list_items().media for source in item.sources]
    present = [path for path in sources if path.exists()]
    assert len(sources) - len(present) == 1
    numbers, sizes = set(), set()
    for path in present:
        with Image.open(path) as picture:
            side = min(picture.size)
            left, top = (picture.width - side) // 2, (picture.height - side) // 2
            square = picture.convert("L").crop((left, top, left + side, top + side)).resize((384, 384))
            numbers.add(read_number(np.asarray(square)))
            sizes.add(picture.size)
    assert len(numbers) == len(present) and None not in numbers
    assert sizes == {(320, 180), (180, 320)}
