import json
from functools import partial

import pytest

from mmassist.core.errors import ConfigError, ItemError
from mmassist.datasets.ego4d_files import eval_side
from tests.mmassist.datasets.ego4d_samples import (
    ANNOTATIONS,
    EXPECTED,
    STEPS,
    A,
    B,
    C,
    D,
    E,
    step,
    video,
    write_goalstep,
)
from tests.mmassist.datasets.source_samples import render


@pytest.fixture
def write(tmp_path):
    return partial(write_goalstep, tmp_path)


@pytest.fixture
def annotations(tmp_path):
    return tmp_path / ANNOTATIONS


def test_videos_of_a_group_in_listed_order(write, make_adapter):
    root = write([video(f"grp-{B}", *STEPS), video(C, *STEPS), video(A, *STEPS)], groups=[[B, A], [C]])
    folder = root / "datasets" / "ego4d_track2" / "v2"
    for path in (f"full_scale/{A}.mp4", f"full_scale/{C}.mp4", f"video_540ss/{C}.mp4"):
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_bytes(b"x")
    listing = make_adapter("ego4d", root).list_items()
    media = {item.key: item for item in listing.media}
    assert [path.removeprefix("datasets/ego4d_track2/v2/") for path in media[f"grp-{B}"].sources] == [
        f"video_540ss/{B}.mp4",  # in neither folder
        f"full_scale/{A}.mp4",
    ]
    assert media[C].sources == (f"datasets/ego4d_track2/v2/video_540ss/{C}.mp4",)
    assert {item.key: item.recording for item in listing.dialogs} == {C: C, E: E, f"grp-{B}": B, A: B}
    assert [item.media_key for item in listing.dialogs] == [item.key for item in listing.dialogs]
    assert all(item.split == "train" for item in listing.dialogs if item.key != E)


def test_a_group_that_nobody_knows_is_left_out(write, make_adapter):
    train = [video(f"grp-{B}", *STEPS), video(f"grp-{D}", *STEPS), video(f"grp-{C}", *STEPS)]
    listing = make_adapter("ego4d", write(train)).list_items()
    assert [(item.key, len(item.sources)) for item in listing.media] == [(E, 1), (f"grp-{C}", 1)]
    assert [(drop.recording, drop.reason) for drop in listing.drops] == [
        (A, "its group begins with another video"),
        (D, "its group is not in the group table"),
    ]


def test_odd_groups(write, make_adapter, annotations):
    root = write([video(f"grp-{A}", *STEPS), video(D, *STEPS)])
    rows = [
        f"x\t['{A}', '{B}', '{A}']",
        f"x\t['{B}']",
        "x\tnothing",
        "x\t[1, 2]",
        "x\t[]",
        "x\t" + "[" * 5000,
        "x",
        f"x\ty\t['{D}']",
        f"x\t['{C}']",
        f"x\t['{C}']",
        "x\t['../../etc']",
    ]
    (annotations / "goalstep_video_groups.tsv").write_bytes(
        b"\xef\xbb\xbfuniversity\tvideo_group\r\n" + "\r\n".join(rows).encode() + b"\r\nsch\xf6n\t['\xff']\r\n"
    )
    listing = make_adapter("ego4d", root).list_items()
    assert [len(item.sources) for item in listing.media if item.key.startswith("grp")] == [2]
    found = {drop.record.rpartition(" ")[2]: drop.reason for drop in listing.drops}
    assert found == {
        "2": "a video twice in its group, counted once",
        "3": "shares a video with another group",
        **dict.fromkeys(("4", "5", "6", "7", "12", "13"), "no list of video uids"),
        "8": "1 columns instead of 2",
        "9": "3 columns instead of 2",
        "11": "copy of another group",
    }


