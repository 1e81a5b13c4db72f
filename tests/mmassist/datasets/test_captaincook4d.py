import json
from dataclasses import replace

import pytest

from mmassist.core.errors import ConfigError, ItemError
from tests.mmassist.datasets.source_samples import load_settings, reasons, render

GRAPH = {
    "steps": {
        "0": "START",
        "1": "Mix-mix it all",
        "2": "Boil -Boil the   milk",
        "3": "Add-2 spoons of cocoa",
        "9": "END",
    },
    "edges": [[0, 2], [2, 1], [3, 1], [1, 9], [0, 3]],
}


def step(id, start, end, text, has_errors=False):
    return {"step_id": id, "start_time": start, "end_time": end, "description": text, "has_errors": has_errors}


STEPS = [
    step(2, 1.0, 20.0, "Boil -Boil the   milk"),
    step(1, 50.0, 80.0, "Mix-mix it all", True),
    step(3, 25.0, 45.0, "Add-2 spoons of cocoa", True),
    step(4, -1.0, -1.0, "Serve-Serve in a mug", True),
]
ERRORS = [
    {"step_id": 1, "start_time": 50.0, "errors": [{"tag": "Technique Error", "description": "Mix-Mix with a fork"}]},
    {
        "step_id": 3,
        "start_time": 25.0,
        "errors": [
            {"tag": "Measurement Error", "description": "added  3 spoons"},
            {"tag": "Order Error", "description": None},
        ],
    },
    {"step_id": 4, "start_time": -1.0, "errors": [{"tag": "Missing Step", "description": "Skipped this step"}]},
]
EXPECTED = """\
[1.0s-20.0s] Boil the milk
[25.0s-45.0s] Add 2 spoons of cocoa (mistake: Measurement Error: Added 3 spoons; Order Error)
[50.0s-80.0s] Mix it all (mistake: Technique Error: Mix with a fork)
Summary: Steps of the recipe the user left out: Serve in a mug.
"""


@pytest.fixture
def write(tmp_path):
    """``write({recording: steps}, split lists, ...)`` makes a DATA_ROOT_DIR; every video is 100 s long."""
    settings = load_settings("captaincook4d")["dataset"]
    root = tmp_path / "datasets" / "captaincook4d"

    def put(path, text):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)

    def make(recordings, splits=None, errors=ERRORS, graph=GRAPH, lengths=None, activity="Hot  Cocoa"):
        steps = {name: {"recording_id": name, "steps": steps} for name, steps in recordings.items()}
        whole = {name: {**entry, "activity_name": activity, "person_id": 3} for name, entry in steps.items()}
        put(settings["steps_file"], json.dumps(steps))
        put(settings["activities_file"], json.dumps(whole))
        wrong = [{"recording_id": name, "step_annotations": errors} for name in recordings]
        put(settings["errors_file"], json.dumps(wrong))
        rows = "".join(f"{name},1,3,1.67,100.0\n" for name in (recordings if lengths is None else lengths))
        put(settings["videos_file"], "recording_id,environment_id,person_id,duration(min),duration(sec)\n" + rows)
        put(
            settings["split_file"],
            json.dumps({"train": sorted(recordings), "val": ["0_0"]} if splits is None else splits),
        )
        if graph is not None:
            put(f"{settings['graph_dir']}/hotcocoa.json", json.dumps(graph))
        return tmp_path

    return make


@pytest.fixture
def load(write, make_adapter):
    def annotate(steps, compat=False, **more):
        adapter = make_adapter("captaincook4d", write({"8_1": steps}, **more), compat)
        return adapter.load_annotation(adapter.list_items().dialogs[0])

    return annotate


