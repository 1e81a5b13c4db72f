"""The sample's CaptainCook4D folder: an invented recipe, cooked four times, with a skipped step and two mistakes."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from mmassist.core.rng import rng
from tools.demo.publication import Publication, video_writer
from tools.demo.schedule import cut_time

RAW_DIR = "captaincook4d"
FPS = Fraction(30000, 1001)
RECIPE = "Garlic Toast"
STEPS = (
    "Cut-Cut two slices of bread",
    "Toast-Toast the slices until they are golden",
    "Peel-Peel a clove of garlic",
    "Rub - Rub the garlic over the hot toast",
    "Pour-Pour a teaspoon of oil on each slice",
    "Sprinkle-Sprinkle salt on top",
    "Serve-Serve on a plate",
)
EDGES = [[0, 1], [1, 2], [0, 3], [2, 4], [3, 4], [4, 5], [5, 6], [6, 7], [7, 8]]


@dataclass(frozen=True)
class Recording:
    """One cooking of the recipe; steps are numbered from 1, ``done`` in the order in which they were done."""

    name: str
    split: str
    person: int
    duration_s: float
    done: tuple[int, ...]
    errors: tuple[tuple[int, str, str], ...] = ()  # step, tag, description


RECORDINGS = (
    Recording("31_2", "train", 1, 38.0, (1, 2, 3, 4, 5, 6, 7)),
    Recording("31_5", "train", 2, 33.0, (3, 1, 2, 4, 5, 7), ((3, "Order Error", "peeled before toasting"),)),
    Recording("31_9", "val", 3, 30.0, (1, 2, 3, 4, 5, 6, 7)),
    Recording("31_14", "test", 1, 35.0, (1, 2, 3, 4, 5, 6, 7), ((5, "Measurement Error", "poured a tablespoon"),)),
)


def publish() -> Publication:
    """The annotation repository's files and one video per recording."""
    steps = {recording.name: _steps(recording) for recording in RECORDINGS}
    whole = {
        recording.name: {"activity_id": 31, "activity_name": RECIPE, "person_id": recording.person, "environment": 2}
        | {"recording_id": recording.name, "steps": steps[recording.name]}
        for recording in RECORDINGS
    }
    splits = {side: [r.name for r in RECORDINGS if r.split == side] for side in ("train", "val", "test")}
    graph = {"steps": {"0": "START", **{str(n): text for n, text in enumerate(STEPS, 1)}, "8": "END"}, "edges": EDGES}
    values = {
        "annotation_json/step_annotations.json": {
            name: {"recording_id": name, "steps": found} for name, found in steps.items()
        },
        "annotation_json/complete_step_annotations.json": whole,
        "annotation_json/error_annotations.json": [_errors(r, steps[r.name]) for r in RECORDINGS],
        "data_splits/recordings_data_split_combined.json": splits,
        "task_graphs/garlictoast.json": graph,
    }
    files = {f"annotations/{path}": json.dumps(value, indent=4).encode() for path, value in values.items()}
    files["annotations/metadata/video_information.csv"] = _video_table()
    folder = "captain_cook_4d/gopro/resolution_360p"
    videos = {f"{folder}/{r.name}_360p.mp4": video_writer(r.duration_s, FPS, _starts(r)) for r in RECORDINGS}
    return Publication(RAW_DIR, files, videos)


def _spans(recording: Recording) -> dict[int, tuple[float, float]]:
    random = rng("demo", "captaincook4d", recording.name)
    spans = cut_time(random, len(recording.done), 1.0, recording.duration_s - 1.0, gap=0.1)
    return {step: (round(a, 3), round(b, 3)) for step, (a, b) in zip(recording.done, spans, strict=True)}


def _starts(recording: Recording) -> list[float]:
    return sorted(start for start, _ in _spans(recording).values())


def _steps(recording: Recording) -> list[dict[str, Any]]:
    """All steps in the recipe's order; one that was left out begins and ends at -1."""
    spans = _spans(recording)
    wrong = {step for step, _, _ in recording.errors} | (set(range(1, len(STEPS) + 1)) - spans.keys())
    return [
        {"step_id": number, "start_time": start, "end_time": end, "description": text, "has_errors": number in wrong}
        for number, text in enumerate(STEPS, 1)
        for start, end in [spans.get(number, (-1.0, -1.0))]
    ]


def _errors(recording: Recording, steps: list[dict[str, Any]]) -> dict[str, Any]:
    annotated = []
    for step in steps:
        found = [{"tag": tag, "description": text} for n, tag, text in recording.errors if n == step["step_id"]]
        if step["start_time"] < 0:
            found.append({"tag": "Missing Step", "description": "the step was left out"})
        row = {key: value for key, value in step.items() if key != "has_errors"}
        annotated.append({**row, **({"errors": found} if found else {})})
    is_error = any("errors" in step for step in annotated)
    return {"recording_id": recording.name, "activity_id": 31, "is_error": is_error, "step_annotations": annotated}


def _video_table() -> bytes:
    table = io.StringIO(newline="")
    writer = csv.writer(table, quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writerow(["recording_id", "environment_id", "person_id", "duration(min)", "duration(sec)"])
    for r in RECORDINGS:
        writer.writerow([r.name, 2, r.person, r.duration_s / 60, r.duration_s])
    return table.getvalue().encode()
