"""Something-Something v2 (Goyal et al., ICCV 2017): clips of a few seconds, each one action with everyday objects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mmassist.core.adapter import Need
from mmassist.core.annotation import Request
from mmassist.core.item import Drop, Medium
from mmassist.datasets.base import SourceConfig
from mmassist.datasets.caption_group import (
    ODD_BYTES,
    CaptionRecord,
    GroupedCaptions,
    Groups,
    id_order,
    read_id,
    read_path,
)
from mmassist.datasets.caption_text import make_sentence


@dataclass(frozen=True)
class Config(SourceConfig):
    """Where the publisher's files lie below ``DATA_ROOT_DIR/datasets``, and how clips are gathered."""

    train_files: tuple[str, ...]
    validation_files: tuple[str, ...]
    video_pattern: str
    group_size: int

    def __post_init__(self) -> None:
        for name in ("train_files", "validation_files"):
            if not getattr(self, name):
                raise ValueError(f"{name} is empty; it must name at least one file")
        if "{recording}" not in self.video_pattern:
            raise ValueError(f"video_pattern is {self.video_pattern!r}; it must contain {{recording}}")
        if self.group_size < 1:
            raise ValueError(f"group_size is {self.group_size!r}; it must be at least 1")


class Adapter(GroupedCaptions):
    """Read both lists of labels; the published ones have 194 thousand entries."""

    config: Config
    request = Request.DESCRIBE_CLIP
    medium = Medium.CLIPS
    member_s = 4.0

    def list_needs(self) -> Sequence[Need]:
        """Both lists, under any of their names; the labels of the test clips are not public."""
        return (
            Need(_pattern(self.config.train_files), "labels of the training clips"),
            Need(_pattern(self.config.validation_files), "labels of the validation clips"),
        )

    def read_groups(self) -> Groups:
        """Groups of consecutive clip numbers, training and validation apart."""
        groups = Groups()
        taken: set[str] = set()  # what is in both lists belongs to the one further from training
        for split, names in (("val", self.config.validation_files), ("train", self.config.train_files)):
            taken |= self._read_list(groups, split, self._choose_file(names, groups), taken)
        return groups

    def _choose_file(self, names: Sequence[str], groups: Groups) -> str:
        """The first of ``names`` that is there, or the first of all, which is then reported missing."""
        present = [name for name in names if (self.source.root / name).exists()]
        groups.drops += [Drop("", name, f"not read, {present[0]} is there") for name in present[1:]]
        return present[0] if present else names[0]

    def _read_list(self, groups: Groups, split: str, file: str, taken: set[str]) -> set[str]:
        """Add the clips of one list but those that are ``taken``; returns the ids it has a label for."""
        found = set()
        for element in self.source.iter_json(file, outermost="list"):
            record = element.value if isinstance(element.value, dict) else {}
            clip = read_id(record.get("id"))
            if not clip or read_path(clip) != clip or "/" in clip:
                groups.drops.append(Drop("", clip or f"{file} entry {element.key}", "no usable clip id"))
                continue
            group = groups.at(group_of(split, clip, self.config.group_size), split, file)
            text = make_sentence(record.get("label"))
            if not text:
                group.drop(clip, "no text")
                continue
            if clip in taken:
                group.drop(clip, "in the validation list as well")
                continue
            if element.is_odd:
                group.drop(clip, ODD_BYTES)
            found.add(clip)
            path = self.config.video_pattern.replace("{recording}", clip)
            group.records.append(CaptionRecord(clip, path, text, (element.start, element.end)))
        return found


def group_of(split: str, clip: str, group_size: int) -> str:
    """The group of a clip: its number divided by the group's size, so that other clips never change it."""
    is_name, number, _ = id_order(clip)
    return f"{split}-other" if is_name else f"{split}-{number // group_size:06d}"


def _pattern(names: Sequence[str]) -> str:
    """One pattern for all names of a file: what they end in alike."""
    if len(names) == 1:
        return names[0]
    folders = {name.rpartition("/")[0] for name in names}
    shortest = min((name.rpartition("/")[2] for name in names), key=len)
    if len(folders) > 1 or not all(name.endswith(shortest) for name in names):
        return names[0]
    return f"{folders.pop()}/*{shortest}".lstrip("/")