@pytest.mark.parametrize("compat", [False, True])
def test_steps_in_the_order_they_were_done(load, compat):
    annotation = load(STEPS, compat)
    assert render(annotation) == EXPECTED
    assert annotation.ann_ratio == pytest.approx(0.69)
    assert annotation.has_mistake
    assert (annotation.goal, annotation.domain, annotation.knowledge_type) == (
        "Make Hot Cocoa",
        "cooking",
        "cooking recipe",
    )
    assert annotation.knowledge == "Hot Cocoa\n1. Boil the milk\n2. Add 2 spoons of cocoa\n3. Mix it all"
    assert reasons(annotation.drops) == {"steps[2]": "listed out of time order, sorted", "steps[3]": "skipped step"}


def test_a_faultless_recording(load):
    annotation = load(STEPS[:1], errors=[])
    assert not annotation.has_mistake
    assert annotation.summary == ""


def test_an_error_without_details_is_still_one(load):
    assert load(STEPS[1:2], errors=[]).steps[0].note == "mistake"


def test_a_step_done_twice_has_its_own_errors(load):
    errors = [
        {"step_id": 1, "start_time": 1.0, "errors": [{"tag": "Timing Error", "description": "too short"}]},
        {"step_id": 1, "start_time": 9.0},
    ]
    annotation = load([step(1, 1.0, 2.0, "Mix-mix"), step(1, 9.0, 10.0, "Mix-mix")], errors=errors)
    assert [found.note for found in annotation.steps] == ["mistake: Timing Error: Too short", ""]


def test_a_bad_step_costs_only_itself(load):
    bad = [
        "text",
        step(7, 5.0, 6.0, None),
        step(7, None, 6.0, "Stir-Stir"),
        step(7, float("nan"), 6.0, "Stir-Stir"),
        step(7, -1.0, 6.0, "Stir-Stir"),
        step(7, 100.0, 101.0, "Stir-Stir"),
        STEPS[0],
    ]
    annotation = load([*STEPS, *bad])
    assert render(annotation) == EXPECTED
    assert list(reasons(annotation.drops[2:]).values()) == [
        "no description",
        "no description",
        "no start time",
        "no start time",
        "no start time",
        "beyond the video",
        "copy of another step",
    ]


def test_repaired_steps_stay(load):
    annotation = load([step(1, 90.0, 120.0, "Mix-mix"), step(2, 30.0, 20.0, "Boil-boil")], errors=[])
    assert [(found.start_s, found.end_s) for found in annotation.steps] == [(30.0, 30.0), (90.0, 100.0)]


def test_length_falls_back_on_the_last_step(load):
    annotation = load(STEPS, lengths=[])
    assert annotation.duration_s == 80.0
    assert "no usable length" in reasons(annotation.drops)["duration"]


def test_without_a_graph_the_recipe_is_the_recordings_list(load):
    annotation = load(STEPS, graph=None)
    assert annotation.knowledge.splitlines() == [
        "Hot Cocoa",
        "1. Boil the milk",
        "2. Mix it all",
        "3. Add 2 spoons of cocoa",
        "4. Serve in a mug",
    ]
    assert "no task graph" in reasons(annotation.drops)["task graph"]


def test_listing_keeps_the_official_sides(write, make_adapter):
    recordings = {"8_1": STEPS, "8_10": STEPS, "8_2": STEPS, "8_3": STEPS, "8_4": "broken"}
    splits = {"train": ["8_2", "8_1", "8_4", "8_9"], "val": ["8_10"], "test": ["8_1"]}
    adapter = make_adapter("captaincook4d", write(recordings, splits))
    listing = adapter.list_items()
    assert [(i.key, i.split, i.participant, i.duration_s) for i in listing.dialogs] == [
        ("8_1", "test", "3", 100.0),
        ("8_10", "val", "3", 100.0),
        ("8_2", "train", "3", 100.0),
    ]
    assert listing.media[0].sources == ("datasets/captaincook4d/captain_cook_4d/gopro/resolution_360p/8_1_360p.mp4",)
    assert {(drop.recording, drop.reason) for drop in listing.drops} == {
        ("8_1", "also in the test list, which wins"),
        ("8_3", "annotated but in no split list"),
        ("8_4", "in the train list but not annotated"),
        ("8_9", "in the train list but not annotated"),
    }
    broken = replace(listing.dialogs[0], recording="8_4")
    with pytest.raises(ItemError, match="8_4"):
        adapter.load_annotation(broken)


