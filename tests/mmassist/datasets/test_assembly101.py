from __future__ import annotations

import itertools
import json
import os
import random
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmassist.core.errors import ConfigError, ItemError
from mmassist.core.item import Geometry
from mmassist.datasets import build_adapter, build_dataset_config
from mmassist.datasets.assembly101_mistake import normalise_remark
from mmassist.dialog.annotation import ClipRule, cut_clips
from tests.mmassist.datasets.source_samples import load_settings, reasons, render
from tools.demo.publication import Publication, publish, write_publication

SEQ = "nusar-2021_action_both_9001-a01a_9001_user_id_2021-01-01_100000"
OTHER = "nusar-2021_action_both_9002-b02b_9002_user_id_2021-01-02_110000"
E1, E2, E3, E4 = (f"HMC_{n}_mono10bit" for n in ("21176875", "21176623", "21110305", "21179183"))
NEW = "HMC_84346135_mono10bit"
HEADER = (
    "id,video,start_frame,end_frame,action_id,verb_id,noun_id,action_cls,verb_cls,noun_cls,toy_id,toy_name,"
    "is_shared,is_RGB"
)
COARSE = [
    (300, 600, "attach cabin"),
    (600, 900, "attach roof"),
    (900, 1200, "detach roof"),
    (1500, 1800, "attach wheel"),
]
MISTAKES = [
    (300, 400, "attach", "cabin", "chassis", "correct", ""),
    (600, 700, "attach", "roof", "cabin", "mistake", "worng order"),
    (900, 950, "detach", "roof", "cabin", "correction", ""),
]
FINE = [
    (310, 330, "pick up cabin"),
    (330, 360, "screw cabin with screwdriver"),
    (360, 390, "screw cabin with hand"),
    (700, 710, "screw roof with screwdriver"),
    (1530, 1560, "unscrew wheel with screwdriver"),
    (1300, 1320, "screw nothing"),
]
EXPECTED = """\
[10.0s-20.0s] attach cabin to chassis
 - [11.0s] screw cabin with screwdriver
 - [12.0s] screw cabin with hand
[20.0s-30.0s] attach roof to cabin (mistake: wrong order)
[30.0s-40.0s] detach roof from cabin (correction of "attach roof to cabin")
[50.0s-60.0s] attach wheel
 - [51.0s] unscrew wheel with screwdriver
"""

Rows = list[tuple[Any, ...]]


def coarse_text(rows: Rows) -> str:
    return "".join(
        "\t".join([*(f"{x:09d}" if isinstance(x, int) else x for x in row[:2]), *row[2:]]) + "\n" for row in rows
    )


def csv_text(rows: Rows) -> str:
    return "".join(",".join(map(str, row)) + "\n" for row in rows)


def fine_text(
    actions: Rows, sequence: str = SEQ, views: tuple[str, ...] = (E3, E4, "C1_rgb"), toy: str = "crane"
) -> str:
    pairs = itertools.product(actions, views)
    return "".join(f"0,{sequence}/{v}.mp4,{a},{b},0,0,0,{t},v,n,x,{toy},0,0\n" for (a, b, t), v in pairs)


def write_source(root: Path, **files: Any) -> Path:
    """One training sequence with an assembly; ``files`` change or add a file by a short name, None leaves it out."""
    content: dict[str, Any] = {
        "train": fine_text(FINE),
        "validation": "",
        f"assembly_{SEQ}": coarse_text(COARSE),
        SEQ: csv_text(MISTAKES),
        **files,
    }
    base = root / "datasets" / "assembly101" / "annotations"
    for name, text in content.items():
        if name in ("train", "validation"):
            path = base / "fine-grained-annotations" / f"{name}.csv"
            text = text if text is None or isinstance(text, bytes) else f"{HEADER}\n{text}"
        elif name.startswith(("assembly_", "disassembly_")):
            path = base / "coarse-annotations" / "coarse_labels" / f"{name}.txt"
        else:
            path = base / "assembly101-mistake-detection" / "annots" / f"{name}.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        if text is not None:
            path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return root


@pytest.fixture
def load(tmp_path, make_adapter):
    def annotate(compat=False, task="assembly", changes=None, **files):
        adapter = make_adapter("assembly101", write_source(tmp_path, **files), compat, **(changes or {}))
        listing = adapter.list_items()
        return adapter.load_annotation(next(item for item in listing.dialogs if item.key.startswith(f"{task}_")))

    return annotate


