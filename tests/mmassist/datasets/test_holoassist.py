import json
import random
from collections import Counter
from dataclasses import replace

import pytest

from mmassist.core.errors import ConfigError, ItemError
from tests.mmassist.datasets.source_samples import load_settings, reasons, render


def coarse(id, start, end, text, **more):
    return {"id": id, "start": start, "end": end, "attributes": {"Action sentence": text, **more}}


def fine(id, start, end, verb, noun, correctness="Correct Action", why="none", adjective="none"):
    attributes = {
        "Action Correctness": correctness,
        "Incorrect Action Explanation": why,
        "Verb": verb,
        "Adjective": adjective,
        "Noun": noun,
    }
    return {"id": id, "start": start, "end": end, "attributes": attributes}


def talk(id, start, end, text, who="instructor-start-conversation_other"):
    return {"id": id, "start": start, "end": end, "attributes": {"Conversation Purpose": who, "Transcription": text}}


def video(name, events, raw="00:01:40.50", seconds=100, task="set_up lamp"):
    metadata = {"duration": {"raw": raw, "seconds": seconds}, "video": {"fps": 29.5}}
    return {"video_name": name, "taskType": task, "videoMetadata": metadata, "events": events}


EVENTS = [
    {"id": 1, "start": 0.0, "end": 100, "attributes": {"Long form description": "The student sets a lamp_shade. "}},
    talk(2, 1.0, 3.0, "Hi,  let us *unintelligible* start ."),
    fine(3, 4.0, 5.0, "grab", "lamp_shade"),
    coarse(4, 10.0, 30.0, "The student opens the box."),
    fine(5, 10.0, 12.0, "open", "box", adjective="big"),
    fine(6, 13.0, 14.0, "open", "box", adjective="big"),
    fine(7, 15.0, 16.0, "open", "box", "Wrong Action, not corrected", "Student tears the lid.", "big"),
    fine(8, 17.0, 18.0, "hold", "box"),
    fine(9, 19.0, 20.0, "rotate", "box", "Wrong Action, corrected by student", "none", "wrong"),
    fine(10, 21.0, 22.0, "place", "lid", "otherwise"),
    coarse(11, 40.0, 60.0, "The student plugs the lamp in."),
    talk(12, 58.0, 66.0, "Is it on?", "student-start-conversation_ask questions"),
    fine(13, 70.0, 71.0, "press", "switch"),
]
EXPECTED = """\
[10.0s-30.0s] The user opens the box.
 - [2.0s] assistant: "Hi, let us start."
 - [4.0s-5.0s] grab lamp shade
 - [10.0s-12.0s] open big box
 - [15.0s-16.0s] open big box (ERROR: User tears the lid.)
 - [19.0s-20.0s] rotate box (ERROR: wrong action, corrected by user)
 - [21.0s-22.0s] place lid
[40.0s-60.0s] The user plugs the lamp in.
 - [62.0s] user: "Is it on?"
 - [70.0s-71.0s] press switch
Summary: The user sets a lamp shade.
"""
EXPECTED_COMPAT = """\
[10.0s-30.0s] The user opens the box.
 - [10.0s-12.0s] open big box
 - [21.0s-22.0s] place lid (ERROR: none)
[40.0s-60.0s] The user plugs the lamp in.
Summary: The user sets a lamp shade.
"""


@pytest.fixture
def write(tmp_path):
    """``write(videos, train, val, test)`` makes a DATA_ROOT_DIR."""

    def make(videos, train=("R1-a",), val=("R0-v",), test=None, text=None):
        folder = tmp_path / "datasets" / "holoassist"
        folder.mkdir(parents=True, exist_ok=True)
        settings = load_settings("holoassist")["dataset"]
        (folder / settings["annotation_file"]).write_text(json.dumps(videos) if text is None else text)
        for key, names in (("train_list", train), ("val_list", val), ("test_list", test)):
            if names is not None:
                (folder / settings[key]).write_text("".join(f"{name}\r\n" for name in names))
        return tmp_path

    return make


