import csv
import json
from dataclasses import replace
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmassist.core.config import build
from mmassist.core.errors import ConfigError, ItemError
from mmassist.core.item import Drop
from mmassist.datasets import build_dataset_config
from mmassist.datasets.assignment import assign
from mmassist.datasets.egoexolearn import LATEST_S, split_of
from mmassist.datasets.egoexolearn_rows import Row
from mmassist.datasets.egoexolearn_tasks import KITCHEN_TASKS, LAB_TASKS
from mmassist.datasets.egoexolearn_text import choose_text
from mmassist.dialog.annotation import cut_clips
from mmassist.dialog.knowledge import known_tasks
from mmassist.dialog.prompts import match_prompt
from mmassist.stages.generate import GenerateConfig
from tests.mmassist.datasets.source_samples import load_settings, reasons, render
from tools.demo.egoexolearn import COLUMNS
from tools.demo.publication import publish

SETTINGS = load_settings("egoexolearn")
DATASET = SETTINGS["dataset"]
FILE = DATASET["annotation_file"]
KITCHEN, LAB, OTHER = "bee1-a", "bee2-b", "bee3-c"  # the rows of each are of one subset


def row(id, start, end, plain, video=KITCHEN, subset="train", view="ego", scene="kitchen", text=None):
    return [video, id, subset, view, scene, str(start), str(end), plain if text is None else text, plain, plain]


ROWS = [
    row("b", 30.0, 39.5, "Put down the mug, jug\nand bowl."),
    row("a", 2.5, 5.0, "Open the door."),
    row("c", 4.0, 20.00000000000001, " Turn on\u200b the  light."),
]
EXPECTED = """\
[2.5s-5.0s] Open the door.
[4.0s-20.0s] Turn on the light.
[30.0s-39.5s] Put down the mug, jug and bowl.
"""
VAL = [row("v", 1.0, 9.0, "Wash the cells.", LAB, "val", scene="lab")]


@pytest.fixture
def write(tmp_path):
    """``write(rows, header)`` makes a DATA_ROOT_DIR."""
    path = tmp_path / "datasets" / DATASET["raw_dir"] / FILE

    def make(rows=(*ROWS, *VAL), header=COLUMNS):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", newline="", encoding="utf-8") as file:
            # the writer does not quote a lone carriage return by itself
            quoting = csv.QUOTE_ALL if any("\r" in cell for line in rows for cell in line) else csv.QUOTE_MINIMAL
            csv.writer(file, lineterminator="\n", quoting=quoting).writerows([header, *rows])
        return tmp_path

    return make


@pytest.fixture
def load(write, make_adapter):
    """Annotation of the kitchen video with the given rows."""

    def annotate(rows=ROWS, compat=False):
        adapter = make_adapter("egoexolearn", write([*rows, *VAL]), compat)
        return adapter.load_annotation(adapter.list_items().dialogs[0])

    return annotate


def test_steps_are_the_narrations_in_order_of_time(load):
    annotation = load()
    assert render(annotation) == EXPECTED
    assert (annotation.start_s, annotation.duration_s) == (0.0, 39.5)
    assert annotation.ann_ratio == pytest.approx((17.5 + 9.5) / 39.5)  # a second of overlap counts once
    assert (annotation.domain, annotation.knowledge_type, annotation.goal) == ("cooking", "cooking recipe", "")
    assert annotation.known_tasks == KITCHEN_TASKS
    assert reasons(annotation.drops) == {"c": "invisible characters taken out"}


def test_a_laboratory(write, make_adapter):
    adapter = make_adapter("egoexolearn", write())
    annotation = adapter.load_annotation(adapter.list_items().dialogs[1])
    assert (annotation.domain, annotation.knowledge_type) == ("lab task", "lab task steps")
    assert annotation.known_tasks == LAB_TASKS


def test_the_reference_measures_from_the_first_action(load):
    annotation = load(compat=True)
    assert annotation.duration_s == 37.0
    assert annotation.ann_ratio == pytest.approx((2.5 + 16 + 9.5) / 37)
    assert [step.text for step in annotation.steps][1:] == [
        "Turn on\u200b the  light.",
        "Put down the mug, jug\nand bowl.",
    ]
    assert len(annotation.known_tasks) == 8
    # its length ends with the action that begins last, not with the one that ends last
    assert (
        load([row("a", 1, 50, "Wait."), row("b", 3, 4, "Sit."), row("x", "", 4, "Sit.")], compat=True).duration_s == 3.0
    )


