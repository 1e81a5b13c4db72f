"""WTaG, Watch, Talk and Guide (Bao et al., EMNLP Findings 2023): step times and the real talk of cooking sessions."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from mmassist.core.annotation import Annotation, Step, Substep
from mmassist.core.errors import ItemError, Kind
from mmassist.core.item import Drop, Item, Listing
from mmassist.datasets.source import SourceAdapter, SourceConfig, record_digest
from mmassist.datasets.span import covered_share, fit_span, summed_share
from mmassist.datasets.wtag_recipe import Recipe, choose_recipe, choose_recipe_compat, load_knowledge

TICKS_PER_SECOND = 10_000_000
NUM_RECORDINGS = 54  # T1 to T54; the published split takes them in the order of their names as text
NUM_TRAIN = 40

_TIMING = "Video/VideoMpegTiming.txt"
_STEPS = "StepDetection/StepDetection.txt"
_SPEECH = {
    "assistant": "TextASR/InstructorAnnotations_intent.txt",
    "user": "TextASR/UserAnnotations_intent.txt",
}


@dataclass(frozen=True)
class Config(SourceConfig):
    """Where the publisher's files lie below ``DATA_ROOT_DIR/datasets``, and what of them is left out."""

    recipe_dirs: tuple[str, ...]
    ignored: tuple[str, ...]


class Row(NamedTuple):
    """A row of a tick file, in seconds since the video's first tick. ``role`` is None for a step."""

    start_s: float
    end_s: float
    text: str
    role: str | None
    record: str


def split_of(recording: str) -> str:
    """The published split as a pure function of the name: 14 of T1 to T54 are ``val``, every other name ``train``."""
    universe = sorted(f"T{number}" for number in range(1, NUM_RECORDINGS + 1))
    return "val" if recording in universe[NUM_TRAIN:] else "train"


class Adapter(SourceAdapter):
    """Read one folder per recording."""

    config: Config

    def list_items(self, which: str = "needed") -> Listing:
        """Items of all recording folders with a readable clock and step file.

        Other files and folders and the ignored recordings are dropped with a reason. Raises ConfigError when the
        source's folder is absent or holds no training recording.
        """
        dialogs, drops = [], []
        for entry in sorted(self.source.require("").iterdir(), key=lambda entry: entry.name):
            if entry.name in self.config.recipe_dirs:
                continue
            reason = self._refuse(entry)
            clock = None if reason else _read_clock(entry / _TIMING)
            if reason or clock is None:
                drops.append(Drop(entry.name, entry.name, reason or f"no usable {_TIMING}"))
                continue
            dialogs.append(
                self.source.dialog_item(
                    entry.name,
                    split_of(entry.name),
                    tuple(f"{entry.name}/{file}" for file in (_TIMING, _STEPS, *_SPEECH.values())),
                    self._digest(entry),
                    duration_s=(clock[1] - clock[0]) / TICKS_PER_SECOND,
                )
            )
        return self.source.listing(dialogs, drops, which)

    def load_annotation(self, item: Item) -> Annotation:
        """Steps with the utterances made during and after them. Raises ItemError for an unreadable clock."""
        folder = self.source.root / item.recording
        clock = _read_clock(folder / _TIMING)
        if clock is None:
            raise ItemError(Kind.PERMANENT, f"{item.recording}: no usable {_TIMING}")
        duration_s = (clock[1] - clock[0]) / TICKS_PER_SECOND
        reader = _RowReader(item.recording, clock[0], duration_s, self.compat)
        rows = reader.read(folder / _STEPS, None)
        for role, file in _SPEECH.items():
            rows += reader.read(folder / file, role)
        rows.sort(key=lambda row: row.start_s if self.compat else (row.start_s, row.role or "", *row[1:3]))
        steps, spans = _build_steps(rows, item.recording, self.compat, reader.drops)
        recipe = self._choose_recipe(rows, steps, item.recording, reader.drops)
        folders = [self.source.root / path for path in self.config.recipe_dirs]
        return Annotation(
            dataset=self.name,
            key=item.key,
            domain=self.config.domain,
            knowledge_type=self.config.knowledge_type,
            goal=recipe.goal,
            steps=steps,
            duration_s=duration_s,
            ann_ratio=(summed_share if self.compat else covered_share)(spans, duration_s),
            knowledge=load_knowledge(recipe, folders),
            drops=tuple(reader.drops),
        )

    def _choose_recipe(self, rows: list[Row], steps: Iterable[Step], recording: str, drops: list[Drop]) -> Recipe:
        if self.compat:
            texts = [[step.text, *(substep.text for substep in step.substeps)] for step in steps]
            return choose_recipe_compat(text for group in texts for text in group)
        names = [row.text for row in rows if row.role is None]
        recipe, is_known = choose_recipe(names, [row.text for row in rows if row.role is not None])
        if not is_known:
            drops.append(Drop(recording, "recipe", f"no word of any recipe found, {recipe.title} assumed"))
        return recipe

    def _refuse(self, entry: Path) -> str:
        if not entry.is_dir() or not re.fullmatch(r"T\d+[A-Za-z]?", entry.name):
            return "not a recording folder"
        if entry.name in self.config.ignored:
            return "in dataset.ignored"
        return "" if (entry / _STEPS).is_file() else f"no {_STEPS}"

    def _digest(self, folder: Path) -> str:
        texts = [_read_text(folder / file) for file in (_TIMING, _STEPS, *_SPEECH.values())]
        recipes = [self.source.root / path for path in self.config.recipe_dirs]
        return record_digest(
            texts, [_read_text(path) for folder in recipes for path in sorted(folder.glob("recipe_*.txt"))]
        )


