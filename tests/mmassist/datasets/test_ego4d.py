import copy
import json
import random
from collections import Counter
from functools import partial

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmassist.datasets.ego4d_files import load_groups
from mmassist.dialog.annotation import ClipRule, cut_clips
from tests.mmassist.datasets.ego4d_samples import (
    COMPAT,
    EXPECTED,
    GROUPS,
    STEPS,
    A,
    D,
    E,
    step,
    substep,
    video,
    write_goalstep,
)
from tests.mmassist.datasets.source_samples import reasons, render
from tools.demo.publication import publish, write_publication

pytestmark = pytest.mark.long


@pytest.fixture
def write(tmp_path):
    return partial(write_goalstep, tmp_path)


@pytest.fixture
def load(write, make_adapter):
    def annotate(*steps, compat=False, **more):
        adapter = make_adapter("ego4d", write([video(A, *steps, **more)]), compat)
        return adapter.load_annotation(next(item for item in adapter.list_items().dialogs if item.key == A))

    return annotate


def test_essential_steps_on_their_own_spans(load):
    annotation = load(*STEPS)
    assert render(annotation) == EXPECTED
    assert (annotation.goal, annotation.domain, annotation.knowledge_type) == ("Make soup", "cooking", "cooking recipe")
    assert annotation.duration_s == pytest.approx(100.0)
    assert annotation.ann_ratio == pytest.approx((9.979 + 28 + 59.021) / 100)
    assert reasons(annotation.drops) == {
        "segments[1].segments[2]": "repeats the substep before, joined with it",
        "segments[1].segments[3]": "not essential: irrelevant",
        "segments[2]": "not essential: optional",
        "segments[2].segments[0]": "in a step that is left out",
    }


def test_the_references_rules(load):
    annotation = load(*STEPS, compat=True)
    assert render(annotation) == COMPAT
    assert annotation.goal == "Make  soup."
    assert annotation.ann_ratio == pytest.approx((10 + 28 + 9 + 51.021) / 100)


def test_an_empty_goal_is_noted(load):
    annotation = load(*STEPS, goal=None)
    assert annotation.goal == ""
    assert reasons(annotation.drops)["goal_description"] == "no goal"


ODD = [
    ("text", "not a record"),
    (None, "not a record"),
    (step(None, 9.0, "x"), "no start time"),
    (step(float("nan"), 9.0, "x"), "no start time"),
    (step(float("inf"), 9.0, "x"), "no start time"),
    (step("soon", 9.0, "x"), "no start time"),
    (step(True, 9.0, "x"), "no start time"),
    (step(200.0, 210.0, "x"), "beyond the video"),
    (step(-9.0, -2.0, "x"), "before the video"),
    (step(1.0, 2.0, ""), "no description"),
    (step(1.0, 2.0, " .\n"), "no description"),
    (step(1.0, 2.0, float("nan")), "no description"),
    (step(1.0, 2.0, ["x"]), "no description"),
    ({"start_time": 1.0, "end_time": 2.0, "is_relevant": "essential"}, "no description"),
    (step(1.0, 2.0, "x", None), "relevance not told"),
    (step(1.0, 2.0, "x", "vital"), "relevance not told"),
    (step(1.0, 2.0, "x", 1), "relevance not told"),
    (step(1.0, 2.0, "x", "unsure"), "not essential: unsure"),
]


@pytest.mark.parametrize(("record", "reason"), ODD)
@pytest.mark.parametrize("place", [0, 2, 4])
def test_an_odd_step_costs_only_itself(load, record, reason, place):
    annotation = load(*STEPS[:place], record, *STEPS[place:])
    assert render(annotation) == EXPECTED
    assert reasons(annotation.drops)[f"segments[{place}]"] == reason
    assert len(annotation.drops) == 5


@pytest.mark.parametrize(("record", "reason"), ODD)
def test_an_odd_substep_costs_only_itself(load, record, reason):
    record = {key: value for key, value in record.items() if key != "segments"} if isinstance(record, dict) else record
    annotation = load(step(12.0, 40.0, "cut", "essential", record, substep(14.0, 20.0, "Take a knife")))
    assert render(annotation) == "[12.0s-40.0s] cut\n - [14.0s-20.0s] Take a knife\n"
    assert reasons(annotation.drops) == {"segments[0].segments[0]": reason}