@pytest.fixture
def listed(tmp_path, make_adapter):
    def listing(which="needed", changes=None, **files):
        return make_adapter("assembly101", write_source(tmp_path, **files), **(changes or {})).list_items(which)

    return listing


# the screwing that the sample's sequence shows and its dialog does not tell
UNTOLD = {"train.csv line 11": "in a step that is a mistake", "train.csv line 17": "begins between two steps"}


def coarse_file(rows: Rows | str) -> dict[str, Any]:
    return {f"assembly_{SEQ}": rows if isinstance(rows, str) else coarse_text(rows)}


def test_steps_mistakes_corrections_and_screwing(load):
    annotation = load()
    assert render(annotation) == EXPECTED
    assert (annotation.start_s, annotation.duration_s) == (8.0, 50.0)
    assert annotation.ann_ratio == pytest.approx(40 / 50)
    assert annotation.has_mistake
    assert (annotation.goal, annotation.domain) == ("assemble toy crane", "assembly/disassembly")
    assert annotation.knowledge_type == "assembly steps"
    assert reasons(annotation.drops) == UNTOLD


def test_the_reference_reading(load):
    annotation = load(compat=True)
    assert render(annotation) == EXPECTED.replace("wrong order", "worng order").replace(
        " - [51.0s] unscrew wheel with screwdriver\n", ""
    )
    assert (annotation.ann_ratio, annotation.duration_s, annotation.has_mistake) == (1.0, 50.0, True)


def test_items_of_both_tasks_share_the_videos_of_one_headset(listed):
    taken_apart = coarse_text([(60, 120, "unscrew roof"), (120, 200, "detach roof")])
    listing = listed(**{f"disassembly_{SEQ}": taken_apart})
    assert [item.key for item in listing.dialogs] == [
        f"{task}_{SEQ}__{camera}" for task in ("assembly", "disassembly") for camera in (E3, E4)
    ]
    assert {item.media_key for item in listing.dialogs} == {item.key for item in listing.media}
    assert [item.sources for item in listing.media] == [
        (f"datasets/assembly101/videos/{SEQ}/{camera}.mp4",) for camera in (E3, E4)
    ]
    assert {item.geometry for item in listing.media} == {Geometry(rotation_deg=90)}
    assert {(item.recording, item.participant, item.split) for item in listing.media + listing.dialogs} == {
        (SEQ, "9001", "train")
    }
    assert listing.drops == ()


def test_the_other_task_has_its_own_words_and_no_mistakes(load):
    annotation = load(
        task="disassembly",
        **{f"disassembly_{SEQ}": coarse_text([(30, 120, "unscrew roof"), (120, 200, "detach roof")])},
    )
    assert (annotation.goal, annotation.knowledge_type) == ("disassemble toy crane", "disassembly steps")
    assert render(annotation) == "[1.0s-4.0s] unscrew roof\n[4.0s-6.7s] detach roof\n"
    assert not annotation.has_mistake


def test_a_task_that_begins_with_the_video_keeps_its_last_seconds(load):
    annotation = load(**coarse_file([(30, 300, "attach cabin"), (300, 600, "attach roof")]))
    assert (annotation.start_s, annotation.duration_s, annotation.ann_ratio) == (0.0, 20.0, 1.0)
    assert cut_clips(annotation, ClipRule(6, "steps"), compat=False)[0].end_s == 20.0


@pytest.mark.parametrize(
    ("views", "cameras"),
    [
        ((E3,), [E3, E4]),
        ((E1, "C1_rgb"), [E3, E4]),
        ((NEW,), ["HMC_84355350_mono10bit", "HMC_84358933_mono10bit"]),
    ],
)
def test_the_headset_follows_from_the_views_named(listed, views, cameras):
    listing = listed(train=fine_text(FINE, views=views))
    assert [item.sources[0].rsplit("/", 1)[1] for item in listing.media] == [f"{camera}.mp4" for camera in cameras]


def test_a_sequence_without_a_view_of_the_configured_headset_is_named(listed):
    drops = listed(
        train=fine_text(FINE) + fine_text(FINE, OTHER, ("HMC_1_mono",)),
        **{f"assembly_{OTHER}": coarse_text(COARSE), OTHER: csv_text(MISTAKES)},
    ).drops
    assert {drop.recording: drop.reason for drop in drops} == {OTHER: "no view of a headset in dataset.cameras"}


