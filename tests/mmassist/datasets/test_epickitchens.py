import csv
import json
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmassist.core.config import build
from mmassist.core.errors import ConfigError, ItemError
from mmassist.core.item import Drop
from mmassist.datasets import build_dataset_config
from mmassist.datasets.assignment import assign
from mmassist.dialog.annotation import cut_clips
from mmassist.stages.generate import GenerateConfig
from tests.mmassist.datasets.source_samples import load_settings, reasons, render
from tools.demo.epickitchens import COLUMNS
from tools.demo.publication import publish

SETTINGS = load_settings("epickitchens")
DATASET = SETTINGS["dataset"]
INFO = "video_id,duration,fps,resolution"


def row(id, start, stop, text, video="P01_01", participant=None):
    """One row of a table of actions; the columns that are not read say nothing."""
    who = video.split("_")[0] if participant is None else participant
    return [id, who, video, "", start, stop, "0", "0", text, "verb", "0", "noun", "0", "['noun']", "[0]"]


def clock(t):
    return f"{int(t // 3600):02d}:{int(t // 60 % 60):02d}:{t % 60:05.2f}"


def rows_of(video, num=4):
    return [row(f"{video}_{n}", clock(10 * n), clock(10 * n + 8), f"take thing {n}", video) for n in range(num)]


ROWS = [
    row("P01_01_10", "00:00:30.00", "00:00:39.50", "put down mug, jug and v60"),
    row("P01_01_0", "00:00:01.25", "00:00:05.00", "open door"),
    row("P01_01_1", "00:00:04.00", "00:00:20.00", "  turn on\n light "),
]
EXPECTED = """\
[1.2s-5.0s] open door
[4.0s-20.0s] turn on light
[30.0s-39.5s] put down mug, jug and v60
"""
VAL = rows_of("P02_101")


@pytest.fixture
def write(tmp_path):
    """``write(train, val, info)`` makes a DATA_ROOT_DIR; every video of ``info`` lasts 50 s unless it says more."""
    root = tmp_path / "datasets" / DATASET["raw_dir"]

    def put(path, header, rows):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        with (root / path).open("w", newline="", encoding="utf-8") as file:
            # the writer does not quote a lone carriage return by itself
            quoting = csv.QUOTE_ALL if any("\r" in cell for line in rows for cell in line) else csv.QUOTE_MINIMAL
            csv.writer(file, lineterminator="\n", quoting=quoting).writerows([header, *rows])

    def make(train=ROWS, val=VAL, info=("P01_01", "P02_101")):
        put(DATASET["train_file"], COLUMNS, train)
        put(DATASET["val_file"], COLUMNS, val)
        rows = [[entry, "50.0", "59.94", "1920x1080"] if isinstance(entry, str) else entry for entry in info]
        put(DATASET["videos_file"], INFO.split(","), rows)
        return tmp_path

    return make


@pytest.fixture
def load(write, make_adapter):
    """Annotation of P01_01 with the given rows."""

    def annotate(train=ROWS, compat=False, **more):
        adapter = make_adapter("epickitchens", write(train, **more), compat)
        return adapter.load_annotation(adapter.list_items().dialogs[0])

    return annotate


def test_steps_are_the_narrations_in_order_of_time(load):
    annotation = load()
    assert render(annotation) == EXPECTED
    assert annotation.ann_ratio == pytest.approx((18.75 + 9.5) / 50)  # a second of overlap counts once
    assert (annotation.duration_s, annotation.fps, annotation.start_s, annotation.goal) == (50.0, 59.94, 0.0, "")
    assert (annotation.domain, annotation.knowledge_type, annotation.drops) == ("cooking", "cooking recipe", ())


def test_the_reference_counts_overlaps_twice_and_keeps_texts(load):
    annotation = load(compat=True)
    assert annotation.ann_ratio == pytest.approx((3.75 + 16 + 9.5) / 50)
    assert [step.text for step in annotation.steps][1] == "turn on\n light"
    late = load([row("a", "00:00:40.00", "00:01:40.00", "wait"), row("b", "x", "00:01:40.00", "wait")], compat=True)
    assert [step.end_s for step in late.steps] == [100.0]
    assert reasons(late.drops) == {"b": "no start or end time"}


