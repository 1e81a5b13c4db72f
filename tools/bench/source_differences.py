"""Count what the reference's rules change in reading videos and annotations, from the publishers' files alone.

    python -m tools.bench.source_differences DATASETS

DATASETS is a folder in the publishers' layouts (``DATA_ROOT_DIR/datasets``). Prints Markdown: how far the reference's
frame index runs ahead of the clock (HoloAssist's and EPIC-KITCHENS' own lists of lengths and rates), how
many picture sizes come out a pixel short, and what each annotation yields under both readings. No video is opened.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from mmassist.core.adapter import Adapter
from mmassist.core.annotation import Annotation
from mmassist.core.seconds import FRAMES_PER_SECOND
from mmassist.datasets import build_adapter, build_dataset_config
from mmassist.dialog.annotation import Clip, ClipRule, cut_clips
from mmassist.video.geometry import reference_resize
from mmassist.video.sampling import reference_stride

CONF = Path(__file__).resolve().parents[2] / "conf" / "dataset"
SOURCES = ("assembly101", "ego4d", "egoexolearn", "epickitchens", "holoassist", "wtag")  # not read there: CaptainCook4D
EPIC_VIDEOS = "epic-kitchens/epic-kitchens-100-annotations/EPIC_100_video_info.csv"
HOLOASSIST_RECORDS = "holoassist/data-annotation-trainval-v1_1.json"
SIZE = 384
_LABELS = ("source", "recording", "rules")


@dataclass(frozen=True)
class Video:
    """What a publisher's list says about a video."""

    name: str
    duration_s: float
    fps: float

    @property
    def reference_frames(self) -> int:
        return math.ceil(round(self.duration_s * self.fps) / reference_stride(self.fps, FRAMES_PER_SECOND))

    @property
    def exact_frames(self) -> int:
        return math.floor((round(self.duration_s * self.fps) - 1) / self.fps * FRAMES_PER_SECOND) + 1

    @property
    def drift_s(self) -> float:
        """How far the number of the reference's last frame lies ahead of the time its picture was filmed."""
        last = self.reference_frames - 1
        return last / FRAMES_PER_SECOND - last * reference_stride(self.fps, FRAMES_PER_SECOND) / self.fps


def read_epic_videos(datasets: Path) -> list[Video]:
    with (datasets / EPIC_VIDEOS).open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    return [Video(row["video_id"], float(row["duration"]), float(row["fps"])) for row in rows]


def read_holoassist_videos(datasets: Path) -> list[Video]:
    videos = []
    for record in json.loads((datasets / HOLOASSIST_RECORDS).read_text()):
        facts = record["videoMetadata"]
        hours, minutes, seconds = facts["duration"]["raw"].split(":")
        length_s = int(hours) * 3600 + int(minutes) * 60 + float(seconds)
        videos.append(Video(record["video_name"], length_s, float(facts["video"]["fps"])))
    return videos


def is_short(side: int) -> bool:
    """Whether the reference's resize, which cuts to integers, makes a picture of this short side 383 pixels."""
    return reference_resize(2 * side, side).height < SIZE