@pytest.mark.parametrize("cell", ["{[1]}", "{[]: 1}", "[1, [", "['a' 5]", "[x]", "\\x00"])
def test_a_group_that_is_no_python_list_costs_itself(write, make_adapter, annotations, cell):
    root = write([video(A, *STEPS)], groups=[[C, B]])
    table = annotations / "goalstep_video_groups.tsv"
    table.write_text(table.read_text() + f"uni\t{cell}\n")
    drops = make_adapter("ego4d", root).list_items().drops
    assert [drop.reason for drop in drops if drop.record.endswith("line 3")] == ["no list of video uids"]


def test_held_out_recordings_are_drawn_by_name_alone(write, make_adapter):
    uids = [f"{number:08d}-0000-4000-8000-000000000000" for number in range(60)]
    adapter = make_adapter("ego4d", write([video(D, *STEPS)], [video(uid, *STEPS) for uid in uids]))
    sides = {item.recording: item.split for item in adapter.list_items().dialogs if item.key != D}
    assert sides == {uid: eval_side(uid) for uid in uids}
    assert 15 < list(sides.values()).count("val") < 45


def test_what_is_in_both_files_is_held_out(write, make_adapter):
    train = [video(A, *STEPS), video(f"grp-{A}", *STEPS), video(D, *STEPS)]
    listing = make_adapter("ego4d", write(train, [video(A, *STEPS[:1])])).list_items()
    assert {item.key: item.split for item in listing.dialogs} == {
        A: eval_side(A),
        f"grp-{A}": eval_side(A),
        D: "train",
    }
    assert {drop.record.rpartition(" ")[2]: drop.reason for drop in listing.drops} == {
        "videos[0]": "also in the val file, which wins",
        "videos[1]": "of a recording that is also in the val file, held out",
    }


def test_of_two_records_the_fuller_one_counts(write, make_adapter):
    for records in ([STEPS[:1], STEPS], [STEPS, STEPS[:1]]):
        adapter = make_adapter("ego4d", write([video(A, *steps) for steps in records]))
        listing = adapter.list_items()
        assert render(adapter.load_annotation(listing.dialogs[0])) == EXPECTED
        assert [drop.reason for drop in listing.drops] == ["second record of the video, the fuller one is kept"]
    listing = make_adapter("ego4d", write([video(A, *STEPS)] * 2)).list_items()
    assert [drop.reason for drop in listing.drops] == ["copy of another record"]


@pytest.mark.parametrize("uid", [None, 5, "", "../x", "a b", "x" * 200, "\ud800", "a\x00b"])
def test_a_record_without_a_proper_uid_is_left_out(write, make_adapter, uid):
    listing = make_adapter("ego4d", write([video(uid, *STEPS), "text", video(D, *STEPS)])).list_items()
    assert [item.key for item in listing.dialogs] == [D, E]
    assert {drop.record.rpartition(" ")[2]: drop.reason for drop in listing.drops} == {
        "videos[0]": "no video uid",
        "videos[1]": "no video uid",
    }


def test_ignored_videos(write, make_adapter):
    root = write([video(f"grp-{A}", *STEPS), video(D, *STEPS)])
    listing = make_adapter("ego4d", root, ignored=[A]).list_items()
    assert [item.key for item in listing.dialogs] == [D, E]
    assert [(drop.recording, drop.reason) for drop in listing.drops] == [(A, "ignored")]


