"""HoloAssist (Wang et al., ICCV 2023): one dialog per recording from coarse and fine actions and real speech."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from mmassist.core.annotation import Annotation, Step, Substep
from mmassist.core.errors import ConfigError, ItemError, Kind
from mmassist.core.item import Drop, Item, Listing
from mmassist.datasets.holoassist_event import Event, EventKind, EventReader, clean_text, clean_text_compat
from mmassist.datasets.source import SourceAdapter, SourceConfig, record_digest
from mmassist.datasets.span import covered_share, read_number, summed_share


@dataclass(frozen=True)
class Config(SourceConfig):
    """Where the publisher's files lie below ``DATA_ROOT_DIR/datasets``, and the source's own thresholds."""

    annotation_file: str
    train_list: str
    val_list: str
    test_list: str
    participant_pattern: str
    skip_verbs: tuple[str, ...]

    def __post_init__(self) -> None:
        try:
            num_groups = re.compile(self.participant_pattern).groups
        except re.error as error:
            raise ValueError(
                f"participant_pattern {self.participant_pattern!r} is no regular expression: {error}"
            ) from error
        if num_groups != 1:
            raise ValueError(f"participant_pattern {self.participant_pattern!r} must have exactly one group")


@dataclass(frozen=True)
class _Place:
    """Where a recording's record lies in the annotation file, and what listing needs of it."""

    start: int
    end: int
    digest: str
    duration_s: float


class Adapter(SourceAdapter):
    """Read HoloAssist's single annotation file; recordings are parsed one at a time and never all held at once."""

    config: Config

    def list_items(self, which: str = "needed") -> Listing:
        """Items of all annotated recordings in the train and val lists.

        Raises ConfigError for an absent or unreadable annotation file or list, and when training is left empty.
        """
        splits, drops = self._read_splits()
        places, more = self._index
        drops += more
        dialogs = []
        for recording, split in sorted(splits.items()):
            if recording not in places:
                if split != "test":
                    drops.append(Drop(recording, recording, f"in the {split} list but not annotated"))
            elif split == "test":
                drops.append(Drop(recording, recording, "in the test list, which is held out"))
            else:
                dialogs.append(self._list_one(recording, split, places[recording]))
        drops += [Drop(name, name, "annotated but in no split list") for name in sorted(places.keys() - splits.keys())]
        return self.source.listing(dialogs, drops, which)

    def load_annotation(self, item: Item) -> Annotation:
        """Steps with everything that happened around them. Raises ItemError when the recording is not annotated."""
        place = self._index[0].get(item.recording)
        if place is None:
            raise ItemError(Kind.PERMANENT, f"{item.recording} is not in {self.config.annotation_file}")
        return self._parse(json.loads(self._text[place.start : place.end]), item)

    def _list_one(self, recording: str, split: str, place: _Place) -> Item:
        found = re.match(self.config.participant_pattern, recording)
        return self.source.dialog_item(
            recording,
            split,
            (self.config.annotation_file,),
            place.digest,
            duration_s=place.duration_s,
            participant=found[1].upper() if found else None,
        )

    def _read_splits(self) -> tuple[dict[str, str], list[Drop]]:
        """Recording -> split. A name in several lists goes to the one that is furthest from training."""
        splits: dict[str, str] = {}
        drops = []
        files = {"train": self.config.train_list, "val": self.config.val_list, "test": self.config.test_list}
        for split, file in files.items():
            path = self.source.root / file if split == "test" else self.source.require(file)
            names = path.read_text(encoding="utf-8-sig").split() if path.is_file() else []
            if not names and split == "train":
                raise ConfigError(f"data set {self.name}: {path} names no recording; fetch the split lists again")
            for recording in names:
                if splits.get(recording, split) != split:
                    drops.append(Drop(recording, f"{splits[recording]} list", f"also in the {split} list, which wins"))
                splits[recording] = split
        return splits, drops

    @cached_property
    def _text(self) -> str:
        return self.source.require(self.config.annotation_file).read_text(encoding="utf-8-sig")

    @cached_property
    def _index(self) -> tuple[dict[str, _Place], list[Drop]]:
        """Recording -> where its record lies in the file (the file is 117 MB, its parsed form several times that)."""
        places: dict[str, _Place] = {}
        drops = []
        for position, (record, span) in enumerate(
            _scan_list(self._text, self.source.root / self.config.annotation_file)
        ):
            recording = record.get("video_name") if isinstance(record, dict) else None
            if not isinstance(recording, str) or not recording.strip():
                drops.append(Drop("", f"record {position}", "no video_name"))
                continue
            recording = recording.strip()
            if not isinstance(record.get("events"), list):
                drops.append(Drop(recording, f"record {position}", "no events"))
                continue
            place = _Place(*span, record_digest(record), _read_duration(record, self.compat)[0])
            if recording in places:
                drops.append(Drop(recording, "second record", "recording annotated twice, one kept"))
                if place.digest > places[recording].digest:  # any rule will do that is free of the file's order
                    continue
            places[recording] = place
        return places, drops

    def _parse(self, record: dict[str, Any], item: Item) -> Annotation:
        clean = clean_text_compat if self.compat else clean_text
        duration_s, remark = _read_duration(record, self.compat)
        drops = [Drop(item.recording, "videoMetadata.duration", remark)] if remark else []
        reader = EventReader(item.recording, duration_s, self.config.skip_verbs, self.compat)
        events, more = reader.read(record["events"])
        drops += more
        build = _build_steps_compat if self.compat else _build_steps
        steps = build(events, item.recording, drops)
        coarse = [(event.start_s, event.end_s) for event in events if event.kind is EventKind.STEP]
        narrations = [event.text for event in events if event.kind is EventKind.NARRATION]
        video = _section(_section(record, "videoMetadata"), "video")
        return Annotation(
            dataset=self.name,
            key=item.key,
            domain=self.config.domain,
            knowledge_type=self.config.knowledge_type,
            goal=clean(record.get("taskType")),
            steps=steps,
            duration_s=duration_s,
            ann_ratio=(summed_share if self.compat else covered_share)(coarse, duration_s),
            has_mistake=not self.compat and any(substep.note for step in steps for substep in step.substeps),
            fps=read_number(video.get("fps")),
            summary=narrations[-1] if self.compat and narrations else " ".join(narrations),
            drops=tuple(drops),
        )


