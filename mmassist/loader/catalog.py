"""What a prepared folder holds of one split: every sample, where its members lie, and how often it is wanted."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from mmassist.core.errors import ConfigError
from mmassist.io.layout import UnitLayout
from mmassist.io.lookup import OpenFiles, load_members

MEMBERS = ("features.npy", "input_ids.npy", "json", "labels.npy")
NUM_THREADS = 16  # they wait for the file server, not for each other
TAIL_BYTES = 64
# Records are written with sorted keys, and this is the last one: a few bytes say it. Inside a text the quotes would
# be escaped, and inside another object there would be two braces.
WEIGHT_AT_END = re.compile(rb'[,{]"weight":([0-9.eE+-]+)\}$')


@dataclass(frozen=True)
class Catalog:
    """The n samples of one folder and split, shards by name, samples as stored.

    ``keys`` bytes ``[n]``; ``shard_of`` int32 ``[n]``, ascending; ``members`` int64 ``[n, 4, 2]``: offset and size in
    the order of ``MEMBERS``, size -1 where there is none; ``weights`` float64 ``[n]``.
    """

    folder: Path
    shards: tuple[Path, ...]
    keys: np.ndarray
    shard_of: np.ndarray
    members: np.ndarray
    weights: np.ndarray

    def __len__(self) -> int:
        return len(self.keys)


def load_catalog(folder: Path, split: str, use_weights: bool = True) -> Catalog:
    """Read indices and weights; the samples stay where they are.

    Raises ConfigError for a split without shards, a damaged shard, and a sample that lacks a member.
    """
    shards = list_shards(folder, split)
    with ThreadPoolExecutor(NUM_THREADS) as pool:
        found = list(pool.map(partial(_load_shard, UnitLayout(folder), use_weights), shards))
    return Catalog(
        folder=folder,
        shards=tuple(shards),
        keys=np.concatenate([keys for keys, _, _ in found]),
        shard_of=np.repeat(np.arange(len(shards), dtype=np.int32), [len(keys) for keys, _, _ in found]),
        members=np.concatenate([members for _, members, _ in found]),
        weights=np.concatenate([weights for _, _, weights in found]),
    )


def list_shards(folder: Path, split: str) -> list[Path]:
    """The split's shards, by name. Raises ConfigError when there are none, saying which splits there are."""
    shards = sorted(UnitLayout(folder).shard_dir.glob("*.tar"))
    wanted = [path for path in shards if _split_of(path) == split]
    if not wanted:
        there = ", ".join(sorted({_split_of(path) for path in shards})) or "no shard at all"
        raise ConfigError(f"no shards of split {split!r} in {str(folder)!r}; there: {there}")
    return wanted


def _split_of(shard: Path) -> str:
    """``train`` of ``train-000003.tar``."""
    return shard.stem.rpartition("-")[0]


def _load_shard(unit: UnitLayout, use_weights: bool, shard: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    places: dict[str, list[tuple[int, int]]] = {}
    for name, offset, size in load_members(unit, shard.stem):
        folder, _, base = name.rpartition("/")
        stem, _, member = base.partition(".")
        key = f"{folder}/{stem}" if folder else stem
        if member in MEMBERS:
            places.setdefault(key, [(0, -1)] * len(MEMBERS))[MEMBERS.index(member)] = (offset, size)
    for key, found in places.items():
        missing = [name for name, (_, size) in zip(MEMBERS, found, strict=True) if size < 0 and name != MEMBERS[0]]
        if missing:
            raise ConfigError(f"sample {key} of {shard} has no {missing[0]}; a folder made by stage=pack is needed")
    members = np.array(list(places.values()), dtype=np.int64).reshape(len(places), len(MEMBERS), 2)
    weights = _read_weights(shard, members[:, MEMBERS.index("json")]) if use_weights else np.ones(len(places))
    return np.array([key.encode() for key in places], dtype=np.bytes_), members, weights


def _read_weights(shard: Path, records: np.ndarray) -> np.ndarray:
    files = OpenFiles()
    try:
        return np.array([_read_weight(files, shard, int(offset), int(size)) for offset, size in records])
    finally:
        files.close()


def _read_weight(files: OpenFiles, shard: Path, offset: int, size: int) -> float:
    tail = min(size, TAIL_BYTES)
    match = WEIGHT_AT_END.search(files.read(shard, offset + size - tail, tail).tobytes())
    weight = float(match[1] if match else json.loads(files.read(shard, offset, size).tobytes()).get("weight", 1.0))
    if not 0 <= weight < 1e6:
        raise ConfigError(f"a sample of {shard} has weight {weight}; it must be from 0 to a million")
    return weight


def digest_of(catalogs: Sequence[Catalog], expected: Sequence[np.ndarray]) -> str:
    """Of everything in the folders that the order of epochs follows from; ``expected`` copies of every sample."""
    sha = hashlib.sha256()
    for catalog, often in zip(catalogs, expected, strict=True):
        for array in (catalog.keys, catalog.shard_of, often):
            sha.update(f"{array.dtype}{array.shape}".encode() + array.tobytes())
    return sha.hexdigest()[:32]
