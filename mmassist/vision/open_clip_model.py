"""Vision halves of open_clip's models, built without the text half that image features never need."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from mmassist.core.errors import StageError

Module = TypeVar("Module", bound=nn.Module)


def build_trunk(model: str) -> nn.Module:
    """The timm transformer inside open_clip's ``model``; its parameters hold no memory until they are filled."""
    return build_empty(lambda: build_visual(model)).trunk


def build_visual(model: str) -> Any:
    """The vision half of open_clip's ``model`` as it is before training."""
    from mmassist.vision.torchvision_shim import ensure_torchvision

    ensure_torchvision()
    import open_clip
    from open_clip.model import _build_vision_tower  # the public way builds the text half as well

    config: dict[str, Any] | None = open_clip.get_model_config(model)
    if config is None:
        raise StageError(f"this version of open_clip does not know the model {model}")
    return _build_vision_tower(config["embed_dim"], config["vision_cfg"], config.get("quick_gelu", False))


def published_scaling(model: str) -> set[tuple[tuple[float, ...], tuple[float, ...]]]:
    """The (mean, std) that open_clip knows for the published weights of ``model``; of some models there are two."""
    import open_clip
    from open_clip.pretrained import get_pretrained_cfg

    tags = open_clip.list_pretrained_tags_by_model(model)
    return {(tuple(cfg["mean"]), tuple(cfg["std"])) for cfg in (get_pretrained_cfg(model, tag) for tag in tags)}


def build_empty(build: Callable[[], Module]) -> Module:
    """What ``build`` makes, without memory for its parameters where that can be.

    Tables that no checkpoint holds (rotary positions) are computed when a model is made, so it has to be made.
    """
    with torch.device("meta"):
        model = build()
    has_tables = {name for name, _ in model.named_buffers()} - set(model.state_dict())
    return build() if has_tables else model


def fill(model: Module, state: Mapping[str, Tensor]) -> Module:
    """Give ``model`` the values of ``state``. Raises StageError unless names and shapes match exactly.

    Values are copied: a tensor that is mapped from a file may lie at any address, and matrix products of the same
    numbers differ in their low bits between aligned and unaligned memory.
    """
    own = {name: value.clone() for name, value in state.items()}
    try:
        model.load_state_dict(own, assign=True, strict=True)
    except RuntimeError as error:  # torch lists every missing, unexpected and misshapen name
        first = " ".join(str(error).split())[:300]
        raise StageError(f"the weights do not fit the model: {first}") from error
    return model


def fill_randomly(model: Module, seed: int) -> Module:
    """Give a model that was built whole seeded random parameters; its tables stay."""
    from mmassist.vision.random_weights import random_weights

    return fill(model, {**model.state_dict(), **random_weights(model, seed)})


def set_gelu(trunk: nn.Module, approximate: str) -> None:
    """Make every GELU of ``trunk`` the ``tanh`` form or the exact one (``none``)."""
    changed = 0
    for module in trunk.modules():
        for name, child in module.named_children():
            if isinstance(child, nn.GELU):
                setattr(module, name, nn.GELU(approximate=approximate))
                changed += 1
    if not changed:
        raise StageError("the model has no GELU whose form could be set")