@pytest.mark.parametrize(
    ("start", "stop", "text", "span", "reason"),
    [
        ("00:00:10.00", "00:00:12.00", "", None, "no narration"),
        ("00:00:10.00", "00:00:12.00", " NaN ", None, "no narration"),
        ("", "00:00:12.00", "wait", None, "no start time"),
        ("nan", "00:00:12.00", "wait", None, "no start time"),
        ("10.5", "00:00:12.00", "wait", None, "no start time"),
        ("-00:00:10.00", "00:00:12.00", "wait", None, "no start time"),
        ("99999999:00:10.00", "00:00:12.00", "wait", None, "no start time"),
        ("00:00:50.00", "00:00:52.00", "wait", None, "beyond the video"),
        ("00:00:10.00", "", "wait", (10, 10), "no usable end time, made an instant"),
        ("00:00:10.00", "inf", "wait", (10, 10), "no usable end time, made an instant"),
        ("00:00:12.00", "00:00:10.00", "wait", (12, 12), "no usable end time, made an instant"),
        ("00:00:10.00", "00:00:10.00", "wait", (10, 10), None),
        ("00:00:49.00", "00:00:50.01", "wait", (49, 50), "end cut to the video"),
        ("00:00:10", "00:00:12.", "wait", (10, 12), None),
        ("00:00:01.25", "00:00:05.00", "open door ", None, "copy of another step"),
        ("00:00:01.25", "00:00:05.00", "look around", (1.25, 5), None),
        ("00:00:10.00", "00:00:12.00", "caf\ufffd", (10, 12), "bytes that are not UTF-8 became U+FFFD"),
    ],
)
def test_a_bad_row_costs_only_itself(load, start, stop, text, span, reason):
    annotation = load([*ROWS, row("P01_01_99", start, stop, text)])
    assert reasons(annotation.drops) == ({"P01_01_99": reason} if reason else {})
    others = [step for step in annotation.steps if (step.start_s, step.end_s, step.text) != (*(span or ()), text)]
    assert render(replace(annotation, steps=tuple(others))) == EXPECTED
    assert len(annotation.steps) - len(others) == (span is not None)


def test_a_row_without_an_id_is_named_by_its_place(load):
    assert reasons(load([*ROWS, row("", "", "", "wait")]).drops) == {f"{DATASET['train_file']} line 6": "no start time"}


def test_odd_tables_are_read(write, make_adapter):
    root = write()
    file = root / "datasets" / DATASET["raw_dir"] / DATASET["train_file"]
    extra = 'P01_01_7,P01,P01_01,,00:00:21.00\nP01_01_8,P01,P01_01,,"00:00:22.00\n'
    text = file.read_text() + extra + ",".join(row("P01_01_9", "00:00:25.00", "00:00:26.00", "caf\ufffd")) + "\n\n"
    file.write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode().replace("\ufffd".encode(), b"\xe9"))
    adapter = make_adapter("epickitchens", root)
    listing = adapter.list_items()
    assert [(drop.recording, drop.record.rsplit("/")[-1], drop.reason) for drop in listing.drops] == [
        ("P01_01", "EPIC_100_train.csv line 6", "5 columns instead of 15"),
        ("P01_01", "EPIC_100_train.csv line 7", "a quote that is never closed"),
    ]
    shown = {record.where.rsplit(" ", 1)[-1]: record.value for record in adapter.load_records(listing.dialogs[0])}
    assert shown["6"] == ["P01_01_7", "P01", "P01_01", "", "00:00:21.00"] and "7" in shown
    annotation = adapter.load_annotation(listing.dialogs[0])
    assert [step.text for step in annotation.steps].count("caf\ufffd") == 1 and len(annotation.steps) == 4


