"""What the engines have in common that take any model of a library by its name."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from mmassist.core.config import Why, transient
from mmassist.core.errors import ConfigError
from mmassist.vision.config import EncoderConfig
from mmassist.vision.weights import check_suffix, locate_weights, weights_digest


@dataclass(frozen=True, kw_only=True)
class NamedConfig(EncoderConfig):
    """A model by its library's name, with weights from ``path`` or, where that is asked for, from a seed.

    ``name`` is the model's unless it is given. ``mean`` and ``std`` are for weights that were trained with another
    scaling of the pixels than their library says. Activations of models that nobody tried here may leave fp16's range,
    so bf16 is the default; it has the same speed.
    """

    name: str = ""
    model: str | None = None
    path: str | None = transient(None, why=Why.PLACE)
    pretrained: Literal["weights", "random"] = "weights"
    seed: int = 0  # of random weights
    mean: tuple[float, ...] | None = None  # per channel, of pixels between 0 and 1
    std: tuple[float, ...] | None = None
    dtype: Literal["fp32", "bf16", "fp16"] = "bf16"
    device: Literal["cpu", "cuda", "auto"] = "cuda"

    package: ClassVar[str]  # that has the model
    folder_names: ClassVar[Sequence[str]]  # of checkpoints in a folder as the hub serves it

    def __post_init__(self) -> None:
        if not self.model:
            raise ValueError(f"model is not set; say encoder.model=NAME, one of {self.package}'s")
        if not self.name:
            suffix = "_random" if self.is_random else ""
            object.__setattr__(self, "name", re.sub(r"[^A-Za-z0-9_-]", "-", self.model)[:56] + suffix)
        super().__post_init__()
        for key in ("mean", "std"):
            values = getattr(self, key)
            if values is not None and (len(values) != 3 or (key == "std" and min(values) <= 0)):
                raise ValueError(f"{key} is {list(values)}; it must be three numbers{' above 0' * (key == 'std')}")
        if (self.mean is None) != (self.std is None):
            raise ValueError("mean and std are given together or not at all")

    @property
    def is_random(self) -> bool:
        return self.pretrained == "random"

    def check(self) -> None:
        self._check_model()
        if not self.is_random:
            weights = self.weights()
            check_suffix(weights)
            self._check_weights(weights)
        elif self.path is not None:
            raise ConfigError("'encoder.path' is set, but encoder.pretrained=random reads no weights; leave one out")

    def revision(self) -> dict[str, Any]:
        made_by = f"random, seed {self.seed}" if self.is_random else weights_digest(self.weights())
        scaling = self._told_scaling()
        told = {"mean": list(scaling[0]), "std": list(scaling[1])} if scaling else {}
        return {"model": f"{self.package}/{self.model}", "weights": made_by, "is_random": self.is_random, **told}

    def weights(self) -> Path:
        """The checkpoint. Raises ConfigError when it is not there."""
        remedy = f"set encoder.path to a checkpoint of {self.package}'s {self.model} or the folder that the hub serves"
        return locate_weights(self.path, self.folder_names, f"{remedy} (encoder.pretrained=random does without)")

    def _told_scaling(self) -> tuple[Sequence[float], Sequence[float]] | None:
        """Mean and deviation that settings or the folder of the weights say; None where only the library knows."""
        if self.mean is not None and self.std is not None:
            return self.mean, self.std
        if self.is_random:
            return None
        told = self._folder_scaling(self.weights().parent)
        if "mean" not in told or "std" not in told:
            return None
        return tuple(told["mean"]), tuple(told["std"])

    @abstractmethod
    def _check_model(self) -> None:
        """Raise ConfigError for a name that the library does not have, or a model that gives no patch tokens."""

    @abstractmethod
    def _check_weights(self, path: Path) -> None:
        """Raise ConfigError for weights that are certainly another model's."""

    @abstractmethod
    def _folder_scaling(self, folder: Path) -> dict[str, Any]:
        """``mean`` and ``std`` as the file beside the weights has them; empty where there is none."""
