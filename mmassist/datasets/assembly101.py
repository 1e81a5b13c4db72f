"""Assembly101 (Sener et al., CVPR 2022): people take toys apart and put them together, filmed by a headset.

A sequence shows both tasks to several cameras, so it has one media item per camera and a dialog item per task and
camera. All frame numbers of the publisher count 30 to the second, although the videos have 60 pictures a second.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from mmassist.core.adapter import Need, RawRecord
from mmassist.core.annotation import Annotation, ReferenceForm
from mmassist.core.errors import ItemError, Kind
from mmassist.core.item import Drop, Geometry, Item, Listing
from mmassist.datasets.assembly101_fine import FineIndex, FineSequence
from mmassist.datasets.assembly101_rows import CoarseRow, RowReader
from mmassist.datasets.assembly101_steps import Content, build_steps, build_steps_compat, join_rows, join_rows_compat
from mmassist.datasets.base import DialogAdapter, DialogConfig
from mmassist.datasets.json_file import replace_surrogates
from mmassist.datasets.source import check_group_pattern, item_key, record_digest, unordered_digest
from mmassist.datasets.span import covered_share

VERBS = {"assembly": "assemble", "disassembly": "disassemble"}  # the two tasks, and what the person wants to do
LEAD_IN_S = 2.0  # the reference lets a dialog begin this long before the first step

_COARSE_NAME = re.compile(rf"({'|'.join(VERBS)})_(.+)\.txt", re.DOTALL)
_MISTAKE_NAME = re.compile(r"(.+)\.csv", re.DOTALL)
# Serial numbers of the four cameras on each of the two headsets; a view is named HMC_<serial>_mono10bit.
_HEADSETS = (
    frozenset({"21176875", "21176623", "21110305", "21179183"}),
    frozenset({"84346135", "84347414", "84355350", "84358933"}),
)
_ANNOTATIONS = "https://github.com/assembly-101/assembly101-annotations"
_MISTAKES = "https://github.com/assembly-101/assembly101-mistake-detection"


@dataclass(frozen=True)
class Config(DialogConfig):
    """Where the publisher's files lie below ``DATA_ROOT_DIR/datasets``, and what of them is used."""

    train_file: str
    val_file: str
    coarse_dir: str
    mistake_dir: str
    cameras: tuple[str, ...]
    rotation_deg: int
    participant_pattern: str
    substep_verbs: tuple[str, ...]
    marked_tasks: tuple[str, ...]
    max_gap_s: float

    def __post_init__(self) -> None:
        check_group_pattern("participant_pattern", self.participant_pattern)
        if not self.cameras or len(set(self.cameras)) < len(self.cameras):
            raise ValueError(f"cameras is {list(self.cameras)!r}; it must name at least one, and none twice")
        if "{camera}" not in self.video_pattern:
            raise ValueError(f"video_pattern is {self.video_pattern!r}; it must contain {{recording}} and {{camera}}")
        if self.rotation_deg % 90:
            raise ValueError(f"rotation_deg is {self.rotation_deg!r}; it must be a multiple of 90")
        if unknown := sorted(set(self.marked_tasks) - set(VERBS)):
            raise ValueError(f"marked_tasks names {', '.join(unknown)}; the tasks are {', '.join(VERBS)}")
        if self.max_gap_s <= 0:
            raise ValueError(f"max_gap_s is {self.max_gap_s!r}; it must be above 0")


@dataclass(frozen=True)
class _Recording:
    """Everything that is annotated of one sequence: coarse rows and joined rows by task."""

    fine: FineSequence
    contents: dict[str, Content]
    drops: dict[str, list[Drop]]  # task -> of its files; those of the mistake file are told with the first task
    refusals: list[Drop]  # tasks that are left out