def test_listing_and_its_drops(write, make_adapter):
    odd = [
        row("x_1", "00:00:01.00", "00:00:02.00", "wait", "", ""),
        row("x_2", "00:00:01.00", "00:00:02.00", "wait", "../P01_01", "P01"),
        row("P03_01_0", "00:00:01.00", "00:00:02.00", "wait", "P03_01", "P04"),
        row("x_3", "00:00:01.00", "00:00:02.00", "wait", "P01_" + "0" * 300),  # no file can have that name
    ]
    adapter = make_adapter("epickitchens", write([*ROWS, *odd, *rows_of("P02_101", 1)]))
    listing = adapter.list_items()
    assert [(i.key, i.recording, i.split, i.participant, i.duration_s) for i in listing.dialogs] == [
        ("P01_01", "P01_01", "train", "P01", 50.0),
        ("P02_101", "P02_101", "val", "P02", 50.0),
        ("P03_01", "P03_01", "train", "P03", 2.0),
    ]
    assert [i.key for i in listing.media] == [i.media_key for i in listing.dialogs]
    table = DATASET["train_file"]
    assert set(listing.drops) == {
        Drop("", f"{table} line 9", "no video_id of the form P01_01"),
        Drop("", f"{table} line 6", "no video_id of the form P01_01"),
        Drop("", f"{table} line 7", "no video_id of the form P01_01"),
        Drop("P03_01", "P03_01_0", "another participant_id than the video's, which counts"),
        Drop("P02_101", table, f"also in {DATASET['val_file']}, which wins"),
    }
    # its rows of both tables count, and what both say counts once
    annotation = adapter.load_annotation(listing.dialogs[1])
    assert len(annotation.steps) == 4 and reasons(annotation.drops) == {"P02_101_0": "copy of another step"}


def test_a_row_of_no_video_in_the_table_of_videos_is_named(write, make_adapter):
    listing = make_adapter("epickitchens", write(info=["P01_01", ["", "5", "50", ""], "P02_101"])).list_items()
    assert listing.drops == (Drop("", f"{DATASET['videos_file']} line 3", "no video_id of the form P01_01"),)


def test_an_id_over_two_lines_names_its_row_in_one(load):
    annotation = load([*ROWS, row("P01_01\n_7", "", "00:00:02.00", "wait")])
    assert reasons(annotation.drops)["P01_01 _7"] == "no start time"


def test_length_comes_from_the_table_of_videos(load):
    without = load(info=["P02_101", ["P01_01", "nan", "x", ""]])
    assert (without.duration_s, without.fps) == (39.5, None)
    assert reasons(without.drops) == {"duration": "no usable length, the last action's end used"}
    assert load(info=[]).duration_s == 39.5
    for lengths in (["45", "60", "-5"], ["60", "", "45"]):
        assert load(info=[["P01_01", length, "50", ""] for length in lengths]).duration_s == 60.0


def test_a_second_row_of_a_video_is_noted(write, make_adapter):
    listing = make_adapter("epickitchens", write(info=["P01_01", "P02_101", "P01_01", "P99_01"])).list_items()
    reason = "second row of a video, the longest counts"
    assert listing.drops == (Drop("P01_01", f"{DATASET['videos_file']} line 4", reason),)


# ---- videos


def media(root, make_adapter, *files, which="needed"):
    folder = root / "datasets" / DATASET["raw_dir"]
    for file in files:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_bytes(b"video")
    listing = make_adapter("epickitchens", root).list_items(which)
    prefix = f"datasets/{DATASET['raw_dir']}/"
    return {i.key: (i.sources[0].removeprefix(prefix), i.split) for i in listing.media}, listing.drops


