"""One forward pass for every encoder: normalise, transformer, pooled token and pooled grids."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from mmassist.core.errors import StageError
from mmassist.vision.config import EncoderConfig
from mmassist.vision.open_clip_model import set_gelu
from mmassist.vision.protocol import GRIDS, IMAGE_SIZE, TOKENS_PER_SIDE, grid_name

_log = logging.getLogger(__name__)
_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
_GELU = {"tanh": "tanh", "exact": "none"}


class VisionTower:
    """An ``Encoder`` over a timm vision transformer with attention pooling."""

    def __init__(self, config: EncoderConfig):
        self.name = config.name
        self.is_random = config.is_random
        self._device = _choose_device(config.device)
        self._dtype = _DTYPES[config.dtype]
        self._layer = config.layer
        self._num_threads = config.num_threads
        self.revision: dict[str, Any] = {**config.revision(), "device": self._device.type}
        torch.backends.cudnn.allow_tf32 = False  # fp32 means fp32 (the patch embedding is a convolution)
        torch.backends.cudnn.benchmark = False  # the choice of an algorithm must not depend on a stopwatch
        torch.backends.cudnn.deterministic = True
        trunk: Any = config.load_trunk()
        set_gelu(trunk, _GELU[config.gelu])
        self._trunk = trunk.to(self._device, self._dtype).eval().requires_grad_(False)
        self.dim = int(trunk.pos_embed.shape[-1])
        _log.info("encoder %s: %s on %s, %s", self.name, self.revision["model"], self._device.type, config.dtype)

    def embed_batch(self, images: np.ndarray) -> dict[str, np.ndarray]:
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1:] != (IMAGE_SIZE, IMAGE_SIZE, 3):
            raise ValueError(f"images are {images.dtype} {images.shape}; they must be uint8 [n, 384, 384, 3]")
        if torch.get_num_threads() != self._num_threads:
            torch.set_num_threads(self._num_threads)
        with torch.inference_mode():
            tokens, pooled = self._forward(self._normalise(images))
            features = {"cls": pooled[:, None]}
            features |= {grid_name(grid): pool_grid(tokens, grid) for grid in GRIDS}
            return {key: value.to(torch.float16).cpu().numpy() for key, value in features.items()}

    def _normalise(self, images: np.ndarray) -> Tensor:
        """Scale bytes to [-1, 1], the model's own mean and deviation of 0.5; ``[n, 3, 384, 384]``."""
        pixels = torch.from_numpy(np.require(images, requirements=["C", "W"])).to(self._device)
        pixels = pixels.permute(0, 3, 1, 2).to(torch.float32, memory_format=torch.contiguous_format)
        return pixels.div_(255).sub_(0.5).div_(0.5).to(self._dtype)

    def _forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Patch tokens ``[n, 729, dim]`` of the chosen layer and pooled vectors ``[n, dim]``."""
        if self._layer == "last":
            tokens = self._trunk.forward_features(pixels)  # after the final norm
            return tokens, self._trunk.forward_head(tokens)
        # as hidden_states[-2] of the transformers port: the input of the last block, not normalised
        index = len(self._trunk.blocks) - 2
        final, layers = self._trunk.forward_intermediates(pixels, indices=[index], output_fmt="NLC")
        return layers[0], self._trunk.forward_head(final)


def pool_grid(tokens: Tensor, grid: int) -> Tensor:
    """Mean-pool ``[n, 729, dim]`` row-major tokens to ``[n, grid * grid, dim]``, row-major, in float32.

    27 to 3 are exact 9x9 blocks; where 27 does not divide, neighbouring bins share rows and columns (adaptive average
    pooling: bin i covers floor(27 i / g) to ceil(27 (i + 1) / g)).
    """
    num, _, dim = tokens.shape
    image = tokens.float().transpose(1, 2).reshape(num, dim, TOKENS_PER_SIDE, TOKENS_PER_SIDE)
    return adaptive_avg_pool2d(image, grid).flatten(2).transpose(1, 2).contiguous()


def _choose_device(wanted: str) -> torch.device:
    has_cuda = torch.cuda.is_available()
    if wanted == "cuda" and not has_cuda:
        raise StageError(
            "encoder.device=cuda, but torch sees no GPU in this process; ask for one, or encoder.device=cpu"
        )
    return torch.device("cuda" if wanted == "cuda" or (wanted == "auto" and has_cuda) else "cpu")
