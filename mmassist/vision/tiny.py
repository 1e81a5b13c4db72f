"""A vision tower with the real geometry and no weights to download: width 64, depth 2, seeded random parameters."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from mmassist.vision.siglip import SiglipGeometry

if TYPE_CHECKING:
    from torch import nn

MODEL = "mmassist-tiny-SigLIP-384"  # as open_clip knows it
_TIMM_NAME = "mmassist_vit_tiny_patch14_siglip_384"
# the text half is never built; open_clip lists only configs that have one
_MODEL_CONFIG = {
    "embed_dim": 64,
    "init_logit_bias": -10,
    "custom_text": True,
    "vision_cfg": {
        "image_size": 384,
        "timm_model_name": _TIMM_NAME,
        "timm_model_pretrained": False,
        "timm_pool": "map",
        "timm_proj": "none",
    },
    "text_cfg": {
        "context_length": 16,
        "vocab_size": 256,
        "width": 64,
        "heads": 2,
        "layers": 1,
        "no_causal_mask": True,
        "proj_bias": True,
        "pool_type": "last",
    },
}


@dataclass(frozen=True, kw_only=True)
class TinyConfig(SiglipGeometry):
    """Settings of the tiny tower; another ``seed`` is another set of random weights."""

    engine: Literal["tiny"] = "tiny"
    name: str = "tiny"
    seed: int = 0

    @property
    def is_random(self) -> bool:
        return True

    def check(self) -> None:
        return None

    def revision(self) -> dict[str, Any]:
        return {"model": MODEL, "weights": f"random, seed {self.seed}", "is_random": True}

    def load_trunk(self) -> nn.Module:
        from mmassist.vision.open_clip_model import build_trunk, fill
        from mmassist.vision.random_weights import random_weights

        register_tiny()
        trunk = build_trunk(MODEL)
        return fill(trunk, random_weights(trunk, self.seed))


def register_tiny() -> None:
    """Tell timm of the architecture and open_clip of the model; a second call does nothing."""
    from mmassist.vision.torchvision_shim import ensure_torchvision

    ensure_torchvision()
    import open_clip
    from timm.models import is_model, register_model
    from timm.models.vision_transformer import VisionTransformer

    if not is_model(_TIMM_NAME):

        def mmassist_vit_tiny_patch14_siglip_384(pretrained: bool = False, **settings: Any) -> VisionTransformer:
            given = {key: value for key, value in settings.items() if value is not None}
            for key in ("pretrained_cfg", "pretrained_cfg_overlay", "cache_dir"):
                given.pop(key, None)
            geometry = {"img_size": 384, "patch_size": 14, "embed_dim": 64, "depth": 2, "num_heads": 2}
            return VisionTransformer(**{**geometry, "class_token": False, "global_pool": "map", **given})

        mmassist_vit_tiny_patch14_siglip_384.__module__ = __name__  # timm files models by the module's last name
        register_model(mmassist_vit_tiny_patch14_siglip_384)
    if MODEL not in open_clip.list_models():
        with tempfile.TemporaryDirectory() as folder:  # open_clip learns of models from files only
            path = Path(folder) / f"{MODEL}.json"
            path.write_text(json.dumps(_MODEL_CONFIG))
            open_clip.add_model_config(path)
