"""Where a batch is computed: to the device and back, so that copying one batch overlaps computing another."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from mmassist.core.errors import StageError
from mmassist.vision.protocol import Launched

Compute = Callable[[Tensor], Mapping[str, Tensor]]  # a batch of pictures on the device -> features there


class Device(Protocol):
    """``start`` returns as soon as it can; calls come from one thread, ``fetch`` may come from another."""

    torch_device: torch.device

    def start(self, images: np.ndarray, compute: Compute) -> Launched: ...

    def release(self) -> None:
        """Give back cached memory, after a batch that did not fit."""
        ...

    def describe(self) -> str:
        """The device and its memory, for people."""
        ...


class Done:
    """A batch whose features are there."""

    def __init__(self, features: Mapping[str, Tensor]):
        self._features = features

    def fetch(self) -> dict[str, np.ndarray]:
        return {name: value.numpy() for name, value in self._features.items()}


class CpuDevice:
    """Computes in ``start`` itself."""

    torch_device = torch.device("cpu")

    def start(self, images: np.ndarray, compute: Compute) -> Launched:
        return Done(compute(_as_tensor(images)))

    def release(self) -> None:
        return None

    def describe(self) -> str:
        return "this machine"


class CudaDevice:
    """Uploads, computes and downloads on three streams, so that the GPU computes one batch while others are copied.

    Copies are asynchronous only from and to pinned memory. ``record_stream`` keeps the allocator from giving a tensor's
    memory away while another stream still reads it.
    """

    def __init__(self) -> None:
        self.torch_device = torch.device("cuda")
        self._upload, self._compute, self._download = (torch.cuda.Stream() for _ in range(3))

    def start(self, images: np.ndarray, compute: Compute) -> Launched:
        pinned = _as_tensor(images).pin_memory()
        with torch.cuda.stream(self._upload):
            pixels = pinned.to(self.torch_device, non_blocking=True)
        self._compute.wait_stream(self._upload)
        self._compute.wait_stream(torch.cuda.current_stream())  # on which the weights came
        pixels.record_stream(self._compute)
        with torch.cuda.stream(self._compute):
            features = compute(pixels)
        self._download.wait_stream(self._compute)
        fetched = {}
        with torch.cuda.stream(self._download):
            for name, value in features.items():
                fetched[name] = torch.empty(value.shape, dtype=value.dtype, pin_memory=True)
                fetched[name].copy_(value, non_blocking=True)
                value.record_stream(self._download)
        return CudaBatch(fetched, self._download.record_event())

    def release(self) -> None:
        torch.cuda.synchronize()
        torch.cuda.empty_cache()

    def describe(self) -> str:
        free, total = torch.cuda.mem_get_info()
        return f"{torch.cuda.get_device_name()} ({free / 2**30:.1f} of {total / 2**30:.1f} GiB free)"


class CudaBatch:
    """A batch whose features are on their way into pinned memory."""

    def __init__(self, features: Mapping[str, Tensor], event: torch.cuda.Event):
        self._features, self._event = features, event

    def fetch(self) -> dict[str, np.ndarray]:
        self._event.synchronize()
        # Copied: pinned memory is scarce, and rows wait for their chunk to fill.
        return {name: value.numpy().copy() for name, value in self._features.items()}


def choose_device(wanted: str) -> Device:
    """The device that ``encoder.device`` asks for. Raises StageError for a GPU that is not there."""
    has_cuda = torch.cuda.is_available()
    if wanted == "cuda" and not has_cuda:
        raise StageError(
            "encoder.device=cuda, but torch sees no GPU in this process; ask for one, or encoder.device=cpu"
        )
    return CudaDevice() if wanted == "cuda" or (wanted == "auto" and has_cuda) else CpuDevice()


_SIGNS = ("out of memory", "can't allocate memory", "not enough memory", "ALLOC_FAILED")


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether torch ran out of memory: its own error on a GPU, a plain one on a CPU and in GPU libraries."""
    return isinstance(error, torch.OutOfMemoryError) or any(sign in str(error) for sign in _SIGNS)


def _as_tensor(images: np.ndarray) -> Tensor:
    return torch.from_numpy(np.require(images, requirements=["C", "W"]))