# --- joining mistake rows


def joined(load, mistakes: Rows, coarse: Rows = COARSE) -> Any:
    return load(**coarse_file(coarse), **{SEQ: csv_text(mistakes)})


def test_a_mistake_belongs_to_the_step_it_overlaps_most(load):
    annotation = joined(load, [(590, 800, "attach", "roof", "cabin", "mistake", "wrong position")])
    assert [step.note for step in annotation.steps] == ["", "mistake: wrong position", "", ""]
    assert annotation.steps[1].text == "attach roof to cabin"


def test_a_long_row_that_begins_with_a_short_step_belongs_to_the_longer_one(load):
    coarse = [(300, 310, "attach cabin"), (310, 900, "attach roof")]
    annotation = joined(load, [(300, 800, "attach", "roof", "cabin", "mistake", "wrong order")], coarse)
    assert [(step.text, step.note) for step in annotation.steps] == [
        ("attach cabin", ""),
        ("attach roof to cabin", "mistake: wrong order"),
    ]


def test_all_rows_of_a_step_are_told(load):
    rows = [
        (900, 910, "detach", "roof", "cabin", "correct", ""),
        (910, 950, "attach", "roof", "boom", "mistake", "wrong position"),
        (950, 990, "detach", "roof", "boom", "correction", ""),
        (990, 1000, "attach", "wheel", "axle", "correct", ""),
        (900, 905, "attach", "roof", "boom", "mistake", "wrong position"),
    ]
    annotation = joined(load, rows)
    assert annotation.steps[2].text == "detach roof from cabin"
    assert annotation.steps[2].note == (
        'mistake: attach roof to boom: wrong position; correction of "attach roof to boom"'
    )
    assert reasons(annotation.drops)[f"{SEQ}.csv line 4"] == "correct action in a step that is named after another"


def test_a_row_of_another_action_does_not_rename_a_step_it_merely_overlaps(load):
    annotation = joined(load, [(350, 400, "detach", "seat", "cabin", "mistake", "shouldn't have happened")])
    assert annotation.steps[0].text == "attach cabin"
    assert annotation.steps[0].note == "mistake: detach seat from cabin: shouldn't have happened"


def test_instants_and_reversed_rows_belong_to_the_step_in_which_they_begin(load):
    rows = [
        (600, 600, "attach", "roof", "cabin", "mistake", "wrong order"),
        (1510, 400, "attach", "wheel", "axle", "mistake", "wrong order"),
        (1300, 1300, "attach", "roof", "cabin", "mistake", "wrong order"),
        (5000, 5100, "attach", "roof", "cabin", "mistake", "wrong order"),
    ]
    annotation = joined(load, rows)
    assert [bool(step.note) for step in annotation.steps] == [False, True, False, True]
    told = reasons(annotation.drops)
    assert told[f"{SEQ}.csv line 2"] == "no usable end time, made an instant"
    assert told[f"{SEQ}.csv line 3"] == told[f"{SEQ}.csv line 4"] == "mistake row outside of every step"


def test_a_correction_names_what_is_undone_without_touching_the_parts(load):
    rows = [(900, 950, "detach", "roof", "turntable top", "correction", "")]
    assert joined(load, rows).steps[2].note == 'correction of "attach roof to turntable top"'
    rows = [(600, 700, "attach", "roof", "turntable top", "correction", "")]
    assert joined(load, rows).steps[1].note == 'correction of "detach roof from turntable top"'
    assert (
        load(compat=True, **{SEQ: csv_text(rows)}).steps[1].note == 'correction of "detach roof from turntable fromp"'
    )


@pytest.mark.parametrize(
    ("row", "text", "note"),
    [
        (
            ("interior", "roof", "cabin", "correction", ""),
            "detach roof from cabin",
            'correction of "attach roof to cabin"',
        ),
        (("position", "roof", "cabin", "mistake", "x"), "position roof on cabin", "mistake: x"),
        (("position", "roof", "cabin", "correction", ""), "position roof on cabin", "correction"),
        (("detach", "roof", "roof", "mistake", ""), "detach roof", "mistake"),
        (("detach", "roof", "", "Mistake", " "), "detach roof", "mistake"),
        (("detach", "", "cabin", "mistake", "x"), "detach roof", "mistake: x"),
        (("nan", "", "", "correct", ""), "detach roof", ""),
    ],
)
def test_odd_verbs_and_parts(load, row, text, note):
    annotation = joined(load, [(900, 950, *row)])
    assert (annotation.steps[2].text, annotation.steps[2].note) == (text, note)
    told = "correct action without a verb or part that is known" in reasons(annotation.drops).values()
    assert told == (row[0] == "nan")