@pytest.mark.parametrize(
    ("files", "found"),
    [
        ([], ("EK55/videos/train/P01/P01_01.MP4", "EK100/P02/videos/P02_101.MP4")),
        (
            ["EK55/videos/test/P01/P01_01.MP4", "EK55/videos/test/P02/P02_101.mp4"],
            ("EK55/videos/test/P01/P01_01.MP4", "EK55/videos/test/P02/P02_101.mp4"),
        ),
        (
            ["EK100/P01/videos/P01_01.MP4", "EK100/P02/videos/P02_101.mp4"],
            ("EK100/P01/videos/P01_01.MP4", "EK100/P02/videos/P02_101.mp4"),
        ),
        # a folder of that name, another participant's folder, other names
        (
            [
                "EK55/videos/train/P01/P01_01.MP4/x",
                "EK55/videos/test/P02/P01_01.MP4",
                "EK55/videos/test/P01/P01_01.tar",
            ],
            ("EK55/videos/train/P01/P01_01.MP4", "EK100/P02/videos/P02_101.MP4"),
        ),
    ],
)
def test_videos_are_found_in_both_trees(write, make_adapter, files, found):
    sources, drops = media(write(), make_adapter, *files)
    assert (sources["P01_01"][0], sources["P02_101"][0]) == found
    assert drops == ()


def test_of_two_files_the_one_in_its_own_tree_counts(write, make_adapter):
    old, new = "EK55/videos/test/{0}/{1}.MP4", "EK100/{0}/videos/{1}.MP4"
    ids = [("P01", "P01_01"), ("P02", "P02_101")]
    sources, drops = media(write(), make_adapter, *[tree.format(*names) for names in ids for tree in (old, new)])
    assert [path for path, _ in sources.values()] == [old.format(*ids[0]), new.format(*ids[1])]
    reason = "another file of the same video, not used"
    assert drops == (Drop("P01_01", new.format(*ids[0]), reason), Drop("P02_101", old.format(*ids[1]), reason))


def test_all_videos_on_disk(write, make_adapter):
    files = [
        "EK55/videos/test/P01/P01_12.MP4",
        "EK100/P30/videos/P30_101.mp4",
        "EK100/P30/videos/clip.MP4",
        "EK100/P31/videos/P30_102.MP4",
    ]
    root = write()
    assert media(root, make_adapter, *files)[0].keys() == {"P01_01", "P02_101"}
    sources, _ = media(root, make_adapter, which="all")
    assert sources["P01_12"] == (files[0], "test") and sources["P30_101"] == (files[1], "test")
    assert sources["P02_101"][1] == "val" and len(sources) == 4


# ---- stable, and nothing lost

ODD_ROWS = [
    *ROWS,
    *rows_of("P01_02"),
    row("P01_02_9", "", "", "wait", "P01_02"),
    row("P01_02_9", "00:00:05.00", "00:00:04.00", "wait", "P01_02"),
    row("P01_02_11", "00:00:00.00", "00:00:08.00", "take thing 0", "P01_02"),
    row("P01_02_12", "00:00:00.00", "00:00:08.00", "take thing 0", "P01_02"),
]


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.randoms())
def test_the_order_of_rows_does_not_matter(write, make_adapter, rng):
    def read(shuffle):
        train, info = list(ODD_ROWS), ["P01_01", "P02_101", ["P01_02", "30", "25", ""], ["P01_02", "44", "50", ""]]
        if shuffle:
            rng.shuffle(train)
            rng.shuffle(info)
        adapter = make_adapter("epickitchens", write(train, info=info))
        listing = adapter.list_items()
        return listing.dialogs, listing.media, [adapter.load_annotation(item) for item in listing.dialogs]

    assert read(True) == read(False)


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
times = st.one_of(texts, st.floats(-20, 90).map(lambda t: clock(abs(t))), st.sampled_from(["", "nan", "00:00:50.00"]))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(times, times, texts), max_size=8))
def test_every_row_is_a_step_or_a_drop(write, make_adapter, cells):
    rows = [row(f"P01_01_{n}", *cell) for n, cell in enumerate(cells)]
    adapter = make_adapter("epickitchens", write([*rows, *rows_of("P03_01")]))
    listing = adapter.list_items()
    if not rows:
        return
    annotation = adapter.load_annotation(listing.dialogs[0])
    repaired = ("no usable end time", "end cut", "bytes that are not")
    lost = [drop for drop in annotation.drops if not drop.reason.startswith(repaired)]
    assert len(annotation.steps) + len(lost) + len(listing.drops) == len(rows)
    assert all(0 <= step.start_s <= step.end_s <= 50 and step.text for step in annotation.steps)
    assert list(annotation.steps) == sorted(annotation.steps, key=lambda step: (step.start_s, step.end_s, step.text))
    assert 0 <= annotation.ann_ratio <= 1


