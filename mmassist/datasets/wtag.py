"""WTaG, Watch, Talk and Guide (Bao et al., EMNLP Findings 2023): step times and the real talk of cooking sessions."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from mmassist.core.adapter import Need, RawRecord
from mmassist.core.annotation import Annotation, ReferenceForm, Step, Substep
from mmassist.core.errors import ConfigError, ItemError, Kind
from mmassist.core.item import Drop, Item, Listing
from mmassist.datasets.base import DialogAdapter, DialogConfig
from mmassist.datasets.json_file import replace_surrogates
from mmassist.datasets.source import record_digest, unordered_digest
from mmassist.datasets.span import covered_share, summed_share
from mmassist.datasets.wtag_recipe import RECIPES, Recipe, choose_recipe, choose_recipe_compat, load_knowledge
from mmassist.datasets.wtag_rows import TICKS_PER_SECOND, Row, RowReader, iter_lines, list_facts, read_clock

NUM_RECORDINGS = 54  # T1 to T54; the published split takes them in the order of their names as text
NUM_TRAIN = 40

_TIMING = "Video/VideoMpegTiming.txt"
_STEPS = "StepDetection/StepDetection.txt"
_SPEECH = {
    "assistant": "TextASR/InstructorAnnotations_intent.txt",
    "user": "TextASR/UserAnnotations_intent.txt",
}


@dataclass(frozen=True)
class Config(DialogConfig):
    """Where the publisher's files lie below ``DATA_ROOT_DIR/datasets``, and what of them is left out."""

    recipe_dirs: tuple[str, ...]
    ignored: tuple[str, ...]


def split_of(recording: str) -> str:
    """The published split as a pure function of the name: 14 of T1 to T54 are ``val``, every other name ``train``."""
    universe = sorted(f"T{number}" for number in range(1, NUM_RECORDINGS + 1))
    return "val" if recording in universe[NUM_TRAIN:] else "train"


