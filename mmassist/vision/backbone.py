"""One face for vision models of different libraries: pictures in, patch tokens and a pooled vector out."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from mmassist.core.errors import StageError


@dataclass(frozen=True)
class Preprocessing:
    """How a model wants its pictures: square, of ``image_size`` pixels, from 0 to 1, then normalised per channel."""

    image_size: int
    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    std: tuple[float, float, float] = (0.5, 0.5, 0.5)


def square(model: str, image_size: int | Sequence[int], mean: Sequence[float], std: Sequence[float]) -> Preprocessing:
    """The preprocessing of a model that takes square pictures in colour. Raises StageError for any other."""
    sides = {image_size} if isinstance(image_size, int) else set(image_size)
    if len(sides) != 1 or not len(mean) == len(std) == 3:
        raise StageError(f"{model} takes pictures of {image_size}, {len(mean)} channels; frames are square, in colour")
    return Preprocessing(sides.pop(), (mean[0], mean[1], mean[2]), (std[0], std[1], std[2]))


class Backbone(nn.Module):
    """A vision model of which one layer's patch tokens are wanted; ``depth`` counts layers from the end, 1 is the last.

    Called with normalised pixels ``[n, 3, image_size, image_size]`` it gives patch tokens ``[n, tokens, dim]``,
    row-major, without class or register tokens, and pooled vectors ``[n, dim]``: what the model's own head makes of a
    picture, before a projection or classifier, so that both are of one width.
    """

    def __init__(self, name: str, preprocessing: Preprocessing):
        super().__init__()
        self.name, self.preprocessing = name, preprocessing

    @abstractmethod
    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]: ...


class TimmBackbone(Backbone):
    """A model of timm, as it is or inside one of open_clip's."""

    def __init__(self, name: str, preprocessing: Preprocessing, trunk: Any, depth: int):
        super().__init__(name, preprocessing)
        self.trunk = trunk
        self._index: int | None = None
        if depth > 1:
            if not hasattr(trunk, "num_prefix_tokens") or not hasattr(trunk, "forward_intermediates"):
                raise StageError(f"encoder.layer: {name} is no plain transformer, of it only layer=last can be had")
            self._index = _layer_index(name, len(trunk.blocks), depth)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        if self._index is None:
            final = self.trunk.forward_features(pixels)  # after the final norm
            tokens = self._patches(final)
        else:
            final, (tokens,) = self.trunk.forward_intermediates(pixels, indices=[self._index], output_fmt="NLC")
        return tokens, self.trunk.forward_head(final, pre_logits=True)

    def _patches(self, final: Tensor) -> Tensor:
        if final.ndim == 4:  # a feature map: of convolutions, or of windows
            channels_last = getattr(self.trunk, "output_fmt", "NCHW") == "NHWC"
            return final.flatten(1, 2) if channels_last else final.flatten(2).transpose(1, 2)
        num_prefix = getattr(self.trunk, "num_prefix_tokens", 0)
        return final[:, num_prefix:] if num_prefix else final


class OpenClipBackbone(Backbone):
    """The vision transformer that open_clip builds itself (CLIP's, not one of timm).

    Its last tokens are those that open_clip returns beside the pooled vector: after the final norm, except where
    that norm belongs to the pooled vector alone (CLIPA).
    """

    def __init__(self, name: str, preprocessing: Preprocessing, visual: Any, depth: int):
        super().__init__(name, preprocessing)
        self.visual = visual
        self.visual.proj = None  # the pooled vector stays as wide as the tokens
        self._index = _layer_index(name, len(visual.transformer.resblocks), depth)
        has_own_norm = visual.attn_pool is None and not visual.final_ln_after_pool
        self._is_normalised = depth == 1 and has_own_norm

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        found = self.visual.forward_intermediates(pixels, indices=[self._index], output_fmt="NLC")
        tokens = found["image_intermediates"][0]
        return self.visual.ln_post(tokens) if self._is_normalised else tokens, found["image_features"]


def _layer_index(name: str, num_layers: int, depth: int) -> int:
    if depth > num_layers:
        raise StageError(f"encoder.layer=-{depth}: {name} has {num_layers} layers")
    return num_layers - depth


def probe(backbone: Backbone) -> tuple[int, int]:
    """Width and number per side of the model's patch tokens, from one black picture.

    Raises StageError for a model that has no square grid of tokens or pools to another width.
    """
    size = backbone.preprocessing.image_size
    weight = next(backbone.parameters())
    try:
        with torch.inference_mode():
            made = backbone(torch.zeros(1, 3, size, size, device=weight.device, dtype=weight.dtype))
        tokens, pooled = made[0].shape, made[1].shape
    except (AttributeError, TypeError, ValueError, AssertionError, RuntimeError) as error:
        raise StageError(f"{backbone.name} cannot be used as an encoder: {type(error).__name__}: {error}") from error
    if len(tokens) != 3 or len(pooled) != 2:
        raise StageError(
            f"{backbone.name} gives {list(tokens)} and {list(pooled)}, not patch tokens and a pooled vector"
        )
    side = round(tokens[1] ** 0.5)
    if side * side != tokens[1] or side < 2:
        raise StageError(f"{backbone.name} has {tokens[1]} patch tokens, which are no square grid of 2x2 or more")
    if tokens[2] != pooled[1]:
        raise StageError(
            f"{backbone.name} pools to {pooled[1]} numbers, its patch tokens have {tokens[2]}; "
            "they cannot stand side by side in a frame's features"
        )
    return tokens[2], side
