"""Seeded random parameters for any architecture: for demonstrations, tests and timing, never for training."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmassist.core.rng import rng

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor, nn


def random_weights(model: nn.Module, seed: int) -> dict[str, Tensor]:
    """Values for every parameter of ``model``, a function of its name, shape and ``seed`` alone.

    Not torch's generator, whose stream and whose use by a model's own initialisation differ between versions. The
    spread keeps activations near 1, so that different pictures give clearly different features.
    """
    import torch

    state = {}
    for name, parameter in model.named_parameters():
        uniform = torch.from_numpy(_uniform(parameter.numel(), name, seed)).reshape(parameter.shape)
        if parameter.ndim >= 2 and "pos_embed" not in name:
            uniform = uniform * (3.0 / parameter[0].numel()) ** 0.5  # variance 1 / fan-in
        elif parameter.ndim == 1 and name.endswith("weight"):  # of a norm
            uniform = 1 + 0.1 * uniform
        else:
            uniform = 0.1 * uniform
        state[name] = uniform.float()
    return state


def _uniform(count: int, name: str, seed: int) -> np.ndarray:
    """``count`` float64 values in [-1, 1)."""
    import numpy as np

    bits = np.frombuffer(rng("tiny encoder", seed, name).randbytes(4 * count), dtype="<u4")
    return bits / 2.0**31 - 1.0
