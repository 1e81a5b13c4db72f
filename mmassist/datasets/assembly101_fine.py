"""Assembly101's tables of fine actions: about a million rows, each action once for every view of the sequence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from mmassist.core.item import Drop
from mmassist.datasets.source import Source
from mmassist.datasets.span import read_number

ANNOTATION_FPS = 30  # of every frame number the publisher writes
HEADSET_PREFIX = "HMC_"  # of the headset's views; the others are cameras around the table

_COLUMNS = ("video", "start_frame", "end_frame", "action_cls", "toy_name")
_SPLITS = ("train", "val")  # from training outwards


class FineAction(NamedTuple):
    """One action, as often as it was annotated; views share it. ``record`` is where its first row stands."""

    start_frame: float
    end_frame: float | None
    text: str
    record: str

    @property
    def start_s(self) -> float:
        return self.start_frame / ANNOTATION_FPS

    @property
    def verb(self) -> str:
        """The first word, which tells ``screw wheel`` from ``screwdriver``."""
        return self.text.split(" ", 1)[0]

    def to_json(self) -> dict[str, Any]:
        return {"start_frame": self.start_frame, "end_frame": self.end_frame, "action_cls": self.text}


@dataclass(frozen=True)
class FineSequence:
    """What the tables say of one sequence; actions in time order, ``toy`` "" for an unknown one."""

    split: str
    views: frozenset[str]
    toy: str
    actions: tuple[FineAction, ...]


class FineIndex:
    """The sequences with a headset view in the tables, and what was left out. The tables are read here, in a stream.

    A sequence in several tables belongs to the one furthest from training. Raises ConfigError for an absent or useless
    table.
    """

    def __init__(self, source: Source, files: Mapping[str, str]):
        self.drops: list[Drop] = []
        self._texts: dict[str, str] = {}
        self._found: dict[str, _Found] = {}
        for split in _SPLITS:
            self._read(source, files[split], split)
        self.sequences = {name: self._finish(name, found) for name, found in self._found.items()}
        del self._found, self._texts

    def _read(self, source: Source, path: str, split: str) -> None:
        name = path.rsplit("/", 1)[-1]
        is_empty = True
        for line, row in source.iter_table(path, _COLUMNS, self.drops):
            sequence, _, file = row["video"].partition("/")
            view = file.removesuffix(".mp4")
            if not sequence or not view:
                self.drops.append(Drop("", f"{name} line {line}", "no sequence and view in its column video"))
            elif view.startswith(HEADSET_PREFIX):
                is_empty = False
                found = self._found.get(sequence)
                if found is None:
                    found = self._found[sequence] = _Found(split)
                elif found.split != split:
                    reason = f"also in the {found.split} table, {split} wins"
                    self.drops.append(Drop(sequence, f"{name} line {line}", reason))
                    found.split = split
                found.views.add(view)
                found.toys[row["toy_name"]] += 1
                self._add_action(found, sequence, row, f"{name} line {line}")
        if is_empty and split == _SPLITS[0]:
            raise source.refuse(path, "holds no action seen by a headset")

    def _add_action(self, found: _Found, sequence: str, row: Mapping[str, str], record: str) -> None:
        text = self._texts.get(row["action_cls"])
        if text is None:
            text = self._texts[row["action_cls"]] = " ".join(row["action_cls"].split())
        start = read_number(row["start_frame"])
        if start is None or not text:
            self.drops.append(Drop(sequence, record, "no text" if start is not None else "no start time"))
            return
        end = read_number(row["end_frame"])
        found.actions.setdefault((start, end, text), record)

    def _finish(self, name: str, found: _Found) -> FineSequence:
        toys = found.toys
        toy = min(toys, key=lambda toy: (-toys[toy], toy))
        if len(toys) > 1:
            self.drops.append(Drop(name, "toy_name", f"{len(toys)} names, the most frequent taken"))
        actions = sorted(
            (FineAction(*values, record) for values, record in found.actions.items()),
            key=lambda action: (
                action.start_frame,
                -1.0 if action.end_frame is None else action.end_frame,
                action.text,
            ),
        )
        toy = "" if "-" in toy else " ".join(toy.split())  # a dash stands for a name that is not known
        return FineSequence(found.split, frozenset(found.views), toy, tuple(actions))


class _Found:
    def __init__(self, split: str):
        self.split = split
        self.views: set[str] = set()
        self.toys: Counter[str] = Counter()
        self.actions: dict[tuple[float, float | None, str], str] = {}
