"""Patch tokens of a picture to a coarser grid of them."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d


def pool_grid(tokens: Tensor, grid: int) -> Tensor:
    """Mean-pool ``[n, side * side, dim]`` row-major tokens to ``[n, grid * grid, dim]``, row-major, in float32.

    27 to 3 are exact 9x9 blocks; where the side does not divide, neighbouring bins share rows and columns (adaptive
    average pooling: bin i covers floor(side i / g) to ceil(side (i + 1) / g)).
    """
    num, num_tokens, dim = tokens.shape
    side = round(num_tokens**0.5)
    image = tokens.float().transpose(1, 2).reshape(num, dim, side, side)
    return adaptive_avg_pool2d(image, grid).flatten(2).transpose(1, 2).contiguous()