class Adapter(DialogAdapter):
    """Read one folder per recording."""

    config: Config

    def list_needs(self) -> Sequence[Need]:
        """The files of the recordings' folders, and the recipes."""
        folders = self.config.recipe_dirs
        folder = folders[0] if len(folders) == 1 else "*"
        return (
            Need(f"T*/{_TIMING}", "first and last tick of each video"),
            Need(f"T*/{_STEPS}", "steps with their ticks"),
            Need(f"T*/{_SPEECH['assistant']}", "what the instructor says", is_required=False),
            Need(f"T*/{_SPEECH['user']}", "what the user says", is_required=False),
            *(
                Need(f"{folder}/{recipe.file}", f"recipe: {recipe.title}; without it a short list is used", False)
                for recipe in RECIPES
            ),
        )

    def list_items(self, which: str = "needed") -> Listing:
        """Items of all recording folders with a readable clock and step file.

        Other files and folders and the ignored recordings are dropped with a reason. Raises ConfigError when the
        source's folder is absent or holds no training recording.
        """
        dialogs, drops = [], self._miss_recipes()
        for entry in sorted(self.source.require("").iterdir(), key=lambda entry: entry.name):
            if entry.name in self.config.recipe_dirs:
                continue
            reason = self._refuse(entry)
            texts = {} if reason else self._read_texts(entry.name, [])
            clock = read_clock(texts.get(_TIMING, ""))
            if reason or clock is None:
                name = " ".join(replace_surrogates(entry.name).split())  # what a file name's odd bytes become
                drops.append(Drop(name, name, reason or f"no usable {_TIMING}"))
                continue
            dialogs.append(
                self.source.dialog_item(
                    entry.name,
                    split_of(entry.name),
                    tuple(f"{entry.name}/{file}" for file in (_TIMING, _STEPS, *_SPEECH.values())),
                    self._digest(texts),
                    duration_s=(clock[1] - clock[0]) / TICKS_PER_SECOND,
                )
            )
        return self.source.listing(dialogs, drops, which)

    def load_annotation(self, item: Item) -> Annotation:
        """Steps with the utterances made during and after them. Raises ItemError for an unreadable clock."""
        drops: list[Drop] = []
        texts = self._read_texts(item.recording, drops)
        clock = read_clock(texts.get(_TIMING, ""))
        if clock is None:
            raise ItemError(Kind.PERMANENT, f"{item.recording}: no usable {_TIMING}")
        duration_s = (clock[1] - clock[0]) / TICKS_PER_SECOND
        reader = RowReader(item.recording, clock[0], duration_s, self.compat, drops)
        rows = reader.read(_STEPS, texts, None)
        for role, file in _SPEECH.items():
            rows += reader.read(file, texts, role)
        rows.sort(key=lambda row: row.start_s if self.compat else (row.start_s, row.role or "", *row[1:3]))
        steps, spans = _build_steps(rows, item.recording, self.compat, drops)
        recipe = self._choose_recipe(rows, steps, item.recording, drops)
        return Annotation(
            dataset=self.name,
            key=item.key,
            domain=self.config.domain,
            knowledge_type=self.config.knowledge_type,
            goal=recipe.goal,
            steps=steps,
            duration_s=duration_s,
            ann_ratio=(summed_share if self.compat else covered_share)(spans, duration_s),
            knowledge=load_knowledge(recipe, self._recipe_texts(recipe, drops))[0],
            reference_form=ReferenceForm(is_flush_left=True),
            drops=tuple(drops),
        )

    def load_records(self, item: Item) -> Sequence[RawRecord]:
        """The cells of every row, file by file. Raises ItemError when the recording's folder holds none of them."""
        texts = self._read_texts(item.recording, [])
        if not texts:
            raise ItemError(Kind.PERMANENT, f"{item.recording}: none of its files is there")
        return tuple(
            RawRecord(f"{item.recording}/{file} line {number}", line.split("\t"))
            for file, text in texts.items()
            for number, line in iter_lines(text)
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

    def _digest(self, texts: Mapping[str, str]) -> str:
        """Digest of what is read; the order of rows counts for the reference's rules only."""
        join = record_digest if self.compat else lambda *facts: unordered_digest(facts)
        rows = [join(*list_facts(texts.get(file, ""))) for file in (_STEPS, *_SPEECH.values())]
        return record_digest(read_clock(texts.get(_TIMING, "")), rows, self._recipes)

    def _miss_recipes(self) -> list[Drop]:
        """Say once which recipes are told by our own short list instead of the publisher's text."""
        missing = [r.file for r in RECIPES if not load_knowledge(r, self._recipe_texts(r, []))[1]]
        folders = ", ".join(self.config.recipe_dirs)
        reason = f"no usable {', '.join(missing)} in {folders}; a short built-in list of the main actions is used"
        return [Drop("", "recipes", reason)] if missing else []

    @cached_property
    def _recipes(self) -> list[str]:
        """The recipes as they are told."""
        return [load_knowledge(recipe, self._recipe_texts(recipe, []))[0] for recipe in RECIPES]

    def _recipe_texts(self, recipe: Recipe, drops: list[Drop]) -> list[str]:
        """The publisher's texts of a recipe, one per folder that has it."""
        paths = [f"{folder}/{recipe.file}" for folder in self.config.recipe_dirs]
        return list(self._read_present(paths, "", drops).values())

    def _read_texts(self, recording: str, drops: list[Drop]) -> dict[str, str]:
        """File -> content, for those of a recording's files that are there."""
        paths = [f"{recording}/{file}" for file in (_TIMING, _STEPS, *_SPEECH.values())]
        found = self._read_present(paths, recording, drops)
        return {path.removeprefix(f"{recording}/"): text for path, text in found.items()}

    def _read_present(self, paths: Iterable[str], recording: str, drops: list[Drop]) -> dict[str, str]:
        texts = {}
        for path in paths:
            if (self.source.root / path).is_file():
                try:
                    texts[path], remark = self.source.read_text(path)
                except ConfigError:  # one file among hundreds
                    remark = "cannot be read"
                if remark:
                    drops.append(Drop(recording, path.rsplit("/", 1)[-1], remark))
        return texts


def _build_steps(
    rows: list[Row], recording: str, compat: bool, drops: list[Drop]
) -> tuple[tuple[Step, ...], list[tuple[float, float]]]:
    """Steps in time order, and the spans of the annotated ones as the source gives them.

    What begins before the end of the start row is preparation and left out; a marker takes its place.
    An utterance belongs to the step that began last and stretches its end, so that no clip cuts it off; it cannot
    reach beyond the next step's start.
    """
    steps: list[Step] = []
    spans: list[tuple[float, float]] = []
    early: list[Substep] = []
    rows, began = _find_start(rows, recording, compat, drops)
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


def _find_start(rows: list[Row], recording: str, compat: bool, drops: list[Drop]) -> tuple[list[Row], Row | None]:
    """Rows without misplaced start rows, and the start row if there is one, cut where the next step begins.

    A wrong row must not cost the steps: it counts only as the first step row, or as the second with more behind it.
    The reference takes the first row called ``start`` as it is, wherever it stands.
    """
    steps = [row for row in rows if row.role is None]
    named = [row for row in steps if row.text.lower() == "start"]
    if compat or not named:
        return rows, next(iter(named), None)
    began = named[0]
    others = [row.start_s for row in steps if row not in named]
    later = [start_s for start_s in others if start_s >= began.start_s]
    num_earlier = len(others) - len(later)
    is_placed = num_earlier == 0 or (num_earlier == 1 and bool(later))
    ignored = named[1:] if is_placed else named
    drops += [Drop(recording, row.record, "start row among the steps, ignored") for row in ignored]
    rows = [row for row in rows if row not in ignored]
    if not is_placed:
        return rows, None
    cut = began._replace(end_s=min([began.end_s, *later]))
    if cut != began:
        drops.append(Drop(recording, began.record, "start reaches into the next step, cut there"))
    return [cut if row == began else row for row in rows], cut
