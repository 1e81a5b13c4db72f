import json
import random
from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmassist.core.adapter import Content
from mmassist.core.annotation import Request
from mmassist.core.errors import ConfigError, ItemError
from mmassist.datasets.assignment import assign
from mmassist.datasets.ego4d_files import eval_side
from mmassist.datasets.ego4d_narrations import TRAINED_ON
from tests.mmassist.datasets.source_samples import load_settings, reasons
from tools.demo.publication import publish, write_publication

A, B, C, D, E = (f"{letter * 8}-0000-4000-8000-000000000000" for letter in "abcde")
RAW = "datasets/ego4d_track2"


def narration(time, text, uid="n", **more):
    return {"timestamp_sec": time, "timestamp_frame": 1, "narration_text": text, "annotation_uid": uid, **more}


def passes(*narrations, **more):
    summary = {"start_sec": 0.0, "end_sec": 9.0, "summary_text": "#Summary C cooked"}
    return {"narration_pass_1": {"narrations": list(narrations), "summaries": [summary]}, "status": "complete", **more}


def video(uid, duration=100.0, **marks):
    return {"video_uid": uid, "duration_sec": duration, "video_metadata": {"video_start_sec": 0.021}, **marks}


TALK = (narration(3.0, "#C C picks a knife"), narration(7.5, "#C C cuts bread.\n"))


@pytest.fixture
def write(tmp_path):
    """``write({uid: passes}, metadata, groups)`` makes a DATA_ROOT_DIR; without metadata all is for training."""
    folder = tmp_path / RAW / "v2" / "annotations"

    def make(narrations, videos=None, groups=(), is_wrapped=False, goalstep_val=(), goalstep_train=()):
        folder.mkdir(parents=True, exist_ok=True)
        videos = [video(uid) for uid in narrations] if videos is None else videos
        content = {"date": "x", "videos": videos, "clips": [{"clip_uid": "x"}], "physical_settings": []}
        (tmp_path / RAW / "ego4d.json").write_text(json.dumps(content))
        wrapped = {"version": "1", "date": "x", "description": "y", "videos": narrations}
        (folder / "narration.json").write_text(json.dumps(wrapped if is_wrapped else narrations))
        rows = "".join(f"demo\t{members}\n" for members in groups)
        (folder / "goalstep_video_groups.tsv").write_text("university\tvideo_group\n" + rows)
        for side, uids in (("val", goalstep_val), ("train", goalstep_train)):
            records = [{"video_uid": uid, "segments": []} for uid in uids]
            if records:
                (folder / f"goalstep_{side}.json").write_text(json.dumps({"videos": records}))
        return tmp_path

    return make


@pytest.fixture
def load(write, make_adapter):
    """Captions of one pass as ``(time, text)``, and drops by record."""

    def read(*narrations, length=100.0):
        adapter = make_adapter("ego4d_narrations", write({A: passes(*narrations)}, [video(A, length)]))
        track = adapter.load_captions(adapter.list_items().dialogs[0])
        places = {drop.record.removeprefix("narration_pass_1."): drop.reason for drop in track.drops}
        return [(caption.time_s, caption.text) for caption in track.captions], places

    return read


@pytest.mark.parametrize("is_wrapped", [False, True])
def test_a_video_with_two_passes(write, make_adapter, is_wrapped):
    root = write(
        {A: passes(*TALK, narration_pass_2={"narrations": [narration(1.0, "#C C walks", "m")]})}, None, (), is_wrapped
    )
    adapter = make_adapter("ego4d_narrations", root)
    assert (adapter.content, adapter.request) == (Content.CAPTION, Request.NARRATE_WEARER)
    listing = adapter.list_items()
    assert [(item.key, item.media_key, item.split, item.recording) for item in listing.dialogs] == [
        (f"{A}_PASS1", A, "train", A),
        (f"{A}_PASS2", A, "train", A),
    ]
    assert [(item.key, item.duration_s, item.sources) for item in listing.media] == [
        (A, 100.0, (f"{RAW}/v2/video_540ss/{A}.mp4",))
    ]
    first, second = map(adapter.load_captions, listing.dialogs)
    assert [(found.time_s, found.text, found.record) for found in first.captions] == [
        (3.0, "C picks a knife.", "n"),
        (7.5, "C cuts bread.", "n"),
    ]
    assert [(found.time_s, found.text, found.record) for found in second.captions] == [(1.0, "C walks.", "m")]
    assert not listing.drops and not first.drops and not second.drops


