"""Presentation times for containers that do not keep them properly."""

from __future__ import annotations


class TimestampGuesser:
    """Chooses between a picture's presentation and decoding time stamp as ffmpeg-based players do.

    Some containers (AVI with B pictures) give presentation stamps that jump to and fro. Whichever of the two kinds
    has gone backwards less often so far is believed; presentation stamps win a tie, so a sound file is never touched.
    """

    def __init__(self) -> None:
        self._last_pts: int | None = None
        self._last_dts: int | None = None
        self._faulty_pts = 0
        self._faulty_dts = 0

    def guess(self, pts: int | None, dts: int | None) -> int | None:
        """The time stamp to believe for the next picture out of the decoder; None when it has neither."""
        if dts is not None:
            self._faulty_dts += self._last_dts is not None and dts <= self._last_dts
            self._last_dts = dts
        if pts is not None:
            self._faulty_pts += self._last_pts is not None and pts <= self._last_pts
            self._last_pts = pts
        if pts is not None and (dts is None or self._faulty_pts <= self._faulty_dts):
            return pts
        return dts
