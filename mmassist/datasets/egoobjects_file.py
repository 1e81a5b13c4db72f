"""EgoObjects' annotation file: pictures and the boxes in them, in whichever order the file has them."""

from __future__ import annotations

import math
import sys
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from mmassist.core.item import Drop
from mmassist.datasets.caption_group import ODD_BYTES, mark_repeated, read_id, read_path
from mmassist.datasets.caption_text import tidy_text
from mmassist.datasets.json_file import Element
from mmassist.datasets.source import Source

LISTS = ("images", "annotations")


class Box(NamedTuple):
    """One annotated object: corners and area in pixels. With a ``problem`` it counts for nothing."""

    id: str
    name: str
    area: float
    left: float
    top: float
    right: float
    bottom: float
    place: tuple[int, int]
    problem: str = ""

    @property
    def record(self) -> str:
        return f"annotation {self.id}" if self.id else f"annotation at byte {self.place[0]}"


class Picture(NamedTuple):
    """One picture. ``setting`` are all videos around one main object, ``video`` the one it was taken from."""

    id: str
    file: str
    width: float
    height: float
    setting: str
    video: str
    subset: str
    place: tuple[int, int]
    remark: str = ""

    @property
    def record(self) -> str:
        return f"image {self.id}"


@dataclass
class Annotated:
    """What one file says: pictures in order of their ids, and each one's boxes with the bad ones."""

    pictures: list[Picture] = field(default_factory=list)
    boxes: dict[str, list[Box]] = field(default_factory=dict)
    drops: list[Drop] = field(default_factory=list)


def read_annotated(source: Source, path: str) -> Annotated:
    """Read pictures and boxes; which belong together is known when the file has been read to its end.

    Raises ConfigError when the file is absent, no JSON, or has no list of images.
    """
    pictures: list[Picture] = []
    boxes: defaultdict[str, list[Box]] = defaultdict(list)
    drops: list[Drop] = []
    for element in source.iter_json(path, LISTS):
        name = f"{path} {element.parent} entry {element.key}"
        record = element.value if isinstance(element.value, dict) else {}
        if element.parent == "images":
            picture, problem = _read_picture(record, element)
            if picture is None:
                known_id = read_id(record.get("id"))
                drops.append(Drop("", f"image {known_id}" if known_id else name, problem))
            else:
                pictures.append(picture)
        elif element.parent == "annotations":
            box = _read_box(record, element)
            image = read_id(record.get("image_id"))
            if image:
                boxes[image].append(box)
            else:
                drops.append(Drop("", box.record if box.id else name, "no image id"))
    if not pictures:
        raise source.refuse(path, "has no list of images, or no usable one in it")
    return _match(pictures, boxes, drops)


def _match(pictures: list[Picture], boxes: dict[str, list[Box]], drops: list[Drop]) -> Annotated:
    kept = []
    for picture, reason in mark_repeated(pictures, lambda p: p.id, lambda p: p[1:7]):
        if reason:
            drops.append(Drop("", picture.record, reason))
        else:
            kept.append(picture)
    known = {picture.id for picture in kept}
    for image in boxes.keys() - known:
        drops += [Drop("", box.record, "its image is not listed or not usable") for box in boxes.pop(image)]
    return Annotated(kept, {image: _mark_boxes(found) for image, found in boxes.items()}, drops)


def _mark_boxes(boxes: list[Box]) -> list[Box]:
    """The boxes of one picture in order of their ids; repetitions have that as their problem."""
    marked = mark_repeated(boxes, lambda box: box.id, lambda box: (box.problem, *box[1:7]))
    return [box._replace(problem=reason) if reason else box for box, reason in marked]


def _read_picture(record: dict[str, Any], element: Element) -> tuple[Picture | None, str]:
    """The picture, or None and why not."""
    picture_id, file = read_id(record.get("id")), read_path(record.get("url"))
    if not picture_id or not file:
        return None, "no usable image id or file name"
    width, height = read_measure(record.get("width")), read_measure(record.get("height"))
    if not width or not height or width < 0 or height < 0:
        return None, "no usable width or height"
    setting, video = read_id(record.get("group_id")), read_id(record.get("video_id"))
    return (
        Picture(
            id=picture_id,
            file=file,
            width=width,
            height=height,
            setting=setting or video,
            # The number of a video, 01 to 10, is counted anew for every main object.
            video=f"{setting} {video}".strip(),
            subset=tidy_text(record.get("subset")),
            place=(element.start, element.end),
            remark=ODD_BYTES if element.is_odd else "",
        ),
        "",
    )


def _read_box(record: dict[str, Any], element: Element) -> Box:
    """The box; without usable corners or name it has a problem. A missing area is that of the box."""
    name = sys.intern(tidy_text(record.get("category_freeform")))
    corner = record.get("bbox")
    sides = [read_measure(value) for value in corner] if isinstance(corner, list) else []
    numbers = [side for side in sides if side is not None]
    left, top, width, height = numbers if len(sides) == len(numbers) == 4 else (0.0, 0.0, 0.0, 0.0)
    problem = "" if name else "no name"
    if width <= 0 or height <= 0:
        problem = "no box, or an empty one"
    area = read_measure(record.get("area"))
    return Box(
        id=read_id(record.get("id")),
        name=name,
        area=area if area is not None and area > 0 else width * height,
        left=left,
        top=top,
        right=left + width,
        bottom=top + height,
        place=(element.start, element.end),
        problem=problem,
    )


def read_measure(value: Any) -> float | None:
    """A finite number of pixels or square pixels, None for anything else.

    Not ``span.read_number``, whose limit for garbage is a million: most large objects have more pixels than that.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None