def test_all_narrations_are_kept_and_the_last_one(load):
    """The reference keeps two of a moment and never the last one."""
    talk = [narration(99.9, "#C C leaves"), *(narration(5.0, f"#C C taps {number}") for number in range(4))]
    captions, drops = load(*talk)
    assert captions == [*((5.0, f"C taps {number}.") for number in range(4)), (99.9, "C leaves.")]
    assert not drops


def test_sentences_of_a_moment_stay_in_their_order(load):
    captions, drops = load(narration(5.0, "#C C zips the bag #C C asks a man #C C zips the bag"), TALK[0])
    assert captions == [(3.0, "C picks a knife."), (5.0, "C zips the bag."), (5.0, "C asks a man.")]
    assert drops == {"narrations[0]": "copy"}


ODD = [
    ("text", "not a record"),
    (None, "not a record"),
    (narration(None, "#C C x"), "no start time"),
    (narration(float("nan"), "#C C x"), "no start time"),
    (narration(float("inf"), "#C C x"), "no start time"),
    (narration("soon", "#C C x"), "no start time"),
    ({"narration_text": "#C C x"}, "no start time"),
    (narration(-0.5, "#C C x"), "before the video"),
    (narration(100.03, "#C C x"), "beyond the video"),
    (narration(5.0, ""), "no text"),
    (narration(5.0, None), "no text"),
    ({"timestamp_sec": 5.0}, "no text"),
    (narration(5.0, "#O A man waves"), "of somebody else"),
    (narration(5.0, "#C C lifts #Unsure"), "unsure"),
    (narration(5.0, "sits"), "not said to be of the wearer"),
    (narration(3.0, "#c c picks  a knife."), "copy"),
]


@pytest.mark.parametrize(("record", "reason"), ODD)
@pytest.mark.parametrize("place", [0, 2])
def test_an_odd_narration_costs_only_itself(load, record, reason, place):
    talk = [*TALK[:place], record, *TALK[place:]]
    captions, drops = load(*talk)
    assert captions == [(3.0, "C picks a knife."), (7.5, "C cuts bread.")]
    if reason == "copy":
        assert list(drops.values()) == ["copy"]
    else:
        assert drops == {f"narrations[{place}]": reason}


def test_times_as_text_and_in_any_order(load):
    captions, drops = load(narration(50, "#C C sits"), narration("7.5", "#C C nods"), narration(100.01, "#C C goes"))
    assert captions == [(7.5, "C nods."), (50.0, "C sits."), (100.01, "C goes.")]
    assert not drops


def test_the_copy_at_another_time_stays(load):
    captions, drops = load(TALK[0], narration(3.1, "#C C picks a knife"))
    assert len(captions) == 2 and not drops


@pytest.mark.parametrize(
    ("length", "metadata", "expected", "reason"),
    [
        (None, {"mp4_duration_sec": 50.0}, 50.0, "no usable length, that of the file used"),
        (-1.0, {"mp4_duration_sec": 50.0}, 50.0, "no usable length, that of the file used"),
        ("x", None, None, "no usable length, times are not bounded"),
        (float("nan"), {"mp4_duration_sec": 0}, None, "no usable length, times are not bounded"),
    ],
)
def test_a_video_without_length(write, make_adapter, length, metadata, expected, reason):
    root = write({A: passes(*TALK, narration(5000.0, "#C C x"))}, [{**video(A, length), "video_metadata": metadata}])
    adapter = make_adapter("ego4d_narrations", root)
    listing = adapter.list_items()
    assert listing.media[0].duration_s == listing.dialogs[0].duration_s == expected
    assert reasons(listing.drops) == {"ego4d.json videos[0]": reason}
    assert len(adapter.load_captions(listing.dialogs[0]).captions) == (2 if expected else 3)


@pytest.mark.parametrize(
    ("marks", "is_held_out", "num_drops"),
    [
        ({}, False, 0),
        ({"split_em": None, "split_fho": "", "split_goalstep": "train"}, False, 0),
        ({"split_em": "train", "split_fho": "val"}, True, 0),
        ({"split_av": "test"}, True, 0),
        ({"split_goalstep": "multi"}, False, 0),
        ({"split_new": "val"}, True, 0),
        ({"split_fho": "unannotated"}, True, 1),
        ({"split_fho": 5}, True, 1),
        ({"split_fho": []}, True, 1),
    ],
)
def test_marks_decide_what_is_held_out(write, make_adapter, marks, is_held_out, num_drops):
    root = write({A: passes(*TALK), B: passes(*TALK)}, [video(A, **marks), video(B)])
    listing = make_adapter("ego4d_narrations", root).list_items()
    assert listing.dialogs[0].split == (eval_side(A) if is_held_out else "train")
    assert [drop.reason for drop in listing.drops] == ["unknown mark, held out"] * num_drops


