"""The sample's Ego4D metadata and narrations: two passes over each video, with the publisher's odd spellings."""

from __future__ import annotations

import json
import uuid
from typing import Any

from mmassist.core.rng import rng
from tools.demo.ego4d_videos import (
    ANNOTATIONS,
    GROUP_FILE,
    RAW_DIR,
    RECORDINGS,
    VIDEO_START_S,
    Recording,
    Video,
    group_table,
    video_writers,
)
from tools.demo.publication import Publication

TAGS = ("#C C", "#c c", "#CC", "#C  C", "#Cc C", "#C- C", "#C C", "#C C")
DOINGS = (
    "looks around the kitchen",
    "moves the bowl aside",
    "picks a spoon",
    "opens a drawer\n",
    "lifts the lid.",
    "walks to the sink",
    "rinses her hands",
    "puts the cloth down",
)
OTHERS = "#O A woman X enters the kitchen"
UNSURE = "#C C holds #Unsure in the left hand"


def publish() -> Publication:
    """Metadata, narrations, the table of groups, and the videos."""
    videos = [(recording, video) for recording in RECORDINGS for video in recording.videos]
    metadata = {
        "date": "230208",
        "version": "v2",
        "description": "Demonstration",
        "videos": [_build_metadata(recording, video) for recording, video in videos],
        "concurrent_video_sets": [],
        "physical_settings": [],
        "clips": [],
    }
    narrations = {video.uid: _build_record(video) for _, video in videos}
    files = {
        GROUP_FILE: group_table(),
        "ego4d.json": json.dumps(metadata).encode(),
        f"{ANNOTATIONS}/narration.json": json.dumps(narrations).encode(),
    }
    return Publication(RAW_DIR, files, video_writers())


def _build_metadata(recording: Recording, video: Video) -> dict[str, Any]:
    return {
        "video_uid": video.uid,
        "duration_sec": video.length_s,
        "scenarios": ["Cooking"],
        "video_metadata": {
            "fps": float(video.fps),
            "num_frames": round(video.length_s * video.fps),
            "mp4_duration_sec": video.length_s + VIDEO_START_S,
            "video_start_sec": VIDEO_START_S,
            "video_duration_sec": video.length_s,
            "audio_start_sec": None,
        },
        "split_em": None,
        "split_av": None,
        "split_fho": "train" if recording.split == "train" else "multi",
        "split_goalstep": recording.split,
        "video_source": "demo",
        "fb_participant_id": None,
        "has_redacted_regions": False,
        "redacted_intervals": [],
    }


def _build_record(video: Video) -> dict[str, Any]:
    return {**{f"narration_pass_{number}": _build_pass(video, number) for number in (1, 2)}, "status": "complete"}


def _build_pass(video: Video, number: int) -> dict[str, Any]:
    random = rng("demo", "narrations", video.uid, number)
    uid = str(uuid.UUID(int=random.getrandbits(128), version=4))
    narrations: list[dict[str, Any]] = []
    at_s = 0.6 + 0.3 * number
    while at_s < video.length_s - 0.1:
        place = len(narrations)
        text = f"{TAGS[place % len(TAGS)]} {random.choice(DOINGS)}"
        if place % 7 == 5:
            text = random.choice((OTHERS, UNSURE, f"{text.strip()} #C C {random.choice(DOINGS)}"))
        narrations.append(
            {
                "timestamp_sec": round(at_s, 7),
                "timestamp_frame": int(at_s * 30),
                "_unmapped_timestamp_sec": round(at_s - VIDEO_START_S, 7),
                "narration_text": text,
                "annotation_uid": uid,
            }
        )
        at_s += random.choice((0.7, 1.1, 1.6, 2.9))
    summary = {"start_sec": 0.0, "end_sec": video.length_s, "summary_text": "#Summary C cooked.", "annotation_uid": uid}
    return {"narrations": narrations, "summaries": [summary]}