def test_digest_follows_everything_that_is_read(write, make_adapter):
    def digest(**more):
        return make_adapter("captaincook4d", write({"8_1": STEPS}, **more)).list_items().dialogs[0].digest

    first = digest()
    assert digest() == first
    others = [digest(errors=[]), digest(lengths=[]), digest(graph={**GRAPH, "edges": []}), digest(activity="Cocoa")]
    assert len({first, *others}) == 5
    unread = [{**entry, "modified_description": "x", "end_time": 5} for entry in ERRORS]
    assert digest(errors=unread) == digest(graph={**GRAPH, "edges": [*GRAPH["edges"], [0, 2], "x"]}) == first


@pytest.mark.parametrize(
    ("splits", "words"),
    [
        ({}, "called 'train'"),
        ([], "is not a JSON object"),
        ({"train": [], "val": ["8_1"]}, "called 'train'"),
        ({"train": ["8_1"], "val": None}, "called 'val'"),
        ({"train": ["8_1"], "val": [5, " "]}, "called 'val'"),
        ({"train": "8_1", "val": ["8_1"]}, "called 'train'"),
        ({"train": ["8_1"], "val": ["8_2"], "test": "8_3"}, "called 'test'"),
        ({"train": ["8_9"], "val": ["8_1"]}, "no annotated training recording"),
    ],
)
def test_empty_split_stops(write, make_adapter, splits, words):
    with pytest.raises(ConfigError, match=words):
        make_adapter("captaincook4d", write({"8_1": STEPS}, splits)).list_items()


def test_an_empty_test_list_is_only_logged(write, make_adapter, caplog):
    splits = {"train": ["8_1", None], "val": ["8_2"], "test": []}
    listing = make_adapter("captaincook4d", write({"8_1": STEPS, "8_2": STEPS}, splits)).list_items()
    assert [item.split for item in listing.dialogs] == ["train", "val"]
    assert "test list" in caplog.text
    assert reasons(listing.drops) == {"train[1]": "not a recording's name"}


def in_annotations(root, path):
    return root / "datasets" / "captaincook4d" / "annotations" / path


def test_odd_bytes_and_half_characters_cost_nothing_else(write, make_adapter):
    steps = [step(1, 0, 90, "Add \ud800 salt, cafe")]
    splits = {"train": ["8_1", "8_\ud800"], "val": ["8_2"]}
    root = write({"8_1": steps, "8_\ud800": steps}, splits, errors=[], lengths=["8_1"])
    for path in ("annotation_json/step_annotations.json", "metadata/video_information.csv"):
        file = in_annotations(root, path)
        file.write_bytes(file.read_bytes().replace(b"cafe", b"caf\xe9").replace(b"person_id,", b"person_\xe9,"))
    adapter = make_adapter("captaincook4d", root)
    listing = adapter.list_items()
    assert [item.recording for item in listing.dialogs] == ["8_1", "8_?"]
    annotation = adapter.load_annotation(listing.dialogs[0])
    assert annotation.steps[0].text == "Add ? salt, caf\ufffd"
    assert annotation.duration_s == 100.0
    remark = "not wholly UTF-8, the odd bytes became U+FFFD"
    assert [drop.record.rsplit("/")[-1] for drop in listing.drops if drop.reason == remark] == [
        "step_annotations.json",
        "video_information.csv",
    ]


@pytest.mark.parametrize(
    ("path", "content", "words"),
    [
        ("metadata/video_information.csv", "<html>", "has no columns recording_id"),
        ("metadata/video_information.csv", "", "has no columns recording_id"),
        ("annotation_json/step_annotations.json", "[]", "is not a JSON object"),
        ("annotation_json/step_annotations.json", '{"8_1": null}', "holds no step"),
        ("annotation_json/error_annotations.json", "{}", "is not a JSON list"),
        ("annotation_json/complete_step_annotations.json", '{"8_1":' + "[" * 100_000, "is not valid JSON"),
    ],
)
def test_what_is_not_the_file_stops_with_one_line(write, make_adapter, path, content, words):
    root = write({"8_1": STEPS})
    in_annotations(root, path).write_text(content)
    with pytest.raises(ConfigError, match=words) as caught:
        make_adapter("captaincook4d", root).list_items()
    assert path in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("order", [1, -1])