@pytest.mark.parametrize(
    ("remark", "told"),
    [
        ("previous one is mistake", "previous one is a mistake"),
        ("previous is a mistake", "previous one is a mistake"),
        ("previous one was mistake", "previous one is a mistake"),
        ("worng order", "wrong order"),
        ("shouln't have happened", "shouldn't have happened"),
        ("Wrong Position", "wrong position"),
        ("something new", "something new"),
        ("", ""),
    ],
)
def test_remarks_have_one_spelling(remark, told):
    assert normalise_remark(remark) == told


@pytest.mark.parametrize(
    "text",
    [
        csv_text(MISTAKES).replace("\n", "\r\n").rstrip(),
        "\ufeff" + csv_text(MISTAKES),
        csv_text(MISTAKES[::-1]),
        csv_text(MISTAKES).replace("correct,\n", "correct\n").replace("correction,\n", "correction\n"),
    ],
)
def test_line_ends_order_and_the_missing_last_column_change_nothing(load, text):
    annotation = load(**{SEQ: text})
    assert render(annotation) == EXPECTED
    assert reasons(annotation.drops) == UNTOLD


def test_a_bad_mistake_row_costs_only_itself(load):
    bad = (
        '1,2,3\n\nx,700,attach,a,b,correct,\n300,400,attach,a,b,dubious,\n300,400,attach,"a\nb",c,correct,\n'
        + csv_text(MISTAKES[:1])
        + 'inf,nan,attach,a,b,mistake,"open\n'
    )
    annotation = load(**{SEQ: csv_text(MISTAKES) + bad})
    assert render(annotation) == EXPECTED
    told = {record.removeprefix(f"{SEQ}.csv line "): reason for record, reason in reasons(annotation.drops).items()}
    assert told == {
        "4": "3 columns instead of 7",
        "6": "no start time",
        "7": "label 'dubious' is none of correct, mistake, correction",
        "8": "correct action in a step that is named after another",
        "10": "copy of another row",
        "11": "no start time",
        **UNTOLD,
    }


# --- steps


def test_a_bad_step_row_costs_only_itself(load):
    bad = (
        "\n000001900\t000002000\n000001900\tx\t \nnull\t5\tattach a\nnan\tinf\tattach b\n1e12\t2e12\tattach c\n"
        "000001500\t000001800\tattach wheel\n-60\t-30\tattach d\n000900000\t000900300\tattach e\n"
        "000001700\t000001600\tattach  seat\n000001650\t000990000\tattach hose\n"
    )
    annotation = load(**coarse_file(coarse_text(COARSE) + bad))
    assert [(step.start_s, step.end_s, step.text) for step in annotation.steps][3:] == [
        (50.0, 60.0, "attach wheel"),
        (55.0, 55.0, "attach hose"),
        (pytest.approx(1700 / 30), pytest.approx(1700 / 30), "attach seat"),
    ]
    assert annotation.duration_s == 50.0
    told = {
        record.removeprefix(f"assembly_{SEQ}.txt line "): reason for record, reason in reasons(annotation.drops).items()
    }
    assert told == {
        "6": "2 columns instead of 3",
        "7": "no text",
        "8": "no start time",
        "9": "no start time",
        "10": "no start time",
        "11": "copy of another row",
        "12": "before the video",
        "13": "more than 600 s from the other steps",
        "14": "no usable end time, made an instant",
        "15": "longer than 600 s, made an instant",
        **UNTOLD,
    }


def test_overlapping_steps_are_covered_once_and_an_action_belongs_to_the_later(load):
    rows = [(300, 900, "attach cabin"), (600, 900, "attach roof")]
    annotation = load(**coarse_file(rows), **{SEQ: csv_text(MISTAKES[:1])})
    assert annotation.ann_ratio == 1.0
    assert [[sub.start_s for sub in step.substeps] for step in annotation.steps] == [
        [11.0, 12.0],
        [pytest.approx(70 / 3)],
    ]


