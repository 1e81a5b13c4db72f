"""Which picture is sample j: by presentation time (the rule), or by counting (the reference's rule)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Generic, Protocol, TypeVar

P = TypeVar("P")


@dataclass(frozen=True, slots=True)
class Sample(Generic[P]):
    index: int
    time: Fraction  # seconds on the player's clock at which ``picture`` came on the screen
    picture: P


class Sampler(Protocol[P]):
    """Is offered every picture in presentation order and answers with the samples that this decides."""

    def start_member(self, native_fps: Fraction | None) -> None: ...

    def add(self, time: Fraction, picture: P) -> Iterator[Sample[P]]: ...

    def finish(self, last: Fraction) -> Iterator[Sample[P]]:
        """The samples up to ``last``, the time of the last picture, which need not have been offered."""


class TimeSampler(Generic[P]):
    """Sample j is the picture on the screen at ``j / fps`` seconds: the last one whose time is not later.

    Before the first picture the first picture counts. Samples run to the last picture, so there are
    ``floor(last_time * fps) + 1`` of them, and always one. Times are exact rationals: at 29.97 frames a second a
    picture that starts one tick after the sample's time must not be taken for it.
    """

    def __init__(self, fps: Fraction):
        self._fps = fps
        self._next = 0
        self._held: tuple[Fraction, P] | None = None

    def start_member(self, native_fps: Fraction | None) -> None:
        """Do nothing: the clock simply runs on over the members of a joined video."""

    def choose(self, times: Iterable[Fraction]) -> set[int]:
        """Positions of those among the next pictures, rising ``times``, that will be samples if these are the last."""
        trial: TimeSampler[int] = TimeSampler(self._fps)
        trial._next = self._next
        last = Fraction(0)
        chosen: set[int] = set()
        for place, last in enumerate(times):
            chosen.update(sample.picture for sample in trial.add(last, place))
        return chosen | {sample.picture for sample in trial.finish(last)}

    def add(self, time: Fraction, picture: P) -> Iterator[Sample[P]]:
        """Yield the samples that come strictly before ``time``; the picture shown then is the one held so far."""
        shown = self._held or (time, picture)
        self._held = (time, picture)
        while Fraction(self._next) < time * self._fps:
            yield Sample(self._next, *shown)
            self._next += 1

    def finish(self, last: Fraction) -> Iterator[Sample[P]]:
        if self._held is None:
            return
        while self._next <= max(Fraction(0), last * self._fps):
            yield Sample(self._next, *self._held)
            self._next += 1


class StrideSampler(Generic[P]):
    """Keep decode index k when ``k mod stride == 0``; the count starts again with every member of a joined video.

    The ProAssist release samples like this and then takes sample j for the time ``j / fps``. For comparison only.
    """

    def __init__(self, fps: Fraction):
        self._fps = fps
        self._stride = 1
        self._seen = 0
        self._next = 0

    def start_member(self, native_fps: Fraction | None) -> None:
        """Take the stride of this member; 1 when it states no rate."""
        self._seen = 0
        self._stride = reference_stride(native_fps, self._fps) if native_fps else 1

    def add(self, time: Fraction, picture: P) -> Iterator[Sample[P]]:
        if self._seen % self._stride == 0:
            yield Sample(self._next, time, picture)
            self._next += 1
        self._seen += 1

    def finish(self, last: Fraction) -> Iterator[Sample[P]]:
        return iter(())


def reference_stride(native_fps: float | Fraction, fps: float | Fraction) -> int:
    """The reference's step between kept frames: ``floor((int(native_fps) + 0.5) / fps)``, at least 1.

    The native rate is cut to an integer first, which is where its drift comes from (29.97 becomes 29, hence every
    14th frame). The reference divides by zero for a source slower than its target; here the step is 1.
    """
    return max(1, math.floor((int(native_fps) + Fraction(1, 2)) / Fraction(fps)))