@pytest.mark.parametrize(
    ("start", "end", "text", "span", "reason"),
    [
        (10, 12, "", None, "no narration"),
        (10, 12, "nan", None, "no narration"),
        (10, 12, "\u200b", None, "no narration"),
        ("", 12, "Wait.", None, "no start time"),
        ("nan", 12, "Wait.", None, "no start time"),
        ("soon", 12, "Wait.", None, "no start time"),
        (LATEST_S, LATEST_S + 2, "Wait.", None, "no start time"),
        ("-3", "-1", "Wait.", None, "before the video"),
        ("-3", 12, "Wait.", (0, 12), "start moved to 0"),
        (10, "", "Wait.", (10, 10), "no usable end time, made an instant"),
        (10, "inf", "Wait.", (10, 10), "no usable end time, made an instant"),
        (10, LATEST_S, "Wait.", (10, 10), "no usable end time, made an instant"),
        (12, 10, "Wait.", (12, 12), "no usable end time, made an instant"),
        (10, 10, "Wait.", (10, 10), None),
        (2.5, "5.00", "Open  the door.", None, "copy of another step"),
        (2.5, 5, "Look around.", (2.5, 5), None),
        (10, 12, "Caf\ufffd.", (10, 12), "bytes that are not UTF-8 became U+FFFD"),
    ],
)
def test_a_bad_row_costs_only_itself(load, start, end, text, span, reason):
    annotation = load([*ROWS, row("x", start, end, text)])
    drops = reasons(annotation.drops)
    del drops["c"]
    assert drops == ({"x": reason} if reason else {})
    others = [step for step in annotation.steps if (step.start_s, step.end_s, step.text) != (*(span or ()), text)]
    assert render(replace(annotation, steps=tuple(others))) == EXPECTED
    assert len(annotation.steps) - len(others) == (span is not None)


@pytest.mark.parametrize(
    ("plain", "text", "chosen", "reason"),
    [
        ("Cut it.", "Cut it by hand.", "Cut it.", ""),
        ("", "Cut it  by hand.", "Cut it by hand.", "no usable narration without hands, narration_en used"),
        ("Rephrase the sentence as:\nShake it.", "x", "Shake it.", "the machine's task taken off"),
        ("rephrase this sentence: Shake it.", "x", "Shake it.", "the machine's task taken off"),
        ("Video 1: Cut it.\nVideo 2: Put it away.", "x", "Cut it. Put it away.", "numbered answers joined"),
        ("Video 1: Cut it.\nVideo 2: Cut it.\n", "x", "Cut it.", "numbered answers joined"),
        ("Video 1:\nVideo 2:", "Cut.", "Cut.", "no usable narration without hands, narration_en used"),
        ("Show video 1: the start.", "x", "Show video 1: the start.", ""),
        ("Ask him to please provide the bowl.", "x", "Ask him to please provide the bowl.", ""),
        (
            "I'm ready to translate! Please provide the sentences",
            "Cut.",
            "Cut.",
            "no usable narration without hands, narration_en used",
        ),
        (
            "I’m ready to translate!",
            "Please provide the sentences.",
            "",
            "a remark of the translating machine instead of a narration",
        ),
        ("Rephrase the sentence as:", "", "", "no narration"),
        (
            "",
            "Rephrase the sentence as: Add\u200b it.",
            "Add it.",
            "no usable narration without hands, narration_en used, invisible characters taken out, the machine's task "
            "taken off",
        ),
    ],
)
def test_what_machines_left_in_the_texts(plain, text, chosen, reason):
    assert choose_text(plain, text) == (chosen, reason)


