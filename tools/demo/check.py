"""Look at every extracted frame of the sample: does it show the picture that was on the screen at its time?"""

from __future__ import annotations

from fractions import Fraction

from mmassist.core.seconds import FRAMES_PER_SECOND
from mmassist.io.layout import UnitLayout
from mmassist.io.reader import UnitReader
from tools.demo.frame_code import read_number
from tools.demo.video import HOLOASSIST_FPS, WTAG_FPS

FPS = {"holoassist": HOLOASSIST_FPS, "wtag": WTAG_FPS}


def count_exact_frames(dataset: str, frames: UnitLayout) -> tuple[int, int]:
    """Number of frames whose picture is the expected one, and of all frames in the unit."""
    import simplejpeg

    num_exact = num_frames = 0
    reader = UnitReader(frames, "extract")
    for key in reader.keys():  # noqa: SIM118 - a method, not a mapping
        item = reader.read(key)
        for index, name in enumerate(n for n in item.names if n.endswith(".jpg")):
            grey = simplejpeg.decode_jpeg(item.read(name), colorspace="GRAY")[:, :, 0]
            num_exact += read_number(grey) == expected_number(index, FPS[dataset])
            num_frames += 1
    reader.close()
    return num_exact, num_frames


def expected_number(frame: int, fps: Fraction) -> int:
    """Number of the picture that a video of constant rate shows at the time of a frame."""
    return int(Fraction(frame, FRAMES_PER_SECOND) * fps)
