"""Ego4D Goal-Step (Song et al., NeurIPS 2023): cooking in unscripted kitchen videos, as steps and substeps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from mmassist.core.adapter import Need, RawRecord
from mmassist.core.annotation import Annotation
from mmassist.core.errors import ItemError, Kind
from mmassist.core.item import Drop, Item, Listing
from mmassist.datasets.base import DialogAdapter, DialogConfig
from mmassist.datasets.ego4d_files import GROUP_PREFIX, Folders, Groups, check_pattern, eval_side, load_groups
from mmassist.datasets.ego4d_index import Place, find_file, index_videos
from mmassist.datasets.ego4d_record import clean_text, read_steps, read_steps_compat, read_stretch
from mmassist.datasets.span import covered_share, summed_share

_PAGE = "https://github.com/facebookresearch/ego4d-goalstep"


@dataclass(frozen=True)
class Config(DialogConfig):
    """Where the publisher's files lie below ``DATA_ROOT_DIR/datasets``, and which videos are left out."""

    fallback_pattern: str
    train_file: str
    val_files: tuple[str, ...]
    group_file: str
    ignored: tuple[str, ...]

    def __post_init__(self) -> None:
        check_pattern("video_pattern", self.video_pattern)
        check_pattern("fallback_pattern", self.fallback_pattern)
        if not self.val_files:
            raise ValueError("val_files is empty; it must name the annotations of the val videos")


class Adapter(DialogAdapter):
    """Read the annotations of train and val. An item is a video, or a group of videos played one after the other."""

    config: Config

    def list_needs(self) -> Sequence[Need]:
        """Annotations of two sides, and the table of groups."""
        config = self.config
        drops: list[Drop] = []
        return (
            Need(config.train_file, "steps of the training videos", page=_PAGE),
            Need(find_file(self.source, config.val_files, drops), "steps of the val videos", page=_PAGE),
            Need(config.group_file, "which videos make one recording", page=_PAGE),
        )

    def list_items(self, which: str = "needed") -> Listing:
        """Items of all annotated videos and groups; the val recordings are divided into val and test by their names.

        Raises ConfigError for an absent or useless file, and when training is left empty.
        """
        index = self._index
        held_out = {index.groups.recording(uid) for uid in index.val}
        drops = list(index.drops)
        dialogs, media = [], []
        for uid, place in sorted(index.places.items()):
            recording = index.groups.recording(uid)
            videos, refusal = index.groups.videos(uid)
            if uid.removeprefix(GROUP_PREFIX) in self.config.ignored:
                videos, refusal = (), "ignored"
            if not videos:
                drops.append(Drop(recording, place.where, refusal))
                continue
            if uid not in index.val and recording in held_out:
                drops.append(Drop(recording, place.where, "of a recording that is also in the val file, held out"))
            split = eval_side(recording) if recording in held_out else "train"
            media.append(self._media_item(uid, recording, split, place.duration_s, videos))
            files = (place.file, self.config.group_file)
            dialogs.append(
                self.source.dialog_item(
                    recording, split, files, place.digest, duration_s=place.duration_s, key=uid, media_key=uid
                )
            )
        if which == "all":
            media += self._other_videos(media)
        return self.source.listing(dialogs, drops, which, media)

    def load_annotation(self, item: Item) -> Annotation:
        """Essential steps with their essential substeps. Raises ItemError when the video is not annotated."""
        place = self._place(item)
        record = place.load(self.source)
        stretch = read_stretch(record)
        if self.compat:
            reading = read_steps_compat(record)
            ratio = summed_share(reading.spans, stretch.duration_s)
        else:
            reading = read_steps(record, item.recording, stretch.end_s)
            ratio = covered_share(
                [(start - stretch.start_s, end - stretch.start_s) for start, end in reading.spans], stretch.duration_s
            )
        begin_s = 0.0 if self.compat else reading.begin_s(stretch)
        goal = record.get("goal_description")
        drops = [Drop(item.recording, "start_time, end_time", stretch.remark)] if stretch.remark else []
        if not clean_text(goal):
            drops.append(Drop(item.recording, "goal_description", "no goal"))
        return Annotation(
            dataset=self.name,
            key=item.key,
            domain=self.config.domain,
            knowledge_type=self.config.knowledge_type,
            goal=goal if self.compat and isinstance(goal, str) else clean_text(goal),
            steps=reading.steps,
            # what starts at 0 is measured on the video's clock everywhere, but for the time before the first picture
            duration_s=stretch.duration_s if self.compat or not stretch.is_late else stretch.end_s - begin_s,
            ann_ratio=ratio,
            start_s=begin_s,
            drops=(*drops, *reading.drops),
        )

    def load_records(self, item: Item) -> Sequence[RawRecord]:
        """The video's own fields, then its steps. Raises ItemError when it is not annotated."""
        place = self._place(item)
        record = place.load(self.source)
        steps = record.pop("segments", None)
        records = [RawRecord(place.where, record)]
        for position, step in enumerate(steps if isinstance(steps, list) else ()):
            records.append(RawRecord(f"{place.where} segments[{position}]", step))
        return records

    def _place(self, item: Item) -> Place:
        place = self._index.places.get(item.key)
        if place is None:
            raise ItemError(Kind.PERMANENT, f"{item.key} is in no annotation file")
        return place

    def _media_item(
        self, key: str, recording: str, split: str, duration_s: float | None, videos: Sequence[str]
    ) -> Item:
        paths = tuple(map(self._folders.path, videos))
        return self.source.media_item(recording, split, duration_s, key=key, videos=paths)

    def _other_videos(self, media: Sequence[Item]) -> Iterator[Item]:
        """Videos on disk that no annotation shows, each for itself."""
        shown = {uid for item in media for uid in self._index.groups.videos(item.key)[0]}
        for uid in self._folders.iter_others(shown):
            yield self._media_item(uid, self._index.groups.recording(uid), "test", None, (uid,))

    @cached_property
    def _folders(self) -> Folders:
        return Folders(self.source, (self.config.video_pattern, self.config.fallback_pattern))

    @cached_property
    def _index(self) -> _Index:
        drops: list[Drop] = []
        config, source = self.config, self.source
        groups = load_groups(source, config.group_file)
        train = index_videos(source, config.train_file, self.compat, drops)
        val = index_videos(source, find_file(source, config.val_files, drops), self.compat, drops)
        for uid in sorted(train.keys() & val.keys()):
            drops.append(Drop(groups.recording(uid), train[uid].where, "also in the val file, which wins"))
        drops = [replace(drop, recording=groups.recording(drop.recording)) for drop in drops]
        return _Index(groups, train | val, frozenset(val), (*groups.drops, *drops))


@dataclass(frozen=True)
class _Index:
    """Everything known before a record is read; ``val`` are uids of the val file."""

    groups: Groups
    places: dict[str, Place]
    val: frozenset[str]
    drops: tuple[Drop, ...]
