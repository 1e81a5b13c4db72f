"""Language models: one protocol (``protocol``), engines behind it, and questions with validated answers (``ask``)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmassist.core.config import build, nearest
from mmassist.core.errors import ConfigError
from mmassist.llm.config import EngineConfig
from mmassist.llm.openai_engine import OpenAIConfig
from mmassist.llm.protocol import Engine
from mmassist.llm.scripted import ScriptedConfig
from mmassist.llm.vllm_engine import VllmConfig

ENGINE_CONFIGS: dict[str, type[EngineConfig]] = {
    "openai": OpenAIConfig,
    "scripted": ScriptedConfig,
    "vllm": VllmConfig,
}


def build_llm_config(values: Mapping[str, Any], section: str) -> EngineConfig:
    """Make the config dataclass of the engine called ``values["engine"]``; raises ConfigError for an unknown one."""
    engine = values.get("engine")
    if engine is None:
        raise ConfigError(f"'{section}.engine' is not set; choose one of {', '.join(sorted(ENGINE_CONFIGS))}")
    if not isinstance(engine, str) or engine not in ENGINE_CONFIGS:
        raise ConfigError(f"'{section}.engine' is {engine!r}.{nearest(str(engine), ENGINE_CONFIGS)}")
    return build(ENGINE_CONFIGS[engine], values, section)


def build_engine(config: EngineConfig, secret: str | None = None) -> Engine:
    """Load the engine; ``secret`` is the value of ``config.secret_name``. Raises ConfigError like its ``check``."""
    config.check()
    return config.load(secret)
