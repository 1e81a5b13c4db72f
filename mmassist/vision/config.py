"""What all encoders have in common as settings."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from mmassist.core.config import added

if TYPE_CHECKING:
    from mmassist.vision.backbone import Backbone

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_LAYER_NAMES = {-1: "last", -2: "second_last"}


@dataclass(frozen=True, kw_only=True)
class EncoderConfig(ABC):
    """Base of the engines' settings; every one of them can change the low bits of a feature, none is ignored.

    ``layer`` is what the grids are pooled from, ``cls`` is always the head: ``last`` (-1) are the tokens after the
    final norm, -k the output of the k-th block from the end, not normalised; ``second_last`` is -2.
    """

    engine: str
    name: str  # folder below ``features/``
    layer: Any = "last"
    dtype: Literal["fp32", "bf16", "fp16"] = "fp32"
    device: Literal["cpu", "cuda", "auto"] = "cpu"
    num_threads: int = 1  # of torch on the CPU: another number may add in another order
    compile: Literal[True, False, "auto"] = added(False)  # fused kernels round differently

    # One architecture with one scaling of pixels: its name says what features.json spells out for other engines.
    is_fixed: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name):
            raise ValueError(f"name is {self.name!r}; it must match {NAME.pattern} (it names a folder)")
        if self.num_threads < 1:
            raise ValueError(f"num_threads is {self.num_threads!r}; it must be at least 1")
        is_index = isinstance(self.layer, int) and not isinstance(self.layer, bool) and self.layer < 0
        if not is_index and self.layer not in _LAYER_NAMES.values():
            raise ValueError(
                f"layer is {self.layer!r}; it must be last, second_last or a number of layers from the end such as -2"
            )
        object.__setattr__(self, "layer", _LAYER_NAMES.get(self.layer, self.layer))

    @property
    def depth(self) -> int:
        """The layer as a number from the end: 1 is the last one."""
        return {name: -number for number, name in _LAYER_NAMES.items()}.get(self.layer) or -int(self.layer)

    @property
    @abstractmethod
    def is_random(self) -> bool:
        """Whether weights are drawn from a seed, so that features mean nothing."""

    @property
    def tokens_per_side(self) -> int | None:
        """Patches along one side of a picture, None where only the loaded model can tell."""
        return None

    @abstractmethod
    def check(self) -> None:
        """Raise ConfigError for what is certain to fail later; loads nothing heavy."""

    @abstractmethod
    def revision(self) -> dict[str, Any]:
        """Identity of model and weights for fingerprints, as plain JSON values; loads nothing heavy."""

    @abstractmethod
    def load(self) -> Backbone:
        """The model with its weights, on the CPU, in the precision they are stored in. Raises StageError."""
