"""Choose an encoder by its ``engine`` setting."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmassist.core.config import build, nearest
from mmassist.core.errors import ConfigError
from mmassist.vision.config import EncoderConfig
from mmassist.vision.open_clip_engine import OpenClipConfig
from mmassist.vision.protocol import Encoder
from mmassist.vision.siglip import SiglipConfig
from mmassist.vision.timm_engine import TimmConfig
from mmassist.vision.tiny import TinyConfig

ENGINES: dict[str, type[EncoderConfig]] = {
    "siglip_so400m": SiglipConfig,
    "open_clip": OpenClipConfig,
    "timm": TimmConfig,
    "tiny": TinyConfig,
}


def build_encoder_config(values: Mapping[str, Any], section: str) -> EncoderConfig:
    """Make the config of the engine that ``values["engine"]`` names. Raises ConfigError for what is not right."""
    engine = values.get("engine")
    if engine is None:
        raise ConfigError(f"'{section}.engine' is not set.{nearest('', ENGINES)}")
    if engine not in ENGINES:
        raise ConfigError(f"'{section}.engine' is {engine!r}.{nearest(str(engine), ENGINES)}")
    return build(ENGINES[engine], values, section)


def check_encoder(config: EncoderConfig) -> None:
    """Raise ConfigError for an encoder that cannot be loaded (absent or foreign weights); loads nothing heavy."""
    config.check()


def build_encoder(config: EncoderConfig) -> Encoder:
    """Load the encoder. Raises ConfigError for absent weights, StageError for what cannot be loaded or run here."""
    from mmassist.vision.tower import VisionTower

    config.check()
    return VisionTower(config)
