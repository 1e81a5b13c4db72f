"""A committed frame store of generated pictures, as ``stage=extract`` leaves one, and features of invented values."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from launchers.worker import load_element
from mmassist.core.stage import Member, Outputs, Task
from mmassist.io.fragment import write_fragment
from mmassist.io.shard import commit_task
from mmassist.vision.feature_chunk import SUMMARY_NAME, ChunkCutter
from tools.bench.generation_source import RUN_ID, Work, plan_work

NUM_PICTURES = 16  # different ones; frames repeat them
QUALITY = 90


def write_frame_store(root: Path, num_frames: int, size: int = 384) -> int:
    """Commit ``num_frames`` frames for every recording below ``root``; returns how many recordings there are."""
    pictures = [_jpeg(number, size) for number in range(NUM_PICTURES)]

    def members() -> Iterator[Member]:
        for index in range(num_frames):
            yield f"{index:06d}.jpg", pictures[index % NUM_PICTURES]
        yield "video.json", json.dumps({"num_frames": num_frames, "size": size}).encode()

    return _commit(plan_work(root, [f"extract.size={size}"], "extract"), members)


def write_features(root: Path, num_frames: int, width: int, grid: int, chunk_frames: int = 120) -> int:
    """Commit features of random values for every recording below ``root``; returns how many recordings there are."""
    rows = np.random.default_rng(0).standard_normal((num_frames, 1 + grid * grid, width), np.float32).astype(np.float16)
    name = f"{grid}x{grid}"

    def members() -> Iterator[Member]:
        cutter = ChunkCutter(chunk_frames, ["cls", name])
        yield from cutter.add({"cls": rows[:, :1], name: rows[:, 1:]})
        yield from cutter.finish()
        said = {"num_frames": num_frames, "chunk_frames": chunk_frames, "dim": width, "grids": [grid]}
        made_by = {"encoder": "invented", "is_random": True, "layer": "last", "dtype": "float16"}
        yield SUMMARY_NAME, json.dumps(said | made_by).encode()

    return _commit(plan_work(root, [f"encode.grids=[{grid}]"], "encode"), members)


def _commit(work: Work, members: Callable[[], Iterator[Member]]) -> int:
    number = 0
    for row in load_element(work.run, work.job.name, 0):
        task = Task(row["name"], tuple(item["key"] for item in row["items"]), row["weight"])
        fragments = {
            key: asyncio.run(write_fragment(work.job.unit.fragment(task.name, key), key, "", Outputs(members())))
            for key in task.items
        }
        number += len(fragments)
        assert commit_task(work.job.unit, task, fragments, {}, "bench", RUN_ID)
    work.lock.release()
    return number


def _jpeg(number: int, size: int) -> bytes:
    """Smooth colours under sensor noise: about as many bytes as a frame of a real video."""
    import simplejpeg

    y, x = np.mgrid[0:size, 0:size]
    planes = [127 + 90 * np.sin((x * (channel + 1) + y * number) / (30 + 5 * number)) for channel in range(3)]
    noise = np.random.default_rng(number).normal(0, 6, (size, size, 3))
    picture = np.clip(np.stack(planes, -1) + noise, 0, 255).astype(np.uint8)
    return simplejpeg.encode_jpeg(picture, quality=QUALITY, colorsubsampling="420")