@pytest.fixture
def load(write, make_adapter):
    """Annotation of one recording with the given events."""

    def annotate(events, compat=False, **more):
        adapter = make_adapter("holoassist", write([video("R1-a", events, **more)]), compat)
        (item,) = adapter.list_items().dialogs
        return adapter.load_annotation(item)

    return annotate


def test_nothing_that_happened_is_lost(load):
    annotation = load(EVENTS)
    assert render(annotation) == EXPECTED
    assert reasons(annotation.drops) == {
        "event 6": "action already told in this step",
        "event 8": "verb that says nothing about progress",
    }
    assert (annotation.goal, annotation.domain, annotation.fps) == ("set up lamp", "object manipulation", 29.5)
    assert annotation.duration_s == 100.5
    assert annotation.ann_ratio == pytest.approx(40 / 100.5)
    assert annotation.has_mistake


def test_compat_loses_what_the_reference_loses(load):
    annotation = load(EVENTS, compat=True)
    assert render(annotation) == EXPECTED_COMPAT
    assert (annotation.duration_s, annotation.ann_ratio, annotation.has_mistake) == (100, 0.4, False)


def test_the_order_of_events_does_not_matter(load):
    shuffled = [*EVENTS, EVENTS[3], EVENTS[11]]
    random.Random(3).shuffle(shuffled)
    annotation = load(shuffled)
    assert render(annotation) == EXPECTED
    assert reasons(annotation.drops)["event 4"] == "copy of another record"


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ("text", "no attributes"),
        ({"id": 99, "start": 1.0, "end": 2.0}, "no attributes"),
        ({"id": 99, "start": 1.0, "end": 2.0, "attributes": {"Mood": "fine"}}, "unknown kind of event"),
        (talk(99, 45.0, 46.0, "*unintelligible*"), "nothing intelligible said"),
        (talk(99, 45.0, 46.0, None), "nothing intelligible said"),
        (
            {"id": 99, "start": 45, "end": 46, "attributes": {"Conversation Purpose": "student-x"}},
            "nothing intelligible said",
        ),
        (talk(99, 45.0, 46.0, "hi", "narrator-start"), "unknown role"),
        (talk(99, 100.5, 101.0, "late"), "beyond the video"),
        (fine(99, float("nan"), 2.0, "grab", "box"), "no start time"),
        (fine(99, -2.0, -1.0, "grab", "box"), "before the video"),
        (fine(99, 45.0, 46.0, "none", None), "no verb and no noun"),
        (coarse(99, 45.0, 46.0, "none"), "no text"),
    ],
)
def test_a_bad_record_costs_only_itself(load, record, reason):
    annotation = load([*EVENTS, record])
    assert render(annotation) == EXPECTED
    assert reason in reasons(annotation.drops).values()


def test_repaired_records_stay(load):
    annotation = load(
        [
            coarse(1, 5.0, 300.0, "", Verb="open", Noun="door_frame"),
            coarse(2, 3.0, 2.0, "Backwards."),
            coarse(3, 7.0, 7.0, "An instant."),
            talk(4, 8.0, None, "no end", "Student-reply"),
        ]
    )
    text = '[3.0s-3.0s] Backwards.\n[5.0s-100.5s] open door frame\n[7.0s-7.0s] An instant.\n - [8.0s] user: "no end"\n'
    assert render(annotation) == text
    assert reasons(annotation.drops) == {
        "event 1": "end cut to the video",
        "event 2": "no usable end time, made an instant",
        "event 4": "no usable end time, made an instant",
    }


def test_coverage_is_a_share(load):
    events = [coarse(1, 0, 80, "a"), coarse(2, 10, 90, "b")]
    assert load(events).ann_ratio == pytest.approx(90 / 100.5)
    assert load(events, compat=True).ann_ratio == 1.6


@pytest.mark.parametrize(
    ("raw", "seconds", "length"),
    [
        ("00:03:59.47", 239, 239.47),
        (None, 239, 239.0),
        ("NaN", None, 60.0),
        ("9" * 400 + ":00:00", 100, 100.0),
        ("9" * 5000 + ":00:00", 1e308, 60.0),
        ("278:00:00", 100, 100.0),
        ("00:00:00", 0, 60.0),
        ("01:00:01", 1, 3601.0),
    ],
)
def test_length_of_the_video(load, raw, seconds, length):
    assert load([coarse(1, 40, 60, "a")], raw=raw, seconds=seconds).duration_s == length