@pytest.mark.parametrize(
    ("record", "span", "reason"),
    [
        (step(-1.0, 5.0, "x"), (0.0, 5.0), "start moved to 0"),
        (step(90.0, 105.0, "x"), (90.0, 100.021), "end cut to the video"),
        (step(30.0, 20.0, "x"), (30.0, 30.0), "no usable end time, made an instant"),
        (step(30.0, None, "x"), (30.0, 30.0), "no usable end time, made an instant"),
        (step(30.0, 30.0, "x"), (30.0, 30.0), None),
        (step("30", "31", "x"), (30.0, 31.0), None),
        (step(30.0, 31.0, "x", " Essential"), (30.0, 31.0), None),
        ({**step(30.0, 31.0, "x"), "segments": None}, (30.0, 31.0), None),
        ({**step(30.0, 31.0, "x"), "segments": "many"}, (30.0, 31.0), None),
    ],
)
def test_a_repaired_step_stays(load, record, span, reason):
    annotation = load(record)
    assert [(found.start_s, found.end_s, found.text) for found in annotation.steps] == [(*span, "x")]
    assert reasons(annotation.drops).get("segments[0]") == reason


def test_substeps_that_are_no_list_are_told(load):
    annotation = load({**step(30.0, 31.0, "x"), "segments": "many"})
    assert reasons(annotation.drops) == {"segments[0].segments": "no list of substeps"}


def test_order_and_copies(load):
    annotation = load(STEPS[3], STEPS[0], STEPS[0])
    assert [found.text for found in annotation.steps] == ["Wash 1.5 kg of Carrots", "Boil"]
    assert reasons(annotation.drops) == {
        "segments[1]": "listed out of time order, sorted",
        "segments[2]": "copy of another step",
    }


def test_a_repeated_substep_after_another_one_is_told_again(load):
    parts = [substep(1.0, 2.0, "stir"), substep(3.0, 4.0, "salt"), substep(5.0, None, "stir")]
    annotation = load(step(0.0, 9.0, "cook", "essential", *parts))
    assert [(found.start_s, found.end_s, found.text) for found in annotation.steps[0].substeps] == [
        (1.0, 2.0, "stir"),
        (3.0, 4.0, "salt"),
        (5.0, None, "stir"),
    ]


@pytest.mark.parametrize(
    ("start", "end", "duration_s", "reason"),
    [
        (0, 52, 52.0, None),
        (None, 52.0, 52.0, "no start time, counted from 0"),
        ("x", None, 40.0, "no usable length, the last step's end used"),
        (0.0, float("nan"), 40.0, "no usable length, the last step's end used"),
        (60.0, 50.0, 40.0, "no usable length, the last step's end used"),
        (0.0, 1e9, 40.0, "no usable length, the last step's end used"),
        (-5.0, 50.0, 50.0, None),
    ],
)
def test_length(load, start, end, duration_s, reason):
    annotation = load(*STEPS[:2], start=start, end=end)
    assert annotation.duration_s == duration_s
    assert len(annotation.steps) == 2 and 0 < annotation.ann_ratio <= 1
    assert reasons(annotation.drops).get("start_time, end_time") == reason


def test_a_part_of_a_video_keeps_its_place_on_the_videos_clock(load):
    """Its windows are not cut at the length of the part, which says nothing about the clock."""
    late = [step(100.0, 120.0, "Cut"), step(150.0, 190.0, "Fry")]
    annotation = load(*late, start=95.0, end=195.0)
    assert (annotation.start_s, annotation.duration_s, annotation.ann_ratio) == (95.0, 100.0, pytest.approx(0.6))
    (clip,) = cut_clips(annotation, ClipRule(), compat=False)
    assert (clip.start_s, clip.end_s) == (100.0, 190.0)
    early = load(step(0.0, 5.0, "Wash"), *late, start=95.0, end=195.0)
    assert (early.start_s, early.duration_s) == (0.0, 195.0)
    assert load(*late, start=95.0, end=195.0, compat=True).start_s == 0.0


