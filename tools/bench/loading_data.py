"""Folders of realistic sizes for measuring the loader: packed dialogs, and features of their recordings."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

import numpy as np

from mmassist.core.fingerprint import canonical_json
from mmassist.core.stage import Member, Outputs, Task
from mmassist.io.fragment import write_fragment
from mmassist.io.layout import UnitLayout
from mmassist.io.npy import npy_bytes
from mmassist.io.shard import commit_task, save_tasks
from mmassist.packing.chat_format import ChatFormat
from mmassist.packing.record import FrameStore
from mmassist.packing.report import FillReport
from mmassist.packing.sample import PackConfig, Sample, SampleBuilder, SetupConfig
from mmassist.packing.tokenizer import TokenizerConfig, build_tokenizer
from tools.bench.packing import make_dialog

MINUTES = 10
CHUNK_FRAMES = 120
IMAGE_TOKENS: Final = 10
PARTS = {"3x3": 9, "cls": 1}


def write_unit(root: Path, tasks: Mapping[str, Mapping[str, Iterable[Member]]]) -> None:
    """A finished folder, by the code that stages are committed with: task -> item -> members."""
    unit = UnitLayout(root)
    listed = [Task(name, tuple(items), 1.0) for name, items in tasks.items()]
    save_tasks(unit, listed)
    for task in listed:
        made = {}
        for key, members in tasks[task.name].items():
            outputs = Outputs(members=iter(members), stats={})
            made[key] = asyncio.run(write_fragment(unit.fragment(task.name, key), key, "", outputs))
        commit_task(unit, task, made, {}, "bench", "bench")


def pack_dialogs(number: int) -> dict[str, list[Sample]]:
    """Samples of made-up dialogs of ten minutes by recording, at most 4,096 tokens each, 10 of them a frame."""
    chat = ChatFormat(build_tokenizer(TokenizerConfig("tiny")), IMAGE_TOKENS)
    setup = SetupConfig(name="bench", knowledge=True, summary=True)
    builder = SampleBuilder(PackConfig(image_tokens=IMAGE_TOKENS), setup, chat)
    dialogs = [make_dialog(number, MINUTES) for number in range(number)]
    return {d.item_key: builder.build(d, FrameStore(d.item_key, num_frames()), FillReport()) for d in dialogs}


def num_frames() -> int:
    return MINUTES * 120 + 20


def write_prepared(root: Path, packed: Mapping[str, list[Sample]], per_shard: int, dim: int = 0) -> None:
    """A prepared folder; with ``dim`` features lie in the samples."""
    keys = list(packed)
    tasks = {
        f"train-{first // per_shard:06d}": {
            key: _iter_members(packed[key], dim) for key in keys[first : first + per_shard]
        }
        for first in range(0, len(keys), per_shard)
    }
    write_unit(root, tasks)


def write_features(root: Path, keys: Iterable[str], per_shard: int, dim: int) -> None:
    """A features folder as stage=encode writes it, of random numbers."""
    numbered = list(enumerate(keys))
    tasks = {
        f"{first // per_shard:06d}": {
            key: _iter_chunks(number, dim) for number, key in numbered[first : first + per_shard]
        }
        for first in range(0, len(numbered), per_shard)
    }
    write_unit(root, tasks)


def _iter_members(samples: list[Sample], dim: int) -> Iterator[Member]:
    for sample in samples:
        record = dict(sample.record)
        if dim:
            frames = record["end_frame_idx"] - record["start_frame_idx"]
            record["features"] = {"encoder": "bench", "dim": dim}
            yield f"{sample.name}.features.npy", npy_bytes(_random((frames, record["num_tokens_per_img"], dim), frames))
        yield f"{sample.name}.input_ids.npy", npy_bytes(sample.input_ids)
        yield f"{sample.name}.json", canonical_json(record).encode()
        yield f"{sample.name}.labels.npy", npy_bytes(sample.labels)


def _iter_chunks(number: int, dim: int) -> Iterator[Member]:
    for start in range(0, num_frames(), CHUNK_FRAMES):
        rows = min(CHUNK_FRAMES, num_frames() - start)
        for part, tokens in PARTS.items():
            yield f"{start // CHUNK_FRAMES:06d}.{part}.npy", npy_bytes(_random((rows, tokens, dim), number + start))
    summary = {"num_frames": num_frames(), "chunk_frames": CHUNK_FRAMES, "dim": dim, "grids": [3], "dtype": "float16"}
    yield "features.json", json.dumps(summary | {"encoder": "bench", "is_random": True, "layer": "last"}).encode()


def _random(shape: tuple[int, ...], seed: int) -> np.ndarray:
    return np.random.default_rng(seed).random(shape, np.float32).astype(np.float16)