def test_rows_that_belong_to_no_ego_video_are_listed(write, make_adapter):
    odd = [
        *[row(f"e{n}", n, n + 1, "Cut.", "2c26-x", view="exo") for n in range(5)],
        row("w1", 1, 2, "Cut.", "", "train"),
        row("w2", 1, 2, "Cut.", "../x", "train"),
        row("w6", 1, 2, "Cut.", "x" * 300, "train"),  # no file can have that name
        row("w3", 1, 2, "Cut.", view=""),
        row("w4", 1, 2, "Cut.", subset="test"),
        row("w5", 1, 2, "Cut.", OTHER, subset=""),
    ]
    adapter = make_adapter("egoexolearn", write([*odd, *ROWS, *VAL, ["short", "row"]]))
    listing = adapter.list_items()
    assert [(i.key, i.split, i.duration_s, i.participant) for i in listing.dialogs] == [
        (KITCHEN, "train", 39.5, None),
        (LAB, "val", 9.0, None),
    ]
    assert set(listing.drops) == {
        Drop("", f"{FILE}, 5 rows", "filmed from outside, not used"),
        Drop("", f"{FILE} line 7", "no usable video_uid"),
        Drop("", f"{FILE} line 8", "no usable video_uid"),
        Drop("", f"{FILE} line 9", "no usable video_uid"),
        Drop(KITCHEN, f"{FILE} line 10", "view is neither ego nor exo"),
        Drop(KITCHEN, f"{FILE} line 11", "subset is neither train nor val"),
        Drop(OTHER, f"{FILE} line 12", "subset is neither train nor val"),
        Drop("short", f"{FILE} line 20", "2 columns instead of 10"),
    }
    assert [item.sources for item in listing.media] == [
        (f"datasets/EgoExoLearn/videos/{name}.mp4",) for name in (KITCHEN, LAB)
    ]
    assert [item.duration_s for item in listing.media] == [None, None]  # the table does not say


def test_all_videos_on_disk_are_media_if_asked_for(write, make_adapter):
    root = write()
    folder = root / "datasets" / DATASET["raw_dir"] / "videos"
    folder.mkdir()
    for name in (KITCHEN, "2c26-x"):
        (folder / f"{name}.mp4").write_bytes(b"")
    listing = make_adapter("egoexolearn", root).list_items("all")
    assert [(item.key, item.split) for item in listing.media] == [("2c26-x", "test"), (KITCHEN, "train"), (LAB, "val")]


def test_the_other_name_of_the_id_and_odd_bytes(write, make_adapter):
    header = ["annotation_uid" if name == "annotation_id" else name for name in COLUMNS]
    root = write([*ROWS, row("", 60, 70, "Caf\ufffd."), *VAL], header)
    file = root / "datasets" / DATASET["raw_dir"] / FILE
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes().replace(b"\n", b"\r\n").replace("\ufffd".encode(), b"\xe9"))
    adapter = make_adapter("egoexolearn", root)
    annotation = adapter.load_annotation(adapter.list_items().dialogs[0])
    assert [step.text for step in annotation.steps][-2:] == ["Put down the mug, jug and bowl.", "Caf\ufffd."]
    assert reasons(annotation.drops)[f"{FILE} line 8"] == "bytes that are not UTF-8 became U+FFFD"


def test_an_id_over_two_lines_names_its_row_in_one(load):
    assert "a b" in reasons(load([*ROWS, row("a\nb", "", 5, "Cut.")]).drops)


def test_scenes(load):
    def domain(*scenes):
        annotation = load([row(str(n), n, n + 1, f"Cut {n}.", scene=scene) for n, scene in enumerate(scenes)])
        return annotation.domain, len(annotation.known_tasks), reasons(annotation.drops).get("scene")

    mixed = "rows of several scenes, that of most counts"
    assert domain("lab", "kitchen", "lab") == ("lab task", 3, mixed)
    assert domain("lab", "kitchen") == ("cooking", 5, mixed)
    assert domain("", "kitchen", "") == ("cooking", 5, mixed)
    assert domain("", "garden") == ("lab task", 8, "no known scene, taken for a lab")


# ---- sides


def sides(subsets, names):
    rows = [Row("", 1, "", subset, "lab", "0", "1", "", "") for subset in subsets]
    return [split_of(name, rows, DATASET["eval_share"]) for name in names]


def test_a_video_with_rows_of_both_subsets_is_drawn_by_its_name():
    names = [str(UUID(int=n)) for n in range(2000)]
    drawn = sides(["train", "val"], names)
    assert drawn == sides(["val", "train", "train"], names)
    assert 0.21 < drawn.count("val") / len(names) < 0.27
    assert sides(["train"], names) == ["train"] * 2000 and sides(["val", "val"], names) == ["val"] * 2000


