from __future__ import annotations

import pytest

from mmassist.core.config import build, meaning
from mmassist.core.errors import ConfigError
from mmassist.video import VideoConfig


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("fps", 0.0),
        ("fps", float("nan")),
        ("size", 383),
        ("size", 0),
        ("jpeg_quality", 101),
        ("max_stall_s", 0.0),
        ("max_memory_mb", 10),
    ],
)
def test_a_bad_value_is_named(key, value):
    with pytest.raises(ConfigError, match=rf"extract.*{key}'? is {value}"):
        build(VideoConfig, {key: value}, "extract")


def test_only_what_changes_frames_is_meaning():
    assert meaning(VideoConfig()) == {
        "fps": 2.0,
        "size": 384,
        "jpeg_quality": 90,
        "accept_partial": False,
    }