def test_a_recording_is_never_divided(write, make_adapter):
    """One held-out video takes its whole group with it; the official evaluation would be trained on otherwise."""
    videos = [video(A), video(B, split_fho="val"), video(C), video(D, split_goalstep="train"), video(E)]
    root = write({uid: passes(*TALK) for uid in (A, B, C, D, E)}, videos, [[C, A, B]], goalstep_val=[E])
    listing = make_adapter("ego4d_narrations", root).list_items()
    side = eval_side(C)
    assert {item.key: (item.recording, item.split) for item in listing.media} == {
        **dict.fromkeys((A, B, C), (C, side)),
        D: (D, "train"),
        E: (E, eval_side(E)),  # by Goal-Step's own list
    }
    settings_of_split = load_settings("ego4d_narrations")["split"]
    found = assign(listing.dialogs, {}, 1, settings_of_split["official_eval"], settings_of_split["group_by"])
    assert found.sides == {C: side, D: "train", E: eval_side(E)} and not found.audit.moves


def test_what_the_dialogs_train_on_is_never_evaluated_on(write, make_adapter):
    videos = [video(A, split_fho="val"), video(B, split_fho="val"), video(C, split_fho="multi"), video(D)]
    lists = {"goalstep_val": [D], "goalstep_train": [A, C, D]}
    root = write({uid: passes(*TALK) for uid in (A, B, C, D)}, videos, **lists)
    listing = make_adapter("ego4d_narrations", root).list_items()
    sides = {item.recording: item.split for item in listing.media}
    assert sides == {B: eval_side(B), C: "train", D: eval_side(D)}
    assert [(drop.recording, drop.reason) for drop in listing.drops] == [(A, TRAINED_ON)]
    assert [item.recording for item in listing.dialogs] == [B, C, D]


def test_narrations_are_on_the_side_of_the_dialogs(tmp_path, make_adapter):
    for name in ("ego4d", "ego4d_narrations"):
        made = publish(name)
        write_publication(tmp_path, type(made)(made.raw_dir, made.files, {}))
    dialogs = make_adapter("ego4d", tmp_path).list_items().dialogs
    narrations = make_adapter("ego4d_narrations", tmp_path).list_items().dialogs
    sides = {item.recording: item.split for item in dialogs}
    assert {item.recording: item.split for item in narrations} == sides
    assert Counter(sides.values()) == {"train": 3, "val": 1, "test": 1}


def test_videos_of_one_file_only_are_drops(write, make_adapter):
    root = write({A: passes(*TALK), B: passes(*TALK)}, [video(A), video(C)], [[D, B]])
    listing = make_adapter("ego4d_narrations", root).list_items()
    assert [item.key for item in listing.media] == [A]
    assert [(drop.recording, drop.reason) for drop in listing.drops] == [
        (C, "in the metadata but not narrated"),
        (D, "narrated but not in the metadata"),
    ]


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ({"status": "complete"}, "no narrations"),
        ({"narration_pass_1": {"narrations": []}}, "no narrations"),
        ({"narration_pass_1": {"summaries": []}}, "no list of narrations"),
        ({"narration_pass_1": None}, "no list of narrations"),
        ({"narration_pass_1": {"narrations": "x"}}, "no list of narrations"),
        ({"narration_pass_x": {"narrations": [1]}}, "no narrations"),
        ("text", "no video's record"),
        (None, "no video's record"),
    ],
)
def test_a_video_without_narrations(write, make_adapter, record, reason):
    root = write({B: record, A: passes(*TALK)}, [video(A)])
    listing = make_adapter("ego4d_narrations", root).list_items()
    assert [item.key for item in listing.dialogs] == [f"{A}_PASS1"]
    assert reason in {drop.reason for drop in listing.drops}


def test_redacted_videos_are_kept_unless_told_otherwise(write, make_adapter):
    root = write({A: passes(*TALK), B: passes(*TALK, status="redacted"), C: passes(*TALK, status=None)})
    assert len(make_adapter("ego4d_narrations", root).list_items().media) == 3
    listing = make_adapter("ego4d_narrations", root, drop_statuses=["redacted"]).list_items()
    assert [item.key for item in listing.media] == [A, C]
    assert [(drop.recording, drop.reason) for drop in listing.drops] == [(B, "left out by status: redacted")]


