"""The pipeline's clock: 2 frames a second, and the one place where a time becomes a frame."""

from __future__ import annotations

import math

FRAMES_PER_SECOND = 2


def frame_at(t_s: float, fps: float = FRAMES_PER_SECOND) -> int:
    """Index of the frame on screen at ``t_s`` seconds: ``floor(t * fps)``, never below 0.

    A guard of one microsecond keeps times that are meant to be exact (2.9999999996 for 3.0) on their frame.
    """
    return max(0, math.floor(t_s * fps + 1e-6))