def test_of_several_lengths_the_longest_counts(write, make_adapter, order):
    root = write({"8_1": STEPS})
    rows = ["8_1,1e308,1", "8_1,-5,2", "8_1,90,3", "8_1,20,4"][::order]
    table = in_annotations(root, "metadata/video_information.csv")
    table.write_text("\n".join(["recording_id,duration(sec),person_id", *rows]))
    in_annotations(root, "annotation_json/complete_step_annotations.json").write_text("{}")
    listing = make_adapter("captaincook4d", root).list_items()
    assert (listing.dialogs[0].duration_s, listing.dialogs[0].participant) == (90.0, "3")
    assert [drop.reason for drop in listing.drops].count("second row of a video, the longest counts") == 3


def test_a_bad_video_row_costs_only_itself(write, make_adapter):
    root = write({"8_1": STEPS, "8_2": STEPS})
    table = in_annotations(root, "metadata/video_information.csv")
    header = table.read_text().splitlines()[0]
    bad = ['8_9,"1,3', "8_1,1", ",1,3,1,50", "x" * 200_000]
    table.write_text("\r\n".join(["\ufeff" + header, *bad, "8_1,1,3,1.67,100.0", "8_2,1,3,1.67,90.0"]))
    listing = make_adapter("captaincook4d", root).list_items()
    assert [item.duration_s for item in listing.dialogs] == [100.0, 90.0]
    named = {drop.record.rpartition(" ")[2]: drop.reason for drop in listing.drops}
    assert named == {
        "0_0": "in the val list but not annotated",
        "2": "a quote that is never closed",
        "3": "2 columns instead of 5",
        "4": "no recording_id",
        "5": "1 columns instead of 5",
    }


def test_a_recording_listed_twice_keeps_its_fuller_record(write, make_adapter):
    """A JSON object may hold a key twice; what counts does not follow from the order."""
    both = [json.dumps({"recording_id": "8_1", "steps": steps}) for steps in (STEPS, STEPS[:1])]
    for order in (1, -1):
        root = write({"8_1": STEPS})
        file = in_annotations(root, "annotation_json/step_annotations.json")
        file.write_text("{" + ", ".join(f'"8_1": {record}' for record in both[::order]) + "}")
        adapter = make_adapter("captaincook4d", root)
        listing = adapter.list_items()
        assert render(adapter.load_annotation(listing.dialogs[0])) == EXPECTED
        assert "listed twice, the fuller record is kept" in [drop.reason for drop in listing.drops]


def test_without_any_end_there_is_no_length(load):
    annotation = load([step(1, -1.0, -1.0, "Mix-mix")], lengths=[])
    assert (annotation.duration_s, annotation.steps, annotation.has_mistake) == (0.0, (), True)


@pytest.mark.parametrize("person", [True, [3], {"a": 1}, float("nan"), "  "])
def test_a_person_that_is_none_is_not_named(write, make_adapter, person):
    root = write({"8_1": STEPS}, lengths=[])
    file = in_annotations(root, "annotation_json/complete_step_annotations.json")
    file.write_text(json.dumps({"8_1": {"activity_name": "Hot Cocoa", "person_id": person}}))
    assert make_adapter("captaincook4d", root).list_items().dialogs[0].participant is None


def test_names_that_no_file_can_have_are_left_out(write, make_adapter):
    names = ["8_1", "a\nb", "../8_1", "x" * 300, "\u2028"]
    listing = make_adapter("captaincook4d", write({"8_1": STEPS}, {"train": names, "val": ["0_0"]})).list_items()
    assert [item.key for item in listing.dialogs] == ["8_1"]
    assert [drop.reason for drop in listing.drops].count("not a recording's name") == 4