def iter_annotations(datasets: Path, compat: bool) -> Iterator[tuple[str, Annotation, ClipRule]]:
    """Yield ``(source, annotation, window rule)`` of every recording, by the shipped settings."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "datasets").symlink_to(datasets.resolve())
        for source in SOURCES:
            values = yaml.safe_load((CONF / f"{source}.yaml").read_text())
            adapter: Adapter = build_adapter(build_dataset_config(values["dataset"], "dataset"), root, compat)
            settings = values["generate"]
            shown = (settings.get(name) for name in ("clip_before", "clip_after"))
            rule = ClipRule(settings["clip_max_units"], settings["clip_counts"], *shown)
            for item in adapter.list_items().dialogs:
                yield source, adapter.load_annotation(item), rule


def count_annotation(annotation: Annotation) -> dict[str, Any]:
    """What a reading found in a recording."""
    substeps = [substep for step in annotation.steps for substep in step.substeps]
    return {
        "steps": sum(not step.is_marker for step in annotation.steps),
        "actions": sum(substep.role is None for substep in substeps),
        "utterances": sum(substep.role is not None for substep in substeps),
        "errors": sum(bool(s.note) for s in annotation.steps) + sum(bool(s.note) for s in substeps),
        "length s": f"{annotation.duration_s:.2f}",
        "coverage": f"{annotation.ann_ratio:.4f}",
    }


def count_windows(annotation: Annotation, clips: list[Clip]) -> dict[str, Any]:
    """Windows, and substeps that lie outside their own window, so that no turn may stand at them."""
    outside = 0
    for clip in clips:
        for step in annotation.steps[clip.first_step : clip.last_step]:
            outside += sum(not clip.start_s - 0.05 <= sub.start_s <= clip.end_s + 0.05 for sub in step.substeps)
    return {"windows": len(clips), "content outside": outside}


def iter_report(datasets: Path) -> Iterator[str]:
    """Yield the lines of the report."""
    epic = read_epic_videos(datasets)
    yield from _table(_drift_rows(read_holoassist_videos(datasets)))
    yield from _table(_rate_rows(epic))
    worst = max(epic, key=lambda video: video.drift_s)
    hours = sum(video.duration_s for video in epic) / 3600
    yield f"\nEPIC-KITCHENS, {len(epic)} videos, {hours:.1f} h. Ahead at the end by more than"
    for limit in (1, 5, 10, 20, 60):
        yield f"  {limit} s: {sum(video.drift_s > limit for video in epic)}"
    yield f"  most: {worst.drift_s:.1f} s in {worst.name} ({worst.fps:.2f} per second, {worst.duration_s:.0f} s)"
    counts = [sum(video.reference_frames for video in epic), sum(video.exact_frames for video in epic)]
    yield f"  frames: {counts[0]} by the reference, {counts[1]} exact"
    short = [side for side in range(100, 2200) if is_short(side)]
    yield f"\nShort sides from 100 to 2199 that come out as 383 pixels: {len(short)}"
    yield from _table(_reading_rows(datasets))


def _drift_rows(videos: Iterable[Video]) -> Iterator[dict[str, Any]]:
    for video in videos:
        yield {
            "HoloAssist recording": video.name,
            "per second": video.fps,
            "length s": f"{video.duration_s:.2f}",
            "reference frames": video.reference_frames,
            "exact frames": video.exact_frames,
            "ahead s": f"{video.drift_s:.2f}",
        }


def _rate_rows(videos: list[Video]) -> Iterator[dict[str, Any]]:
    for fps, count in sorted(Counter(round(video.fps, 2) for video in videos).items()):
        same = [video for video in videos if round(video.fps, 2) == fps]
        stride = reference_stride(same[0].fps, FRAMES_PER_SECOND)
        yield {
            "EPIC rate": fps,
            "videos": count,
            "stride": stride,
            "frames a second": f"{same[0].fps / stride:.3f}",
            "most ahead s": f"{max(video.drift_s for video in same):.1f}",
        }


def _reading_rows(datasets: Path) -> Iterator[dict[str, Any]]:
    """A row per recording and reading, and one per source with the sums; shares are averages."""
    rows = list(_rows_by_recording(datasets))
    yield from rows
    for source in SOURCES:
        for name in ("reference", "here"):
            found = [row for row in rows if (row["source"], row["rules"]) == (source, name)]
            if not found:
                continue
            sums = {key: sum(float(row[key]) for row in found) for key in found[0] if key not in _LABELS}
            total = {key: f"{value:g}" for key, value in sums.items()}
            total |= {"length s": f"{sums['length s']:.2f}", "coverage": f"{sums['coverage'] / len(found):.4f}"}
            yield {"source": source, "recording": f"all {len(found)}", "rules": name} | total


def _rows_by_recording(datasets: Path) -> Iterator[dict[str, Any]]:
    readings = zip(iter_annotations(datasets, True), iter_annotations(datasets, False), strict=True)
    for (source, reference, rule), (_, corrected, _) in readings:
        for name, annotation in (("reference", reference), ("here", corrected)):
            clips = cut_clips(annotation, rule, name == "reference")
            counts = count_annotation(annotation) | count_windows(annotation, clips)
            yield {"source": source, "recording": annotation.key, "rules": name} | counts


def _table(rows: Iterable[dict[str, Any]]) -> Iterator[str]:
    for number, row in enumerate(rows):
        if number == 0:
            yield ""
            yield f"| {' | '.join(row)} |"
            yield f"|{'---|' * len(row)}"
        yield f"| {' | '.join(str(value) for value in row.values())} |"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tools.bench.source_differences", description=__doc__)
    parser.add_argument("datasets", type=Path, help="folder in the publishers' layouts")
    for line in iter_report(parser.parse_args().datasets):
        print(line)
