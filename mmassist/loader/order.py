"""The order of an epoch: a pure function of seed, epoch and what the folders hold.

Random numbers are the raw stream of numpy's Philox generator, which numpy keeps the same in every version; its
shuffling methods are not promised to stay, and an order has to outlive an upgrade in the middle of training.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from mmassist.core.rng import seed_of

UNIT = 1 << 32  # shares of a copy are counted in whole units, so that no rounding error can lose one


@dataclass(frozen=True)
class Epoch:
    """Equal positions of the arrays are one sample: its source, its number there, and which copy of it this is."""

    source: np.ndarray  # int16 [n]
    sample: np.ndarray  # int32 [n]
    copy: np.ndarray  # int32 [n]

    def __len__(self) -> int:
        return len(self.source)


def count_copies(expected: np.ndarray) -> int:
    """How many copies an epoch has of samples that are expected so often each: the sum, rounded, in every epoch."""
    whole, share = _split(expected)
    return int(whole.sum()) + (int(share.sum()) + UNIT // 2) // UNIT


def draw_copies(expected: np.ndarray, *purpose: str | int) -> np.ndarray:
    """Copies of every sample in one epoch: ``expected`` rounded down or up, ``count_copies`` in all; int64 ``[n]``.

    The shares left by rounding down are laid end to end in random order, and every sample in which a mark falls gets
    one more; marks are one apart. Their common offset is drawn among those that give the fixed sum.
    """
    whole, share = _split(expected)
    order = _permutation(len(expected), "order of shares", *purpose)
    rest = int(share.sum()) % UNIT
    low, high = (0, UNIT - rest) if rest < UNIT // 2 else (UNIT - rest, UNIT)
    offset = low + int(_random_bits(1, "offset of shares", *purpose)[0]) % (high - low)
    marks = np.concatenate([[offset], np.cumsum(share[order]) + offset]) // UNIT
    copies = whole.copy()
    copies[order] += np.diff(marks)
    return copies


def order_source(
    shard_of: np.ndarray, copies: np.ndarray, window: int, is_shuffled: bool, *purpose: str | int
) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of the samples in the order of one epoch, and which copy each is.

    Copies come in passes: all samples, then those with a second copy, and so on, so equal ones are far apart. Every
    pass shuffles the shards, then the samples within every ``window`` shards that follow on each other.
    """
    num_shards = int(shard_of.max()) + 1 if len(shard_of) else 0
    samples, numbers = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for copy in range(int(copies.max(initial=0))):
        chosen = np.flatnonzero(copies > copy)
        if is_shuffled:
            place = _permutation(num_shards, "shards", *purpose, copy)
            groups = place[shard_of[chosen]] // window
            chosen = chosen[np.lexsort((_random_bits(len(shard_of), "samples", *purpose, copy)[chosen], groups))]
        samples.append(chosen)
        numbers.append(np.full(len(chosen), copy))
    return np.concatenate(samples), np.concatenate(numbers)


def interleave(sizes: Sequence[int], is_shuffled: bool, *purpose: str | int) -> np.ndarray:
    """Which source comes at every position: int16 ``[sum(sizes)]``, evenly.

    The k-th sample of n lies between k/n and (k+1)/n of the epoch, at a random place there, so that no source falls
    into step with the number of ranks. In any beginning of the epoch a source is off its share by less than
    ``1 + share * (sources - 1)`` samples.
    """
    times = []
    for source, size in enumerate(sizes):
        jitter = _random_bits(size, "interleave", *purpose, source) * 2.0**-64 if is_shuffled else 0.5
        times.append((np.arange(size) + jitter) / max(size, 1))
    names = np.repeat(np.arange(len(sizes), dtype=np.int16), sizes)
    return names[np.argsort(np.concatenate(times), kind="stable")]


def draw_epoch(
    shards_of: Sequence[np.ndarray], expected: Sequence[np.ndarray], window: int, seed: int | None, epoch: int
) -> Epoch:
    """The whole epoch. Per source: the shard of every sample, ascending, and how often it is expected.

    ``seed`` None: as stored, and only the draw of copies depends on the epoch.
    """
    purpose, is_shuffled = ("loader", seed or 0, epoch), seed is not None
    drawn = []
    for source, (shard_of, often) in enumerate(zip(shards_of, expected, strict=True)):
        copies = draw_copies(often, *purpose, source)
        drawn.append(order_source(shard_of, copies, window, is_shuffled, *purpose, source))
    sources = interleave([len(samples) for samples, _ in drawn], is_shuffled, *purpose)
    made = Epoch(sources, *(np.empty(len(sources), np.int32) for _ in range(2)))
    for source, (samples, copies) in enumerate(drawn):
        places = sources == source
        made.sample[places], made.copy[places] = samples, copies
    return made


def share_of(epoch_size: int, position: int, rank: int, world_size: int, whole: int = 1) -> range:
    """The positions of one rank from ``position`` on; what does not make a multiple of ``whole`` is left out."""
    return range(position + rank, epoch_size - (epoch_size - position) % whole, world_size)


def deal(places: range, batch_size: int, worker: int, num_workers: int) -> Iterator[int]:
    """One worker's part of a rank's positions: batches in turn, as a ``DataLoader`` asks its workers."""
    for start in range(worker * batch_size, len(places), num_workers * batch_size):
        yield from places[start : start + batch_size]


def _split(expected: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    whole, share = np.divmod(np.rint(expected * UNIT).astype(np.int64), UNIT)
    return whole, share


def _random_bits(number: int, *purpose: str | int) -> np.ndarray:
    """``number`` of 64 random bits each, a pure function of ``purpose``."""
    return np.random.Philox(key=seed_of(*purpose)).random_raw(number)


def _permutation(number: int, *purpose: str | int) -> np.ndarray:
    return np.argsort(_random_bits(number, *purpose), kind="stable")
