"""SigLIP ViT-SO400M/14 at 384 pixels, from weights on disk (Zhai et al. 2023; open_clip's conversion)."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from mmassist.core.config import Why, transient
from mmassist.vision.config import EncoderConfig
from mmassist.vision.protocol import IMAGE_SIZE
from mmassist.vision.weights import FOLDER_NAMES, check_weights, locate_weights, read_trunk, weights_digest

if TYPE_CHECKING:
    from torch import nn

    from mmassist.vision.backbone import Backbone

MODEL = "ViT-SO400M-14-SigLIP-384"  # open_clip's name
HUB_ID = f"timm/{MODEL}"
DIM = 1152
TOKENS_PER_SIDE = 27  # 384 // 14; the last 6 rows and columns of pixels belong to no patch
_REMEDY = f"download hub id {HUB_ID} (`hf download {HUB_ID} --local-dir DIR`) and set encoder.path=DIR"
_GELU = {"tanh": "tanh", "exact": "none"}


@dataclass(frozen=True, kw_only=True)
class SiglipGeometry(EncoderConfig):
    """Base of the encoders of SigLIP's so400m form: 384 pixels, patches of 14, attention pooling, scaling by 0.5.

    ``gelu``: the published weights were trained with the tanh form, which the transformers port keeps and timm
    replaces by the exact one.
    """

    gelu: Literal["tanh", "exact"] = "tanh"

    is_fixed: ClassVar[bool] = True

    @property
    def tokens_per_side(self) -> int:
        return TOKENS_PER_SIDE

    @abstractmethod
    def load_trunk(self) -> nn.Module:
        """The timm vision transformer with its weights."""

    def load(self) -> Backbone:
        from mmassist.vision.backbone import Preprocessing, TimmBackbone
        from mmassist.vision.open_clip_model import set_gelu

        trunk = self.load_trunk()
        set_gelu(trunk, _GELU[self.gelu])
        return TimmBackbone(self.revision()["model"], Preprocessing(IMAGE_SIZE), trunk, self.depth)


@dataclass(frozen=True, kw_only=True)
class SiglipConfig(SiglipGeometry):
    """``path`` is a checkpoint (.safetensors, .bin, .pt) or a folder as the hub serves it.

    It may move: the fingerprint holds a digest of the content.
    """

    engine: Literal["siglip_so400m"] = "siglip_so400m"
    name: str = "siglip_so400m"
    dtype: Literal["fp32", "bf16", "fp16"] = "fp16"
    device: Literal["cpu", "cuda", "auto"] = "cuda"
    path: str | None = transient(None, why=Why.PLACE)

    @property
    def is_random(self) -> bool:
        return False

    def check(self) -> None:
        check_weights(self._weights(), MODEL, (1, TOKENS_PER_SIDE**2, DIM))

    def revision(self) -> dict[str, Any]:
        return {"model": MODEL, "weights": weights_digest(self._weights()), "is_random": False}

    def load_trunk(self) -> nn.Module:
        from mmassist.vision.open_clip_model import build_trunk, fill

        trunk = build_trunk(MODEL)
        return fill(trunk, read_trunk(self._weights()))

    def _weights(self) -> Path:
        return locate_weights(self.path, FOLDER_NAMES, f"{_REMEDY}, or choose encoder=tiny")
