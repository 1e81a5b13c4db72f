"""Ego4D narrations (Grauman et al., CVPR 2022): one sentence for whatever the wearer of the camera does.

``compat`` does not bring the reference's rules for narrations back: it loses narrations by them and gains nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from mmassist.core.adapter import Need, RawRecord
from mmassist.core.annotation import Caption, CaptionTrack, Request
from mmassist.core.errors import ItemError, Kind
from mmassist.core.item import Drop, Item, Listing
from mmassist.datasets.base import CaptionAdapter, SourceConfig
from mmassist.datasets.ego4d_files import Folders, Groups, check_pattern, eval_side, load_groups
from mmassist.datasets.ego4d_index import find_file, index_videos
from mmassist.datasets.ego4d_narrations_index import Track, Video, read_tracks, read_videos
from mmassist.datasets.ego4d_narrations_text import split_sentences
from mmassist.datasets.source import record_digest
from mmassist.datasets.span import LARGEST_NUMBER, fit_span, read_number

TRAINED_ON = "held out by another benchmark, but trained on in the dialogs of ego4d"
_GOALSTEP = "https://github.com/facebookresearch/ego4d-goalstep"


@dataclass(frozen=True)
class Config(SourceConfig):
    """Where the publisher's files lie below ``DATA_ROOT_DIR/datasets``, and which videos are left out."""

    video_pattern: str
    fallback_pattern: str
    metadata_file: str
    narration_file: str
    group_file: str
    goalstep_train_file: str
    goalstep_val_files: tuple[str, ...]
    held_out_marks: tuple[str, ...]
    drop_statuses: tuple[str, ...]

    def __post_init__(self) -> None:
        check_pattern("video_pattern", self.video_pattern)
        check_pattern("fallback_pattern", self.fallback_pattern)


class Adapter(CaptionAdapter):
    """Read metadata and narrations. A media item is a video, a dialog item one annotator's pass over it."""

    request = Request.NARRATE_WEARER
    config: Config

    def list_needs(self) -> Sequence[Need]:
        """Metadata and narrations; the tables of Goal-Step keep the sides of both sources the same."""
        config = self.config
        optional = [
            Need(config.group_file, "which videos make one recording", is_required=False, page=_GOALSTEP),
            *(
                Need(file, f"Goal-Step's {side} videos", is_required=False, page=_GOALSTEP)
                for side, file in (
                    ("train", config.goalstep_train_file),
                    ("val", find_file(self.source, config.goalstep_val_files, [])),
                )
                if file
            ),
        ]
        return (
            Need(config.metadata_file, "lengths and splits of the videos"),
            Need(config.narration_file, "narrations of the videos"),
            *optional,
        )

    def list_items(self, which: str = "needed") -> Listing:
        """Items of all videos that are narrated and in the metadata.

        Raises ConfigError for an absent or useless file, and when training is left empty.
        """
        index = self._index
        drops = list(index.drops)
        media, dialogs = [], []
        for uid, passes in sorted(index.tracks.items()):
            video = index.videos.get(uid)
            recording = index.groups.recording(uid)
            if video is None:
                drops.append(Drop(recording, f"{self.config.narration_file} {uid}", "narrated but not in the metadata"))
                continue
            if recording in index.held_out and recording in index.trained:
                drops.append(Drop(recording, f"{self.config.narration_file} {uid}", TRAINED_ON))
                continue
            side = eval_side(recording) if recording in index.held_out else "train"
            dialogs += [self._dialog_item(track, video, recording, side) for _, track in sorted(passes.items())]
            if passes:
                media.append(self._media_item(uid, side, video.duration_s, video.participant))
        for uid in sorted(index.videos.keys() - index.tracks.keys()):
            where = f"{self.config.metadata_file} {uid}"
            drops.append(Drop(index.groups.recording(uid), where, "in the metadata but not narrated"))
        if which == "all":
            known = {item.key for item in media}
            media += [self._media_item(uid, "test") for uid in self._folders.iter_others(known)]
        return self.source.listing(dialogs, drops, which, media)

    def load_captions(self, item: Item) -> CaptionTrack:
        """One caption per sentence of the wearer, by time. Raises ItemError when the pass is not in the file."""
        track = self._track(item)
        video = self._index.videos.get(track.uid)
        end_s = video.end_s if video is not None and video.end_s is not None else LARGEST_NUMBER
        drops: list[Drop] = []
        kept: dict[tuple[float | None, str], Caption] = {}
        for place, narration in sorted(self._iter_narrations(track), key=lambda pair: _order(pair[1])):
            captions, refusals = _read_narration(narration, place, end_s)
            drops += [Drop(item.recording, place, refusal) for refusal in refusals]
            for caption in captions:
                if (caption.time_s, caption.text) in kept:
                    drops.append(Drop(item.recording, place, "copy"))
                else:
                    kept[caption.time_s, caption.text] = caption
        return CaptionTrack(self.name, item.key, tuple(kept.values()), tuple(drops))

    def load_records(self, item: Item) -> Sequence[RawRecord]:
        """The narrations of the pass. Raises ItemError when the pass is not in the file."""
        track = self._track(item)
        where = f"{self.config.narration_file} {track.uid}"
        return [RawRecord(f"{where} {place}", narration) for place, narration in self._iter_narrations(track)]

    def _iter_narrations(self, track: Track) -> Iterator[tuple[str, Any]]:
        """Yield place (``narration_pass_1.narrations[5]``) and record; a second record of the video counts on."""
        position = 0
        for start, end in track.places:
            record = self.source.read_json_at(self.config.narration_file, start, end)
            for narration in _read_pass(record, track):
                yield f"{track.name}.narrations[{position}]", narration
                position += 1

    def _track(self, item: Item) -> Track:
        track = self._by_key.get(item.key)
        if track is None:
            raise ItemError(Kind.PERMANENT, f"{item.key} is not in {self.config.narration_file}")
        return track

    def _dialog_item(self, track: Track, video: Video, recording: str, side: str) -> Item:
        return self.source.dialog_item(
            recording,
            side,
            (self.config.narration_file, self.config.metadata_file),
            record_digest(sorted(track.digests), video.end_s),
            duration_s=video.duration_s,
            participant=video.participant,
            key=track.key,
            media_key=track.uid,
        )

    def _media_item(self, uid: str, side: str, duration_s: float | None = None, participant: str | None = None) -> Item:
        recording = self._index.groups.recording(uid)
        videos = (self._folders.path(uid),)
        return self.source.media_item(recording, side, duration_s, participant, key=uid, videos=videos)

    @cached_property
    def _folders(self) -> Folders:
        return Folders(self.source, (self.config.video_pattern, self.config.fallback_pattern))

    @cached_property
    def _by_key(self) -> dict[str, Track]:
        return {track.key: track for passes in self._index.tracks.values() for track in passes.values()}

    @cached_property
    def _index(self) -> _Index:
        config, source = self.config, self.source
        drops: list[Drop] = []
        groups = Groups({}, {}, (Drop("", config.group_file, "absent: videos of a group count as recordings"),))
        if (source.root / config.group_file).is_file():
            groups = load_groups(source, config.group_file)
        videos = read_videos(source, config.metadata_file, config.held_out_marks, drops)
        # Older metadata has no marks of Goal-Step, so its own lists say which recordings its dialogs are trained on.
        val = {groups.recording(uid) for uid in self._goalstep(find_file(source, config.goalstep_val_files, []))}
        train = {groups.recording(uid) for uid in self._goalstep(config.goalstep_train_file)} - val
        held_out = {groups.recording(uid) for uid, video in videos.items() if video.is_held_out} | val
        tracks = read_tracks(source, config.narration_file, config.drop_statuses, drops)
        drops = [replace(drop, recording=groups.recording(drop.recording)) for drop in drops]
        return _Index(groups, videos, tracks, frozenset(held_out), frozenset(train), (*groups.drops, *drops))

    def _goalstep(self, file: str) -> Collection[str]:
        """Uids of one of Goal-Step's files, none where it is not there."""
        return index_videos(self.source, file, self.compat, []) if (self.source.root / file).is_file() else ()


