"""Errors that FFmpeg's file readers only write into their log."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def collect_errors(name: str) -> Iterator[list[str]]:
    """Collect what FFmpeg logs as an error under ``name`` while the block runs, filled at its end.

    The Matroska reader jumps over damage, and stops at a cut, without an error code: its log is the only sign. Only
    this thread's messages are taken, and FFmpeg's log settings are as before afterwards.
    """
    import av.logging

    found: list[str] = []
    level, skips = av.logging.get_level(), av.logging.get_skip_repeated()
    av.logging.set_level(av.logging.ERROR)
    av.logging.set_skip_repeated(False)
    try:
        with av.logging.Capture() as messages:
            yield found
    finally:
        av.logging.set_level(level)
        av.logging.set_skip_repeated(skips)
    found += [text.strip() for severity, who, text in messages if severity <= av.logging.ERROR and who == name]