def test_without_coarse_actions_nothing_is_annotated(load):
    annotation = load([fine(1, 1, 2, "grab", "box")])
    assert (annotation.steps, annotation.ann_ratio) == ((), 0.0)
    assert reasons(annotation.drops) == {"events": "no coarse action"}


def test_listing(write, make_adapter):
    videos = [
        video("R1-a", EVENTS),
        "no record",
        {"video_name": None},
        {"video_name": "R3-bad", "events": None},
        video("r1-b", EVENTS[:4]),
        video("R5-test", EVENTS),
        video("R6-nowhere", EVENTS),
        video("R7 odd.name", []),
        video("R8-both", EVENTS),
    ]
    root = write(videos, ("R1-a", "R2-gone", "R3-bad", "R8-both"), ("r1-b", "R8-both"), ("R5-test", "R9-test"))
    adapter = make_adapter("holoassist", root)
    listing = adapter.list_items()
    assert [(i.key, i.split, i.participant, i.duration_s) for i in listing.dialogs] == [
        ("R1-a", "train", "R1", 100.5),
        ("R8-both", "val", "R8", 100.5),
        ("r1-b", "val", "R1", 100.5),
    ]
    assert [m.key for m in listing.media] == [d.media_key for d in listing.dialogs]
    assert listing.media[0].sources == ("datasets/holoassist/video_pitch_shifted/R1-a/Export_py/Video_pitchshift.mp4",)
    found = {(drop.recording, drop.reason) for drop in listing.drops}
    assert found == {
        ("", "no video_name"),
        ("R2-gone", "in the train list but not annotated"),
        ("R3-bad", "no events"),
        ("R3-bad", "in the train list but not annotated"),
        ("R5-test", "in the test list, which is held out"),
        ("R6-nowhere", "annotated but in no split list"),
        ("R7 odd.name", "annotated but in no split list"),
        ("R8-both", "also in the val list, which wins"),
    }
    with pytest.raises(ItemError, match="R9"):
        adapter.load_annotation(replace(listing.dialogs[0], recording="R9"))


def test_listing_is_free_of_the_files_order_and_follows_each_record(write, make_adapter):
    videos = [video("R1-a", EVENTS), video("R2-b", EVENTS[:5]), video("R2-b", EVENTS[:6])]
    first = make_adapter("holoassist", write(videos, ("R1-a", "R2-b"))).list_items()
    again = make_adapter("holoassist", write(videos[::-1], ("R2-b", "R1-a"))).list_items()
    assert (first.dialogs, first.media) == (again.dialogs, again.media)
    changed = make_adapter("holoassist", write([video("R1-a", EVENTS[1:]), *videos[1:]], ("R1-a", "R2-b"))).list_items()
    assert [a.digest == b.digest for a, b in zip(first.dialogs, changed.dialogs, strict=True)] == [False, True]


def test_digest_follows_what_is_read_and_nothing_else(write, make_adapter):
    def digest(events=EVENTS, **more):
        return make_adapter("holoassist", write([{**video("R1-a", events), **more}])).list_items().dialogs[0].digest

    def change(number, **values):
        event = EVENTS[number]
        attributes = {**event["attributes"], **values.pop("attributes", {})}
        return [*EVENTS[:number], {**event, **values, "attributes": attributes}, *EVENTS[number + 1 :]]

    first = digest()
    unread = [change(3, label="x", type="y", attributes={"adverbial": "slowly", "sequence": "5"})]
    assert [digest(batch="7", taskId="8"), *map(digest, unread)] == [first] * 2
    read = [change(3, start=1.5), change(3, end=99.0), EVENTS[1:], change(3, id=777)]
    digests = [first, digest(taskType="fix lamp"), digest(videoMetadata={}), *map(digest, read)]
    assert len(set(digests)) == len(digests)


