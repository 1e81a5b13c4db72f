"""One forward pass for every encoder: scale, normalise, model, pooled token and pooled grids."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from mmassist.core.errors import StageError
from mmassist.vision.backbone import Backbone, probe
from mmassist.vision.config import EncoderConfig
from mmassist.vision.device import Device, choose_device, is_out_of_memory
from mmassist.vision.pooling import pool_grid
from mmassist.vision.protocol import Launched, grid_name

_log = logging.getLogger(__name__)
_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class VisionTower:
    """An ``Encoder`` over a loaded model; ``device`` replaces the one that the settings name.

    Raises StageError for a model that cannot be loaded or used, or does not fit the device.
    """

    def __init__(self, config: EncoderConfig, device: Device | None = None):
        self.name = config.name
        self.is_random = config.is_random
        self._device = device or choose_device(config.device)
        self._dtype = _DTYPES[config.dtype]
        self._num_threads = config.num_threads
        self._use_threads()
        self.revision: dict[str, Any] = {**config.revision(), "device": self._device.torch_device.type}
        torch.backends.cudnn.allow_tf32 = False  # fp32 means fp32 (the patch embedding is a convolution)
        torch.backends.cudnn.benchmark = False  # the choice of an algorithm must not depend on a stopwatch
        torch.backends.cudnn.deterministic = True
        backbone = config.load()
        self._backbone = self._place(backbone)
        self._shape = backbone.preprocessing
        self.dim, self.tokens_per_side = probe(self._backbone)
        self._mean, self._std = (
            torch.tensor(values, device=self._device.torch_device).reshape(1, 3, 1, 1)
            for values in (self._shape.mean, self._shape.std)
        )
        is_compiled = config.compile is True or (config.compile == "auto" and self._device.torch_device.type == "cuda")
        self._run: Any = torch.compile(self._backbone, dynamic=False) if is_compiled else self._backbone
        self._facts = {} if config.is_fixed else self._spell_out()
        _log.info("encoder %s: %s, %s, compiled: %s", self.name, self.revision, config.dtype, is_compiled)

    def facts(self, frame_size: int) -> dict[str, Any]:
        """What features.json says of the model beyond the settings, and of frames that are scaled for it."""
        scaled = {} if frame_size == self._shape.image_size else {"frame_size": frame_size}
        return {**self._facts, **scaled}

    def embed_batch(self, images: np.ndarray, grids: Sequence[int]) -> dict[str, np.ndarray]:
        """Encode ``images`` and wait for it; see ``Encoder``."""
        return self.launch(images, grids).fetch()

    def launch(self, images: np.ndarray, grids: Sequence[int]) -> Launched:
        """Begin to encode ``images``; see ``Encoder``. Raises StageError for a batch that does not fit the device."""
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1] != images.shape[2] or images.shape[3] != 3:
            raise ValueError(f"images are {images.dtype} {images.shape}; they must be uint8 [n, size, size, 3]")
        if grids and max(grids) > self.tokens_per_side:
            side = self.tokens_per_side
            raise StageError(f"encode.grids has {max(grids)}: {self._backbone.name} has {side}x{side} patch tokens")
        self._use_threads()
        try:
            return self._start(images, grids)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            first = " ".join(str(error).split())[:200]
        # Beyond the handler, whose traceback would hold the failed batch's memory.
        raise StageError(f"{self._explain(images, grids)} ({first})")

    def _start(self, images: np.ndarray, grids: Sequence[int]) -> Launched:
        def compute(pixels: Tensor) -> dict[str, Tensor]:
            with torch.inference_mode():
                tokens, pooled = self._run(self._normalise(pixels))
                features = {"cls": pooled[:, None], **{grid_name(grid): pool_grid(tokens, grid) for grid in grids}}
                return {key: value.to(torch.float16) for key, value in features.items()}

        return self._device.start(images, compute)

    def _explain(self, images: np.ndarray, grids: Sequence[int]) -> str:
        """Say which batch size fits, by trying halves: what a model needs beside its weights no formula knows."""
        number = len(images)
        while number := number // 2:
            self._device.release()
            try:
                self._start(images[:number], grids).fetch()
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                continue
            break
        where = f"a batch of {len(images)} pictures does not fit into the memory of {self._device.describe()}"
        if not number:
            return f"{where}, nor does one of 1: {self.name} needs a larger device"
        return f"encode.batch_size={len(images)}: {where}; encode.batch_size={number} would fit"

    def _place(self, backbone: Backbone) -> Backbone:
        try:
            return backbone.to(self._device.torch_device, self._dtype).eval().requires_grad_(False)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            raise StageError(f"{backbone.name} does not fit into the memory of {self._device.describe()}") from error

    def _normalise(self, images: Tensor) -> Tensor:
        """Bytes ``[n, size, size, 3]`` to what the model was trained on, ``[n, 3, image_size, image_size]``."""
        pixels = images.permute(0, 3, 1, 2).to(torch.float32, memory_format=torch.contiguous_format).div_(255)
        size = self._shape.image_size
        if pixels.shape[-1] != size:
            pixels = interpolate(pixels, (size, size), mode="bilinear", antialias=True, align_corners=False)
        return pixels.sub_(self._mean).div_(self._std).to(self._dtype)

    def _use_threads(self) -> None:
        """Torch's number of threads is in part each thread's own."""
        if torch.get_num_threads() != self._num_threads:
            torch.set_num_threads(self._num_threads)

    def _spell_out(self) -> dict[str, Any]:
        shape = self._shape
        size = {"image_size": shape.image_size, "tokens_per_side": self.tokens_per_side}
        return {"model": self.revision["model"], "mean": list(shape.mean), "std": list(shape.std), **size}