def test_a_video_listed_twice_has_both_records(write, make_adapter):
    root = write({A: passes(*TALK)}, [video(A, 50.0), video(A, 100.0, split_fho="val"), video(B)])
    file = root / RAW / "v2" / "annotations" / "narration.json"
    more = json.dumps(passes(narration(60.0, "#C C walks"), TALK[0]))
    first = file.read_text()
    found = []
    for text in (first[:-1] + f', "{A}": {more}, "{B}": {more}}}', f'{{"{A}": {more}, "{B}": {more},' + first[1:]):
        file.write_text(text)
        adapter = make_adapter("ego4d_narrations", root)
        listing = adapter.list_items()
        track = adapter.load_captions(listing.dialogs[0])
        assert [caption.text for caption in track.captions] == ["C picks a knife.", "C cuts bread.", "C walks."]
        assert [drop.reason for drop in track.drops] == ["copy"]
        assert [drop.reason for drop in listing.drops] == [
            "second record of the video, the longer length counts",
            "second record of the video, narrations of both kept",
        ]
        found.append((listing.dialogs, track.captions))
    assert found[0] == found[1]
    assert (found[0][0][0].duration_s, found[0][0][0].split) == (100.0, eval_side(A))


texts = st.sampled_from(["#C C cuts", "#c c  cuts.", "#C C b #C C a", "#O x", "#unsure", "", None, "C sits", "#C C b"])
times = st.one_of(st.floats(-5, 120), st.sampled_from([None, "3", 5.0, 5, float("nan")]))
lines = st.one_of(st.builds(narration, times, texts, st.sampled_from(["n", "m", None])), st.sampled_from([None, "x"]))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(talk=st.lists(lines, min_size=1, max_size=8), seed=st.integers(0, 99))
def test_the_order_in_the_files_says_nothing(write, make_adapter, talk, seed):
    def read(root):
        adapter = make_adapter("ego4d_narrations", root)
        listing = adapter.list_items()
        tracks = {item.key: adapter.load_captions(item) for item in listing.dialogs}
        told = {key: (track.captions, Counter(drop.reason for drop in track.drops)) for key, track in tracks.items()}
        return listing.media, listing.dialogs, told

    videos = [video(A), video(B, split_av="test"), video(C)]
    groups = [[A, D], [B, E]]
    first = read(write({A: passes(*talk), B: passes(*TALK), C: passes(*talk[::-1])}, videos, groups))
    random.Random(seed).shuffle(talk)
    again = {C: passes(*talk), A: passes(*talk), B: passes(*TALK[::-1])}
    assert read(write(again, videos[::-1], groups[::-1])) == first


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(talk=st.lists(lines, min_size=1, max_size=8))
def test_every_narration_is_a_caption_or_a_drop(write, make_adapter, talk):
    for number, record in enumerate(talk):
        if isinstance(record, dict):
            talk[number] = {**record, "annotation_uid": f"uid {number}"}
    adapter = make_adapter("ego4d_narrations", write({A: passes(*talk)}))
    track = adapter.load_captions(adapter.list_items().dialogs[0])
    told = {int(caption.record.split()[1]) for caption in track.captions}
    dropped = {int(drop.record.rpartition("[")[2][:-1]) for drop in track.drops}
    assert told | dropped == set(range(len(talk)))
    assert list(track.captions) == sorted(track.captions, key=lambda caption: caption.time_s)


def test_the_digest_covers_what_is_read_and_nothing_else(write, make_adapter):
    def digest(*talk, length=100.0, **more):
        adapter = make_adapter("ego4d_narrations", write({A: passes(*talk, **more)}, [video(A, length)]))
        return adapter.list_items().dialogs[0].digest

    base = digest(*TALK)
    ignored = [narration(3.0, "#C C picks a knife", _unmapped_timestamp_sec=9, timestamp_frame=7), TALK[1]]
    assert digest(*ignored[::-1], status="x", narration_pass_2={"narrations": [TALK[0]]}) == base
    changed = [digest(TALK[0]), digest(*TALK, length=9.0), digest(narration(3.1, "#C C picks a knife"), TALK[1])]
    assert len({base, *changed, digest(narration(3.0, "#C C picks a knife", "k"), TALK[1])}) == 5


def test_full_size_where_there_is_no_small_copy(write, make_adapter):
    root = write({A: passes(*TALK), B: passes(*TALK)})
    for path in (f"full_scale/{A}.mp4", f"full_scale/{B}.mp4", f"video_540ss/{B}.mp4", f"video_540ss/{C}.mp4"):
        (root / RAW / "v2" / path).parent.mkdir(exist_ok=True)
        (root / RAW / "v2" / path).write_bytes(b"x")
    adapter = make_adapter("ego4d_narrations", root)
    assert [item.sources[0].split("/")[-2] for item in adapter.list_items().media] == ["full_scale", "video_540ss"]
    assert [(item.key, item.split) for item in adapter.list_items("all").media][2] == (C, "test")


