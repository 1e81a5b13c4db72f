"""An epoch of prepared samples as a stream that ranks and workers share."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import cached_property
from typing import Any

from webdataset.pytorch import IterableDataset  # torch's own where torch is installed

from mmassist.core.errors import ConfigError
from mmassist.loader.catalog import digest_of, load_catalog
from mmassist.loader.order import Epoch, count_copies, deal, draw_epoch, share_of
from mmassist.loader.sample import SampleReader
from mmassist.loader.source import Sources, expected_copies, list_sources


class PreparedDataset(IterableDataset):
    """Samples of one split of one or several prepared folders, as dicts.

    A sample has ``key``, ``source`` (str), ``record`` (dict), ``input_ids`` and ``labels`` (int32 ``[seq_len]``; labels
    are already shifted, -100 is ignored) and ``features`` (float16 ``[frames, tokens, dim]``): those packed with it,
    else those of the features folder that ``encoder`` names, else none.

    **Order.** The samples of an epoch stand in one sequence, a pure function of seed, epoch, sources and contents.
    ``seed`` None: shards by name, samples as stored. Otherwise shards are shuffled, and samples within every ``window``
    shards. Rank r of R has positions r, r + R, ...; its workers take batches of ``batch_size`` in turn, so a torch
    ``DataLoader`` with the same ``batch_size`` gives the same batches with any number of workers.

    **Repeats.** A sample comes as often as its record's weight (1 without ``use_weights``) times its source's repeat
    says, rounded down or up anew every epoch; ``epoch_size``, the length of the sequence, is the same in every epoch.
    When it is given, repeats are proportions.

    **Place.** ``epoch`` and ``position``, the number of leading samples of the epoch that all ranks together are done
    with, are set before an iterator is made; ``PreparedLoader`` keeps them. With ``drop_last`` the rest that does not
    give every rank a whole batch is left out; otherwise ranks differ by at most one sample.

    ``neg_frame_sampling_rate`` is the share of silent frames whose label is kept, of every run of frames at least one;
    0 or less teaches no silence at all, 1 keeps every label. It is drawn anew for every epoch and copy.
    """

    def __init__(
        self,
        sources: Sources,
        split: str,
        *,
        seed: int | None = None,
        encoder: str | None = None,
        with_features: bool = True,
        batch_size: int = 1,
        drop_last: bool = False,
        epoch_size: int | None = None,
        window: int = 4,
        neg_frame_sampling_rate: float = 1.0,
        use_weights: bool = True,
        rank: int = 0,
        world_size: int = 1,
    ):
        super().__init__()
        if not 0 <= rank < world_size:
            raise ConfigError(f"rank is {rank}; it must be from 0 to world_size - 1 = {world_size - 1}")
        for name, value in (("batch_size", batch_size), ("window", window), ("epoch_size", epoch_size)):
            if value is not None and value < 1:
                raise ConfigError(f"{name} is {value}; it must be at least 1")
        if not neg_frame_sampling_rate <= 1:
            raise ConfigError(f"neg_frame_sampling_rate is {neg_frame_sampling_rate}; it must be at most 1")
        self.epoch, self.position = 0, 0
        self.batch_size, self.drop_last = batch_size, drop_last
        self.rank, self.world_size = rank, world_size
        self.sources = list_sources(sources)
        self._seed, self._window, self._split = seed, window, split
        self._catalogs = [load_catalog(source.folder, split, use_weights) for source in self.sources]
        self._expected = expected_copies(self.sources, self._catalogs, epoch_size)
        self.epoch_size = sum(count_copies(expected) for expected in self._expected)
        if not len(self._share(0)):
            ranks = f"rank {rank} of {world_size} with batch_size {batch_size}"
            raise ConfigError(f"an epoch has {self.epoch_size} samples, which leaves {ranks} none; take fewer ranks")
        self._reader = SampleReader(
            self.sources,
            self._catalogs,
            encoder=encoder,
            with_features=with_features,
            neg_frame_sampling_rate=neg_frame_sampling_rate,
            seed=seed or 0,
        )
        self._drawn: tuple[int, Epoch] | None = None
        self._check_forms()

    @property
    def num_samples(self) -> dict[str, int]:
        """Samples of every source in an epoch, repeats counted."""
        pairs = zip(self.sources, self._expected, strict=True)
        return {source.name: count_copies(expected) for source, expected in pairs}

    def __len__(self) -> int:
        """Samples of this rank in a whole epoch."""
        return len(self._share(0))

    def __iter__(self) -> Iterator[dict[str, Any]]:
        epoch, drawn = self.epoch, self.draw(self.epoch)
        for place in deal(self._share(self.position), self.batch_size, *_worker()):
            source, number, copy = (int(array[place]) for array in (drawn.source, drawn.sample, drawn.copy))
            yield self._reader.read(source, number, copy, epoch)

    def draw(self, epoch: int) -> Epoch:
        """The sequence of ``epoch``, kept until another one is asked for."""
        if self._drawn is None or self._drawn[0] != epoch:
            shards_of = [catalog.shard_of for catalog in self._catalogs]
            self._drawn = epoch, draw_epoch(shards_of, self._expected, self._window, self._seed, epoch)
        return self._drawn[1]

    def iter_keys(self, epoch: int) -> Iterator[tuple[str, str]]:
        """Source and key at every position of an epoch, from what is in memory."""
        drawn = self.draw(epoch)
        for source, number in zip(drawn.source.tolist(), drawn.sample.tolist(), strict=True):
            yield self.sources[source].name, self._catalogs[source].keys[number].decode()

    def set_epoch(self, epoch: int) -> None:
        """Go to the beginning of an epoch; within the present one, stay where it stands."""
        if epoch != self.epoch:
            self.epoch, self.position = epoch, 0

    def identity(self) -> dict[str, Any]:
        """Everything that decides the sequences of all epochs, for comparison with a saved state."""
        return {
            "seed": self._seed,
            "split": self._split,
            "window": self._window,
            "sources": self.num_samples,
            "contents": self._digest,
        }

    @cached_property
    def _digest(self) -> str:
        return digest_of(self._catalogs, self._expected)

    def iter_stored(self) -> Iterator[dict[str, Any]]:
        """Every sample once, source by source as stored, whatever ranks, weights and repeats."""
        for source, catalog in enumerate(self._catalogs):
            for number in range(len(catalog)):
                yield self._reader.read(source, number, 0, 0)

    def check(self) -> int:
        """Read every sample once, features included; returns their number. Raises as reading them would.

        It takes about as long as an epoch without repeats, and finds before training what training would stop at.
        """
        return sum(1 for _ in self.iter_stored())

    def _share(self, position: int) -> range:
        whole = self.world_size * self.batch_size if self.drop_last else 1
        return share_of(self.epoch_size, position, self.rank, self.world_size, whole)

    def _check_forms(self) -> None:
        """Raise ConfigError when sources were packed for different models; of each the first sample is looked at."""
        seen: dict[str, Any] = {}
        for number, source in enumerate(self.sources):
            record = self._reader.read_record(number, 0)
            tokenizer = {name: value for name, value in record["tokenizer"].items() if name != "separator_id"}
            form = {"num_tokens_per_img": record["num_tokens_per_img"], "tokenizer": tokenizer}
            for name, value in form.items():
                if seen.setdefault(name, value) != value:
                    first = self.sources[0].name
                    raise ConfigError(
                        f"{name} is {value} in {source.name} and {seen[name]} in {first}; pack them alike"
                    )


def iter_samples(sources: Sources, split: str, **settings: Any) -> Iterator[dict[str, Any]]:
    """Iterate once over the samples of ``split``; ``settings`` are those of ``PreparedDataset``."""
    return iter(PreparedDataset(sources, split, **settings))


def _worker() -> tuple[int, int]:
    """The number of this worker of a ``DataLoader``, and of how many."""
    if "torch" in sys.modules:
        from torch.utils.data import get_worker_info

        info = get_worker_info()
        if info is not None:
            return info.id, info.num_workers
    return 0, 1
