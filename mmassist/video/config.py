"""Settings of frame extraction."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from mmassist.core.config import Why, added, transient
from mmassist.core.seconds import FRAMES_PER_SECOND


@dataclass(frozen=True)
class VideoConfig:
    """What frames are taken from a video, and the limits under which it is decoded.

    ``accept_partial`` keeps what is readable of a damaged or cut file (marked ``partial``) instead of refusing it.
    The last fields say how the decoder works and cannot change a frame. ``decode`` needed: only the pictures that some
    frame needs; all: every picture, to compare with, or to hear of damage wherever it is.
    """

    fps: float = float(FRAMES_PER_SECOND)
    size: int = 384  # side of the square picture, pixels
    jpeg_quality: int = 90
    untagged_matrix: Literal["bt601", "bt709"] = added("bt601")  # of the colours of sources that do not say theirs
    accept_partial: bool = False
    decode: Literal["needed", "all"] = transient("needed", why=Why.METHOD)
    max_stall_s: float = transient(120.0, why=Why.LIMIT)  # no newly decoded picture for this long is a hang
    max_memory_mb: int = transient(4096, why=Why.LIMIT)  # resident memory of the decoder process
    isolated: bool = transient(True, why=Why.METHOD)  # decode in a child process; False is for a debugger

    def __post_init__(self) -> None:
        if not 0.01 <= self.fps <= 240:
            raise ValueError(f"fps is {self.fps}; it must lie between 0.01 and 240 frames per second")
        if self.size % 2 or not 16 <= self.size <= 4096:
            # 4:2:0 JPEG halves the colour planes: an odd side would move colour against brightness when turned
            raise ValueError(f"size is {self.size}; it must be an even number of pixels between 16 and 4096")
        if not 1 <= self.jpeg_quality <= 100:
            raise ValueError(f"jpeg_quality is {self.jpeg_quality}; it must lie between 1 and 100")
        if not self.max_stall_s > 0:
            raise ValueError(f"max_stall_s is {self.max_stall_s}; it must be more than 0 seconds")
        if self.max_memory_mb < 64:
            raise ValueError(f"max_memory_mb is {self.max_memory_mb}; a decoder needs 64 or more")

    @property
    def exact_fps(self) -> Fraction:
        """The rate as the decimal number the user wrote, so that sample times are exact."""
        return Fraction(str(self.fps))
