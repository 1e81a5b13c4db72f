"""EPIC-KITCHENS-100 (Damen et al., IJCV 2022): narrated actions of unscripted cooking, one dialog per video."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from mmassist.core.adapter import Need, RawRecord
from mmassist.core.annotation import Annotation, ReferenceForm, Step
from mmassist.core.errors import ItemError, Kind
from mmassist.core.item import Drop, Item, Listing
from mmassist.datasets.base import DialogAdapter, DialogConfig
from mmassist.datasets.epickitchens_tables import Action, Tables, participant_of, read_clock
from mmassist.datasets.epickitchens_videos import Videos
from mmassist.datasets.row_steps import TimedRow, build_steps, build_steps_compat
from mmassist.datasets.source import dropped_lines, unordered_digest
from mmassist.datasets.span import covered_share, summed_share

_REPOSITORY = "https://github.com/epic-kitchens/epic-kitchens-100-annotations"
_NO_TEXT = {"", "nan", "none", "null"}


@dataclass(frozen=True)
class Config(DialogConfig):
    """Where the publisher's files lie below ``DATA_ROOT_DIR/datasets``; ``{participant}`` stands for ``P01``."""

    train_file: str
    val_file: str
    videos_file: str
    video_folders: tuple[str, ...]
    extension_folders: tuple[str, ...]

    def __post_init__(self) -> None:
        for name in ("video_folders", "extension_folders"):
            folders = getattr(self, name)
            if not folders or not all("{participant}" in folder for folder in folders):
                raise ValueError(f"{name} is {list(folders)!r}; it must name folders that contain {{participant}}")


class Adapter(DialogAdapter):
    """Read the two tables of actions and the table of videos; together they have 77,000 rows."""

    config: Config

    def list_needs(self) -> Sequence[Need]:
        """The files of the publisher's annotation repository."""
        config = self.config
        return (
            Need(config.train_file, "actions of the training videos", page=_REPOSITORY),
            Need(config.val_file, "actions of the validation videos", page=_REPOSITORY),
            Need(config.videos_file, "lengths and frame rates of the videos", page=_REPOSITORY),
        )

    def list_items(self, which: str = "needed") -> Listing:
        """Items of all videos with an action in either table.

        Raises ConfigError for an absent or unreadable table, one without actions, and one without a column.
        """
        tables, videos = self._tables, Videos(self.config, self.source)
        dialogs = [self._list_one(recording) for recording in sorted(tables.actions)]
        media = [videos.media_item(d.recording, d.split, d.duration_s) for d in dialogs]
        if which == "all":
            media += videos.other_items(tables.actions.keys())
        return self.source.listing(dialogs, tables.drops + videos.drops, which, media)

    def load_annotation(self, item: Item) -> Annotation:
        """Steps in order of time. Raises ItemError when the video has no action in the tables."""
        recording = item.recording
        actions = self._actions(recording)
        duration_s, remark = self._tables.duration(recording)
        drops = [Drop(recording, "duration", remark)] if remark else []
        build = _build_steps_compat if self.compat else _build_steps
        steps = build(actions, recording, duration_s, drops)
        video = self._tables.videos.get(recording)
        spans = [(step.start_s, step.end_s) for step in steps]
        return Annotation(
            dataset=self.name,
            key=item.key,
            domain=self.config.domain,
            knowledge_type=self.config.knowledge_type,
            goal="",
            steps=steps,
            duration_s=duration_s,
            ann_ratio=(summed_share if self.compat else covered_share)(spans, duration_s),
            fps=video.fps if video else None,
            reference_form=ReferenceForm(has_last_line_end=False),
            drops=tuple(drops),
        )

    def load_records(self, item: Item) -> Sequence[RawRecord]:
        """The rows as the tables have them, those that could not be used too; then the video's row."""
        lines: dict[str, set[int]] = {self.config.train_file: set(), self.config.val_file: set()}
        for action in self._actions(item.recording):
            lines[action.file].add(action.line)
        video = self._tables.videos.get(item.recording)
        lines[self.config.videos_file] = {video.line} if video else set()
        records: list[RawRecord] = []
        for file, wanted in lines.items():
            wanted |= dropped_lines(self._tables.drops, file, item.recording)
            records += self.source.read_raw_rows(file, wanted) if wanted else []
        return records

    def _list_one(self, recording: str) -> Item:
        tables = self._tables
        actions, video = tables.actions[recording], tables.videos.get(recording)
        facts = [list(action.to_row().values()) for action in actions]
        if not self.compat:  # a line end inside a text is a blank, however the file ends its lines
            facts = [[" ".join(cell.split()) for cell in row] for row in facts]
        return self.source.dialog_item(
            recording,
            tables.splits[recording],
            (*dict.fromkeys(action.file for action in actions), self.config.videos_file),
            unordered_digest([*facts, video.to_row() if video else None]),
            duration_s=tables.duration(recording)[0],
            participant=participant_of(recording),
        )

    def _actions(self, recording: str) -> list[Action]:
        actions = self._tables.actions.get(recording)
        if actions is None:
            raise ItemError(
                Kind.PERMANENT, f"{recording} is in neither {self.config.train_file} nor {self.config.val_file}"
            )
        return actions

    @cached_property
    def _tables(self) -> Tables:
        return Tables(self.config, self.source)


def _build_steps(actions: Iterable[Action], recording: str, duration_s: float, drops: list[Drop]) -> tuple[Step, ...]:
    rows = []
    for action in sorted(actions, key=Action.order):
        text = " ".join(action.narration.split())
        if text.lower() in _NO_TEXT:
            drops.append(Drop(recording, action.name, "no narration"))
            continue
        if "\ufffd" in text:
            drops.append(Drop(recording, action.name, "bytes that are not UTF-8 became U+FFFD"))
        rows.append(TimedRow(read_clock(action.start), read_clock(action.stop), text, action.name))
    return build_steps(rows, recording, duration_s, drops)


def _build_steps_compat(
    actions: Iterable[Action], recording: str, duration_s: float, drops: list[Drop]
) -> tuple[Step, ...]:
    rows = (TimedRow(read_clock(a.start), read_clock(a.stop), a.narration, a.name) for a in actions)
    return build_steps_compat(rows, recording, drops)
