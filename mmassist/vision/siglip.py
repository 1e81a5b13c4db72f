"""SigLIP ViT-SO400M/14 at 384 pixels, from weights on disk (Zhai et al. 2023; open_clip's conversion)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from mmassist.core.config import transient
from mmassist.core.errors import ConfigError
from mmassist.vision.config import EncoderConfig
from mmassist.vision.weights import check_weights, find_weights, read_trunk, weights_digest

if TYPE_CHECKING:
    from torch import nn

MODEL = "ViT-SO400M-14-SigLIP-384"  # open_clip's name
HUB_ID = f"timm/{MODEL}"
DIM = 1152


@dataclass(frozen=True, kw_only=True)
class SiglipConfig(EncoderConfig):
    """``path`` is a checkpoint (.safetensors, .bin, .pt) or a folder as the hub serves it.

    It may move: the fingerprint holds a digest of the content.
    """

    engine: Literal["siglip_so400m"] = "siglip_so400m"
    name: str = "siglip_so400m"
    dtype: Literal["fp32", "bf16", "fp16"] = "fp16"
    device: Literal["cpu", "cuda", "auto"] = "cuda"
    path: str | None = transient(None)

    is_random: ClassVar[bool] = False

    def check(self) -> None:
        check_weights(self._weights(), MODEL, (1, 729, DIM))

    def revision(self) -> dict[str, Any]:
        return {"model": MODEL, "weights": weights_digest(self._weights()), "is_random": False}

    def load_trunk(self) -> nn.Module:
        from mmassist.vision.open_clip_model import build_trunk, fill_trunk

        trunk = build_trunk(MODEL)
        return fill_trunk(trunk, read_trunk(self._weights()))

    def _weights(self) -> Path:
        get_it = f"download hub id {HUB_ID} (`hf download {HUB_ID} --local-dir DIR`) and set encoder.path=DIR"
        if self.path is None:
            raise ConfigError(f"'encoder.path' is not set: {get_it}, or choose encoder=tiny")
        if not Path(self.path).expanduser().is_absolute():
            raise ConfigError(
                f"'encoder.path' is {self.path!r}; it must be absolute, since jobs start in other folders"
            )
        found = find_weights(Path(self.path).expanduser())
        if found is None:
            raise ConfigError(
                f"'encoder.path' is {self.path!r}, where no weights are: {get_it}, or choose encoder=tiny"
            )
        return found