def test_the_reference_takes_the_first_row(write, make_adapter):
    rows = [row("a", 9, 10, "Cut.", subset="val"), row("b", 1, 2, "Cut."), row("c", 1, 2, "Cut.", OTHER)]
    listing = make_adapter("egoexolearn", write(rows), compat=True).list_items()
    assert [item.split for item in listing.dialogs] == ["val", "train"]


# ---- stable, and nothing lost

ODD_ROWS = [
    *ROWS,
    *VAL,
    row("d", 6, 7, "Wait.", subset="val"),
    row("d", 6, 7, "Wait."),
    row("d", "", 7, "Wait."),
    row("e", 8, 7, "Wait.", scene="lab"),
    row("f", 1, 2, "", text="Cut with the left hand."),
    row("g", 1, 2, "Cut.", "2c26-x", view="exo"),
]


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.randoms())
def test_the_order_of_rows_does_not_matter(write, make_adapter, rng):
    def read(rows):
        adapter = make_adapter("egoexolearn", write(rows))
        listing = adapter.list_items()
        return listing, [adapter.load_annotation(item) for item in listing.dialogs]

    assert read(rng.sample(ODD_ROWS, len(ODD_ROWS))) == read(ODD_ROWS)


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
times = st.one_of(texts, st.floats().map(str), st.integers(-20, 90).map(str))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(times, times, texts), min_size=1, max_size=8))
def test_every_row_is_a_step_or_a_drop(write, make_adapter, cells):
    rows = [row(str(n), *cell) for n, cell in enumerate(cells)]
    adapter = make_adapter("egoexolearn", write([*rows, row("z", 1, 2, "Cut.", OTHER)]))
    listing = adapter.list_items()
    annotation = adapter.load_annotation(listing.dialogs[0])
    lost = ("no narration", "a remark", "no start time", "before the video", "copy of another step")
    num_lost = sum(drop.reason.startswith(lost) for drop in annotation.drops)
    assert len(annotation.steps) + num_lost + len(listing.drops) == len(rows)
    assert all(0 <= step.start_s <= step.end_s <= annotation.duration_s and step.text for step in annotation.steps)
    assert list(annotation.steps) == sorted(annotation.steps, key=lambda step: (step.start_s, step.end_s, step.text))
    assert 0 <= annotation.ann_ratio <= 1


def test_digest_follows_what_is_read_and_nothing_else(write, make_adapter):
    def digest(*changed):
        rows = [changed[0], *ROWS[1:]] if changed else ROWS
        return make_adapter("egoexolearn", write([*rows, *VAL])).list_items().dialogs[0].digest

    def change(place, value):
        return [*ROWS[0][:place], value, *ROWS[0][place + 1 :]]

    first = digest()
    assert digest(change(8, "With the left hand")) == first  # the column that is not read
    assert digest(change(9, f"{ROWS[0][9]}\r\n")) == digest(change(9, f" {ROWS[0][9]}\n")) == first
    others = [change(1, "x"), change(2, "val"), change(4, "lab"), change(5, "31"), change(6, "41"), change(7, "Cut.")]
    assert len({first, *map(digest, others), digest(change(9, "Cut."))}) == 8


# ---- the file as a whole


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "does not exist"),
        ("", "has no column video_uid"),
        ("<html>", "has no column video_uid"),
        (",".join(COLUMNS).replace("narration_en_no_hand_prompt", "text"), "has no column narration_en_no_hand_prompt"),
        (",".join(COLUMNS) + "\n", "holds no row of an ego video"),
    ],
)
def test_what_is_not_the_file_stops_with_one_line(write, make_adapter, content, words):
    root = write()
    file = root / "datasets" / DATASET["raw_dir"] / FILE
    file.unlink() if content is None else file.write_text(content)
    with pytest.raises(ConfigError, match=words) as caught:
        make_adapter("egoexolearn", root).list_items()
    assert str(file.parents[1]) in str(caught.value) and "\n" not in str(caught.value)


def test_needs_and_raw_records(write, make_adapter):
    adapter = make_adapter("egoexolearn", write())
    assert [(adapter.source.root / need.path).is_file() for need in adapter.list_needs()] == [True]
    item = adapter.list_items().dialogs[0]
    records = adapter.load_records(item)
    assert [record.where for record in records] == [f"{FILE} line {n}" for n in (2, 6, 7)]
    assert json.loads(json.dumps(records[0].value)) == records[0].value
    assert records[0].value["narration_en_no_hand_prompt"] == ROWS[0][9]
    for read in (adapter.load_records, adapter.load_annotation):
        with pytest.raises(ItemError, match="nobody has no ego row"):
            read(replace(item, recording="nobody"))


