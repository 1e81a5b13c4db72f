"""A small EgoObjects: three settings with two videos each, numbered pictures with boxes around invented objects."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from tools.demo.publication import Publication, Writer
from tools.demo.still import framed_writer

RAW_DIR = "EgoObjects"
SETTINGS = ("watering can", "desk lamp", "chess clock")
EVAL_SETTING = "shoe horn"
VIDEOS = ("03", "08")
NUM_IN_VIDEO = 5
LANDSCAPE, PORTRAIT = (320, 180), (180, 320)
EMPTY, OFF_CENTRE, MISSING = 6, 12, 17  # pictures without boxes, with one at the edge alone, and without a file
AROUND = (
    "knife",
    "tea glass",
    "coaster",
    "pair of scissors",
    "battery",
    "mouse (pointing device)",
    "coaster",
    "glasses",
)


def publish() -> Publication:
    """30 training pictures, and four of another setting in the file for evaluation."""
    train, pictures = _build_file(0, SETTINGS, "train")
    held_out, more = _build_file(len(train["images"]), (EVAL_SETTING,), "val")
    held_out["images"] = [*held_out["images"][:2], *held_out["images"][-2:]]  # of one video each
    for image in held_out["images"][2:]:
        image["subset"] = "test"
    wanted = {image["url"] for image in train["images"] + held_out["images"]} - {train["images"][MISSING]["url"]}
    kept = {image["id"] for image in held_out["images"]}
    held_out["annotations"] = [entry for entry in held_out["annotations"] if entry["image_id"] in kept]
    files = {"EgoObjectsV1_unified_train.json": train, "EgoObjectsV1_unified_eval.json": held_out}
    return Publication(
        RAW_DIR,
        {name: json.dumps(content).encode() for name, content in files.items()},
        {f"images/{url}": writer for url, writer in (pictures | more).items() if url in wanted},
    )


def _build_file(first: int, settings: tuple[str, ...], subset: str) -> tuple[dict[str, Any], dict[str, Writer]]:
    """The content of one annotation file, and what writes each picture."""
    images, annotations, writers = [], [], {}
    for number in range(first, first + len(settings) * len(VIDEOS) * NUM_IN_VIDEO):
        place = number - first
        main = settings[place // (len(VIDEOS) * NUM_IN_VIDEO)]
        video = VIDEOS[place // NUM_IN_VIDEO % len(VIDEOS)]
        size = PORTRAIT if number % 7 == 2 else LANDSCAPE
        images.append(_image(number, main, video, size, subset))
        writers[images[-1]["url"]] = framed_writer(number, size)
        annotations += _boxes(number, main, images[-1])
    content = {"info": {"description": "invented"}, "images": images, "annotations": annotations, "categories": []}
    return content, writers


def _image(number: int, main: str, video: str, size: tuple[int, int], subset: str) -> dict[str, Any]:
    group = hashlib.sha256(main.encode()).hexdigest()[:32].upper()
    frame = number % NUM_IN_VIDEO * 9
    return {
        "id": 310_000_000_000_000 + number * 7919,
        "url": f"{group}_{video}_{frame}.jpg",
        "width": size[0],
        "height": size[1],
        "group_id": group,
        "video_id": video,
        "frame_id": frame,
        "subset": subset,
        "main_category": main,
        "neg_category_ids": [],
    }


def _boxes(number: int, main: str, image: dict[str, Any]) -> list[dict[str, Any]]:
    """The main object in the middle, two to four around it; some boxes begin outside the picture."""
    if number == EMPTY:
        return []
    width, height = image["width"], image["height"]
    if number == OFF_CENTRE:
        return [_box(number, 0, image, main, [0.0, 2.5, 40.25, 60.0])]
    boxes = [_box(number, 0, image, main, [width * 0.3, height * 0.3, width * 0.4, height * 0.5])]
    for place in range(2 + number % 3):
        corner = [width * (0.1 + 0.22 * place), -1.5 + 30 * place, 20.5 + 6 * place, 33.25]
        boxes.append(_box(number, 1 + place, image, AROUND[(number + 3 * place) % len(AROUND)], corner))
    boxes.append(_box(number, 9, image, "coaster", [width * 0.45, height * 0.1, 18.0, 18.0]))
    return boxes


def _box(number: int, place: int, image: dict[str, Any], name: str, corner: list[float]) -> dict[str, Any]:
    return {
        "id": number * 10 + place,
        "image_id": image["id"],
        "bbox": corner,
        "area": corner[2] * corner[3],
        "category_freeform": name,
        "is_main": place == 0,
        "instance_id": number // NUM_IN_VIDEO * 10 + place,
    }
