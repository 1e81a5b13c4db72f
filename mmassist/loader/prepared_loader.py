"""A DataLoader that can be stopped after any batch and go on in another process."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from mmassist.core.errors import ConfigError
from mmassist.loader.collator import Collator
from mmassist.loader.dataset import PreparedDataset

STATE_VERSION = 1
OWN = ("batch_size", "shuffle", "sampler", "batch_sampler", "drop_last", "persistent_workers")


class PreparedLoader:
    """Batches of a ``PreparedDataset`` from where it stands to the end of its epoch, then the next epoch.

    ``options`` are those of torch's ``DataLoader``, such as ``pin_memory``, ``prefetch_factor`` and
    ``multiprocessing_context``; batches, their order and the ranks' shares are the dataset's. Workers start anew with
    every epoch.

    Reading is little work on many bytes, which a thread can do while the model computes: without workers ``prefetch``
    batches are read ahead by one. Batches of worker processes are copied into shared memory and opened again from it.
    The dataset must not be read otherwise while an iteration is under way.

    What is delivered is counted in this process, so ``state_dict`` is exact whatever workers have read ahead. It holds
    a place in the order of all ranks: one rank's state, taken between two steps, serves all, also as other numbers
    of ranks and workers and another batch size.
    """

    def __init__(
        self,
        dataset: PreparedDataset,
        *,
        num_workers: int = 0,
        prefetch: int = 2,
        collate: Callable[[list[dict[str, Any]]], Any] | None = None,
        **options: Any,
    ):
        for name in OWN:
            if name in options:
                raise ConfigError(
                    f"{name} is no option of PreparedLoader; the dataset has batch_size, drop_last and order"
                )
        if prefetch < 0:
            raise ConfigError(f"prefetch is {prefetch}; it must be 0 or more")
        self.dataset = dataset
        self._prefetch = 0 if num_workers else prefetch
        self._options = {**options, "num_workers": num_workers, "collate_fn": collate or Collator()}

    @property
    def epoch(self) -> int:
        return self.dataset.epoch

    def __len__(self) -> int:
        """Batches of this rank in a whole epoch."""
        return -(-len(self.dataset) // self.dataset.batch_size)

    def __iter__(self) -> Iterator[Any]:
        import torch
        from torch.utils.data import DataLoader

        dataset = self.dataset
        dataset.draw(dataset.epoch)  # here, so that workers need not
        step = dataset.batch_size * dataset.world_size
        # With a generator of its own it takes nothing from torch's, whose numbers the model may be drawing.
        options = {"generator": torch.Generator(), **self._options}
        batches = iter(DataLoader(dataset, batch_size=dataset.batch_size, **options))
        for batch in _read_ahead(batches, self._prefetch) if self._prefetch else batches:
            dataset.position = min(dataset.position + step, dataset.epoch_size)
            yield batch
        dataset.set_epoch(dataset.epoch + 1)

    def set_epoch(self, epoch: int) -> None:
        """Go to the beginning of an epoch; within the present one, stay where it stands."""
        self.dataset.set_epoch(epoch)

    def state_dict(self) -> dict[str, Any]:
        """Where to go on, after the last batch handed out: plain values for a checkpoint."""
        state = {"version": STATE_VERSION, "epoch": self.dataset.epoch, "position": self.dataset.position}
        return {**state, "data": self.dataset.identity()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where ``state`` was taken. Raises ConfigError when seed, sources or their contents are not the same."""
        if state.get("version") != STATE_VERSION:
            raise ConfigError(f"the state has version {state.get('version')!r}; this code reads {STATE_VERSION}")
        there, here = state["data"], self.dataset.identity()
        for name, value in here.items():
            if there.get(name) != value:
                raise ConfigError(
                    f"the state is of another order: {name} is {there.get(name)!r} in it and {value!r} here; "
                    "take the same data and settings, or begin a new epoch with set_epoch"
                )
        self.dataset.epoch, self.dataset.position = int(state["epoch"]), int(state["position"])


def _read_ahead(batches: Iterator[Any], number: int) -> Iterator[Any]:
    """The same batches, of which a thread keeps ``number`` ready; it ends with the iteration."""
    end = object()
    pool = ThreadPoolExecutor(1, "read-ahead")
    try:
        waiting = deque(pool.submit(next, batches, end) for _ in range(number))
        while (batch := waiting.popleft().result()) is not end:
            waiting.append(pool.submit(next, batches, end))
            yield batch
    finally:
        pool.shutdown(cancel_futures=True)