def test_a_share_that_leaves_no_training_is_refused():
    with pytest.raises(ConfigError, match="eval_share"):
        build_dataset_config({**DATASET, "eval_share": 1.0}, "dataset")


def test_a_window_closes_with_its_tenth_step(load):
    config = build(GenerateConfig, SETTINGS["generate"], "generate")
    clips = cut_clips(load([row(str(n), n, n + 0.5, f"Cut {n}.") for n in range(24)]), config.clip_rule, compat=False)
    assert [(clip.first_step, clip.last_step) for clip in clips] == [(0, 10), (10, 20), (20, 24)]
    assert [len(clip.text.splitlines()) for clip in clips] == [14, 19, 9]


def test_the_known_tasks(load):
    tasks = (*KITCHEN_TASKS, *LAB_TASKS)
    assert [len(task.steps) for task in tasks] == [9, 9, 12, 10, 11, 5, 7, 8]
    assert len({task.title for task in tasks}) == 8
    for task in tasks:
        for step in task.steps:
            title, colon, sentences = step.partition(": ")
            assert title and colon and sentences.endswith(".") and len(title.split()) <= 5
    annotation = load()
    prompt = match_prompt(annotation, known_tasks(annotation), compat=False)
    assert "Task 5: Tomato Dough Drop Soup\n1. Ready the aromatics: " in prompt.user and "Task 6" not in prompt.user


# ---- the publisher's own file


def test_published_reference_output(sample_data, sample_root, make_adapter):
    (path,) = (sample_data / "extra/proassist-outputs/egoexolearn/generated_dialogs").glob("*.json")
    expected = json.loads(path.read_text())["parsed_video_anns"]
    adapter = make_adapter("egoexolearn", sample_root, compat=True)
    item = next(item for item in adapter.list_items().dialogs if item.key == path.stem)
    annotation = adapter.load_annotation(item)
    assert render(annotation) == expected["all_step_descriptions"] + "\n"
    assert annotation.duration_s == pytest.approx(expected["duration"], abs=1e-9)
    assert annotation.ann_ratio == pytest.approx(expected["ann_ratio"], abs=1e-12)
    assert len(annotation.steps) == expected["num_steps"]
    assert (annotation.domain, annotation.knowledge_type) == (expected["domain"], expected["knowedge_type"])
    assert item.split == "val"


def test_published_sample(sample_root, make_adapter):
    adapter = make_adapter("egoexolearn", sample_root)
    listing = adapter.list_items()
    assert listing.drops == (Drop("", f"{FILE}, 45 rows", "filmed from outside, not used"),)
    found = [(item.key[:8], item.split, adapter.load_annotation(item)) for item in listing.dialogs]
    assert [(key, split, len(a.steps), a.duration_s, round(a.ann_ratio, 4), a.domain) for key, split, a in found] == [
        ("bee94890", "val", 28, 207.1, 0.3457, "cooking"),
        ("bee9f628", "train", 39, 285.9, 0.5107, "cooking"),
        ("beeae8f8", "train", 79, 302.0, 0.6225, "lab task"),
    ]
    assert not any(annotation.drops for _, _, annotation in found)


def test_the_demonstration_shows_what_the_table_has(tmp_path, make_adapter):
    made = publish("egoexolearn")
    for name, content in made.files.items():
        path = tmp_path / "datasets" / made.raw_dir / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    adapter = make_adapter("egoexolearn", tmp_path)
    listing = adapter.list_items()
    assert {item.sources[0].split("/", 2)[2] for item in listing.media} == made.pictures.keys()
    for item in listing.dialogs:
        annotation = adapter.load_annotation(item)
        assert list(reasons(annotation.drops).values()) == ["the machine's task taken off"]
        assert annotation.ann_ratio > 0.7 and len(annotation.steps) >= 8
    split = SETTINGS["split"]
    assert assign(listing.dialogs, {}, 42, split["official_eval"], split["group_by"]).counts() == {
        "train": 2,
        "val": 2,
        "test": 2,
    }
    assert publish("egoexolearn").files == made.files