class Adapter(DialogAdapter):
    """Read two tables of fine actions once, and two or three small files per sequence when they are needed."""

    config: Config

    def list_needs(self) -> Sequence[Need]:
        """The publisher's two repositories of annotations."""
        config = self.config
        return (
            Need(config.train_file, "fine actions of the training sequences, one row per view", page=_ANNOTATIONS),
            Need(config.val_file, "fine actions of the validation sequences", page=_ANNOTATIONS),
            Need(f"{config.coarse_dir}/*.txt", "steps, one file per task and sequence", page=_ANNOTATIONS),
            Need(f"{config.mistake_dir}/*.csv", "mistakes and corrections, one file per sequence", page=_MISTAKES),
        )

    def list_items(self, which: str = "needed") -> Listing:
        """Items of all sequences with coarse steps and a headset view among the fine actions.

        Raises ConfigError for an absent table or folder, a table without a column that is read, and when training is
        left empty.
        """
        self.source.require(self.config.mistake_dir)
        tasks, drops = self._find_tasks()
        dialogs, media = [], []
        for sequence, fine in sorted(self._fine.sequences.items()):
            if sequence not in tasks:
                drops.append(Drop(sequence, sequence, "fine actions but no coarse steps"))
                continue
            recording = self._load(sequence, fine, tasks[sequence])
            drops += recording.refusals
            cameras = self._choose_cameras(fine)
            if not cameras:
                drops.append(Drop(sequence, sequence, "no view of a headset in dataset.cameras"))
            for camera in cameras if recording.contents else ():
                video = self._list_video(sequence, fine.split, camera)
                media.append(video)
                dialogs += [
                    self._list_dialog(task, content, recording, video, camera)
                    for task, content in recording.contents.items()
                ]
        if which == "all":
            media += self._list_other_videos({item.key for item in media})
        return self.source.listing(dialogs, drops + self._fine.drops, which, media)

    def load_annotation(self, item: Item) -> Annotation:
        """Steps with mistakes, corrections and screwing. Raises ItemError when the task is not annotated."""
        task, recording = self._recall(item)
        content = recording.contents[task]
        build = build_steps_compat if self.compat else build_steps
        drops = list(recording.drops[task])
        steps = build(content, self.config.substep_verbs, item.recording, drops)
        begin_s = steps[0].start_s
        end_s = steps[-1].end_s if self.compat else max(step.end_s for step in steps)
        spans = [(step.start_s - begin_s, step.end_s - begin_s) for step in steps]
        start_s = max(0.0, begin_s - LEAD_IN_S)
        length_s = end_s - begin_s
        toy = f"toy {recording.fine.toy}".strip()
        return Annotation(
            dataset=self.name,
            key=item.key,
            domain=self.config.domain,
            knowledge_type=self.config.knowledge_type.replace("{task}", task),
            goal=f"{VERBS[task]} {toy}",
            steps=steps,
            # what starts at 0 is measured on the video's clock everywhere
            duration_s=length_s if start_s > 0 or self.compat else end_s,
            ann_ratio=1.0 if self.compat else covered_share(spans, length_s),
            start_s=start_s,
            has_mistake=any(row.label == "mistake" for row in content.mistakes),
            reference_form=ReferenceForm(window_cut_s=1.0),
            drops=tuple(drops),
        )

    def load_records(self, item: Item) -> Sequence[RawRecord]:
        """The lines of the task's coarse file and of the sequence's mistakes as they are, and the task's fine actions.

        Raises ItemError when the task is not annotated.
        """
        task, recording = self._recall(item)
        return (
            *self._raw_lines(self._coarse_file(task, item.recording)),
            *self._raw_lines(self._mistake_file(item.recording)),
            *(RawRecord(action.record, action.to_json()) for action in recording.contents[task].actions),
        )

    def _raw_lines(self, path: str) -> list[RawRecord]:
        if not (self.source.root / path).is_file():
            return []
        text = self.source.read_text(path)[0]
        return [RawRecord(f"{path} line {number}", line) for number, line in enumerate(text.splitlines(), 1)]

    def _recall(self, item: Item) -> tuple[str, _Recording]:
        task, sequence = item.key.partition("_")[0], item.recording
        fine = self._fine.sequences.get(sequence)
        recording = self._load(sequence, fine, set(VERBS)) if fine else None
        if recording is None or task not in recording.contents:
            raise ItemError(Kind.PERMANENT, f"{sequence} has no steps in {self._coarse_file(task, sequence)}")
        return task, recording

    def _find_tasks(self) -> tuple[dict[str, set[str]], list[Drop]]:
        """Sequence -> tasks with a coarse file, of the sequences with fine actions; and what else lies around."""
        tasks: dict[str, set[str]] = defaultdict(set)
        drops = []
        self.source.require(self.config.coarse_dir)
        for name in self._list_names(self.config.coarse_dir):
            found = _COARSE_NAME.fullmatch(name)
            if found is None:
                drops.append(Drop("", f"{self.config.coarse_dir}/{_one_line(name)}", "not a file of coarse steps"))
            elif found[2] not in self._fine.sequences:
                drops.append(
                    Drop(_one_line(found[2]), _one_line(name), "coarse steps without fine actions of a headset view")
                )
            else:
                tasks[found[2]].add(found[1])
        for name in self._list_names(self.config.mistake_dir):
            found = _MISTAKE_NAME.fullmatch(name)
            if found is None:
                drops.append(Drop("", f"{self.config.mistake_dir}/{_one_line(name)}", "not a file of mistakes"))
            elif found[1] not in tasks:
                drops.append(Drop(_one_line(found[1]), _one_line(name), "mistakes without coarse steps"))
        return tasks, drops

    def _list_names(self, folder: str) -> list[str]:
        """What a folder holds; odd bytes of a name are replaced, so that every drop can be written down."""
        return sorted(map(replace_surrogates, self.source.list_names(folder)))

    def _load(self, sequence: str, fine: FineSequence, tasks: set[str]) -> _Recording:
        """Read the files of one sequence and join them; tasks are in order of their names."""
        reader = RowReader(self.source, sequence, self.config.max_gap_s, self.compat)
        coarse: dict[str, list[CoarseRow]] = {}
        drops: dict[str, list[Drop]] = {}
        refusals = []
        for task in sorted(tasks):
            rows = reader.read_coarse(self._coarse_file(task, sequence))
            drops[task] = reader.take_drops()
            if rows:
                coarse[task] = rows
                continue
            refusals += [*drops[task], Drop(sequence, task, "no usable coarse step")]
        file = self._mistake_file(sequence)
        mistakes = reader.read_mistakes(file)
        told = reader.take_drops()
        if not mistakes:
            reason = "no file of mistakes" if mistakes is None else "no usable row of mistakes"
            told.append(Drop(sequence, file, reason))
            for task in [task for task in coarse if task in self.config.marked_tasks]:
                del coarse[task]
                refusals.append(Drop(sequence, task, f"{reason}, so wrong steps are not known"))
        join = join_rows_compat if self.compat else join_rows
        contents, loose = join(coarse, mistakes or [], fine.actions)
        told += [Drop(sequence, row.record, "mistake row outside of every step") for row in loose]
        placed = {action for content in contents.values() for action in (*content.actions, *content.idle_actions)}
        left = [action for action in fine.actions if action.verb in self.config.substep_verbs and action not in placed]
        told += [Drop(sequence, action.record, "begins outside of every step") for action in left]
        (drops[next(iter(contents))] if contents else refusals).extend(told)
        return _Recording(fine, contents, drops, refusals)

    def _choose_cameras(self, fine: FineSequence) -> list[str]:
        """The cameras of the headset whose views the fine rows name; whether a video is there is not looked at."""
        serials = {_serial(view) for view in fine.views}
        worn: set[str] = set().union(*(headset for headset in _HEADSETS if headset & serials))
        return [camera for camera in self.config.cameras if camera in fine.views or _serial(camera) in worn]

    def _list_video(self, sequence: str, split: str, camera: str) -> Item:
        return self.source.media_item(
            sequence,
            split,
            participant=self._participant(sequence),
            geometry=Geometry(rotation_deg=self.config.rotation_deg),
            key=item_key(f"{sequence}__{camera}"),
            videos=(self.config.video_pattern.replace("{recording}", sequence).replace("{camera}", camera),),
        )

    def _list_dialog(self, task: str, content: Content, recording: _Recording, video: Item, camera: str) -> Item:
        sequence = video.recording
        return self.source.dialog_item(
            sequence,
            video.split,
            (
                self._coarse_file(task, sequence),
                self._mistake_file(sequence),
                self.config.train_file if video.split == "train" else self.config.val_file,
            ),
            _digest(content, recording.fine.toy, self.config.substep_verbs),
            duration_s=max(row.end_s for row in content.coarse) - min(row.start_s for row in content.coarse),
            participant=video.participant,
            key=item_key(f"{task}_{sequence}__{camera}"),
            media_key=video.key,
        )

    def _list_other_videos(self, known: set[str]) -> Iterator[Item]:
        for camera in self.config.cameras:
            pattern = self.config.video_pattern.replace("{camera}", camera)
            for sequence in replace(self.source, video_pattern=pattern).recordings_on_disk():
                video = self._list_video(sequence, "test", camera)
                if video.key not in known:
                    yield video

    def _participant(self, sequence: str) -> str | None:
        found = re.search(self.config.participant_pattern, sequence)
        return found[1] if found else None

    def _coarse_file(self, task: str, sequence: str) -> str:
        return f"{self.config.coarse_dir}/{task}_{sequence}.txt"

    def _mistake_file(self, sequence: str) -> str:
        return f"{self.config.mistake_dir}/{sequence}.csv"

    @cached_property
    def _fine(self) -> FineIndex:
        return FineIndex(self.source, {"train": self.config.train_file, "val": self.config.val_file})


def _one_line(name: str) -> str:
    return " ".join(name.split())


def _serial(view: str) -> str:
    return view.split("_")[1] if view.count("_") else view


def _digest(content: Content, toy: str, verbs: Sequence[str]) -> str:
    actions = {(action.start_frame, action.text) for action in content.actions if action.verb in verbs}
    return record_digest(
        toy,
        unordered_digest(row[:-2] for row in content.coarse),
        unordered_digest(row[:-2] for row in content.mistakes),
        unordered_digest(actions),
    )