@pytest.mark.parametrize("steps", [None, {}, "x", 5])
def test_steps_that_are_no_list(write, make_adapter, steps):
    adapter = make_adapter("ego4d", write([{**video(A), "segments": steps}]))
    annotation = adapter.load_annotation(adapter.list_items().dialogs[0])
    assert (annotation.steps, annotation.ann_ratio) == ((), 0.0)
    assert reasons(annotation.drops) == {"segments": "no list of steps"}


def test_overlapping_steps_count_once(load):
    annotation = load(step(0.0, 100.0, "a"), step(0.0, 100.0, "b", "optional"))
    assert annotation.ann_ratio <= 1.0
    assert load(step(0.0, 100.0, "a"), step(0.0, 100.0, "b", "optional"), compat=True).ann_ratio == pytest.approx(2.0)


times = st.one_of(st.floats(-20, 130), st.sampled_from([None, "x", 0, float("nan"), float("inf")]))
words = st.sampled_from(["stir", "Stir.", "cut", "", None, "salt"])
flags = st.sampled_from(["essential", "essential", "optional", "unsure", None])
fine = st.one_of(st.builds(substep, times, times, words, flags), st.sampled_from([None, "text"]))
coarse = st.one_of(
    st.builds(lambda a, b, c, d, e: step(a, b, c, d, *e), times, times, words, flags, st.lists(fine, max_size=4)),
    st.sampled_from([None, 7]),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(coarse, max_size=5), seed=st.integers(0, 99))
def test_the_order_in_the_file_says_nothing(write, make_adapter, steps, seed):
    """Equal items, digests, annotations and reasons, whatever the order of videos, steps and substeps."""
    videos = [video(A, *steps), video(f"grp-{A}", *steps[::-1], end=60.0), video(D, *STEPS)]
    adapter = make_adapter("ego4d", write(videos, [video(E, *steps)]))
    listed = adapter.list_items()
    first = {item.key: adapter.load_annotation(item) for item in listed.dialogs}
    mixed = json.loads(json.dumps(videos))
    random.Random(seed).shuffle(mixed)
    for record in mixed:
        random.Random(seed).shuffle(record["segments"])
        for entry in record["segments"]:
            if isinstance(entry, dict):
                random.Random(seed).shuffle(entry["segments"])
    adapter = make_adapter("ego4d", write(mixed, [video(E, *steps)], GROUPS[::-1]))
    again = adapter.list_items()
    assert (again.media, again.dialogs) == (listed.media, listed.dialogs)
    for item in again.dialogs:
        annotation = adapter.load_annotation(item)
        assert annotation.steps == first[item.key].steps
        assert annotation.ann_ratio == pytest.approx(first[item.key].ann_ratio)
        assert 0 <= annotation.ann_ratio <= 1
        assert count(annotation.drops) == count(first[item.key].drops)


def count(drops):
    return Counter(drop.reason for drop in drops if drop.reason != "listed out of time order, sorted")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(coarse, max_size=5).map(copy.deepcopy))
def test_nothing_is_lost_silently(load, steps):
    """Every step and every substep is told, or is a drop."""
    places = dict(iter_places(steps))
    for number, record in enumerate(places.values()):
        if isinstance(record, dict) and record["step_description"]:
            record["step_description"] = f"word {number}"
    annotation = load(*steps)
    told = {found.text for found in annotation.steps} | {
        sub.text for found in annotation.steps for sub in found.substeps
    }
    repairs = ("start moved", "end cut", "no usable end", "listed out")
    dropped = [drop.record for drop in annotation.drops if not drop.reason.startswith(repairs)]
    missing = [
        place
        for place, record in places.items()
        if not isinstance(record, dict) or record["step_description"] not in told
    ]
    assert sorted(dropped) == sorted(missing)


def iter_places(steps):
    for position, entry in enumerate(steps):
        yield f"segments[{position}]", entry
        for number, value in enumerate(entry["segments"] if isinstance(entry, dict) else ()):
            yield f"segments[{position}].segments[{number}]", value