def _build_steps(
    rows: list[Row], recording: str, compat: bool, drops: list[Drop]
) -> tuple[tuple[Step, ...], list[tuple[float, float]]]:
    """Steps in time order, and the spans of the annotated ones as the source gives them.

    What begins before the end of the first row called ``start`` is preparation and left out; a marker takes its place.
    An utterance belongs to the step that began last and stretches its end, so that no clip cuts it off; it cannot
    reach beyond the next step's start.
    """
    steps: list[Step] = []
    spans: list[tuple[float, float]] = []
    early: list[Substep] = []
    began = next((row for row in rows if row.role is None and row.text.lower() == "start"), None)
    if began is not None:
        steps.append(Step(began.end_s / 2, began.end_s, "start", is_marker=True))
        drops += [Drop(recording, r.record, "before the start") for r in rows if r.start_s < began.end_s and r != began]
    for row in rows:
        if began is not None and (row.start_s < began.end_s or row is began):
            continue
        if row.role is None and not (compat and ":" in row.text):
            steps.append(Step(row.start_s, row.end_s, row.text))
            spans.append((row.start_s, row.end_s))
            continue
        substep = Substep(row.start_s, row.text, role=row.role)
        if not steps:
            early.append(substep)
        else:
            end_s = max(steps[-1].end_s, row.start_s)
            steps[-1] = replace(steps[-1], end_s=end_s, substeps=(*steps[-1].substeps, substep))
    if steps and early and not compat:
        steps[0] = replace(steps[0], substeps=(*early, *steps[0].substeps))
    if not spans:
        drops.append(Drop(recording, _STEPS, "no step"))
    return tuple(steps), spans


class _RowReader:
    """Read tick files of one recording; rows that say nothing usable become drops."""

    def __init__(self, recording: str, first_tick: int, duration_s: float, compat: bool):
        self.recording = recording
        self.first_tick = first_tick
        self.duration_s = duration_s
        self.compat = compat
        self.drops: list[Drop] = []

    def read(self, path: Path, role: str | None) -> list[Row]:
        """Rows of one file. ``role`` None: steps with their span; else utterances, placed at their middle."""
        if not path.is_file():
            self.drops.append(Drop(self.recording, path.name, "file missing"))
            return []
        rows: list[Row] = []
        seen = set()
        for number, line in enumerate(_read_text(path).splitlines(), 1):
            record = f"{path.name}:{number}"
            row, remark = self._read_row(line, role, record)
            if row is not None and row[:3] in seen and not self.compat:
                row, remark = None, "copy of another row"
            if remark:
                self.drops.append(Drop(self.recording, record, remark))
            if row is not None:
                rows.append(row)
                seen.add(row[:3])
        return rows

    def _read_row(self, line: str, role: str | None, record: str) -> tuple[Row | None, str]:
        if not line.strip():
            return None, ""
        cells = line.split("\t")
        start_s, end_s = (self._read_tick(cell) for cell in (cells[0], cells[1] if len(cells) > 1 else ""))
        text = " ".join(cells[2].split()) if len(cells) > 2 else ""
        if not text:
            return None, "no text"
        if self.compat and start_s is not None and end_s is not None:
            span, remark = (start_s, end_s), ""
        else:
            span, remark = fit_span(start_s, end_s, self.duration_s)  # type: ignore[assignment]
        if span is None:
            return None, remark
        start_s, end_s = span
        return Row(start_s if role is None else (start_s + end_s) / 2, end_s, text, role, record), remark

    def _read_tick(self, cell: str) -> float | None:
        tick = _read_integer(cell)
        # ticks near 1.3e17 are 16 apart as floats: subtract as integers first
        return None if tick is None else (tick - self.first_tick) / TICKS_PER_SECOND


def _read_clock(path: Path) -> tuple[int, int] | None:
    """First and last tick of a video, or None when the file does not say."""
    ticks = [_read_integer(line) for line in _read_text(path).split()]
    if len(ticks) < 2 or ticks[0] is None or ticks[1] is None or ticks[1] <= ticks[0]:
        return None
    return ticks[0], ticks[1]


def _read_integer(text: str) -> int | None:
    return int(text) if re.fullmatch(r"\s*-?\d{1,18}\s*", text, flags=re.ASCII) else None


def _read_text(path: Path) -> str:
    """Content of a small text file, "" when absent; a stray byte that is not UTF-8 becomes a replacement character."""
    return path.read_bytes().decode("utf-8-sig", "replace") if path.is_file() else ""
