"""Every source from its publisher's files to packed samples: on small invented publications in the exact layouts.

HoloAssist and WTaG are those of the demonstration, tested throughout.
"""

from __future__ import annotations

import json
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import simplejpeg
import yaml

from launchers.compose import CONF_DIR
from mmassist.core.adapter import Adapter, Content
from mmassist.core.annotation import Request
from mmassist.datasets import adapter_class, build_adapter, build_dataset_config
from mmassist.io.layout import Layout
from mmassist.loader import iter_samples
from tests.e2e.commands import ALL_STAGES, contents, leftovers, run, words_of
from tests.e2e.test_outputs import read_json, reader
from tools.demo.frame_code import read_number
from tools.demo.publication import list_publications, publish, write_publication

CONTENTS = {name: adapter_class(name).content for name in list_publications()}
DIALOGS = tuple(name for name, content in CONTENTS.items() if content is Content.DIALOG)
CAPTIONS = tuple(name for name, content in CONTENTS.items() if content is Content.CAPTION)
PREFIXES = {
    None: "knowledge",
    Request.NARRATE_WEARER: "narration",
    Request.DESCRIBE_CLIP: "narration",
    Request.CAPTION_IMAGE: "caption",
    Request.LIST_OBJECTS: "detection",
}
PREPARED = {name: f"prepared/{PREFIXES[adapter_class(name).request]}_L4096_I10" for name in CONTENTS}
MADE_FROM_PICTURES = "stage=extract,pack"


