"""Settings of the engines: one dataclass each, chosen by ``llm.engine``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mmassist.core.config import transient
from mmassist.core.errors import ConfigError

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")


@dataclass(frozen=True, kw_only=True)
class ScriptedConfig:
    """The engine without a model. ``flaw_rate`` is the share of requests whose first answer is broken on purpose."""

    engine: Literal["scripted"]
    name: str = "scripted"
    flaw_rate: float = 0.05

    def __post_init__(self) -> None:
        if not 0 <= self.flaw_rate <= 1:
            raise ValueError(f"flaw_rate is {self.flaw_rate!r}; it must lie between 0 and 1")
        _check_name(self.name)

    @property
    def generator(self) -> str:
        """What records name as the author of the dialogs."""
        return "scripted"

    @property
    def revision(self) -> str:
        """Raise the number when the same request gets another answer."""
        return "scripted/1"

    def check(self) -> None:
        """Nothing can be missing."""


@dataclass(frozen=True, kw_only=True)
class VllmConfig:
    """A model served in-process by vLLM. ``model`` is a folder with weights or a hub id."""

    engine: Literal["vllm"]
    name: str
    model: str
    tensor_parallel: int = 4
    max_model_len: int = 32768
    gpu_memory_utilization: float = transient(0.92)
    max_num_seqs: int = transient(256)

    def __post_init__(self) -> None:
        _check_name(self.name)

    @property
    def generator(self) -> str:
        return self.model

    @property
    def revision(self) -> str:
        return self.model

    def check(self) -> None:
        """Raise ConfigError: the weights are absent, or this version cannot run them."""
        if not _HUB_ID.fullmatch(self.model) and not Path(self.model).expanduser().is_dir():
            raise ConfigError(
                f"llm.model is {self.model!r}: weights not found at that path; "
                "give a folder with weights or a hub id, or use llm=scripted"
            )
        raise ConfigError(
            f"llm.engine is 'vllm' (model {self.model}): this engine is not available in this version; use llm=scripted"
        )


EngineConfig = ScriptedConfig | VllmConfig
ENGINE_CONFIGS: dict[str, type[ScriptedConfig] | type[VllmConfig]] = {"scripted": ScriptedConfig, "vllm": VllmConfig}


def _check_name(name: str) -> None:
    # The name becomes a folder below generated_dialogs/.
    if not re.fullmatch(r"[A-Za-z0-9_-]+", name):
        raise ValueError(f"name is {name!r}; it must consist of letters, digits, '_' and '-'")