def test_digest_follows_what_is_read_and_nothing_else(write, make_adapter):
    def digest(train=ROWS, **more):
        return make_adapter("epickitchens", write(train, **more)).list_items().dialogs[0].digest

    def change(place, value):
        return [[*ROWS[0][:place], value, *ROWS[0][place + 1 :]], *ROWS[1:]]

    first = digest()
    unread = [change(place, "7") for place in (3, 6, 7, 9, 10, 11, 12, 13, 14)]
    assert {digest(rows) for rows in unread} == {first} == {digest(val=rows_of("P05_01"))}
    assert digest(change(8, "wait\r\nhere")) == digest(change(8, "wait\nhere"))
    read = [change(0, "P01_01_3"), change(4, "00:00:29.00"), change(5, "00:00:31.00"), change(8, "wait"), ROWS[1:]]
    others = [digest(rows) for rows in read] + [digest(info=[["P01_01", "51", "50", ""]]), digest(info=[])]
    assert len({first, *others}) == 8


# ---- the files as a whole


@pytest.mark.parametrize("key", ["train_file", "val_file", "videos_file"])
@pytest.mark.parametrize(
    ("content", "words"), [(None, "does not exist"), ("", "has no column"), ("<html>", "has no column")]
)
def test_what_is_not_the_file_stops_with_one_line(write, make_adapter, key, content, words):
    root = write()
    file = root / "datasets" / DATASET["raw_dir"] / DATASET[key]
    file.unlink() if content is None else file.write_text(content)
    with pytest.raises(ConfigError, match=words) as caught:
        make_adapter("epickitchens", root).list_items()
    assert str(file) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(("train", "val"), [([], VAL), (ROWS, []), (ROWS, [row("a", "", "", "b", "c", "")])])
def test_a_table_without_actions_stops(write, make_adapter, train, val):
    with pytest.raises(ConfigError, match="holds no action of any video"):
        make_adapter("epickitchens", write(train, val)).list_items()


def test_needs_and_raw_records(write, make_adapter):
    adapter = make_adapter("epickitchens", write())
    root = adapter.source.root
    assert [(root / need.path).is_file() for need in adapter.list_needs()] == [True] * 3
    item = adapter.list_items().dialogs[0]
    records = adapter.load_records(item)
    assert json.loads(json.dumps(records[0].value)) == records[0].value
    assert (records[0].where, records[0].value["narration"]) == (f"{DATASET['train_file']} line 2", ROWS[0][8])
    assert records[-1].where == f"{DATASET['videos_file']} line 2" and records[-1].value["duration"] == "50.0"
    absent = replace(item, recording="P09_09")
    for read in (adapter.load_records, adapter.load_annotation):
        with pytest.raises(ItemError, match="P09_09 is in neither"):
            read(absent)


def test_folders_without_a_place_for_the_participant_are_refused():
    with pytest.raises(ConfigError, match="extension_folders"):
        build_dataset_config({**DATASET, "extension_folders": ["EK100/videos"]}, "dataset")


def test_a_window_closes_with_its_twentieth_step(load):
    config = build(GenerateConfig, SETTINGS["generate"], "generate")
    rows = [row(f"P01_01_{n}", clock(n), clock(n + 0.5), f"take thing {n}") for n in range(45)]
    clips = cut_clips(load(rows), config.clip_rule, compat=False)
    assert [(clip.first_step, clip.last_step) for clip in clips] == [(0, 20), (20, 40), (40, 45)]
    assert [len(clip.text.splitlines()) for clip in clips] == [24, 29, 10]