@pytest.fixture(scope="module")
def published(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("published")
    for name in (*DIALOGS, *CAPTIONS):
        write_publication(root, publish(name))
    return root


@pytest.fixture(scope="module")
def all_sources(published, tmp_path_factory) -> Path:
    """All stages over all of them, by one command in one process."""
    root = tmp_path_factory.mktemp("all_sources")
    (root / "datasets").symlink_to(published / "datasets")
    text = run(root, words_of(ALL_STAGES, f"dataset={','.join((*DIALOGS, *CAPTIONS))}"))
    assert "left out: llava holds captions, for which there is no generate or judge or split" in text
    assert leftovers(root) == []
    return root


def adapter_of(root: Path, name: str) -> Adapter:
    values = yaml.safe_load((CONF_DIR / "dataset" / f"{name}.yaml").read_text())["dataset"]
    return build_adapter(build_dataset_config(values, "dataset"), root, False)


def packed(root: Path, name: str) -> list[dict[str, Any]]:
    folder = Layout(root).unit(name, PREPARED[name])
    sides = {path.stem.split("-")[0] for path in folder.shard_dir.glob("*.tar")}
    return [sample for side in sorted(sides) for sample in iter_samples(folder.root, side)]


def drops_of(root: Path, name: str, folder: str) -> list[dict[str, Any]]:
    paths = sorted((Layout(root).unit(name, folder).ledger_dir / "drops").glob("*.jsonl"))
    return [json.loads(line) for path in paths for line in path.read_text().splitlines()]


def number_on(jpeg: bytes) -> int | None:
    return read_number(simplejpeg.decode_jpeg(jpeg, colorspace="GRAY")[:, :, 0])


@pytest.mark.parametrize("name", (*DIALOGS, *CAPTIONS))
def test_every_item_of_the_source_is_done(all_sources, name):
    listing = adapter_of(all_sources, name).list_items()
    last = reader(all_sources, name, PREPARED[name], "pack")
    assert list(reader(all_sources, name, "frames", "extract").keys()) == [item.key for item in listing.media]
    assert list(reader(all_sources, name, "features/tiny", "encode").keys()) == [item.key for item in listing.media]
    assert list(last.keys()) == [item.key for item in listing.dialogs]


@pytest.mark.parametrize("name", (*DIALOGS, "ego4d_narrations"))
def test_every_frame_shows_its_half_second_the_right_way_up(all_sources, name):
    frames = reader(all_sources, name, "frames", "extract")
    for key in frames.keys():  # noqa: SIM118
        item = frames.read(key)
        info = read_json(item, "video.json")
        starts = [0.0]
        for source in info["sources"]:  # of a group, one behind the other
            starts.append(starts[-1] + source["duration_s"])
        for index in range(info["num_frames"]):
            member = max(n for n, start in enumerate(starts[:-1]) if start <= index / 2 + 1e-3)
            fps = info["sources"][member]["native_fps"]
            expected = (index / 2 - starts[member]) * fps
            number = number_on(item.read(f"{index:06d}.jpg"))
            assert number is not None and expected - 1.01 < number <= expected + 0.06, (key, index)


def test_ego4d_groups_are_one_timeline(all_sources):
    items = adapter_of(all_sources, "ego4d").list_items().media
    groups = [item for item in items if len(item.sources) > 1]
    assert groups
    for item in groups:
        info = read_json(reader(all_sources, "ego4d", "frames", "extract").read(item.key), "video.json")
        assert [source["path"] for source in info["sources"]] == list(item.sources)
        length_s = sum(source["duration_s"] for source in info["sources"])
        assert info["num_frames"] in (int(2 * length_s), int(2 * length_s) + 1)
    assert any("full_scale" in source for item in items for source in item.sources)


def test_both_tasks_of_assembly101_share_their_frames(all_sources):
    listing = adapter_of(all_sources, "assembly101").list_items()
    users = Counter(item.media_key for item in listing.dialogs)
    assert max(users.values()) == 2 and len(listing.media) == len(users)
    tasks = {sample["key"].split("_")[0] for sample in packed(all_sources, "assembly101")}
    assert tasks == {"assembly", "disassembly"}


@pytest.mark.parametrize("name", CAPTIONS)
def test_every_caption_is_packed_once_or_named(all_sources, name):
    adapter = adapter_of(all_sources, name)
    wanted: Counter[str] = Counter()
    records: dict[str, str] = {}
    for item in adapter.list_items().dialogs:
        for caption in adapter.load_captions(item).captions:
            wanted[caption.text] += 1
            records[caption.record] = caption.text
    for row in drops_of(all_sources, name, PREPARED[name]):
        if row["record"] in records:  # the others are records of which no caption was made
            wanted[records[row["record"]]] -= 1
    told = " ".join(
        turn["content"]
        for sample in packed(all_sources, name)
        for turn in sample["record"]["conversation"]
        if turn["role"] == "assistant"
    )
    assert sum(wanted.values()) > 20
    for text, times in wanted.items():
        assert told.count(text) >= times, text


@pytest.mark.parametrize("name", ("llava", "egoobjects", "sthsthv2"))
def test_captions_stand_behind_their_own_pictures(all_sources, name):
    frames = reader(all_sources, name, "frames", "extract")
    adapter = adapter_of(all_sources, name)
    text_of = {}
    for item in adapter.list_items().dialogs:
        members = read_json(frames.read(item.key), "video.json")["members"]
        for caption in adapter.load_captions(item).captions:
            assert members[caption.member]["path"] == caption.file
            for frame in range(members[caption.member]["start"], members[caption.member]["end"]):
                text_of[item.key, frame] = caption.text
    num_checked = 0
    for sample in packed(all_sources, name):
        record = sample["record"]
        turns = record["conversation"]
        for turn, answer in pairwise(turns):
            for frame in range(turn["start"], turn["end"]) if turn["role"] == "frames" else ():
                assert text_of.pop((record["frames"]["key"], frame)) == answer["content"]
                num_checked += 1
    assert num_checked > 20 and text_of == {}


def test_a_bad_picture_costs_itself_and_is_named(all_sources):
    rows = drops_of(all_sources, "llava", "frames")
    assert {row["reason"] for row in rows} == {"does not exist", "cannot be read"}
    assert all(row["dataset"] == "llava" and row["record"].endswith(".jpg") for row in rows)
    missing = drops_of(all_sources, "llava", PREPARED["llava"])
    assert sum(row["reason"] == "picture missing or unreadable" for row in missing) == len(rows)


@pytest.mark.parametrize("name", (*DIALOGS, *CAPTIONS))
def test_sides_divide_no_recording_and_no_person(all_sources, name):
    unit = Layout(all_sources).unit(name, "splits")
    sides = json.loads(unit.assignment.read_text())["recordings"]
    settings = yaml.safe_load((CONF_DIR / "dataset" / f"{name}.yaml").read_text())
    if settings["split"]["group_by"] == "participant":
        assert json.loads(unit.audit.read_text())["shared_participants"] == {}
    recording_of = {item.key: item.recording for item in adapter_of(all_sources, name).list_items().dialogs}
    for sample in packed(all_sources, name):
        assert sample["record"]["split"] == sides[recording_of[sample["key"].split("/")[0]]]


def test_narrations_are_never_trained_on_where_the_dialogs_are_evaluated(all_sources):
    narrations, dialogs = (
        json.loads(Layout(all_sources).unit(name, "splits").assignment.read_text())["recordings"]
        for name in ("ego4d_narrations", "ego4d")
    )
    plain = {name.removeprefix("grp-"): side for name, side in dialogs.items()}
    shared = {name: side for name, side in plain.items() if name in narrations and side != "train"}
    assert shared
    assert {name: narrations[name] for name in shared} == shared


@pytest.mark.parametrize("name", DIALOGS)
def test_dialogs_show_the_sources_own_rules(all_sources, name):
    dialogs = reader(all_sources, name, "generated_dialogs/scripted", "generate")
    adapter = adapter_of(all_sources, name)
    for item in adapter.list_items().dialogs:
        record = read_json(dialogs.read(item.key), "dialogs.json")
        parsed, annotation = record["parsed_video_anns"], adapter.load_annotation(item)
        assert parsed["num_steps"] == len(annotation.steps) > 0
        assert (parsed["domain"], parsed["knowledge_type"]) == (annotation.domain, annotation.knowledge_type)
        assert [drop["reason"] for drop in record["drops"]] == [drop.reason for drop in annotation.drops]
        assert bool(record["video_labels"]) == (name in ("ego4d", "epickitchens"))
        if annotation.known_tasks:
            assert record["inferred_goal"] in {task.title for task in annotation.known_tasks}


def test_setups_do_not_multiply_captions(all_sources):
    text = run(all_sources, words_of("stage=pack", "dataset=llava", "setup=no_knowledge,full_length", "-m"))
    assert "all is done: nothing to do" in text
    folders = {path.name for path in (all_sources / "processed_data" / "llava" / "prepared").iterdir()}
    assert folders == {"caption_L4096_I10"}


def test_a_stage_that_captions_do_not_have_is_refused(published):
    text = run(published, words_of("stage=generate,judge", "dataset=llava"), expect=2)
    assert "llava holds captions, for which there is no generate or judge; its stages are extract, encode, pack" in text


def test_workers_do_not_change_the_bytes_of_groups(all_sources, published, tmp_path):
    (tmp_path / "datasets").symlink_to(published / "datasets")
    words = words_of(MADE_FROM_PICTURES, "dataset=llava,sthsthv2", launcher="local")
    run(tmp_path, [*words, "num_workers=2"])
    made = contents(tmp_path)
    assert made and made == {path: digest for path, digest in contents(all_sources).items() if path in made}


def test_a_picture_that_arrives_later_is_taken_up_on_request(published, tmp_path):
    write_publication(tmp_path, publish("llava"))
    words = words_of(MADE_FROM_PICTURES, "dataset=llava")
    run(tmp_path, words)
    before = sum(len(sample["record"]["conversation"]) for sample in packed(tmp_path, "llava"))
    (row,) = (row for row in drops_of(tmp_path, "llava", "frames") if row["reason"] == "does not exist")
    missing = tmp_path / row["record"]
    missing.write_bytes(next(path for path in missing.parent.glob("*.jpg")).read_bytes())
    text = run(tmp_path, words, expect=2)
    assert "by its list of files, or by which of them are there: datasets/LLaVA-Pretrain/" in text
    assert "the inputs of 1 finished items changed" in text and "on_stale=rebuild" in text
    run(tmp_path, [*words, "on_stale=rebuild"])
    after = sum(len(sample["record"]["conversation"]) for sample in packed(tmp_path, "llava"))
    assert after == before + 2  # one picture and its caption


def test_a_record_that_left_the_list_takes_only_its_own_caption_along(published, tmp_path):
    write_publication(tmp_path, publish("llava"))
    words = words_of(MADE_FROM_PICTURES, "dataset=llava")
    run(tmp_path, words)
    path = tmp_path / "datasets" / "LLaVA-Pretrain" / "blip_laion_cc_sbu_558k.json"
    records = json.loads(path.read_text())
    gone = records.pop(3)  # of the group that also lacks a picture
    path.write_text(json.dumps(records))
    text = run(tmp_path, words, expect=2)
    assert "the inputs of 1 finished items changed" in text
    run(tmp_path, [*words, "on_stale=rebuild"])
    told = [
        turn for s in packed(tmp_path, "llava") for turn in s["record"]["conversation"] if turn["role"] == "assistant"
    ]
    assert len(told) == 37  # of 40: a broken, a missing and the picture that left
    fresh = tmp_path / "fresh"
    write_publication(fresh, publish("llava"))
    (fresh / path.relative_to(tmp_path)).write_text(json.dumps(records))
    run(fresh, words)
    assert contents(fresh) == contents(tmp_path) and gone["id"] not in str(told)


def test_the_kinds_of_sources_are_all_here():
    names = {path.stem for path in (CONF_DIR / "dataset").glob("*.yaml")}
    assert names == {*DIALOGS, *CAPTIONS, "holoassist", "wtag"}
    assert {"ego4d_narrations", "egoobjects", "llava", "sthsthv2"} <= set(CAPTIONS)
    assert {"assembly101", "captaincook4d", "ego4d", "egoexolearn", "epickitchens"} <= set(DIALOGS)
