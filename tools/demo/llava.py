"""A small LLaVA-Pretrain: two folders of numbered pictures with invented captions, and what goes wrong on the web."""

from __future__ import annotations

import json
from typing import Any

from tools.demo.publication import Publication, Writer
from tools.demo.still import broken_writer, stretched_writer

RAW_DIR = "LLaVA-Pretrain"
FOLDERS = ("00123", "00457")
NUM_IN_FOLDER = 20
GREY, CMYK, PNG, MISSING, BROKEN = 3, 7, 11, 14, 26  # pictures that are not plain JPEG files
SIZES = ((300, 200), (200, 280), (256, 256), (320, 180), (230, 350))
ASKED = ("Say in a few words what this is.\n<image>", "<image>\nGive the picture a short title.")
THINGS = ("a chipped enamel kettle", "two paper lanterns", "a folding ruler", "some unripe quinces", "the Riga tram")
PLACES = (
    "on a window sill",
    "beside a garden gate",
    ", seen from above",
    "in the rain at dusk",
    "behind frosted glass",
)


def publish() -> Publication:
    """40 captioned pictures; besides them a record without caption, a copy, and one whose turns are swapped."""
    records, pictures = [], {}
    for number in range(NUM_IN_FOLDER * len(FOLDERS)):
        folder = FOLDERS[number // NUM_IN_FOLDER]
        name = f"{folder}{number:04d}"
        record = _record(name, f"{folder}/{name}.jpg", _caption(number), number)
        records.append(record)
        if number != MISSING:
            pictures[f"images/{record['image']}"] = _writer(number)
    records[5]["conversations"].reverse()
    records.append(dict(records[8]))
    records.append(_record("001239999", "00123/001239999.jpg", "", 0))
    text = json.dumps(records, ensure_ascii=False)
    return Publication(RAW_DIR, {"blip_laion_cc_sbu_558k.json": text.encode()}, pictures)


def _record(name: str, image: str, caption: str, number: int) -> dict[str, Any]:
    turns = [{"from": "human", "value": ASKED[number % 2]}, {"from": "gpt", "value": caption}]
    return {"id": name, "image": image, "conversations": turns}


def _caption(number: int) -> str:
    """Lower case and spaced as in the published file, some with a full stop."""
    return f"{THINGS[number % 5]} {PLACES[number // 5 % 5]}{(' .', '', '!')[number % 3]}"


def _writer(number: int) -> Writer:
    size = SIZES[number % len(SIZES)]
    if number == BROKEN:
        return broken_writer(number, size)
    if number == PNG:
        return stretched_writer(number, size, kind="PNG")
    return stretched_writer(number, size, {GREY: "L", CMYK: "CMYK"}.get(number, "RGB"))