def _build_steps(events: list[Event], recording: str, drops: list[Drop]) -> tuple[Step, ...]:
    """Give every action and utterance to the coarse action that began last; what precedes all, to the first.

    Within a step an action is told once per wording: a correct and a wrong attempt, or two kinds of error, are two.
    """
    coarse = [event for event in events if event.kind is EventKind.STEP]
    if not coarse:
        drops.append(Drop(recording, "events", "no coarse action"))
        return ()
    contents: list[list[Substep]] = [[] for _ in coarse]
    told: set[tuple[int, str, str]] = set()
    current, num_begun = 0, 0
    for event in events:
        if event.kind is EventKind.STEP:
            current, num_begun = num_begun, num_begun + 1
        elif event.kind is EventKind.ACTION and (current, event.text, event.note) in told:
            drops.append(Drop(recording, event.record, "action already told in this step"))
        elif event.kind is not EventKind.NARRATION:
            told.add((current, event.text, event.note))
            contents[current].append(_build_substep(event))
    pairs = zip(coarse, contents, strict=True)
    return tuple(Step(step.start_s, step.end_s, step.text, substeps=tuple(inside)) for step, inside in pairs)


def _build_steps_compat(events: list[Event], recording: str, drops: list[Drop]) -> tuple[Step, ...]:
    """The reference: a step gets its substeps when the next one begins, so those around the ends are lost."""
    steps: list[Step] = []
    waiting: list[Substep] = []
    told: set[str] = set()
    for event in events:
        if event.kind is EventKind.STEP:
            if steps:
                steps[-1] = replace(steps[-1], substeps=tuple(waiting))
            steps.append(Step(event.start_s, event.end_s, event.text))
            waiting, told = [], set()
        elif event.kind is EventKind.UTTERANCE or (event.kind is EventKind.ACTION and event.text not in told):
            if event.kind is EventKind.ACTION:
                told.add(event.text)
            waiting.append(_build_substep(event))
    return tuple(steps)


def _build_substep(event: Event) -> Substep:
    if event.kind is EventKind.UTTERANCE:
        return Substep(event.start_s, event.text, role=event.role)
    return Substep(event.start_s, event.text, end_s=event.end_s, note=event.note)


def _read_duration(record: dict[str, Any], compat: bool) -> tuple[float, str]:
    """Length in seconds and a remark. ``duration.seconds`` is cut to an integer; ``duration.raw`` is the length.

    Without either, the last end of an event counts.
    """
    duration = _section(_section(record, "videoMetadata"), "duration")
    whole_s = read_number(duration.get("seconds"))
    if compat and whole_s is not None:
        return whole_s, ""
    parts = re.fullmatch(r"\s*(\d+):(\d+):(\d+(?:\.\d+)?)\s*", str(duration.get("raw")))
    raw_s = round(int(parts[1]) * 3600 + int(parts[2]) * 60 + float(parts[3]), 6) if parts else 0.0
    if raw_s > 0:
        return raw_s, ""
    if whole_s is not None and whole_s > 0:
        return whole_s, "no length in duration.raw, duration.seconds used"
    ends = [read_number(event.get("end")) for event in record["events"] if isinstance(event, dict)]
    return max((end for end in ends if end is not None), default=0.0), "no length, the last event's end used"


def _section(record: dict[str, Any], name: str) -> dict[str, Any]:
    value = record.get(name)
    return value if isinstance(value, dict) else {}


def _scan_list(text: str, path: Path) -> Iterator[tuple[Any, tuple[int, int]]]:
    """Yield ``(record, (start, end))`` for every element of a JSON list without keeping the elements."""
    decoder = json.JSONDecoder()
    blank = re.compile(r"[\s,]*")
    place = len(text) - len(text.lstrip())
    if text[place : place + 1] != "[":
        raise ConfigError(f"{path} is not a JSON list of recordings; fetch it again")
    place += 1
    while True:
        place = blank.match(text, place).end()  # type: ignore[union-attr]
        if text[place : place + 1] == "]":
            return
        try:
            record, end = decoder.raw_decode(text, place)
        except ValueError as error:
            raise ConfigError(f"{path} is not valid JSON ({error}); fetch it again") from error
        yield record, (place, end)
        place = end
