"""Image encoders behind one protocol: ``build_encoder_config`` and ``check_encoder`` load nothing heavy."""

from mmassist.vision.engine import build_encoder, build_encoder_config, check_encoder

__all__ = ["build_encoder", "build_encoder_config", "check_encoder"]