def test_who_speaks_first_at_one_moment_does_not_follow_from_the_file(load):
    """Two people may say the same at the same time, in records without ids."""
    both = [talk(1, 50, 52, "okay"), talk(2, 50, 52, "okay", "student-x")]
    bare = [{key: value for key, value in event.items() if key != "id"} for event in both]
    steps = [coarse(9, 40, 60, "The user waits.")]
    assert load([*steps, *bare]).steps == load([*steps, *bare[::-1]]).steps


def test_names_that_no_file_can_have_are_left_out(write, make_adapter):
    names = ("R1-a", "a\x00b", "../R1-a", "x" * 300)
    listing = make_adapter("holoassist", write([video(name, EVENTS) for name in names], names)).list_items()
    assert [item.key for item in listing.dialogs] == ["R1-a"]
    assert [drop.reason for drop in listing.drops].count("not a recording's name") == 3
    assert [drop.reason for drop in listing.drops].count("no video_name") == 3


def test_an_odd_id_names_its_record_in_one_line(load):
    events = [{**EVENTS[2], "id": value, "start": None} for value in ("a\nb", [1], " ", 7)]
    steps = [coarse(9, 40, 60, "The user waits.")]
    dropped = [drop.record for drop in load([*steps, *events]).drops if drop.reason == "no start time"]
    assert dropped == ["event a b", "events[2]", "events[3]", "event 7"]


def test_without_a_length_no_time_is_below_0(load):
    annotation = load([coarse(1, -9, -5, "a")], raw="", seconds=None)
    assert (annotation.duration_s, annotation.steps) == (0.0, ())


@pytest.mark.parametrize("compat", [False, True])
def test_of_two_records_the_fuller_one_is_kept(write, make_adapter, compat):
    for number in range(8):  # whatever their digests
        records = [video("R1-a", EVENTS), video("R1-a", ["bad"] * 30, task=f"empty {number}")]
        adapter = make_adapter("holoassist", write(records[:: (-1) ** number]), compat)
        listing = adapter.list_items()
        assert adapter.load_annotation(listing.dialogs[0]).goal == "set up lamp"
        assert reasons(listing.drops)["second record"] == "annotated twice, the one with more usable events kept"


def test_a_name_may_hold_blanks(write, make_adapter):
    root = write([video("R1 a b", EVENTS)], ("R1 a b",))
    assert [item.recording for item in make_adapter("holoassist", root).list_items().dialogs] == ["R1 a b"]


def test_an_odd_byte_costs_nothing_else(write, make_adapter):
    root = write([video("R1-a", EVENTS, task="cafe"), video("R2-\ud800", EVENTS)], ("R1-a", "R3-caf\u00e9"))
    folder = root / "datasets" / "holoassist"
    for path in folder.iterdir():
        path.write_bytes(path.read_bytes().replace(b"cafe", b"caf\xe9").replace("\u00e9".encode(), b"\xe9"))
    adapter = make_adapter("holoassist", root)
    listing = adapter.list_items()
    assert adapter.load_annotation(listing.dialogs[0]).goal == "caf\ufffd"
    remark = "not wholly UTF-8, the odd bytes became U+FFFD"
    assert {(drop.recording, drop.record) for drop in listing.drops if drop.reason == remark} == {
        ("", "data-annotation-trainval-v1_1.json"),
        ("", "train-v1_2.txt"),
    }
    assert {"R2-?", "R3-caf\ufffd"} <= {drop.recording for drop in listing.drops}


def test_listing_all_videos(write, make_adapter):
    root = write([video("R1-a", EVENTS)])
    for name in ("R1-a", "R9-test"):
        folder = root / "datasets/holoassist/video_pitch_shifted" / name / "Export_py"
        folder.mkdir(parents=True)
        (folder / "Video_pitchshift.mp4").write_bytes(b"x")
    listing = make_adapter("holoassist", root).list_items(which="all")
    assert [(m.key, m.split) for m in listing.media] == [("R1-a", "train"), ("R9-test", "test")]
    assert [d.key for d in listing.dialogs] == ["R1-a"]


@pytest.mark.parametrize("text", ["[]", "[null, 5, {}]"])
def test_a_file_without_recordings_is_named(write, make_adapter, text):
    with pytest.raises(ConfigError, match=r"data-annotation-trainval-v1_1.json holds no recording") as caught:
        make_adapter("holoassist", write([], text=text)).list_items()
    assert "\n" not in str(caught.value)