def test_bytes_that_are_not_utf8_are_told(load):
    annotation = load(**{f"assembly_{SEQ}": coarse_text(COARSE).encode().replace(b"wheel", b"wh\xe9\xe8l")})
    assert annotation.steps[3].text == "attach wh\ufffd\ufffdl"
    assert reasons(annotation.drops)[f"assembly_{SEQ}.txt"] == "not wholly UTF-8, the odd bytes became U+FFFD"


def test_verbs_are_whole_words_and_choosable(load):
    fine = [(310, 320, "screwdriver falls"), (320, 330, "unscrew cabin"), (330, 340, "pick up cabin")]
    texts = [sub.text for sub in load(train=fine_text(fine)).steps[0].substeps]
    assert texts == ["unscrew cabin"]
    changed = load(train=fine_text(fine), changes={"substep_verbs": ["pick"]})
    assert [sub.text for sub in changed.steps[0].substeps] == ["pick up cabin"]


# --- the fine tables and the listing


def test_odd_fine_rows_are_told_and_cost_nothing(load, listed):
    bad = (
        "0,nowhere.mp4,1,2,0,0,0,a,v,n,x,crane,0,0\n"
        f"0,{SEQ}/{E3}.mp4,x,2,0,0,0,screw a,v,n,x,crane,0,0\n"
        f"0,{SEQ}/{E3}.mp4,500,520,0,0,0, ,v,n,x,crane,0,0\n"
        f"0,{SEQ}/{E3}.mp4,500\n"
        f"0,{SEQ}/{E3}.mp4,500,nan,0,0,0,screw  last,v,n,x,crane,0,0\n"
    )
    listing = listed(train=fine_text(FINE) + bad)
    assert {drop.record: (drop.recording, drop.reason) for drop in listing.drops} == {
        "train.csv line 20": ("", "no sequence and view in its column video"),
        "train.csv line 21": (SEQ, "no start time"),
        "train.csv line 22": (SEQ, "no text"),
        "annotations/fine-grained-annotations/train.csv line 23": ("", "3 columns instead of 14"),
    }
    annotation = load(train=(HEADER + "\n" + fine_text(FINE) + bad).replace("\n", "\r\n").encode())
    assert render(annotation) == EXPECTED.replace("[20.0s", " - [16.7s] screw last\n[20.0s", 1)


def test_a_sequence_in_both_tables_is_kept_away_from_training(listed):
    more = {f"assembly_{OTHER}": coarse_text(COARSE), OTHER: csv_text(MISTAKES)}
    listing = listed(train=fine_text(FINE) + fine_text(FINE, OTHER), validation=fine_text(FINE, OTHER), **more)
    assert {(item.recording, item.split) for item in listing.dialogs} == {(SEQ, "train"), (OTHER, "val")}
    assert reasons(listing.drops) == {"validation.csv line 2": "also in the train table, val wins"}


@pytest.mark.parametrize(("toy", "goal"), [("-", "assemble toy"), ("tow-truck", "assemble toy"), ("", "assemble toy")])
def test_a_toy_without_a_usable_name_has_none(load, toy, goal):
    assert load(train=fine_text(FINE, toy=toy)).goal == goal


def test_of_several_toy_names_the_most_frequent_counts(load, listed):
    train = fine_text(FINE) + fine_text(FINE[:1], toy="bus")
    assert load(train=train).goal == "assemble toy crane"
    assert reasons(listed(train=train).drops) == {"toy_name": "2 names, the most frequent taken"}


def test_what_is_left_out_of_the_listing_and_why(listed, tmp_path):
    names = {letter: f"{SEQ}{letter}" for letter in "ABCDE"}
    listing = listed(
        train=fine_text(FINE) + "".join(fine_text(FINE, names[letter]) for letter in "ACD"),
        **{
            f"assembly_{names['B']}": coarse_text(COARSE),  # no fine rows
            f"assembly_{names['C']}": coarse_text(COARSE),  # no mistake file
            f"disassembly_{names['C']}": coarse_text(COARSE),
            f"assembly_{names['D']}": "",
            f"disassembly_{names['D']}": coarse_text(COARSE),
            names["D"]: "",
            names["E"]: csv_text(MISTAKES),
            "assembly_": "stray",
        },
    )
    found = {(drop.recording.removeprefix(SEQ), drop.record.replace(SEQ, ""), drop.reason) for drop in listing.drops}
    assert found == {
        ("A", "A", "fine actions but no coarse steps"),
        ("B", "assembly_B.txt", "coarse steps without fine actions of a headset view"),
        ("C", "assembly", "no file of mistakes, so wrong steps are not known"),
        ("D", "assembly", "no usable coarse step"),
        ("E", "E.csv", "mistakes without coarse steps"),
        ("", "annotations/coarse-annotations/coarse_labels/assembly_.txt", "not a file of coarse steps"),
    }
    assert {item.key.split("__")[0].replace(SEQ, "") for item in listing.dialogs} == {
        "assembly_",
        "disassembly_C",
        "disassembly_D",
    }