@dataclass(frozen=True)
class _Index:
    """Everything known before a narration is read; ``held_out`` and ``trained`` (on, as dialogs) are recordings."""

    groups: Groups
    videos: dict[str, Video]
    tracks: dict[str, dict[str, Track]]
    held_out: frozenset[str]
    trained: frozenset[str]
    drops: tuple[Drop, ...]


def _read_pass(record: Any, track: Track) -> list[Any]:
    value = record.get(track.name) if isinstance(record, dict) else None
    narrations = value.get("narrations") if isinstance(value, dict) else None
    if not isinstance(narrations, list):
        raise ItemError(Kind.PERMANENT, f"{track.key}: the narrations have changed since they were listed")
    return narrations


def _order(narration: Any) -> tuple[float, str, str]:
    """By time; what was said at the same moment in an order that does not depend on the file's."""
    if not isinstance(narration, dict):
        return LARGEST_NUMBER, "", ""
    time_s = read_number(narration.get("timestamp_sec"))
    text, uid = str(narration.get("narration_text")), str(narration.get("annotation_uid"))
    return LARGEST_NUMBER if time_s is None else time_s, text, uid


def _read_narration(narration: Any, place: str, end_s: float) -> tuple[list[Caption], list[str]]:
    """Captions of a narration, and why its other sentences are left out."""
    if not isinstance(narration, dict):
        return [], ["not a record"]
    time_s = read_number(narration.get("timestamp_sec"))
    span, refusal = fit_span(time_s, time_s, end_s)
    if span is None:
        return [], [refusal]
    uid = narration.get("annotation_uid")
    record = uid if isinstance(uid, str) and uid else f"{place.partition('.')[0]} at {span[0]:g} s"
    sentences = split_sentences(narration.get("narration_text"))
    captions = [Caption(found.text, time_s=span[0], record=record) for found in sentences if not found.refusal]
    return captions, [found.refusal for found in sentences if found.refusal]
