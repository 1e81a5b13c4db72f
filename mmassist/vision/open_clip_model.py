"""Vision towers of open_clip's models, built without the text half that image features never need."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, device, nn

from mmassist.core.errors import StageError


def build_trunk(model: str) -> nn.Module:
    """The timm transformer inside open_clip's ``model``; its parameters hold no memory until they are filled."""
    from mmassist.vision.torchvision_shim import ensure_torchvision

    ensure_torchvision()
    import open_clip
    from open_clip.timm_model import TimmModel

    config: dict[str, Any] | None = open_clip.get_model_config(model)
    if config is None:
        raise StageError(f"this version of open_clip does not know the model {model}")
    vision = config["vision_cfg"]
    with device("meta"):
        tower = TimmModel(
            vision["timm_model_name"],
            embed_dim=config["embed_dim"],
            image_size=vision["image_size"],
            pool=vision["timm_pool"],
            proj=vision["timm_proj"],
            pretrained=False,
        )
    return tower.trunk


def fill_trunk(trunk: nn.Module, state: Mapping[str, Tensor]) -> nn.Module:
    """Give ``trunk`` the values of ``state``. Raises StageError unless names and shapes match exactly.

    Values are copied: a tensor that is mapped from a file may lie at any address, and matrix products of the same
    numbers differ in their low bits between aligned and unaligned memory.
    """
    own = {name: value.clone() for name, value in state.items()}
    try:
        trunk.load_state_dict(own, assign=True, strict=True)
    except RuntimeError as error:  # torch lists every missing, unexpected and misshapen name
        first = " ".join(str(error).split())[:300]
        raise StageError(f"the weights do not fit the model: {first}") from error
    return trunk


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