def test_tasks_without_mistake_files_can_be_kept(load):
    annotation = load(**{SEQ: None}, changes={"marked_tasks": []})
    assert len(annotation.steps) == 4
    assert (
        reasons(annotation.drops)[f"annotations/assembly101-mistake-detection/annots/{SEQ}.csv"]
        == "no file of mistakes"
    )


def test_folders_named_like_files_cost_their_sequence_alone(listed, tmp_path):
    coarse = tmp_path / "datasets/assembly101/annotations/coarse-annotations/coarse_labels"
    (coarse / f"assembly_{OTHER}.txt").mkdir(parents=True)
    listing = listed(train=fine_text(FINE) + fine_text(FINE, OTHER))
    assert {item.recording for item in listing.dialogs} == {SEQ}
    assert (OTHER, "no usable coarse step") in {(drop.recording, drop.reason) for drop in listing.drops}


def test_a_file_name_of_odd_bytes_is_told(listed, tmp_path):
    write_source(tmp_path)
    folder = tmp_path / "datasets/assembly101/annotations/coarse-annotations/coarse_labels"
    (folder / os.fsdecode(b"assembly_\xff.txt")).write_text("")
    assert [drop.record.encode() for drop in listed().drops] == ["assembly_\ufffd.txt".encode()]


def test_all_videos_on_disk(listed, tmp_path):
    for sequence, camera in itertools.product((SEQ, OTHER), (E3, "C1_rgb")):
        path = tmp_path / "datasets/assembly101/videos" / sequence / f"{camera}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    extra = {item.key: (item.split, item.geometry.rotation_deg) for item in listed("all").media}
    assert extra == {f"{SEQ}__{E3}": ("train", 90), f"{SEQ}__{E4}": ("train", 90), f"{OTHER}__{E3}": ("test", 90)}


def test_keys_of_odd_names_are_valid_and_the_annotation_is_found(load, listed):
    odd = "sequence of the day é/nusar".replace("/", " ") * 4
    files = {"train": fine_text(FINE, odd), f"assembly_{odd}": coarse_text(COARSE), odd: csv_text(MISTAKES)}
    assert len(listed(**files).dialogs) == 2
    assert listed(**files).dialogs[0].participant is None
    assert len(load(**files).steps) == 4


def test_an_item_whose_files_are_gone_fails_alone(listed, tmp_path, make_adapter):
    (item, _) = listed().dialogs
    adapter = make_adapter("assembly101", write_source(tmp_path))
    (tmp_path / "datasets/assembly101/annotations/coarse-annotations/coarse_labels" / f"assembly_{SEQ}.txt").unlink()
    with pytest.raises(ItemError, match="has no steps"):
        adapter.load_annotation(item)


@pytest.mark.parametrize("missing", ["train", "validation", "coarse_labels", "annots"])
def test_a_missing_file_is_named(tmp_path, make_adapter, missing):
    write_source(tmp_path)
    (found,) = (path for path in tmp_path.rglob("*") if path.stem == missing)
    found.rename(found.with_name("elsewhere"))
    with pytest.raises(ConfigError, match=rf"{missing}.* does not exist"):
        make_adapter("assembly101", tmp_path).list_items()


def test_a_missing_column_is_named(listed):
    with pytest.raises(ConfigError, match=r"train\.csv has no column action_cls"):
        listed(train=HEADER.replace("action_cls", "action").encode())
    with pytest.raises(ConfigError, match="has no column"):
        listed(train=b"")
    with pytest.raises(ConfigError, match=r"train\.csv holds no action seen by a headset"):
        listed(train=HEADER.encode())


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"cameras": []}, "cameras"),
        ({"rotation_deg": 45}, "multiple of 90"),
        ({"video_pattern": "{recording}.mp4"}, "{camera}"),
        ({"participant_pattern": "("}, "participant_pattern"),
        ({"participant_pattern": "a"}, "exactly one group"),
        ({"marked_tasks": ["asembly"]}, "the tasks are assembly, disassembly"),
        ({"max_gap_s": 0.0}, "above 0"),
    ],
)
def test_wrong_settings_are_refused(tmp_path, make_adapter, change, match):
    with pytest.raises(ConfigError, match=match):
        make_adapter("assembly101", tmp_path, **change)


