"""What all encoders have in common as settings."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

if TYPE_CHECKING:
    from torch import nn

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


@dataclass(frozen=True, kw_only=True)
class EncoderConfig(ABC):
    """Base of the engines' settings; every one of them can change the low bits of a feature, none is ignored.

    ``gelu``: the published SigLIP weights were trained with the tanh form, which the transformers port keeps and timm
    replaces by the exact one.
    """

    engine: str
    name: str  # folder below ``features/``
    layer: Literal["last", "second_last"] = "last"  # what the grids are pooled from; ``cls`` is always the head
    gelu: Literal["tanh", "exact"] = "tanh"
    dtype: Literal["fp32", "bf16", "fp16"] = "fp32"
    device: Literal["cpu", "cuda", "auto"] = "cpu"
    num_threads: int = 1  # of torch on the CPU: another number may add in another order

    is_random: ClassVar[bool]

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"name is {self.name!r}; it must match {_NAME.pattern} (it names a folder)")
        if self.num_threads < 1:
            raise ValueError(f"num_threads is {self.num_threads!r}; it must be at least 1")

    @abstractmethod
    def check(self) -> None:
        """Raise ConfigError for what is certain to fail later; loads nothing heavy."""

    @abstractmethod
    def revision(self) -> dict[str, Any]:
        """Identity of model and weights for fingerprints, as plain JSON values; loads nothing heavy."""

    @abstractmethod
    def load_trunk(self) -> nn.Module:
        """The timm vision transformer with its weights, on the CPU, in the precision they are stored in."""