# ---- the publisher's own files


def test_published_reference_output(sample_data, sample_root, make_adapter):
    path = sample_data / "extra/proassist-outputs/epickitchens/generated_dialogs/P01_01.json"
    expected = json.loads(path.read_text())["parsed_video_anns"]
    adapter = make_adapter("epickitchens", sample_root, compat=True)
    annotation = adapter.load_annotation(next(i for i in adapter.list_items().dialogs if i.key == "P01_01"))
    assert render(annotation) == expected["all_step_descriptions"] + "\n"
    assert annotation.ann_ratio == pytest.approx(expected["ann_ratio"], abs=1e-12)
    assert (annotation.duration_s, len(annotation.steps)) == (expected["duration"], expected["num_steps"])


def test_published_sample(sample_root, make_adapter):
    adapter = make_adapter("epickitchens", sample_root)
    listing = adapter.list_items()
    assert Counter(item.split for item in listing.dialogs) == {"train": 6, "val": 4}
    annotations = {item.key: adapter.load_annotation(item) for item in listing.dialogs}
    assert sum(len(annotation.steps) for annotation in annotations.values()) == 713
    assert listing.drops == () and not any(annotation.drops for annotation in annotations.values())
    assert {key: round(annotation.ann_ratio, 3) for key, annotation in annotations.items()} == {
        "P01_01": 0.754,
        "P01_11": 0.822,
        "P02_15": 0.663,
        "P04_15": 0.276,
        "P09_07": 0.692,
        "P12_05": 0.419,
        "P26_27": 0.091,
        "P26_32": 0.378,
        "P28_107": 0.179,
        "P30_104": 0.885,
    }
    audit = assign(listing.dialogs, {}, 42, "halve_val", "participant", 0.5).audit
    assert [(row.side, row.num_recordings) for row in audit.rows] == [("train", 8), ("val", 1), ("test", 1)]
    assert [move.recording for move in audit.moves] == ["P01_11", "P26_32"]


def test_people_of_both_tables_do_not_empty_the_evaluation(write, make_adapter):
    """Everybody in val is in train, too: without ``keep_eval`` nothing is left to evaluate on."""
    train = [r for n in range(10) for r in rows_of(f"P{n:02d}_01", 1)]
    val = [r for n in range(8) for r in rows_of(f"P{n:02d}_11", 1)]
    items = make_adapter("epickitchens", write(train, val, info=[])).list_items().dialogs
    counts = {}
    for keep in (0.0, SETTINGS["split"]["keep_eval"]):
        assigned = assign(items, {}, 42, "halve_val", "participant", keep)
        assert assigned.audit.shared_participants == {}
        counts[keep] = assigned.counts()
    assert counts[0.0] == {"train": 18, "val": 0, "test": 0}
    assert counts[0.5] == {"train": 14, "val": 2, "test": 2}


def test_the_demonstration_is_read_without_repairs(tmp_path, make_adapter):
    made = publish("epickitchens")
    for name, content in {**made.files, **dict.fromkeys(made.pictures, b"video")}.items():
        path = tmp_path / "datasets" / made.raw_dir / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    adapter = make_adapter("epickitchens", tmp_path)
    listing = adapter.list_items()
    assert {item.sources[0].split("/", 2)[2] for item in listing.media} == made.pictures.keys()
    for item in listing.dialogs:
        annotation = adapter.load_annotation(item)
        assert annotation.drops == () and annotation.ann_ratio > 0.7 and len(annotation.steps) >= 10
    split = SETTINGS["split"]
    sides = assign(listing.dialogs, {}, 42, split["official_eval"], split["group_by"], split["keep_eval"])
    assert sides.counts() == {"train": 4, "val": 1, "test": 1}
    assert publish("epickitchens").files == made.files
