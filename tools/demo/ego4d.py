"""The sample's Goal-Step files: steps and substeps of a few cooking videos, in the publisher's form."""

from __future__ import annotations

import json
from typing import Any

from mmassist.core.rng import rng
from tools.demo.ego4d_videos import (
    ANNOTATIONS,
    GROUP_FILE,
    RAW_DIR,
    RECORDINGS,
    VIDEO_START_S,
    Action,
    Recording,
    group_table,
    video_writers,
)
from tools.demo.publication import Publication
from tools.demo.schedule import cut_time


def publish() -> Publication:
    """Annotations of train and val, the table of groups, and the videos, one of them only in full size."""
    files = {GROUP_FILE: group_table()}
    for split in ("train", "val"):
        videos = [build_record(recording) for recording in RECORDINGS if recording.split == split]
        content = {"version": "1.0", "date": "231129", "description": "Demonstration", "split": split, "videos": videos}
        files[f"{ANNOTATIONS}/goalstep_{split}.json"] = json.dumps(content).encode()
    return Publication(RAW_DIR, files, video_writers())


def build_record(recording: Recording) -> dict[str, Any]:
    """A video's or group's record as the publisher's file has it."""
    return {
        "video_uid": recording.uid,
        "start_time": VIDEO_START_S,
        "end_time": VIDEO_START_S + recording.length_s,
        "goal_category": recording.category,
        "goal_description": recording.goal,
        "goal_wikihow_url": "",
        "summary": [action.text for action in recording.actions],
        "is_procedural": True,
        "segments": [
            _build_step(recording, action, *span)
            for action, span in zip(recording.actions, recording.spans(), strict=True)
        ],
    }


def _build_step(recording: Recording, action: Action, start_s: float, end_s: float) -> dict[str, Any]:
    spans = cut_time(rng("demo", recording.uid, action.text), len(action.substeps), start_s + 0.2, end_s, gap=0.1)
    substeps = [
        _build_segment(text, *span, recording.category, action.relevance)
        for text, span in zip(action.substeps, spans, strict=True)
    ]
    step = _build_segment(action.text, start_s, end_s, recording.category, action.relevance)
    return {**step, "summary": list(action.substeps), "segments": substeps}


def _build_segment(text: str, start_s: float, end_s: float, category: str, relevance: str) -> dict[str, Any]:
    return {
        "start_time": round(start_s, 5),
        "end_time": round(end_s, 5),
        "step_category": f"{category}: {text.strip()}",
        "step_description": text,
        "is_continued": False,
        "is_procedural": False,
        "is_relevant": relevance,
        "summary": [],
    }
