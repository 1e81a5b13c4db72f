"""Small finished folders, committed by the code that stages are committed with."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from mmassist.core.stage import Member
from mmassist.io.npy import npy_bytes
from mmassist.packing.chat_format import ChatFormat
from mmassist.packing.conversation import Frames, Message
from mmassist.packing.labels import build_labels
from mmassist.packing.tokenizer import TokenizerConfig, build_tokenizer
from tools.bench.loading_data import write_unit

START, NUM_FRAMES = 3, 43
TURNS = (
    Message("system", "You help."),
    Frames(3, 14),  # 10 silent frames
    Message("user", "What now?"),
    Frames(14, 15),  # none
    Message("assistant", "Pour the water."),
    Frames(15, 46),  # 30
    Message("assistant", "Stop."),
)
SILENT = (10, 30)
DIM = 8


def sample_members(
    name: str, weight: float = 1.0, *, separator="none", features=False, image_tokens=5, video="video", **changes
) -> list[Member]:
    chat = ChatFormat(build_tokenizer(TokenizerConfig("tiny")), image_tokens, separator)
    turns = (*TURNS, Message("user", name))  # so that samples differ in their tokens
    input_ids, ranges = chat.assemble(turns)
    labels = build_labels(input_ids, turns, ranges, chat)
    tokenizer = {"image_id": chat.tokenizer.image_id, "start_header_id": chat.tokenizer.start_header_id}
    tokenizer |= {"pad_id": chat.tokenizer.eot_id, "name": "tiny", "separator_id": chat.separator_id}
    record = {
        "seq_len": len(input_ids),
        "num_tokens_per_img": image_tokens,
        "tokenizer": tokenizer,
        "frames": {"key": video},
        "start_frame_idx": START,
        "end_frame_idx": START + NUM_FRAMES,
        "name": name,
        "weight": weight,
        **changes,
    }
    members = [
        (f"{name}.input_ids.npy", npy_bytes(input_ids)),
        (f"{name}.json", json.dumps(record, sort_keys=True, separators=(",", ":")).encode()),
        (f"{name}.labels.npy", npy_bytes(labels)),
    ]
    if features:
        members.insert(0, (f"{name}.features.npy", npy_bytes(np.ones((NUM_FRAMES, image_tokens, DIM), np.float16))))
    return members


def write_prepared(root: Path, shards: Mapping[str, Mapping[str, float]], **settings) -> Path:
    """``shards``: name -> ``<item>/<sample>`` -> weight."""
    tasks: dict[str, dict[str, list[Member]]] = {}
    for shard, samples in shards.items():
        items = tasks.setdefault(shard, {})
        for key, weight in samples.items():
            item, _, name = key.partition("/")
            items.setdefault(item, []).extend(sample_members(name, weight, **settings))
    write_unit(root, tasks)
    return root


def feature_rows(video: str, num_frames: int, tokens: int) -> np.ndarray:
    """Rows that say which video, frame, token and channel they are: float16 ``[frames, tokens, DIM]``."""
    shape = (num_frames, tokens, DIM)
    return (np.arange(np.prod(shape)).reshape(shape) % 2000 + len(video)).astype(np.float16)


def write_features(root: Path, videos: Mapping[str, int], chunk_frames: int = 10, parts=(("2x2", 4), ("cls", 1))):
    """``videos``: key -> frames; one shard each."""

    def iter_members(video: str, num_frames: int) -> Iterator[Member]:
        rows = {part: feature_rows(video, num_frames, tokens) for part, tokens in parts}
        for start in range(0, num_frames, chunk_frames):
            for part, _ in parts:
                chunk = rows[part][start : start + chunk_frames]
                yield f"{start // chunk_frames:06d}.{part}.npy", npy_bytes(chunk)
        grids = [int(part[0]) for part, _ in parts if part != "cls"]
        summary = {"num_frames": num_frames, "chunk_frames": chunk_frames, "dim": DIM, "grids": grids}
        yield "features.json", json.dumps(summary | {"dtype": "float16", "encoder": root.name}).encode()

    write_unit(root, {f"{n:06d}": {key: iter_members(key, num)} for n, (key, num) in enumerate(videos.items())})
    return root


def keys(samples) -> list[str]:
    return [sample["key"] for sample in samples]
