"""EgoExoLearn (Huang et al., CVPR 2024): cooking and laboratory work after a demonstration, one dialog per ego video.

The publisher divides rows, not videos, into train, val and test, and ships the test rows without text. Here a video is
on one side, and what it shows in its train and val rows is its annotation.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from mmassist.core.adapter import Need, RawRecord
from mmassist.core.annotation import Annotation, KnownTask, ReferenceForm, Step
from mmassist.core.errors import ItemError, Kind
from mmassist.core.item import Drop, Item, Listing
from mmassist.core.rng import rng
from mmassist.datasets.base import DialogAdapter, DialogConfig
from mmassist.datasets.egoexolearn_rows import Row, Table
from mmassist.datasets.egoexolearn_tasks import KITCHEN_TASKS, LAB_TASKS
from mmassist.datasets.egoexolearn_text import choose_text
from mmassist.datasets.row_steps import TimedRow, build_steps, build_steps_compat
from mmassist.datasets.source import dropped_lines, unordered_digest
from mmassist.datasets.span import Span, covered_share, read_number, summed_share

LATEST_S = 4 * 3600.0  # no video is nearly as long; the source states no lengths, and a stray time would be one
_REPOSITORY = "https://github.com/OpenGVLab/EgoExoLearn"
_SCENES = {"kitchen": KITCHEN_TASKS, "lab": LAB_TASKS}


@dataclass(frozen=True)
class Config(DialogConfig):
    """Where the publisher's files lie; ``domain`` and ``knowledge_type`` are a kitchen's, the others a laboratory's."""

    annotation_file: str
    lab_domain: str
    lab_knowledge_type: str
    eval_share: float

    def __post_init__(self) -> None:
        if not 0 <= self.eval_share < 1:
            raise ValueError(f"eval_share is {self.eval_share!r}; it must lie between 0 and 1")


