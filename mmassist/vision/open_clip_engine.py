"""Any model of open_clip by its name: ``encoder=open_clip encoder.model=ViT-B-16-SigLIP``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from mmassist.core.errors import ConfigError, StageError
from mmassist.vision.catalog import near_names, open_clip_config, open_clip_models
from mmassist.vision.named import NamedConfig
from mmassist.vision.weights import FOLDER_CONFIG, FOLDER_NAMES, VISUAL, read_folder_config, read_shapes, read_visual

if TYPE_CHECKING:
    from mmassist.vision.backbone import Backbone, Preprocessing

_SHAPE_KEYS = ("image_size", "patch_size", "width", "layers", "timm_model_name")


@dataclass(frozen=True, kw_only=True)
class OpenClipConfig(NamedConfig):
    """The text half is neither built nor, from .safetensors, read; ``cls`` is taken before the projection to it."""

    engine: Literal["open_clip"] = "open_clip"

    package: ClassVar[str] = "open_clip"
    folder_names: ClassVar[Sequence[str]] = FOLDER_NAMES

    @property
    def tokens_per_side(self) -> int | None:
        vision = self._vision
        if "layers" not in vision or "image_size" not in vision or isinstance(vision["image_size"], list):
            return None
        return int(vision["image_size"]) // int(vision.get("patch_size", 16))

    def load(self) -> Backbone:
        from mmassist.vision.backbone import OpenClipBackbone, TimmBackbone
        from mmassist.vision.open_clip_model import build_empty, build_visual, fill, fill_randomly

        model = str(self.model)
        if self.is_random:
            visual = fill_randomly(build_visual(model), self.seed)
        else:
            visual = fill(build_empty(lambda: build_visual(model)), read_visual(self.weights()))
        preprocessing = self._preprocessing(visual.image_size)
        name = f"{self.package}'s {model}"
        if hasattr(visual, "trunk"):
            return TimmBackbone(name, preprocessing, visual.trunk, self.depth)
        if not hasattr(visual, "transformer"):
            raise StageError(f"{name} has no patch tokens")
        return OpenClipBackbone(name, preprocessing, visual, self.depth)

    @property
    def _vision(self) -> dict[str, Any]:
        found: dict[str, Any] = open_clip_config(str(self.model)).get("vision_cfg", {})
        return found

    def _check_model(self) -> None:
        known = open_clip_models()
        if known and self.model not in known:
            near = near_names(str(self.model), known, "open_clip.list_models()")
            raise ConfigError(f"'encoder.model' is {self.model!r}, which the installed open_clip does not have.{near}")
        if isinstance(self._vision.get("layers"), list):
            raise ConfigError(f"'encoder.model' is {self.model!r}, a ResNet of open_clip's own: it has no patch tokens")

    def _check_weights(self, path: Path) -> None:
        own = open_clip_config(str(self.model))
        told = read_folder_config(path.parent / FOLDER_CONFIG).get("model_cfg") or {}
        for key in _SHAPE_KEYS:
            pair = [config.get("vision_cfg", {}).get(key) for config in (told, own)]
            if None not in pair and pair[0] != pair[1]:
                raise ConfigError(
                    f"'encoder.path' is {str(path)!r}, another model: {key} {pair[0]}, {self.model} has {pair[1]}"
                )
        if told and own and bool(told.get("quick_gelu")) != bool(own.get("quick_gelu")):
            raise ConfigError(
                f"'encoder.path' is {str(path)!r}, whose quick_gelu is {bool(told.get('quick_gelu'))}, not as in "
                f"{self.model}; choose the model with or without -quickgelu"
            )
        if path.suffix == ".safetensors" and not any(VISUAL in name for name in read_shapes(path)):
            raise ConfigError(f"'encoder.path' is {str(path)!r}, which has no '{VISUAL}*' tensors; {self.model} has")

    def _folder_scaling(self, folder: Path) -> dict[str, Any]:
        found: dict[str, Any] = read_folder_config(folder / FOLDER_CONFIG).get("preprocess_cfg") or {}
        return found

    def _preprocessing(self, image_size: int | Sequence[int]) -> Preprocessing:
        from mmassist.vision.backbone import square
        from mmassist.vision.open_clip_model import published_scaling

        told = self._told_scaling()
        choices = {told} if told else published_scaling(str(self.model))
        if len(choices) != 1:
            raise StageError(
                f"open_clip knows {len(choices)} scalings of pixels for {self.model}"
                f"{''.join(f', mean {list(mean)} std {list(std)}' for mean, std in sorted(choices))}; "
                "set encoder.mean and encoder.std to what the weights were trained with"
            )
        return square(f"open_clip's {self.model}", image_size, *choices.pop())
