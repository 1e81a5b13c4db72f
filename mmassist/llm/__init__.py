"""Language models: one protocol (``protocol``), engines behind it, and questions with validated answers (``ask``)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmassist.core.config import build, nearest
from mmassist.core.errors import ConfigError
from mmassist.llm.config import ENGINE_CONFIGS, EngineConfig, ScriptedConfig
from mmassist.llm.protocol import Engine


def build_llm_config(values: Mapping[str, Any], section: str) -> EngineConfig:
    """Make the config dataclass of the engine called ``values["engine"]``; raises ConfigError for an unknown one."""
    engine = values.get("engine")
    if engine is None:
        raise ConfigError(f"'{section}.engine' is not set; choose one of {', '.join(sorted(ENGINE_CONFIGS))}")
    if engine not in ENGINE_CONFIGS:
        raise ConfigError(f"'{section}.engine' is {engine!r}.{nearest(str(engine), ENGINE_CONFIGS)}")
    return build(ENGINE_CONFIGS[engine], values, section)


def check_engine(config: EngineConfig) -> None:
    """Raise ConfigError, in one line, for what is certain to fail when the engine is built."""
    config.check()


def build_engine(config: EngineConfig) -> Engine:
    """Load the engine. Raises ConfigError like ``check_engine``."""
    config.check()
    assert isinstance(config, ScriptedConfig)  # every other engine's check has raised

    from mmassist.llm.scripted import ScriptedEngine

    return ScriptedEngine(config)
