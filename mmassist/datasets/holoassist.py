"""HoloAssist (Wang et al., ICCV 2023): one dialog per recording from coarse and fine actions and real speech."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from mmassist.core.adapter import Need, RawRecord
from mmassist.core.annotation import Annotation, Step, Substep
from mmassist.core.errors import ItemError, Kind
from mmassist.core.item import Drop, Item, Listing
from mmassist.datasets.base import DialogAdapter, DialogConfig
from mmassist.datasets.holoassist_event import Event, EventKind, EventReader, clean_text, clean_text_compat
from mmassist.datasets.holoassist_index import Index, Place, Record, read_duration, read_name, read_section
from mmassist.datasets.source import check_group_pattern
from mmassist.datasets.span import covered_share, read_number, summed_share


@dataclass(frozen=True)
class Config(DialogConfig):
    """Where the publisher's files lie below ``DATA_ROOT_DIR/datasets``, and the source's own thresholds."""

    annotation_file: str
    train_list: str
    val_list: str
    test_list: str
    participant_pattern: str
    skip_verbs: tuple[str, ...]

    def __post_init__(self) -> None:
        check_group_pattern("participant_pattern", self.participant_pattern)


class Adapter(DialogAdapter):
    """Read HoloAssist's single annotation file; recordings are parsed one at a time and never all held at once."""

    config: Config

    def list_needs(self) -> Sequence[Need]:
        """The annotation file and the split lists."""
        return (
            Need(self.config.annotation_file, "annotations of all recordings of train and val"),
            Need(self.config.train_list, "names of the training recordings"),
            Need(self.config.val_list, "names of the validation recordings"),
            Need(self.config.test_list, "names of the recordings that are held out", is_required=False),
        )

    def list_items(self, which: str = "needed") -> Listing:
        """Items of all annotated recordings in the train and val lists.

        Raises ConfigError for an absent or unreadable annotation file, an absent or empty train or val list, and when
        training is left empty.
        """
        splits, drops = self._read_splits()
        places = self._index.places
        drops += self._index.drops
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
        place = self._index.places.get(item.recording)
        if place is None:
            raise ItemError(Kind.PERMANENT, f"{item.recording} is not in {self.config.annotation_file}")
        return self._parse(self._index.load(place), item)

    def load_records(self, item: Item) -> Sequence[RawRecord]:
        """The recording's facts, then its events in the file's order. Raises ItemError like ``load_annotation``."""
        place = self._index.places.get(item.recording)
        if place is None:
            raise ItemError(Kind.PERMANENT, f"{item.recording} is not in {self.config.annotation_file}")
        record = self._index.load(place)
        where = f"{self.config.annotation_file} {item.recording}"
        facts = {key: value for key, value in record.items() if key != "events"}
        events = [RawRecord(f"{where} events[{n}]", event) for n, event in enumerate(record["events"])]
        return (RawRecord(where, facts), *events)

    def _list_one(self, recording: str, split: str, place: Place) -> Item:
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
            if split == "test" and not (self.source.root / file).is_file():
                continue
            text, remark = self.source.read_text(file)
            if remark:
                drops.append(Drop("", file, remark))
            names = []
            for number, line in enumerate(text.splitlines(), 1):
                if name := read_name(line):
                    names.append(name)
                elif line.strip():
                    drops.append(Drop("", f"{file} line {number}", "not a recording's name"))
            if not names and split != "test":
                raise self.source.refuse(file, "names no recording")
            for recording in names:
                if splits.get(recording, split) != split:
                    drops.append(Drop(recording, f"{splits[recording]} list", f"also in the {split} list, which wins"))
                splits[recording] = split
        return splits, drops

    @cached_property
    def _index(self) -> Index:
        return Index(self.source, self.config.annotation_file, self.compat, self._count_usable)

    def _count_usable(self, record: Record) -> int:
        duration_s = read_duration(record, self.compat)[0]
        return len(EventReader("", duration_s, self.config.skip_verbs, self.compat).read(record["events"])[0])

    def _parse(self, record: Record, item: Item) -> Annotation:
        clean = clean_text_compat if self.compat else clean_text
        duration_s, remark = read_duration(record, self.compat)
        drops = [Drop(item.recording, "videoMetadata.duration", remark)] if remark else []
        reader = EventReader(item.recording, duration_s, self.config.skip_verbs, self.compat)
        events, more = reader.read(record["events"])
        drops += more
        build = _build_steps_compat if self.compat else _build_steps
        steps = build(events, item.recording, drops)
        coarse = [(event.start_s, event.end_s) for event in events if event.kind is EventKind.STEP]
        narrations = [event.text for event in events if event.kind is EventKind.NARRATION]
        video = read_section(read_section(record, "videoMetadata"), "video")
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
