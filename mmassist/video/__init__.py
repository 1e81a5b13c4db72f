"""Videos to frames: time-exact sampling, supervised decoding, an account of what was readable."""

from mmassist.video.config import VideoConfig
from mmassist.video.decoder import Decoder, extract_frames
from mmassist.video.extract import FrameStream

__all__ = ["Decoder", "FrameStream", "VideoConfig", "extract_frames"]