class Adapter(DialogAdapter):
    """Read the table of fine actions."""

    config: Config

    def list_needs(self) -> Sequence[Need]:
        """The table of actions; the test rows have no text and are not read."""
        return (Need(self.config.annotation_file, "fine actions of train and val", page=_REPOSITORY),)

    def list_items(self, which: str = "needed") -> Listing:
        """Items of all videos with an ego row. Raises ConfigError for an absent table, or one without a column."""
        dialogs = [self._list_one(recording, rows) for recording, rows in sorted(self._table.rows.items())]
        # The table says when the last action ends, not how long the video is: its length is unknown.
        media = [self.source.media_item(item.recording, item.split) for item in dialogs]
        if which == "all":
            known = self._table.rows.keys()
            media += [self.source.media_item(n, "test") for n in self.source.recordings_on_disk() if n not in known]
        return self.source.listing(dialogs, self._table.drops, which, media)

    def load_annotation(self, item: Item) -> Annotation:
        """Steps in order of time. Raises ItemError when the video has no row in the table."""
        rows, recording = self._rows(item), item.recording
        drops: list[Drop] = []
        scene = self._read_scene(rows, recording, drops)
        is_kitchen = scene == "kitchen"
        build = _build_steps_compat if self.compat else _build_steps
        steps = build(rows, recording, drops)
        spans = [(step.start_s, step.end_s) for step in steps]
        duration_s = _length_compat(spans) if self.compat else _length(spans)
        return Annotation(
            dataset=self.name,
            key=item.key,
            domain=self.config.domain if is_kitchen else self.config.lab_domain,
            knowledge_type=self.config.knowledge_type if is_kitchen else self.config.lab_knowledge_type,
            goal="",
            steps=steps,
            duration_s=duration_s,
            ann_ratio=(summed_share if self.compat else covered_share)(spans, duration_s),
            known_tasks=self._list_tasks(scene),
            reference_form=ReferenceForm(has_last_line_end=False),
            drops=tuple(drops),
        )

    def load_records(self, item: Item) -> Sequence[RawRecord]:
        """The rows as the table has them, those that could not be used too."""
        lines = {row.line for row in self._rows(item)}
        file = self.config.annotation_file
        return self.source.read_raw_rows(file, lines | dropped_lines(self._table.drops, file, item.recording))

    def _list_one(self, recording: str, rows: list[Row]) -> Item:
        split = rows[0].subset if self.compat else split_of(recording, rows, self.config.eval_share)
        build = _build_steps_compat if self.compat else _build_steps
        return self.source.dialog_item(
            recording,
            split,
            (self.config.annotation_file,),
            self._digest(rows),
            duration_s=_length([(step.start_s, step.end_s) for step in build(rows, recording, [])]) or None,
        )

    def _digest(self, rows: Iterable[Row]) -> str:
        """Digest of what is read; a line end inside a text is a blank, however the file ends its lines."""
        facts = [list(row.to_row().values()) for row in rows]
        return unordered_digest(facts if self.compat else ([" ".join(cell.split()) for cell in row] for row in facts))

    def _list_tasks(self, scene: str) -> tuple[KnownTask, ...]:
        """The tasks to choose from: those of the scene; all where none is stated, and always in the reference."""
        return (*KITCHEN_TASKS, *LAB_TASKS) if self.compat else _SCENES.get(scene, (*KITCHEN_TASKS, *LAB_TASKS))

    def _read_scene(self, rows: list[Row], recording: str, drops: list[Drop]) -> str:
        """The scene that most rows state, ``""`` where none states a known one; of equals the first by name."""
        if self.compat:
            return rows[0].scene
        counts = Counter(row.scene for row in rows if row.scene in _SCENES)
        if len(counts) != 1 or counts.total() < len(rows):
            remark = "rows of several scenes, that of most counts" if counts else "no known scene, taken for a lab"
            drops.append(Drop(recording, "scene", remark))
        return min(counts, key=lambda scene: (-counts[scene], scene), default="")

    def _rows(self, item: Item) -> list[Row]:
        rows = self._table.rows.get(item.recording)
        if rows is None:
            raise ItemError(Kind.PERMANENT, f"{item.recording} has no ego row in {self.config.annotation_file}")
        return rows

    @cached_property
    def _table(self) -> Table:
        return Table(self.source, self.config.annotation_file)


def split_of(recording: str, rows: Iterable[Row], eval_share: float) -> str:
    """Side of a video: its rows' subset if they agree, otherwise drawn by its name, ``eval_share`` of them to val.

    Nearly every video has rows of both subsets, about one of six of val, so no majority would leave anything to
    evaluate on. The reference takes the subset of whatever row comes first.
    """
    subsets = {row.subset for row in rows}
    if len(subsets) == 1:
        return subsets.pop()
    return "val" if rng("egoexolearn", "split", recording).random() < eval_share else "train"


def _build_steps(rows: Iterable[Row], recording: str, drops: list[Drop]) -> tuple[Step, ...]:
    timed = []
    for row in sorted(rows, key=Row.order):
        text, repair = choose_text(row.plain_text, row.text)
        if repair:
            drops.append(Drop(recording, row.name, repair))
        if text:
            timed.append(TimedRow(_read_time(row.start), _read_time(row.end), text, row.name))
    return build_steps(timed, recording, LATEST_S, drops)


def _build_steps_compat(rows: Iterable[Row], recording: str, drops: list[Drop]) -> tuple[Step, ...]:
    timed = (TimedRow(read_number(row.start), read_number(row.end), row.plain_text, row.name) for row in rows)
    return build_steps_compat(timed, recording, drops)


def _read_time(text: str) -> float | None:
    time_s = read_number(text)
    return time_s if time_s is not None and time_s < LATEST_S else None


def _length(spans: Sequence[Span]) -> float:
    """Seconds from the video's beginning to the last end of an action; how much longer it is nobody says."""
    return max((end_s for _, end_s in spans), default=0.0)


def _length_compat(spans: Sequence[Span]) -> float:
    """The reference: from the first action's start to the end of the one that begins last."""
    return spans[-1][1] - spans[0][0] if spans else 0.0