def test_odd_error_records_are_named(write, make_adapter):
    odd = {"recording_id": "8_1", "step_annotations": ["x", {"step_id": 77, "errors": [{"tag": "Order Error"}]}, 5]}
    unclear = {
        "recording_id": "8_1",
        "step_annotations": [{"step_id": 2, "start_time": 1.0, "errors": [7, {"tag": 5}]}],
    }
    root = write({"8_1": STEPS})
    file = in_annotations(root, "annotation_json/error_annotations.json")
    lost = ["x", {"recording_id": None}, {"recording_id": "8_1", "step_annotations": "x"}]
    file.write_text(json.dumps([*lost, *json.loads(file.read_text()), odd, unclear]))
    adapter = make_adapter("captaincook4d", root)
    listing = adapter.list_items()
    annotation = adapter.load_annotation(listing.dialogs[0])
    assert render(annotation) == EXPECTED
    listed = [drop.reason for drop in listing.drops]
    assert listed.count("no recording_id") == 2 and listed.count("not a record") == 2
    assert listed.count("no list of annotated steps") == 1
    told = [drop.reason for drop in annotation.drops]
    assert told.count("errors of a step that is not there") == 1 and told.count("neither tag nor description") == 2


def test_an_error_belongs_to_the_nearest_of_the_steps_starts(load):
    errors = [
        {"step_id": 1, "start_time": 9.5, "errors": [{"tag": "Order Error", "description": "too late"}]},
        {"step_id": "1", "start_time": 1.0, "errors": [{"tag": "Timing Error", "description": "too short"}]},
    ]
    steps = [step(1, 1.0, 2.0, "Mix-mix"), step(1, 9.0, 10.0, "Mix-mix"), step(None, 20.0, 21.0, "Mix-mix")]
    expected = ["mistake: Timing Error: Too short", "mistake: Order Error: Too late", ""]
    for order in (1, -1):
        assert [found.note for found in load(steps, errors=errors[::order]).steps] == expected


def test_the_order_of_what_has_none_changes_nothing(write, make_adapter):
    def read(order):
        names = ["8_1", "8_2"][::order]
        errors = [{**entry, "errors": entry["errors"][::order]} for entry in ERRORS[::order]]
        graph = {"steps": dict([*GRAPH["steps"].items()][::order]), "edges": GRAPH["edges"][::order]}
        root = write(dict.fromkeys(names, STEPS), {"train": names, "val": ["0_0"]}, errors=errors, graph=graph)
        adapter = make_adapter("captaincook4d", root)
        dialogs = adapter.list_items().dialogs
        return dialogs, [replace(adapter.load_annotation(item), drops=()) for item in dialogs]

    assert read(1) == read(-1)


def test_errors_listed_twice_are_joined(write, make_adapter):
    root = write({"8_1": STEPS})
    file = in_annotations(root, "annotation_json/error_annotations.json")
    more = {"step_id": 1, "start_time": 50.0, "errors": [{"tag": "Order Error", "description": "Too late"}]}
    file.write_text(json.dumps([*json.loads(file.read_text()), {"recording_id": "8_1", "step_annotations": [more]}]))
    adapter = make_adapter("captaincook4d", root)
    listing = adapter.list_items()
    note = adapter.load_annotation(listing.dialogs[0]).steps[2].note
    assert note == "mistake: Order Error: Too late; Technique Error: Mix with a fork"
    assert reasons(listing.drops)["second error record"] == "its steps were added to the first's"


