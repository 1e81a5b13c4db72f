"""Decode one video file from start to end: pictures on a player's clock, and an account of what was readable."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from mmassist.core.errors import ItemError, Kind
from mmassist.video import source
from mmassist.video.damage import DamageTracker
from mmassist.video.picture import orientation_of
from mmassist.video.timestamps import TimestampGuesser

if TYPE_CHECKING:
    import av

_TOLERANCE_S = Fraction(1)  # a header may overstate the length by this much (rounded lengths, a last frame never shown)
_BACKWARD_JUMP_S = Fraction(1)  # time stamps that start again: two recordings glued together


class Picture(NamedTuple):
    time: Fraction  # seconds on the player's clock of this file
    frame: av.VideoFrame
    aspect: Fraction | None  # sample aspect ratio, None for square


class SourceDecoder:
    """Decodes the video stream of one file; iterate once, then ask for the account.

    ``native_fps`` is known at once (None where the file states none); ``end_s``, ``readable_s``, ``expected_s``,
    ``problems`` and ``info`` are complete after the iteration.
    """

    def __init__(self, path: Path, progress: Callable[[], None]):
        self._path = path
        self._progress = progress
        self._size_bytes = source.check_file(path)
        self._digest = source.file_digest(path, progress)
        self._container = source.open_container(path)
        self._stream = source.choose_stream(self._container, path)
        self._time_base = source.exact_time_base(self._stream)
        self._zero = source.clock_zero(self._container, self._stream)
        self._stream.codec_context.thread_count = 1  # more threads cost more processor time in all, per video
        self.native_fps = self._stream.average_rate
        self.problems: list[str] = []
        self.num_pictures = 0
        self.end_s = Fraction(0)  # end of the last picture
        self._lost_s = Fraction(0)
        self._hole_from: Fraction | None = None  # where pictures began to be missing or doubtful
        self._packets_end = Fraction(0)  # of the video stream, on the player's clock
        self._file_end = Fraction(0)  # of all streams, in the container's time stamps
        self._facts: dict[str, Any] = {}

    def __iter__(self) -> Iterator[Picture]:
        """Yield the trustworthy pictures in order of time.

        Raises ItemError(PERMANENT) when time stamps are missing altogether, ItemError(TRANSIENT) when the disk fails.
        """
        with self._container:
            yield from self._pictures()

    def _pictures(self) -> Iterator[Picture]:
        damage, guesser, last_time = DamageTracker(), TimestampGuesser(), None
        for frame, is_sound in self._frames(damage):
            self._progress()
            pts = guesser.guess(frame.pts, frame.dts)
            if pts is None and last_time is None:
                raise ItemError(Kind.PERMANENT, f"{self._path}: its pictures carry no presentation times")
            duration = self._duration(frame)
            time = pts * self._time_base - self._zero if pts is not None else self.end_s
            if last_time is not None and time < last_time:
                if last_time - time > _BACKWARD_JUMP_S:
                    self._report(f"the time stamps jump back by {float(last_time - time):.2f} s", last_time)
                    return
                time = last_time  # shown as soon as it is there, as a player does
            if not (damage.is_trusted(frame.pts) and is_sound):
                self._open_hole(time)
                continue
            if self._hole_from is not None and time >= self._hole_from:
                self._lost_s += time - self._hole_from
                self._hole_from = None
            last_time, self.end_s = time, time + duration
            self.num_pictures += 1
            if not self._facts:
                self._facts = self._picture_facts(frame)
            yield Picture(time, frame, self._stream.sample_aspect_ratio)

    def _frames(self, damage: DamageTracker) -> Iterator[tuple[av.VideoFrame, bool]]:
        """Every picture the decoder gives, and whether the decoder itself holds it for sound."""
        for packet in self._packets():
            if packet is not None and packet.size:
                damage.feed(packet)
                self._note_end(packet)
                if packet.is_corrupt:
                    self._hit(damage, packet.pts, "a damaged piece of data")
            for frame in self._decode(packet, damage):
                if frame.is_corrupt:
                    self._hit(damage, frame.pts, "a damaged picture")
                yield frame, not frame.is_corrupt

    def _packets(self) -> Iterator[av.Packet | None]:
        """The packets of the video stream, and at last a None (or PyAV's own empty packet) that drains the decoder."""
        import av

        errors_at_start = _demuxer_errors(self._container.format.name)
        with errors_at_start as reported:
            packets = self._container.demux()
            while True:
                try:
                    packet = next(packets)
                except StopIteration:
                    break
                except av.error.FFmpegError as error:
                    if isinstance(error, OSError):
                        raise source.item_error(self._path, error, "cannot be read") from error
                    self._report(f"the file cannot be read on ({error.strerror})", self._packets_end)
                    yield None
                    break
                if packet.pts is not None and packet.duration is not None and packet.time_base:
                    self._file_end = max(self._file_end, (packet.pts + packet.duration) * packet.time_base)
                if packet.stream_index == self._stream.index:
                    yield packet
            for text in reported():
                self._report(text, self._packets_end)

    def _decode(self, packet: av.Packet | None, damage: DamageTracker) -> list[av.VideoFrame]:
        import av

        try:
            return self._stream.codec_context.decode(packet if packet is not None and packet.size else None)
        except av.error.EOFError:  # drained already
            return []
        except (MemoryError, av.error.MemoryError):
            raise
        except av.error.FFmpegError:
            self._hit(damage, packet.pts if packet is not None else None, "undecodable data")
            return []