def test_unusable_files_stop_with_one_line(write, make_adapter):
    for lists, file in (({"train": ()}, "train"), ({"val": ("", " ")}, "val")):
        with pytest.raises(ConfigError, match=rf"{file}-v1_2\.txt names no recording; fetch it again$"):
            make_adapter("holoassist", write([], **lists)).list_items()
    with pytest.raises(ConfigError, match="no annotated training recording"):
        make_adapter("holoassist", write([video("R1-a", EVENTS)], ("R2",), ("R1-a",))).list_items()
    whole = json.dumps([video("R1-a", EVENTS)])
    for text in (whole[:-40], "", "{}"):
        with pytest.raises(ConfigError, match=r"data-annotation-trainval-v1_1\.json is not"):
            make_adapter("holoassist", write([], text=text)).list_items()


def test_parity_with_the_published_reading(sample_root, sample_data, make_adapter):
    path = sample_data / "extra/proassist-outputs/holoassist/generated_dialogs/R208-11Nov-ATV.json"
    published = json.loads(path.read_text())["parsed_video_anns"]
    adapter = make_adapter("holoassist", sample_root, compat=True)
    annotation = adapter.load_annotation(adapter.list_items().dialogs[0])
    assert render(annotation) == published["all_step_descriptions"]
    assert annotation.duration_s == published["duration"]
    assert annotation.ann_ratio == published["ann_ratio"]
    assert len(annotation.steps) == published["num_steps"]
    assert (annotation.goal, annotation.fps) == (published["goal_description"], published["fps"])


def test_published_recording_gains_what_was_lost(sample_root, make_adapter):
    """The numbers of docs/sources/holoassist.md and docs/differences.md."""
    found = {}
    for compat in (True, False):
        adapter = make_adapter("holoassist", sample_root, compat=compat)
        annotation = adapter.load_annotation(adapter.list_items().dialogs[0])
        substeps = [substep for step in annotation.steps for substep in step.substeps]
        found[compat] = {
            "per step": [len(step.substeps) for step in annotation.steps],
            "utterances": sum(substep.role is not None for substep in substeps),
            "errors": sum(bool(substep.note) for substep in substeps),
            "length": annotation.duration_s,
            "coverage": round(annotation.ann_ratio, 4),
            "drops": Counter(drop.reason for drop in annotation.drops),
        }
    skipped, told = "verb that says nothing about progress", "action already told in this step"
    assert found[True] == {
        "per step": [4, 21, 13, 15, 5, 11, 9, 3, 0],
        "utterances": 48,
        "errors": 3,
        "length": 239.0,
        "coverage": 0.8311,
        "drops": {skipped: 3},
    }
    assert found[False] == {
        "per step": [6, 22, 14, 16, 5, 11, 9, 3, 5],
        "utterances": 52,
        "errors": 5,
        "length": 239.47,
        "coverage": 0.8295,
        "drops": {skipped: 2, told: 5},
    }


def test_raw_records_are_the_files_own(write, make_adapter):
    adapter = make_adapter("holoassist", write([video("R2-b", []), video("R1-a", EVENTS)], train=("R1-a", "R2-b")))
    item = next(item for item in adapter.list_items().dialogs if item.key == "R1-a")
    facts, *events = adapter.load_records(item)
    assert [record.value for record in events] == EVENTS
    assert facts.value == {key: value for key, value in video("R1-a", EVENTS).items() if key != "events"}
    assert events[3].where == "data-annotation-trainval-v1_1.json R1-a events[3]"
    with pytest.raises(ItemError, match="R9-x"):
        adapter.load_records(replace(item, recording="R9-x"))


def test_needs_are_the_files_of_the_settings(tmp_path, make_adapter):
    needs = make_adapter("holoassist", tmp_path, train_list="mine.txt").list_needs()
    assert {need.path: need.is_required for need in needs} == {
        "data-annotation-trainval-v1_1.json": True,
        "mine.txt": True,
        "val-v1_2.txt": True,
        "test-v1_2.txt": False,
    }
