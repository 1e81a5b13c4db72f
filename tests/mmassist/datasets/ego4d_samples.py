"""A small Goal-Step publication, for the tests of the source ego4d."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

A, B, C, D, E = (f"{letter * 8}-0000-4000-8000-000000000000" for letter in "abcde")
GROUPS = [[A, B], [C]]
ANNOTATIONS = "datasets/ego4d_track2/v2/annotations"


def step(start: Any, end: Any, text: Any, relevance: Any = "essential", *substeps: Any) -> dict[str, Any]:
    found = {"start_time": start, "end_time": end, "step_description": text, "is_relevant": relevance}
    return {**found, "step_category": "General: cook", "segments": list(substeps)}


def substep(start: Any, end: Any, text: Any, relevance: Any = "essential") -> dict[str, Any]:
    return {"start_time": start, "end_time": end, "step_description": text, "is_relevant": relevance}


def video(uid: Any, *steps: Any, start: Any = 0.021, end: Any = 100.021, goal: Any = "Make  soup.") -> dict[str, Any]:
    return {"video_uid": uid, "start_time": start, "end_time": end, "goal_description": goal, "segments": list(steps)}


STEPS = [
    step(0.0, 10.0, "Wash 1.5 kg of Carrots."),
    step(
        12.0,
        40.0,
        "cut\nthe carrots\n\n",
        "essential",
        substep(14.0, 20.0, "Take a knife."),
        substep(21.0, 25.0, "Cut a carrot"),
        substep(30.0, 38.0, "cut a carrot."),
        substep(26.0, 28.0, "scratch head", "irrelevant"),
    ),
    step(41.0, 50.0, "Phone", "optional", substep(42.0, 43.0, "Dial")),
    step(49.0, 100.021, "Boil"),
]
EXPECTED = """\
[0.0s-10.0s] Wash 1.5 kg of Carrots
[12.0s-40.0s] cut the carrots
 - [14.0s-20.0s] Take a knife
 - [21.0s-38.0s] Cut a carrot
[49.0s-100.0s] Boil
"""
COMPAT = """\
[0.0s-10.0s] wash 1 5 kg of carrots
[14.0s-40.0s] cut\nthe carrots
 - [14.0s] take a knife
 - [21.0s] cut a carrot
 - [26.0s] scratch head
[49.0s-100.0s] boil
"""


def write_goalstep(
    root: Path,
    train: Sequence[Any],
    val: Sequence[Any] = (),
    groups: Sequence[Any] = GROUPS,
    val_name: str = "goalstep_val.json",
) -> Path:
    """Make ``root`` a DATA_ROOT_DIR; without ``val`` there is one val video, E."""
    folder = root / ANNOTATIONS
    folder.mkdir(parents=True, exist_ok=True)
    val = list(val) or [video(E, *STEPS)]
    for name, split, videos in (("goalstep_train.json", "train", list(train)), (val_name, "val", val)):
        (folder / name).write_text(json.dumps({"version": "1.0", "split": split, "videos": videos}))
    rows = "".join(f"demo\t{members}\n" for members in groups)
    (folder / "goalstep_video_groups.tsv").write_text("university\tvideo_group\n" + rows)
    return root
