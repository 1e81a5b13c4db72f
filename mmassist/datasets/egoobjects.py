"""EgoObjects (Zhu et al., ICCV 2023): pictures from first-person videos, with boxes and names of their objects."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from mmassist.core.adapter import Need
from mmassist.core.annotation import Request
from mmassist.core.item import Medium
from mmassist.datasets.base import SourceConfig
from mmassist.datasets.caption_group import CaptionGroup, CaptionRecord, GroupedCaptions, Groups, join_path
from mmassist.datasets.egoobjects_file import Annotated, Box, Picture, read_annotated
from mmassist.datasets.egoobjects_text import is_central, render_objects


@dataclass(frozen=True)
class Config(SourceConfig):
    """Where the publisher's files lie below ``DATA_ROOT_DIR/datasets``, and how pictures are gathered."""

    train_file: str
    image_dir: str
    num_groups: int
    eval_file: str | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.num_groups <= 10_000:
            raise ValueError(f"num_groups is {self.num_groups!r}; it must lie between 1 and 10000")
        if self.eval_file == self.train_file:
            raise ValueError(
                f"eval_file and train_file are both {self.train_file!r}; nothing would be left to train on"
            )


class Adapter(GroupedCaptions):
    """Walk the annotation file once; text is made of a picture's boxes, the boxes are forgotten."""

    config: Config
    request = Request.LIST_OBJECTS
    medium = Medium.IMAGES
    member_s = 0.5

    def list_needs(self) -> Sequence[Need]:
        """The training file, and the one for evaluation where it is asked for."""
        needs = [Need(self.config.train_file, "training pictures with boxes and names of objects")]
        if self.config.eval_file:
            needs.append(Need(self.config.eval_file, "val and test pictures likewise"))
        return needs

    def read_groups(self) -> Groups:
        """Groups of whole settings, chosen by hash.

        A video has one side, since its pictures nearly repeat each other: the one furthest from training.
        """
        groups = Groups()
        held_out: frozenset[str] = frozenset()
        if self.config.eval_file:
            annotated = read_annotated(self.source, self.config.eval_file)
            self._add(groups, annotated, self.config.eval_file)
            held_out = frozenset(name for picture in annotated.pictures for name in _shared_names(picture))
        self._add(groups, read_annotated(self.source, self.config.train_file), self.config.train_file, held_out)
        return groups

    def _add(self, groups: Groups, annotated: Annotated, file: str, held_out: frozenset[str] = frozenset()) -> None:
        groups.drops += annotated.drops
        is_train = file == self.config.train_file
        tested = set() if is_train else {p.video for p in annotated.pictures if p.subset == "test"}
        for picture in annotated.pictures:
            is_tested = picture.subset == "test" or (picture.video and picture.video in tested)
            split = "train" if is_train else "test" if is_tested else "val"
            group = groups.at(group_of(split, picture, self.config.num_groups), split, file)
            if picture.remark:
                group.drop(picture.record, picture.remark)
            if not held_out.isdisjoint(_shared_names(picture)):
                group.drop(picture.record, "its video is in evaluation")
                continue
            boxes = annotated.boxes.pop(picture.id, [])
            text = _describe(picture, boxes, group)
            if text:
                places = (*picture.place, *(offset for box in boxes for offset in box.place))
                image = join_path(self.config.image_dir, picture.file)
                group.records.append(CaptionRecord(picture.id, image, text, places))


def group_of(split: str, picture: Picture, num_groups: int) -> str:
    """The group of a picture: a hash of its setting, without one of its own id, so others never change it."""
    identity = picture.setting or f"image {picture.id}"
    number = int.from_bytes(hashlib.sha256(identity.encode()).digest()[:8], "big") % num_groups
    return f"{split}-{number:04d}"


def _describe(picture: Picture, boxes: Sequence[Box], group: CaptionGroup) -> str:
    """The picture's text, "" without objects; what is not in it becomes a drop."""
    usable = [box for box in boxes if not box.problem]
    for box in boxes:
        if box.problem:
            group.drop(box.record, box.problem)
        elif not is_central(box, picture.width, picture.height):
            group.drop(box.record, "outside the centre")
    text = render_objects(usable, picture.width, picture.height)
    if not text:
        group.drop(picture.record, "no object in the centre" if usable else "no usable object")
    return text


def _shared_names(picture: Picture) -> set[str]:
    """What a picture of the same moment has as well: its video, or at least its file."""
    return {f"file {picture.file}"} | ({f"video {picture.video}"} if picture.video else set())
