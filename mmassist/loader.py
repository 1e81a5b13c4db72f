"""Stream prepared samples to training, with what must be drawn anew every epoch: order, repeats, silence.

Prepared folders open with the plain webdataset package; this module adds what the records ask for. Repeats and
silence are functions of seed, epoch and the sample's key, the same on any number of ranks and workers; the order is the
same again for the same number of them.
"""

from __future__ import annotations

import io
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import webdataset as wds
from webdataset.pytorch import IterableDataset  # torch's own where torch is installed

from mmassist.core.errors import ConfigError
from mmassist.core.rng import rng
from mmassist.packing.labels import silence_runs, thin_silence


class PreparedDataset(IterableDataset):
    """Samples of one prepared folder and split, as dicts; usable as it is in a torch ``DataLoader``.

    A sample has ``key`` (str), ``record`` (dict), ``input_ids`` and ``labels`` (int32 ``[seq_len]``; labels are already
    shifted, -100 is ignored) and, where they were packed, ``features`` (float16 ``[frames, tokens, dim]``).

    ``seed`` None: shards by name, samples as stored. Otherwise shards are shuffled, and samples within a buffer of
    ``buffer_size`` (with packed features one sample holds up to 9.4 MB). ``epoch`` is set by the caller before an
    iterator is made, and changes every draw.

    ``neg_frame_sampling_rate`` is the share of silent frames whose label is kept, of every run of frames at least one;
    0 or less teaches no silence at all, 1 keeps every label. ``use_weights`` repeats a sample by its record's weight on
    average: 2.3 is twice, and a third time in 30 % of the epochs.

    ``rank`` of ``world_size`` reads every ``world_size``-th shard; workers of a ``DataLoader`` share these. All samples
    come from one rank and worker exactly once, so ranks may end at different times.
    """

    def __init__(
        self,
        folder: Path | str,
        split: str,
        *,
        seed: int | None = None,
        buffer_size: int = 500,
        neg_frame_sampling_rate: float = 1.0,
        use_weights: bool = True,
        rank: int = 0,
        world_size: int = 1,
    ):
        super().__init__()
        if not 0 <= rank < world_size:
            raise ConfigError(f"rank is {rank}; it must be from 0 to world_size - 1 = {world_size - 1}")
        if buffer_size < 1:
            raise ConfigError(f"buffer_size is {buffer_size}; it must be at least 1")
        if not neg_frame_sampling_rate <= 1:
            raise ConfigError(f"neg_frame_sampling_rate is {neg_frame_sampling_rate}; it must be at most 1")
        self.shards = list_shards(Path(folder), split)
        self.epoch = 0
        self._seed = seed
        self._buffer_size = buffer_size
        self._rate = neg_frame_sampling_rate
        self._use_weights = use_weights
        self._rank, self._world_size = rank, world_size

    def __iter__(self) -> Iterator[dict[str, Any]]:
        stored = wds.DataPipeline(self._iter_shards, wds.split_by_worker, wds.tarfile_to_samples())
        samples = self._repeat(iter(stored))
        if self._seed is not None:
            samples = self._shuffle(samples)
        for sample, copy in samples:
            yield self._finish(sample, copy)

    def _iter_shards(self) -> Iterator[dict[str, str]]:
        shards = list(self.shards)
        if self._seed is not None:
            self._rng("shards").shuffle(shards)
        for path in shards[self._rank :: self._world_size]:
            yield {"url": str(path)}

    def _repeat(self, stored: Iterator[dict[str, Any]]) -> Iterator[tuple[dict[str, Any], int]]:
        """Each stored sample as often as its weight says in this epoch, with the number of the copy."""
        for sample in stored:
            sample["json"] = json.loads(sample["json"])
            weight = float(sample["json"].get("weight", 1.0)) if self._use_weights else 1.0
            times = int(weight) + (self._rng("repeat", sample["__key__"]).random() < weight % 1)
            for copy in range(times):
                yield sample, copy

    def _shuffle(self, samples: Iterator[tuple[dict[str, Any], int]]) -> Iterator[tuple[dict[str, Any], int]]:
        worker = wds.utils.pytorch_worker_info()[2]
        rand = self._rng("samples", f"{self._rank}/{self._world_size}/{worker}")
        buffer: list[tuple[dict[str, Any], int]] = []
        for sample in samples:
            buffer.append(sample)
            if len(buffer) >= self._buffer_size:
                yield _pick(buffer, rand)
        while buffer:
            yield _pick(buffer, rand)

    def _finish(self, sample: dict[str, Any], copy: int) -> dict[str, Any]:
        key, record = sample["__key__"], sample["json"]
        input_ids, labels = _load_npy(sample, "input_ids"), _load_npy(sample, "labels")
        if not len(input_ids) == len(labels) == record["seq_len"]:
            lengths = f"{len(input_ids)} ids, {len(labels)} labels, seq_len {record['seq_len']}"
            raise ValueError(f"sample {key} of {sample['__url__']} contradicts itself: {lengths}")
        if self._rate < 1:
            labels = self._thin(input_ids, labels, record, self._rng("silence", key, copy))
        made = {"key": key, "record": record, "input_ids": input_ids, "labels": labels}
        if "features.npy" in sample:
            made["features"] = _load_npy(sample, "features")
        return made

    def _thin(
        self, input_ids: np.ndarray, labels: np.ndarray, record: dict[str, Any], rand: random.Random
    ) -> np.ndarray:
        runs = silence_runs(
            input_ids,
            labels,
            image_id=record["tokenizer"]["image_id"],
            start_header_id=record["tokenizer"]["start_header_id"],
            image_tokens=record["num_tokens_per_img"],
        )
        return thin_silence(labels, runs, self._rate if self._rate > 0 else -1.0, rand)

    def _rng(self, purpose: str, *parts: str | int) -> random.Random:
        return rng("loader", purpose, self._seed or 0, self.epoch, *parts)


def iter_samples(folder: Path | str, split: str, **settings: Any) -> Iterator[dict[str, Any]]:
    """Iterate once over the samples of ``split``; ``settings`` are those of ``PreparedDataset``."""
    return iter(PreparedDataset(folder, split, **settings))


def list_shards(folder: Path, split: str) -> list[Path]:
    """The split's shards, by name. Raises ConfigError when there are none, saying which splits there are."""
    shards = sorted((folder / "shards").glob("*.tar"))
    wanted = [path for path in shards if _split_of(path) == split]
    if not wanted:
        there = ", ".join(sorted({_split_of(path) for path in shards})) or "no shard at all"
        raise ConfigError(f"no shards of split {split!r} in {str(folder)!r}; there: {there}")
    return wanted


def _split_of(shard: Path) -> str:
    """``train`` of ``train-000003.tar``."""
    return shard.stem.rpartition("-")[0]


def _pick(buffer: list[Any], rand: random.Random) -> Any:
    place = rand.randrange(len(buffer))
    buffer[place], buffer[-1] = buffer[-1], buffer[place]
    return buffer.pop()


def _load_npy(sample: dict[str, Any], part: str) -> np.ndarray:
    try:
        data = sample[f"{part}.npy"]
    except KeyError as error:
        raise ValueError(f"sample {sample['__key__']} of {sample['__url__']} has no {part}.npy") from error
    return np.load(io.BytesIO(data), allow_pickle=False)
