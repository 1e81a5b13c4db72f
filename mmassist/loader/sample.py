"""One sample as training wants it: arrays from the shard, features, silence drawn for its epoch."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mmassist.core.errors import ConfigError
from mmassist.core.rng import rng
from mmassist.io.lookup import OpenFiles
from mmassist.io.npy import view_npy
from mmassist.loader.catalog import MEMBERS, Catalog
from mmassist.loader.feature_store import FeatureStore
from mmassist.loader.source import Source
from mmassist.packing.labels import silence_runs, thin_silence

FEATURES = MEMBERS.index("features.npy")


class SampleReader:
    """Reads samples by number; holds open files and places of features, no contents.

    ``encoder`` names the folder of features to read where samples have none packed; without it such samples come
    without. ``with_features`` False leaves out packed ones too.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        catalogs: Sequence[Catalog],
        *,
        encoder: str | None = None,
        with_features: bool = True,
        neg_frame_sampling_rate: float = 1.0,
        seed: int = 0,
    ):
        self._sources, self._catalogs = sources, catalogs
        self._encoder, self._with_features = encoder, with_features
        self._rate, self._seed = neg_frame_sampling_rate, seed
        self._files = OpenFiles()
        self._stores: dict[Path, FeatureStore] = {}

    def read(self, source: int, number: int, copy: int, epoch: int) -> dict[str, Any]:
        """The sample with what is drawn for this copy in this epoch.

        Raises ValueError naming the sample when its members contradict each other; ConfigError when a file is cut
        short, or features are wanted and not there.
        """
        catalog = self._catalogs[source]
        key = catalog.keys[number].decode()
        shard = catalog.shards[catalog.shard_of[number]]
        places = catalog.members[number]
        data = self._read_members(shard, places[FEATURES + 1 :])
        try:
            record = json.loads(data[1].tobytes())
            input_ids, labels = view_npy(data[0]), view_npy(data[2])
        except ValueError as error:
            raise ValueError(f"sample {key} of {shard} is damaged: {error}") from error
        if not len(input_ids) == len(labels) == record["seq_len"]:
            lengths = f"{len(input_ids)} ids, {len(labels)} labels, seq_len {record['seq_len']}"
            raise ValueError(f"sample {key} of {shard} contradicts itself: {lengths}")
        if self._rate < 1:
            rand = rng("loader", "silence", self._seed, epoch, key, copy)
            labels = _thin(input_ids, labels, record, self._rate, rand)
        made = {"key": key, "source": self._sources[source].name, "record": record}
        made |= {"input_ids": input_ids, "labels": labels}
        features = self._read_features(source, shard, places[FEATURES], record) if self._with_features else None
        return made if features is None else made | {"features": features}

    def read_record(self, source: int, number: int) -> dict[str, Any]:
        """A sample's record alone."""
        catalog = self._catalogs[source]
        offset, size = catalog.members[number, MEMBERS.index("json")].tolist()
        return dict(json.loads(self._files.read(catalog.shards[catalog.shard_of[number]], offset, size).tobytes()))

    def _read_members(self, shard: Path, places: np.ndarray) -> list[np.ndarray]:
        """Neighbours in the shard, by one read."""
        spans = places.tolist()
        start, end = spans[0][0], max(offset + size for offset, size in spans)
        data = self._files.read(shard, start, end - start)
        return [data[offset - start : offset - start + size] for offset, size in spans]

    def _read_features(self, source: int, shard: Path, place: np.ndarray, record: dict[str, Any]) -> np.ndarray | None:
        offset, size = place.tolist()
        if size >= 0:
            made_by = record.get("features", {}).get("encoder")
            if self._encoder is not None and made_by != self._encoder:
                raise ConfigError(
                    f"encoder is {self._encoder!r}, but {self._sources[source].name} was packed with the features of "
                    f"{made_by!r}; name that one, or pack without pack.include_features"
                )
            return view_npy(self._files.read(shard, offset, size))
        if self._encoder is None:
            return None
        folder = self._sources[source].dataset_dir / "features" / self._encoder
        store = self._stores.get(folder)
        if store is None:
            store = self._stores[folder] = FeatureStore(folder, self._files)
        start, end = record["start_frame_idx"], record["end_frame_idx"]
        return store.read(record["frames"]["key"], start, end, record["num_tokens_per_img"])


def _thin(
    input_ids: np.ndarray, labels: np.ndarray, record: dict[str, Any], rate: float, rand: random.Random
) -> np.ndarray:
    runs = silence_runs(
        input_ids,
        labels,
        image_id=record["tokenizer"]["image_id"],
        start_header_id=record["tokenizer"]["start_header_id"],
        image_tokens=record["num_tokens_per_img"],
    )
    return thin_silence(labels, runs, rate if rate > 0 else -1.0, rand)