def test_every_raw_record_of_an_item_is_shown(tmp_path, make_adapter):
    adapter = make_adapter("assembly101", write_source(tmp_path))
    records = adapter.load_records(adapter.list_items().dialogs[0])
    assert json.loads(json.dumps([record.value for record in records]))
    assert [record.where for record in records] == [
        *(f"annotations/coarse-annotations/coarse_labels/assembly_{SEQ}.txt line {n}" for n in (1, 2, 3, 4)),
        *(f"annotations/assembly101-mistake-detection/annots/{SEQ}.csv line {n}" for n in (1, 2, 3)),
        *(f"train.csv line {n}" for n in (2, 5, 8, 11, 14)),
    ]
    assert records[4].value == "300,400,attach,cabin,chassis,correct,"


# --- order and digests


@settings(max_examples=25, deadline=None)
@given(st.randoms(use_true_random=False))
def test_the_order_of_rows_means_nothing(rng: random.Random) -> None:
    def shuffled(text: str) -> str:
        lines = text.splitlines()
        return "\n".join(rng.sample(lines, len(lines)))

    values = load_settings("assembly101")["dataset"]
    seen = []
    with tempfile.TemporaryDirectory() as folder:
        for mix in (str, shuffled):
            files = {f"assembly_{SEQ}": mix(coarse_text(COARSE)), SEQ: mix(csv_text([*MISTAKES, *MORE]))}
            root = write_source(Path(folder), train=mix(fine_text(FINE)), **files)
            adapter = build_adapter(build_dataset_config(values, "dataset"), root, compat=False)
            listing = adapter.list_items()
            annotations = [adapter.load_annotation(item) for item in listing.dialogs]
            seen.append(([item.digest for item in listing.dialogs], [render(a) for a in annotations]))
    assert seen[0] == seen[1]


MORE: Rows = [
    (905, 940, "attach", "roof", "boom", "mistake", "wrong position"),
    (905, 940, "detach", "seat", "boom", "correct", ""),
    (1100, 1700, "attach", "wheel", "axle", "mistake", ""),
]


def test_the_digest_covers_what_shapes_the_dialog_and_nothing_else(listed):
    def digest(**files):
        return listed(**files).dialogs[0].digest

    first = digest()
    same = [
        {SEQ: csv_text(MISTAKES).replace("\n", "\r\n")},
        {SEQ: csv_text([*MISTAKES, (9000, 9100, "attach", "a", "b", "correct", "")])},
        {"train": fine_text(FINE, views=(E4, "C2_rgb"))},
        {"train": fine_text([*FINE, (310, 320, "inspect cabin")])},
    ]
    assert [digest(**files) for files in same] == [first] * len(same)
    other = [
        coarse_file(COARSE[:3]),
        {f"assembly_{SEQ}": coarse_text(COARSE), SEQ: csv_text(MISTAKES).replace("worng order", "wrong position")},
        {SEQ: csv_text(MISTAKES), "train": fine_text([*FINE, (310, 320, "screw it")])},
        {"train": fine_text(FINE, toy="bus")},
    ]
    digests = [digest(**files) for files in other]
    assert first not in digests and len(set(digests)) == len(digests)


def test_the_same_row_written_in_another_way_is_a_copy_and_the_digest_stays(listed):
    def digest(rows):
        return listed(**coarse_file(rows)).dialogs[0].digest

    text = coarse_text(COARSE)
    bare = "\n".join(line.lstrip("0") for line in text.splitlines()) + "\n"
    assert bare != text
    assert digest(text) == digest(bare) == digest(text + bare) == digest(bare + text)


def test_every_screwing_is_told_or_named(load):
    """Also before the first and behind the last step of both tasks, and when it is annotated twice."""
    more = [
        (30, 40, "screw before"),
        (310, 360, "screw cabin"),
        (310, 370, "screw cabin"),
        (60000, 60030, "screw behind"),
    ]
    annotation = load(train=fine_text([*FINE, *more]))
    told = [substep.text for step in annotation.steps for substep in step.substeps]
    assert told.count("screw cabin") == 1
    named = [drop.reason for drop in annotation.drops]
    assert named.count("begins outside of every step") == 2 and named.count("copy of another action") == 1