def test_both_names_of_the_val_file(write, make_adapter, annotations):
    root = write([video(D, *STEPS)], [video(A, *STEPS)], val_name="goalstep_valid.json")
    adapter = make_adapter("ego4d", root)
    assert [item.key for item in adapter.list_items().dialogs] == [A, D]
    assert all((annotations.parents[1] / need.path).is_file() for need in adapter.list_needs())
    listing = make_adapter("ego4d", write([video(D, *STEPS)])).list_items()
    assert [item.key for item in listing.dialogs] == [D, E]
    assert [drop.record for drop in listing.drops] == ["v2/annotations/goalstep_valid.json"]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("goalstep_train.json", None, "does not exist"),
        ("goalstep_val.json", None, "does not exist"),
        ("goalstep_video_groups.tsv", None, "does not exist"),
        ("goalstep_train.json", "", "is empty"),
        ("goalstep_train.json", "<html>", "JSON list or object"),
        ("goalstep_val.json", '{"videos": [', "ends too early|not valid JSON"),
        ("goalstep_val.json", '{"videos": []}', "has no videos"),
        ("goalstep_val.json", "[1]", "has no videos"),
        ("goalstep_train.json", '{"videos": [1]}', "no annotated training recording"),
        ("goalstep_video_groups.tsv", "university,group\n", "has no column video_group"),
        ("goalstep_video_groups.tsv", "", "has no column video_group"),
    ],
)
def test_what_is_not_the_file_stops_with_one_line(write, make_adapter, annotations, name, content, words):
    root = write([video(D, *STEPS)])
    (annotations / name).unlink()
    if content is not None:
        (annotations / name).write_text(content)
    with pytest.raises(ConfigError, match=words) as caught:
        make_adapter("ego4d", root).list_items()
    assert name in str(caught.value) or "training" in words
    assert "\n" not in str(caught.value)


def test_odd_bytes_cost_nothing_else(write, make_adapter, annotations):
    root = write([video(A, step(0.0, 90.0, "Add cafe and \ud800"))])
    file = annotations / "goalstep_train.json"
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes().replace(b"cafe", b"caf\xe9").replace(b"{", b"\r\n{"))
    adapter = make_adapter("ego4d", root)
    listing = adapter.list_items()
    assert adapter.load_annotation(listing.dialogs[0]).steps[0].text == "Add caf\ufffd and ?"
    assert [drop.reason for drop in listing.drops] == ["not wholly UTF-8, the odd bytes became U+FFFD"]


def test_a_file_that_changes_under_way_fails_the_item(write, make_adapter, annotations):
    adapter = make_adapter("ego4d", write([video(A, *STEPS)]))
    item = adapter.list_items().dialogs[0]
    file = annotations / "goalstep_train.json"
    file.write_text(file.read_text()[:40] + "0" * 4000)
    with pytest.raises(ItemError, match="changed since"):
        adapter.load_annotation(item)


def test_unknown_items_fail(write, make_adapter):
    adapter = make_adapter("ego4d", write([video(A, *STEPS)]))
    item = adapter.list_items().dialogs[0]
    other = make_adapter("ego4d", write([video(D, *STEPS)]))
    with pytest.raises(ItemError, match=A):
        other.load_annotation(item)


def test_raw_records(write, make_adapter):
    adapter = make_adapter("ego4d", write([video(A, *STEPS, "odd")]))
    records = adapter.load_records(adapter.list_items().dialogs[0])
    assert records[0].value["goal_description"] == "Make  soup."
    assert [record.value for record in records[1:]] == [*STEPS, "odd"]
    assert records[1].where == "v2/annotations/goalstep_train.json videos[0] segments[0]"
    json.dumps([record.value for record in records])


def test_all_videos_on_disk(write, make_adapter):
    root = write([video(f"grp-{A}", *STEPS)])
    folder = root / "datasets" / "ego4d_track2" / "v2"
    for path in (f"video_540ss/{B}.mp4", f"video_540ss/{C}.mp4", f"full_scale/{D}.mp4", "full_scale/read me.txt"):
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_bytes(b"x")
    (folder / "full_scale" / "folder").mkdir()
    listing = make_adapter("ego4d", root).list_items("all")
    assert [(item.key, item.split) for item in listing.media if item.key in (C, D)] == [(C, "test"), (D, "test")]
    assert len(listing.media) == 4


@pytest.mark.parametrize("changes", [{"fallback_pattern": "{recording}/x.mp4"}, {"video_pattern": "v2/x.mp4"}])
def test_patterns_are_checked(write, make_adapter, changes):
    with pytest.raises(ConfigError, match="pattern"):
        make_adapter("ego4d", write([video(A)]), **changes)
