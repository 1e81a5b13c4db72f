"""No source's result depends on the order of rows, list entries, keys or files, wherever that order says nothing."""

from __future__ import annotations

import csv
import io
import json
import random
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from mmassist.core.adapter import Adapter, Content
from mmassist.core.item import Item
from mmassist.datasets import build_adapter, build_dataset_config
from tests.mmassist.datasets.source_samples import load_settings
from tools.demo import holoassist, wtag
from tools.demo.publication import Publication, list_publications, publish

# Lists of JSON files whose order says nothing, as the path of keys to them; "*" is every entry, "" the file itself.
UNORDERED = {
    "captaincook4d": {"error_annotations.json": [("",)]},
    "ego4d": {"goalstep_": [("videos",), ("videos", "*", "segments"), ("videos", "*", "segments", "*", "segments")]},
    "ego4d_narrations": {"ego4d.json": [("videos",)], "narration.json": [("*", "*", "narrations")]},
    "egoobjects": {"": [("images",), ("annotations",)]},
    "holoassist": {"": [("",), ("*", "events")]},
    "llava": {"": [("",)]},
    "sthsthv2": {"": [("",)]},
}
HEADERLESS = (".txt", "annots")  # every line is a row; other tables begin with a header
ORDERED_FILES = ("VideoMpegTiming.txt",)  # first and last tick


def publication_of(name: str) -> Publication:
    if name == "holoassist":
        texts = holoassist.build_texts(holoassist.RECORDINGS)
    elif name == "wtag":
        texts = dict(wtag.build_texts(wtag.SESSIONS))
    else:
        return publish(name)
    raw_dir = {"holoassist": holoassist.RAW_DIR, "wtag": wtag.RAW_DIR}[name]
    files = {
        path: json.dumps(content).encode()
        if path.endswith(".json")
        else "".join(f"{row}\n" for row in content).encode()
        for path, content in texts.items()
    }
    return Publication(raw_dir, files, {})


def shuffled(name: str, path: str, content: bytes, rand: random.Random) -> bytes:
    if path.endswith(ORDERED_FILES) or path.endswith((".md", "license.txt")):
        return content
    if path.endswith(".json"):
        value = json.loads(content)
        for part, places in UNORDERED.get(name, {}).items():
            for place in places if part in path else ():
                value = shuffle_at(value, place, rand)
        return json.dumps(shuffle_keys(value, rand)).encode()
    begin = 0 if any(part in path for part in HEADERLESS) else 1
    rows = list(csv.reader(io.StringIO(content.decode(), newline=""), delimiter="," if path.endswith(".csv") else "\t"))
    table = io.StringIO(newline="")
    writer = csv.writer(table, delimiter="," if path.endswith(".csv") else "\t", lineterminator="\n")
    writer.writerows([*rows[:begin], *rand.sample(rows[begin:], len(rows) - begin)])
    return table.getvalue().encode()


def shuffle_at(value: Any, place: tuple[str, ...], rand: random.Random) -> Any:
    if not place or place == ("",):
        return rand.sample(value, len(value)) if isinstance(value, list) else value
    if place[0] == "*":
        if isinstance(value, list):
            return [shuffle_at(entry, place[1:], rand) for entry in value]
        return {key: shuffle_at(entry, place[1:], rand) for key, entry in value.items()} if is_dict(value) else value
    if not is_dict(value) or place[0] not in value:
        return value
    return {**value, place[0]: shuffle_at(value[place[0]], place[1:], rand)}


def shuffle_keys(value: Any, rand: random.Random) -> Any:
    if is_dict(value):
        return {key: shuffle_keys(value[key], rand) for key in rand.sample(list(value), len(value))}
    return [shuffle_keys(entry, rand) for entry in value] if isinstance(value, list) else value


def is_dict(value: Any) -> bool:
    return isinstance(value, dict)


def write(root: Path, publication: Publication, files: dict[str, bytes]) -> None:
    for path, content in files.items():  # in the order given: file systems list in the order of making, or in none
        target = root / "datasets" / publication.raw_dir / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)


def reading(root: Path, name: str) -> dict[str, Any]:
    """Everything a source's files become: items with their digests, and what is annotated of each."""
    config = build_dataset_config(load_settings(name)["dataset"], "dataset")
    adapter: Adapter = build_adapter(config, root, False)
    listing = adapter.list_items()
    load = adapter.load_annotation if adapter.content is Content.DIALOG else adapter.load_captions
    return {
        "items": [item.to_row() for item in (*listing.media, *listing.dialogs)],
        "contents": {item.key: without_drops(load, item) for item in listing.dialogs},
        "drops": sorted((drop.recording, drop.reason) for drop in listing.drops),
    }


def without_drops(load: Any, item: Item) -> dict[str, Any]:
    """Names of records may tell their place in the file, which is another one now; their number and reasons stay."""
    made = load(item)
    captions = [replace(caption, record="") for caption in getattr(made, "captions", ())]
    plain = asdict(replace(made, drops=(), **({"captions": tuple(captions)} if captions else {})))
    told = (drop for drop in made.drops if drop.reason != "listed out of time order, sorted")
    return {**plain, "drops": sorted((drop.recording, drop.reason) for drop in told)}


@pytest.mark.parametrize("name", sorted({*list_publications(), "holoassist", "wtag"}))
@pytest.mark.parametrize("seed", range(3))
def test_order_says_nothing(name, seed, tmp_path):
    rand = random.Random(seed)
    publication = publication_of(name)
    plain, mixed = tmp_path / "plain", tmp_path / "mixed"
    write(plain, publication, dict(publication.files))
    paths = rand.sample(list(publication.files), len(publication.files))
    write(mixed, publication, {path: shuffled(name, path, publication.files[path], rand) for path in paths})
    assert reading(mixed, name) == reading(plain, name)
