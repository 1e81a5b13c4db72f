"""LLaVA-Pretrain (Liu et al., NeurIPS 2023): 558 thousand pictures from the web, each with a short caption."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mmassist.core.adapter import Need
from mmassist.core.annotation import Request
from mmassist.core.item import Drop, Geometry, Medium
from mmassist.datasets.base import SourceConfig
from mmassist.datasets.caption_group import (
    ODD_BYTES,
    CaptionRecord,
    GroupedCaptions,
    Groups,
    join_path,
    read_id,
    read_path,
)
from mmassist.datasets.caption_text import make_sentence

_FOLDER_NUMBER = re.compile("[0-9]{5}")
_NO_FOLDER = "unsorted"


@dataclass(frozen=True)
class Config(SourceConfig):
    """Where the publisher's files lie below ``DATA_ROOT_DIR/datasets``."""

    captions_file: str
    image_dir: str


class Adapter(GroupedCaptions):
    """Walk the one large JSON file once and keep path, caption and place of every record."""

    config: Config
    request = Request.CAPTION_IMAGE
    medium = Medium.IMAGES
    geometry = Geometry(fit="squash")  # whole pictures: what a caption names is often at their edge
    member_s = 0.5

    def list_needs(self) -> Sequence[Need]:
        """The one file of captions."""
        return (Need(self.config.captions_file, "pictures' paths and captions"),)

    def read_groups(self) -> Groups:
        """One group per numbered folder of pictures, all for training."""
        file = self.config.captions_file
        groups = Groups()
        for element in self.source.iter_json(file, outermost="list"):
            record = element.value if isinstance(element.value, dict) else {}
            path = read_path(record.get("image"))
            record_id = read_id(record.get("id")) or path
            if not path:
                groups.drops.append(Drop("", record_id or f"{file} entry {element.key}", "no usable picture path"))
                continue
            group = groups.at(group_of(path), "train", file)
            text, remark = read_answer(record.get("conversations"))
            if remark:
                group.drop(record_id, remark)
            if element.is_odd:
                group.drop(record_id, ODD_BYTES)
            if text:
                image = join_path(self.config.image_dir, path)
                group.records.append(CaptionRecord(record_id, image, text, (element.start, element.end)))
        return groups


def group_of(path: str) -> str:
    """The group of a picture: the first five digits of its folder's name, or the folder where it begins otherwise."""
    folder = path.rpartition("/")[0]
    number = _FOLDER_NUMBER.match(folder)
    return number[0] if number else folder or _NO_FOLDER


def read_answer(turns: Any) -> tuple[str, str]:
    """The caption in a record's conversation, and a remark ("" = none).

    It is what ``gpt`` says, wherever that turn stands; of several turns the first with a text.
    """
    if not isinstance(turns, list):
        return "", "no conversation"
    answers = [turn.get("value") for turn in turns if isinstance(turn, dict) and turn.get("from") == "gpt"]
    if not answers:
        return "", "no answer in the conversation"
    text = next((text for text in map(make_sentence, answers) if text), "")
    if not text:
        return "", "no text"
    return text, "more than one answer, the first taken" if len(answers) > 1 else ""
