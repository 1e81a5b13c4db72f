"""Apply the reference's rules and ours to the same dialogs, and count what differs.

    python -m tools.bench.dialog_differences DATA_ROOT_DIR [--dataset holoassist]

DATA_ROOT_DIR holds finished ``frames``, ``generated_dialogs/scripted``, ``scores/timing`` and ``splits`` made with the
default rules. Prints one line per number: how old the picture is when the assistant speaks, times in summaries, scores,
which dialogs are kept, and how samples are cut with 10 tokens a frame and the tiny tokenizer.
"""

from __future__ import annotations

import argparse
import json
import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import yaml

from mmassist.core.fingerprint import canonical_json
from mmassist.core.seconds import FRAMES_PER_SECOND, frame_at
from mmassist.dialog.record import Conversation, list_conversations, read_record
from mmassist.dialog.score import timing_score
from mmassist.dialog.selection import Scored, Selection, select_train
from mmassist.io.layout import Layout
from mmassist.io.reader import UnitReader
from mmassist.packing.chat_format import ChatFormat
from mmassist.packing.conversation import load_messages
from mmassist.packing.record import Dialog, FrameStore
from mmassist.packing.report import FillReport
from mmassist.packing.sample import PackConfig, SampleBuilder, SetupConfig
from mmassist.packing.tokenizer import TokenizerConfig, build_tokenizer
from mmassist.video.sampling import reference_stride

CONF = Path(__file__).resolve().parents[2] / "conf" / "dataset"
IMAGE_TOKENS: Final = 10


@dataclass(frozen=True)
class Recording:
    """The dialogs of one recording with what they are measured against."""

    key: str
    dialogs: dict[str, Any]
    video: dict[str, Any]
    conversations: list[Conversation] = field(default_factory=list)


def iter_recordings(root: Path, dataset: str) -> Iterator[Recording]:
    """Yield all recordings that have dialogs and frames."""
    frames = UnitReader(Layout(root).unit(dataset, "frames"), "extract")
    dialogs = UnitReader(Layout(root).unit(dataset, "generated_dialogs/scripted"), "generate")
    with_frames = set(frames.keys())
    for key in dialogs.keys():  # noqa: SIM118
        if key in with_frames:
            record = read_record(dialogs.read(key).read("dialogs.json"))
            video = json.loads(frames.read(key).read("video.json"))
            yield Recording(key, record, video, list_conversations(record))


def picture_ages(recording: Recording) -> Iterator[tuple[float, float]]:
    """For every answer, how long ago its last picture was filmed: by the reference's sampling, and exactly."""
    fps = float(recording.video["sources"][0]["native_fps"])
    stride = reference_stride(fps, FRAMES_PER_SECOND)
    for conversation in recording.conversations:
        for turn in conversation.turns:
            last = max(0, frame_at(turn.time_s) - 1)
            if not turn.is_user and last < recording.video["num_frames"]:
                yield turn.time_s - last * stride / fps, turn.time_s - recording.video["pts_s"][last]


def score_rows(recording: Recording) -> Iterator[tuple[Scored, float]]:
    """Each conversation with its score here, and its score by the reference."""
    text = recording.dialogs["parsed_video_anns"]["all_step_descriptions"]
    for index, one in enumerate(recording.conversations):
        here = timing_score(text, one.turns, compat=False).final_score
        yield (
            Scored(index, one.user_type, one.user_id, here),
            timing_score(text, one.turns, compat=True).final_score,
        )


def mean_kept(selection: Selection) -> float:
    return sum(kept.scored.score for kept in selection.kept) / max(1, len(selection.kept))