@pytest.mark.parametrize(
    "content", ['{"steps":', '{"steps": {"1": "Mix-mix"}, "edges": 5}', '{"steps": {"1": "Mix-mix"}}']
)
def test_a_broken_graph_costs_only_its_recipes_order(write, make_adapter, content):
    root = write({"8_1": STEPS})
    graph = in_annotations(root, "task_graphs/hotcocoa.json")
    other = graph.with_name("other.json")
    other.write_text(content)
    adapter = make_adapter("captaincook4d", root)
    good = adapter.load_annotation(adapter.list_items().dialogs[0])
    assert good.knowledge.splitlines()[1] == "1. Boil the milk" and "task graph" not in reasons(good.drops)
    graph.write_text(content)
    adapter = make_adapter("captaincook4d", root)
    bad = adapter.load_annotation(adapter.list_items().dialogs[0])
    assert bad.knowledge.splitlines()[1:3] == ["1. Boil the milk", "2. Mix it all"]
    assert "steps as listed in the recording" in reasons(bad.drops)["task graph"]


def test_a_missing_recipe_name_is_that_of_the_activity(write, make_adapter):
    root = write(dict.fromkeys(("8_1", "8_2", "8_3", "9_1"), STEPS))
    file = in_annotations(root, "annotation_json/complete_step_annotations.json")
    activities = json.loads(file.read_text())
    activities["8_1"]["activity_name"] = ["odd"]
    del activities["8_2"]
    del activities["9_1"]["activity_name"]
    file.write_text(json.dumps(activities))
    adapter = make_adapter("captaincook4d", root)
    found = [adapter.load_annotation(item) for item in adapter.list_items().dialogs]
    assert [annotation.goal for annotation in found] == [*["Make Hot Cocoa"] * 3, "Make recipe 9"]
    assert found[0].knowledge == found[2].knowledge
    remarks = [reasons(annotation.drops).get("activity_name") for annotation in found]
    by_activity = "no recipe name, that of activity 8 used"
    assert remarks == [by_activity, by_activity, None, "no recipe name, activity number used"]


def test_published_sample(sample_root, make_adapter):
    adapter = make_adapter("captaincook4d", sample_root)
    listing = adapter.list_items()
    assert [item.split for item in listing.dialogs].count("train") == 6
    annotations = {item.key: adapter.load_annotation(item) for item in listing.dialogs}
    drops = [drop.reason for annotation in annotations.values() for drop in annotation.drops]
    assert sorted(drops) == [
        "end cut to the video",
        "listed out of time order, sorted",
        "listed out of time order, sorted",
        "skipped step",
        "skipped step",
    ]
    assert sum(len(annotation.steps) for annotation in annotations.values()) == 12 + 11 + 5 * 7 + 6 + 7
    assert [key for key, annotation in annotations.items() if annotation.has_mistake] == ["1_10", "8_33", "8_40"]
    assert annotations["8_33"].steps[2].note == "mistake: Measurement Error: Add 5 pieces of chocolate to the mug"
    assert min(annotation.ann_ratio for annotation in annotations.values()) > 0.5


def test_raw_records_are_those_of_the_recording(write, make_adapter):
    adapter = make_adapter("captaincook4d", write({"8_1": STEPS, "8_2": STEPS[:1], "8_3": "broken"}))
    item = adapter.list_items().dialogs[0]
    records = {record.where.rpartition("/")[2]: record.value for record in adapter.load_records(item)}
    assert [records[f"step_annotations.json 8_1 steps[{n}]"] for n in range(len(STEPS))] == STEPS
    assert records["error_annotations.json 8_1 step_annotations[0]"] == ERRORS[0]
    assert records["complete_step_annotations.json 8_1"]["person_id"] == 3
    assert records["video_information.csv 8_1"]["duration(sec)"] == "100.0"
    assert records["task_graphs Hot Cocoa"] == GRAPH
    assert len(records) == len(STEPS) + len(ERRORS) + 3
    with pytest.raises(ItemError, match="8_3"):
        adapter.load_records(replace(item, recording="8_3"))


def test_needs_are_found_where_they_are_read(write, make_adapter):
    adapter = make_adapter("captaincook4d", write({"8_1": STEPS}))
    needs = adapter.list_needs()
    assert all(any(adapter.source.root.glob(need.path)) for need in needs)
    assert [need.path for need in needs if not need.is_required] == ["annotations/task_graphs/*.json"]