def test_groups_may_be_absent(write, make_adapter):
    root = write({A: passes(*TALK)})
    (root / RAW / "v2" / "annotations" / "goalstep_video_groups.tsv").unlink()
    listing = make_adapter("ego4d_narrations", root).list_items()
    assert [drop.reason for drop in listing.drops] == ["absent: videos of a group count as recordings"]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("ego4d.json", None, "does not exist"),
        ("v2/annotations/narration.json", None, "does not exist"),
        ("ego4d.json", "", "is empty"),
        ("ego4d.json", "{}", "has no videos"),
        ("ego4d.json", '{"videos": []}', "has no videos"),
        ("ego4d.json", '{"videos": [{', "not valid JSON|ends too early"),
        ("v2/annotations/narration.json", "{}", "has no videos"),
        ("v2/annotations/narration.json", "<html>", "JSON list or object"),
        ("v2/annotations/narration.json", '{"version": "1"}', "has no videos"),
    ],
)
def test_what_is_not_the_file_stops_with_one_line(write, make_adapter, name, content, words):
    root = write({A: passes(*TALK)})
    (root / RAW / name).unlink()
    if content is not None:
        (root / RAW / name).write_text(content)
    with pytest.raises(ConfigError, match=words) as caught:
        make_adapter("ego4d_narrations", root).list_items()
    assert name in str(caught.value) and "\n" not in str(caught.value)


def test_odd_uids_and_bytes(write, make_adapter):
    root = write(
        {A: passes(narration(3.0, "#C C eats cafe \ud800")), "../x": passes(*TALK)}, [video(A), video("a b"), 5]
    )
    file = root / RAW / "v2" / "annotations" / "narration.json"
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes().replace(b"cafe", b"caf\xe9"))
    adapter = make_adapter("ego4d_narrations", root)
    listing = adapter.list_items()
    assert adapter.load_captions(listing.dialogs[0]).captions[0].text == "C eats caf\ufffd ?"
    assert Counter(drop.reason for drop in listing.drops) == {
        "not wholly UTF-8, the odd bytes became U+FFFD": 1,
        "no video's record": 1,
        "no video uid": 2,
    }


def test_a_file_that_changes_under_way_fails_the_item(write, make_adapter):
    root = write({A: passes(*TALK)})
    adapter = make_adapter("ego4d_narrations", root)
    item = adapter.list_items().dialogs[0]
    file = root / RAW / "v2" / "annotations" / "narration.json"
    for text in ("0" * 4000, " " * (file.read_text().index('{"narration')) + "5" + " " * 4000):
        file.write_text(text)
        with pytest.raises(ItemError, match=r"changed since|have changed"):
            adapter.load_captions(item)


def test_unknown_items_fail(write, make_adapter):
    item = make_adapter("ego4d_narrations", write({A: passes(*TALK)})).list_items().dialogs[0]
    with pytest.raises(ItemError, match=A):
        make_adapter("ego4d_narrations", write({B: passes(*TALK)})).load_captions(item)


def test_raw_records(write, make_adapter):
    adapter = make_adapter("ego4d_narrations", write({A: passes(*TALK, None)}))
    records = adapter.load_records(adapter.list_items().dialogs[0])
    assert [record.value for record in records] == [*TALK, None]
    assert records[0].where == f"v2/annotations/narration.json {A} narration_pass_1.narrations[0]"


def test_what_is_needed_is_named(write, make_adapter):
    adapter = make_adapter("ego4d_narrations", write({A: passes(*TALK)}))
    needs = {need.path: need.is_required for need in adapter.list_needs()}
    assert [path for path, is_required in needs.items() if is_required] == [
        "ego4d.json",
        "v2/annotations/narration.json",
    ]


def test_the_demonstration_has_the_publishers_spellings(tmp_path, make_adapter):
    made = publish("ego4d_narrations")
    assert dict(made.files) == dict(publish("ego4d_narrations").files)
    write_publication(tmp_path, type(made)(made.raw_dir, made.files, {}))
    adapter = make_adapter("ego4d_narrations", tmp_path)
    listing = adapter.list_items()
    assert len(listing.media) == 7 and len(listing.dialogs) == 14 and not listing.drops
    tracks = [adapter.load_captions(item) for item in listing.dialogs]
    assert min(len(track.captions) for track in tracks) >= 6
    assert {drop.reason for track in tracks for drop in track.drops} == {"of somebody else", "unsure", "copy"}
