"""Any model of timm by its name: ``encoder=timm encoder.model=vit_base_patch14_dinov2``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from mmassist.core.errors import ConfigError, StageError
from mmassist.vision.catalog import near_names, timm_models, timm_tags
from mmassist.vision.named import NamedConfig
from mmassist.vision.weights import TIMM_FOLDER_NAMES, read_folder_config, read_whole

if TYPE_CHECKING:
    from torch import Tensor

    from mmassist.vision.backbone import Backbone

_FOLDER_CONFIG = "config.json"


@dataclass(frozen=True, kw_only=True)
class TimmConfig(NamedConfig):
    """``model`` may name published weights behind a dot (``vit_base_patch14_dinov2.lvd142m``): their scaling counts."""

    engine: Literal["timm"] = "timm"

    package: ClassVar[str] = "timm"
    folder_names: ClassVar[Sequence[str]] = TIMM_FOLDER_NAMES

    def load(self) -> Backbone:
        from mmassist.vision.torchvision_shim import ensure_torchvision

        ensure_torchvision()
        import timm

        from mmassist.vision.backbone import TimmBackbone, square
        from mmassist.vision.open_clip_model import build_empty, fill, fill_randomly

        model, name = str(self.model), f"timm's {self.model}"
        if self.is_random:
            trunk = fill_randomly(timm.create_model(model, num_classes=0), self.seed)
        else:
            trunk = build_empty(lambda: timm.create_model(model, num_classes=0))
            trunk = fill(trunk, _converted(trunk, read_whole(self.weights())))
        known: dict[str, Any] = dict(trunk.pretrained_cfg)  # type: ignore[arg-type]  # of the tag, or of the first one
        mean, std = self._told_scaling() or (known["mean"], known["std"])
        return TimmBackbone(name, square(name, known["input_size"][1:], mean, std), trunk, self.depth)

    def _check_model(self) -> None:
        known = timm_models()
        architecture, _, tag = str(self.model).partition(".")
        if known and architecture not in known:
            near = near_names(architecture, known, "timm.list_models()")
            raise ConfigError(f"'encoder.model' is {self.model!r}, which the installed timm does not have.{near}")
        tags = timm_tags(architecture)
        if tag and tags and tag not in tags:
            raise ConfigError(
                f"'encoder.model' is {self.model!r}; timm knows of {architecture} the weights {', '.join(tags)}"
            )

    def _check_weights(self, path: Path) -> None:
        told = read_folder_config(path.parent / _FOLDER_CONFIG).get("architecture")
        architecture = str(self.model).partition(".")[0]
        if told is not None and told != architecture:
            raise ConfigError(f"'encoder.path' is {str(path)!r}, another model: {told}, not {architecture}")

    def _folder_scaling(self, folder: Path) -> dict[str, Any]:
        found: dict[str, Any] = read_folder_config(folder / _FOLDER_CONFIG).get("pretrained_cfg") or {}
        return found


def _converted(trunk: Any, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights as timm's model names them, without a classifier; its modules know the layouts in which others publish.

    timm's own loading would leave what is missing as it was initialised, with a warning.
    """
    convert = getattr(sys.modules[type(trunk).__module__], "checkpoint_filter_fn", None)
    try:
        found: dict[str, Tensor] = convert(state, trunk) if convert else state
    except (KeyError, RuntimeError, TypeError) as error:
        raise StageError(f"the weights do not fit the model: {type(error).__name__} {error}") from error
    named = trunk.pretrained_cfg.get("classifier") or ()
    own, heads = trunk.state_dict(), (named,) if isinstance(named, str) else tuple(named)
    return {key: value for key, value in found.items() if key in own or not any(key.startswith(f"{h}.") for h in heads)}