def pack(recordings: list[Recording], compat: bool) -> dict[str, float]:
    """Cut all dialogs of all recordings into samples; ``frames twice`` are in two samples of one dialog."""
    tokenizer = build_tokenizer(TokenizerConfig(name="tiny"))
    config = PackConfig(image_tokens=IMAGE_TOKENS)
    setup = SetupConfig(name="knowledge", knowledge=True, summary=True)
    builder = SampleBuilder(config, setup, ChatFormat(tokenizer, IMAGE_TOKENS, "none"), compat)
    report = FillReport()
    twice = json_bytes = 0
    for recording in recordings:
        store = FrameStore(recording.key, recording.video["num_frames"])
        for one in recording.conversations:
            samples = builder.build(build_dialog(recording, one), store, report)
            spans = [(s.record["start_frame_idx"], s.record["end_frame_idx"]) for s in samples]
            twice += sum(max(0, before[1] - after[0]) for before, after in pairwise(spans))
            json_bytes += sum(len(canonical_json(s.record)) for s in samples)
    stats = report.stats()
    return {
        "samples": stats["samples"],
        "fill": round(stats["tokens"] / stats["capacity_tokens"], 3),
        "answers": stats["answers"],
        "frames": stats["frames"],
        "frames twice": twice,
        "kB of records": round(json_bytes / 1000),
        **{name: value for name, value in stats.items() if name.startswith("dropped_")},
    }


def build_dialog(recording: Recording, one: Conversation) -> Dialog:
    return Dialog(
        dataset=recording.dialogs["parsed_video_anns"]["dataset"],
        item_key=recording.key,
        video_uid=recording.key,
        side="train",
        user_type=one.user_type,
        user_id=one.user_id,
        messages=tuple(load_messages([turn.to_row() for turn in one.turns], one.user_id)),
        goal=recording.dialogs["inferred_goal"],
        knowledge=recording.dialogs["inferred_knowledge"],
    )


def iter_report(root: Path, dataset: str) -> Iterator[str]:
    """Yield the lines of the report."""
    recordings = list(iter_recordings(root, dataset))
    ratio = yaml.safe_load((CONF / f"{dataset}.yaml").read_text())["split"]["sampling_ratio"]
    num_dialogs = sum(len(recording.conversations) for recording in recordings)
    yield f"{dataset}: {len(recordings)} recordings, {num_dialogs} dialogs"
    ages = [age for recording in recordings for age in picture_ages(recording)]
    for name, values in (("reference", [age[0] for age in ages]), ("here", [age[1] for age in ages])):
        mean = sum(values) / len(values)
        yield f"  last picture before an answer, {name}: {mean:.2f} s old on average, at most {max(values):.2f} s"
    starts = [one.turns[0].time_s for recording in recordings for one in recording.conversations]
    yield f"  time in summaries is later by {min(starts):.1f} to {max(starts):.1f} s in the reference"
    rows = [list(score_rows(recording)) for recording in recordings]
    changed = sum(not math.isclose(here.score, theirs, abs_tol=1e-9) for group in rows for here, theirs in group)
    yield f"  scores that differ: {changed} of {num_dialogs}"
    for compat in (True, False):
        kept = [select_train([here for here, _ in group], 3.0, ratio, compat) for group in rows]
        mean = sum(map(mean_kept, kept)) / len(kept)
        count = Counter(weighted.weight for one in kept for weighted in one.kept)
        yield f"  kept by {_name(compat)} at ratio {ratio}: {sum(count.values())} dialogs, mean score {mean:.3f}"
    for compat in (True, False):
        yield f"  packed by {_name(compat)}: " + ", ".join(f"{k} {v:g}" for k, v in pack(recordings, compat).items())


def _name(compat: bool) -> str:
    return "the reference" if compat else "our rules"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tools.bench.dialog_differences", description=__doc__)
    parser.add_argument("root", type=Path, help="a finished DATA_ROOT_DIR")
    parser.add_argument("--dataset", action="append", help="holoassist, wtag or captaincook4d; again for several")
    arguments = parser.parse_args()
    for wanted in arguments.dataset or ["holoassist", "wtag", "captaincook4d"]:
        for line in iter_report(arguments.root, wanted):
            print(line)