def test_the_digest_covers_what_is_read_and_nothing_else(write, make_adapter):
    def digest(record, compat=False):
        adapter = make_adapter("ego4d", write([record]), compat)
        return next(item.digest for item in adapter.list_items().dialogs if item.key == A)

    base = digest(video(A, *STEPS))
    assert digest({**video(A, *STEPS[::-1]), "goal_category": "other", "summary": ["x"]}) == base
    assert digest(video(A, *STEPS), True) != digest(video(A, *STEPS[::-1]), True)
    changed = [
        video(A, *STEPS, goal="Bake"),
        video(A, *STEPS, end=99.0),
        video(A, *STEPS[:3]),
        video(A, *STEPS[:2], step(41.0, 50.0, "Phone", "essential", substep(42.0, 43.0, "Dial")), STEPS[3]),
        video(A, *STEPS[:2], step(41.0, 50.0, "Phone", "optional", substep(42.0, 43.5, "Dial")), STEPS[3]),
    ]
    assert len({base, *map(digest, changed)}) == 6


def test_the_demonstration_has_what_the_source_has(tmp_path, make_adapter):
    made = publish("ego4d")
    assert {path: made.files[path] for path in made.files} == dict(publish("ego4d").files)
    write_publication(tmp_path, type(made)(made.raw_dir, made.files, {}))
    adapter = make_adapter("ego4d", tmp_path)
    listing = adapter.list_items()
    assert Counter(item.split for item in listing.dialogs) == {"train": 3, "val": 1, "test": 1}
    sources = {
        path.removeprefix(f"datasets/{made.raw_dir}/").rpartition("/")[2] for m in listing.media for path in m.sources
    }
    assert sources == {path.rpartition("/")[2] for path in made.pictures}
    for item in listing.dialogs:
        annotation = adapter.load_annotation(item)
        assert len(annotation.steps) >= 6 and annotation.ann_ratio > 0.8


def test_published_sample(sample_root, make_adapter):
    adapter = make_adapter("ego4d", sample_root)
    listing = adapter.list_items()
    assert not listing.drops
    assert Counter(item.split for item in listing.dialogs) == {"train": 3, "test": 3, "val": 1}
    group = next(item for item in listing.media if item.key.startswith("grp-"))
    assert [path.rpartition("/")[2][:8] for path in group.sources] == ["1982af6d", "eeebc062"]
    annotations = {item.key[:8]: adapter.load_annotation(item) for item in listing.dialogs}
    assert {key: count_contents(annotation) for key, annotation in annotations.items()} == {
        "110352df": (2, 6, 0.9705),
        "6bb4a311": (0, 0, 0.9113),
        "aa14c20d": (2, 4, 0.9777),
        "b7682631": (3, 0, 0.8929),
        "bb03ea40": (4, 8, 0.996),
        "e72082e8": (3, 2, 0.5862),
        "grp-1982": (11, 13, 0.9177),
    }
    assert [round(found.start_s, 1) for found in annotations["bb03ea40"].steps] == [0.1, 74.2, 104.1, 239.0]
    assert Counter(drop.reason for annotation in annotations.values() for drop in annotation.drops) == {
        "not essential: irrelevant": 2,
        "not essential: optional": 2,
        "not essential: unsure": 2,
    }


def test_published_sample_under_the_references_rules(sample_root, make_adapter):
    """The two optional substeps are told, and steps begin with their first substep, up to 31 s late."""
    adapter = make_adapter("ego4d", sample_root, True)
    annotations = {item.key[:8]: adapter.load_annotation(item) for item in adapter.list_items().dialogs}
    assert count_contents(annotations["110352df"]) == (2, 8, 0.9705)
    assert count_contents(annotations["grp-1982"]) == (11, 13, 0.9179)
    assert [round(found.start_s, 1) for found in annotations["bb03ea40"].steps] == [6.9, 74.2, 135.1, 257.8]


def count_contents(annotation):
    num_substeps = sum(len(found.substeps) for found in annotation.steps)
    return len(annotation.steps), num_substeps, round(annotation.ann_ratio, 4)


def test_published_groups(sample_root, make_adapter):
    adapter = make_adapter("ego4d", sample_root)
    groups = load_groups(adapter.source, adapter.config.group_file)
    assert Counter(map(len, groups.members.values())) == {1: 53, 2: 113, 3: 56, 4: 28, 5: 9, 6: 2, 7: 2}
    assert len(groups.first) == 630 and not groups.drops