# --- the demonstration and the published sample


def test_the_demonstration_has_both_headsets_tasks_and_sides(tmp_path, make_adapter):
    publication = publish("assembly101")
    write_publication(tmp_path, Publication(publication.raw_dir, publication.files, {}))
    adapter = make_adapter("assembly101", tmp_path)
    listing = adapter.list_items()
    assert listing.drops == ()
    assert {item.sources[0] for item in listing.media} == {
        f"datasets/assembly101/{name}" for name in publication.pictures
    }
    annotations = [adapter.load_annotation(item) for item in listing.dialogs]
    assert len(annotations) == 16 and min(len(a.steps) for a in annotations) >= 6
    assert min(a.ann_ratio for a in annotations) > 0.8
    assert {drop.reason for a in annotations for drop in a.drops} <= {"in a step that is a mistake"}
    assert sum(a.has_mistake for a in annotations) == 6
    assert {item.split for item in listing.dialogs} == {"train", "val"}


PUBLISHED = "nusar-2021_action_both_9026-b04b_9026_user_id_2021-02-03_163855"


def test_parity_with_the_published_reading(sample_root, sample_data, make_adapter):
    folder = sample_data / "extra/proassist-outputs/assembly101/generated_dialogs"
    (path,) = folder.glob("*.json")
    parsed = json.loads(path.read_text())["parsed_video_anns"]
    adapter = make_adapter("assembly101", sample_root, compat=True)
    (item,) = (item for item in adapter.list_items().dialogs if item.key == path.stem)
    annotation = adapter.load_annotation(item)
    assert render(annotation) == parsed["all_step_descriptions"]
    assert (annotation.goal, annotation.knowledge_type) == (parsed["goal_description"], parsed["knowedge_type"])
    assert annotation.duration_s == pytest.approx(parsed["duration"])
    assert annotation.start_s == pytest.approx(parsed["video_start_time"])
    assert (annotation.ann_ratio, annotation.has_mistake) == (parsed["ann_ratio"], parsed["has_mistake"])
    assert len(annotation.steps) == parsed["num_steps"]
    clips = cut_clips(annotation, ClipRule(6, "steps"), compat=True)
    assert [(c.start_s, c.end_s) for c in clips] == [
        (pytest.approx(a), pytest.approx(b)) for a, b, _ in parsed["clips"]
    ]
    assert [clip.text for clip in clips] == [text for _, _, text in parsed["clips"]]


def test_published_sample(sample_root, make_adapter):
    """The numbers of docs/sources/assembly101.md."""
    counts = {}
    for compat in (True, False):
        adapter = make_adapter("assembly101", sample_root, compat)
        listing = adapter.list_items()
        assert (len(listing.media), len(listing.dialogs), listing.drops) == (10, 12, ())
        annotations = {
            item.key[: item.key.index("_user")]: adapter.load_annotation(item)
            for item in listing.dialogs
            if item.key.endswith(E3)
        }
        dropped = Counter(drop.reason for annotation in annotations.values() for drop in annotation.drops)
        assert dropped == ({} if compat else {"in a step that is a mistake": 4})
        counts[compat] = {
            key.replace("nusar-2021_action_both_", "").rsplit("_", 1)[0]: (
                len(a.steps),
                sum(step.note.startswith("mistake") for step in a.steps),
                sum(step.note.startswith("correction") for step in a.steps),
                sum(len(step.substeps) for step in a.steps),
                round(a.ann_ratio, 4),
            )
            for key, a in annotations.items()
        }
    assert {key: row[:3] for key, row in counts[True].items()} == {key: row[:3] for key, row in counts[False].items()}
    assert sum(row[3] for row in counts[True].values()) == 0
    assert counts[False] == {
        "assembly_9011-b06b": (6, 0, 0, 6, 1.0),
        "assembly_9011-c03f": (8, 0, 0, 6, 0.9163),
        "assembly_9012-c14b": (14, 3, 0, 5, 0.6858),
        "assembly_9015-c10c": (40, 16, 7, 3, 0.9649),
        "assembly_9026-b04b": (22, 4, 1, 0, 1.0),
        "disassembly_9026-b04b": (4, 0, 0, 2, 0.5249),
    }
