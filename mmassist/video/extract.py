"""The frames of one media item: one file, or several joined into one timeline."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

from mmassist.core.errors import ItemError, Kind
from mmassist.core.item import Geometry, Medium
from mmassist.video.config import VideoConfig
from mmassist.video.packet_plan import Choose
from mmassist.video.picture import PictureEncoder
from mmassist.video.picture_file import decode_picture
from mmassist.video.records import Request
from mmassist.video.sampling import Sample, Sampler, StrideSampler, TimeSampler
from mmassist.video.source_decoder import Picture, SourceDecoder

Info = dict[str, Any]
Frame = tuple[int, bytes]


class FrameStream(Iterator[Frame]):
    """Frames ``(index, JPEG)`` in order of the index, without holes; then ``info()``.

    Iterating raises ItemError for a video that cannot be had whole. What was yielded before is then void.
    """

    def __init__(self, frames: Generator[Frame, None, Info]):
        self._frames = frames
        self._info: Info | None = None

    def __next__(self) -> Frame:
        if self._info is not None:
            raise StopIteration
        try:
            return next(self._frames)
        except StopIteration as stop:
            self._info = stop.value
            raise StopIteration from None

    def info(self) -> Info:
        """What the frames were made of: sources, ``pts_s`` per frame, whether ``partial``. Plain JSON values."""
        if self._info is None:
            raise RuntimeError("info() is known once all frames have been read")
        return self._info

    def close(self) -> None:
        """Give up the rest of the frames."""
        self._frames.close()


def decode(request: Request, progress: Callable[[], None] = lambda: None) -> Generator[Frame, None, Info]:
    """Do in this process what is asked for: a video's frames or a picture's one; the return value is the info."""
    if request.medium is Medium.IMAGES:
        (path,) = request.paths
        return decode_picture(path, request.geometry, request.config)
    return decode_frames(request.paths, request.geometry, request.config, request.compat, progress)


def decode_frames(
    paths: Sequence[Path],
    geometry: Geometry,
    config: VideoConfig,
    compat: bool,
    progress: Callable[[], None] = lambda: None,
) -> Generator[Frame, None, Info]:
    """Decode in this process and yield the frames; the return value is the info.

    Several paths are members of one recording in playing order: each starts where the pictures of the one before end.
    ``progress`` is called whenever work got on (a picture decoded, a block of the file read).
    """
    assert paths, "an item has at least one source file"
    run = _Run(paths, config, geometry, compat, progress)
    for number, path in enumerate(paths, 1):
        yield from run.add_member(path, is_last=number == len(paths))
    yield from run.finish()
    return run.info()


class _Run:
    """The state of one extraction."""

    def __init__(
        self,
        paths: Sequence[Path],
        config: VideoConfig,
        geometry: Geometry,
        compat: bool,
        progress: Callable[[], None],
    ):
        self._paths = paths
        self._config = config
        self._progress = progress
        self._encoder = PictureEncoder(config.size, config.jpeg_quality, geometry, config.untagged_matrix)
        fps = config.exact_fps
        self._sampler: Sampler[Picture] = StrideSampler(fps) if compat else TimeSampler(fps)
        self._offset_s = Fraction(0)  # where the current member starts on the joined timeline
        self._last_s = Fraction(0)  # time of the last picture so far, likewise
        self._last: tuple[Picture, bytes] | None = None  # a slow source shows one picture in several samples
        self._pts_s: list[float] = []
        self._sources: list[Info] = []
        self._readable_s = Fraction(0)
        self._problems: list[str] = []

    def add_member(self, path: Path, is_last: bool) -> Iterator[Frame]:
        source = SourceDecoder(path, self._progress, self._chooser(is_last))
        self._sampler.start_member(source.native_fps)
        for picture in source:
            yield from map(self._encode, self._sampler.add(self._offset_s + picture.time, picture))
        if source.problems and not self._config.accept_partial:
            raise ItemError(Kind.PERMANENT, source.summary())
        self._sources.append(source.info())
        self._problems += [f"{path.name}: {problem}" for problem in source.problems]
        self._readable_s += source.end_s - source.lost_s
        self._last_s = self._offset_s + source.last_s
        # what is lost at the end of a member must not pull the following ones forward
        self._offset_s += source.expected_end_s if source.problems else source.end_s

    def finish(self) -> Iterator[Frame]:
        yield from map(self._encode, self._sampler.finish(self._last_s))

    def _chooser(self, is_last: bool) -> Choose | None:
        """What tells the pictures that this member must give, from the times of all; None: all of them."""
        sampler = self._sampler
        if self._config.decode == "all" or not isinstance(sampler, TimeSampler):
            return None

        def choose(times: Iterable[Fraction]) -> set[int]:
            chosen = sampler.choose(self._offset_s + time for time in times)
            return chosen if is_last else chosen | {-1}  # the last one stays on the screen until the next member begins

        return choose

    def info(self) -> Info:
        return {
            "sources": self._sources,
            "fps": self._config.fps,
            "size": self._config.size,
            "num_frames": len(self._pts_s),
            "pts_s": self._pts_s,
            "partial": bool(self._problems),
            "problems": self._problems,
            "readable_s": round(float(self._readable_s), 6),
            "expected_s": round(float(self._offset_s), 6),
        }

    def _encode(self, sample: Sample[Picture]) -> Frame:
        if self._last is None or self._last[0] is not sample.picture:
            try:
                jpeg = self._encoder.encode(*sample.picture[1:])
            except ValueError as error:
                raise ItemError(Kind.PERMANENT, f"{name_of(self._paths)}: {error}") from error
            self._last = sample.picture, jpeg
        self._pts_s.append(round(float(sample.time), 6))
        return sample.index, self._last[1]


def name_of(paths: Sequence[Path]) -> str:
    """How an error message calls a video of one or several files."""
    more = f" (and {len(paths) - 1} more)" if len(paths) > 1 else ""
    return f"{paths[0]}{more}"
