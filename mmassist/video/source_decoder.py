"""Decode one video file from start to end: pictures on a player's clock, and an account of what was readable."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from mmassist.core.errors import ItemError, Kind
from mmassist.video import source
from mmassist.video.boxes import cut_box, has_fragments
from mmassist.video.damage import DamageTracker
from mmassist.video.demuxer_log import collect_errors
from mmassist.video.geometry import Orientation
from mmassist.video.packet_plan import Choose, PacketPlan
from mmassist.video.picture import orientation_of
from mmassist.video.planned import PlanFailed, decode_planned, packet_reader, plan_packets
from mmassist.video.timestamps import TimestampGuesser

if TYPE_CHECKING:
    import av

_log = logging.getLogger(__name__)
_BACKWARD_JUMP_S = 1  # time stamps that start again: two recordings glued together


class Picture(NamedTuple):
    time: Fraction  # seconds on the player's clock of this file
    frame: av.VideoFrame
    aspect: Fraction | None  # sample aspect ratio, None for square
    orientation: Orientation  # how the file says that the stored picture lies


class SourceDecoder:
    """Decodes the video stream of one file; iterate once, then ask for the account.

    With ``choose`` only the pictures that it chooses come for sure, and what they do not need is not decoded; where
    that cannot be exact, and from the first doubt on, everything is.

    ``native_fps`` is known at once (None where the file states no rate). Complete after the iteration: ``last_s``, the
    time of the last picture that is shown, and ``end_s``, its end; ``lost_s``, what was broken before it;
    ``expected_end_s``; ``problems``, in words.
    """

    def __init__(self, path: Path, progress: Callable[[], None], choose: Choose | None = None):
        self._path = path
        self._progress = progress
        self._choose = choose
        size_bytes = source.check_file(path)
        digest = source.file_digest(path, progress)
        self._open()
        self._begin_account()
        self.native_fps: Fraction | None = self._stream.average_rate
        self._info = {"path": str(path), "digest": digest, "size_bytes": size_bytes, **self._stream_facts()}

    def _open(self) -> None:
        """Stand at the start of the file."""
        self._container = source.open_container(self._path)
        self._stream = source.choose_stream(self._container, self._path)
        self._stream.codec_context.thread_count = 1  # more threads cost more processor time in all
        self._time_base = source.exact_time_base(self._stream)
        self._zero = source.clock_zero(self._container, self._stream)

    def _begin_account(self) -> None:
        self.problems: list[str] = []
        self.last_s = Fraction(0)
        self.end_s = Fraction(0)
        self.lost_s = Fraction(0)
        self.expected_end_s = Fraction(0)
        self._hole_from: Fraction | None = None  # where pictures began to be missing or doubtful
        self._orientations: dict[float, Orientation] = {}  # by the turn of the display matrix
        self._ends: dict[int, int] = {}  # stream -> where its last packet ends, in its units

    def __iter__(self) -> Iterator[Picture]:
        """Yield the trustworthy pictures in order of time: all of them, or at least those that were chosen.

        Raises ItemError(PERMANENT) when there is not one such picture or no presentation times, ItemError(TRANSIENT)
        when the disk fails.
        """
        shown: Fraction | None = None
        plan = self._plan()
        if plan is not None:
            try:
                for picture in self._planned_pictures(plan):
                    yield picture
                    shown = picture.time
                return
            except PlanFailed as why:
                _log.info("%s is decoded whole: %s", self._path, why)
                self._open()
                self._begin_account()
        with self._container:
            for picture in self._pictures():
                if shown is None or picture.time > shown:
                    yield picture
            if "pix_fmt" not in self._info:
                raise ItemError(Kind.PERMANENT, f"{self._path}: no picture could be decoded{self._why()}")
            self._close_account()

    def _plan(self) -> PacketPlan | None:
        read_role = packet_reader(self._container, self._stream) if self._choose else None
        if self._choose is None or read_role is None:
            return None
        with self._container:
            plan = plan_packets(
                self._container, self._stream, read_role, self._choose, self._time, self._note_end, self._progress
            )
        self._open()
        if plan is None:
            self._begin_account()
        return plan

    def _planned_pictures(self, plan: PacketPlan) -> Iterator[Picture]:
        """The wanted pictures and the account; the packets have been noted when they were planned."""
        with self._container:
            for frame in decode_planned(self._container, self._stream, plan, self._progress):
                assert frame.pts is not None
                yield self._picture(self._time(frame.pts), frame)
            self.last_s = self._time(plan.last_pts)
            self.end_s = self.last_s + self._length(plan.last_duration)
            self._close_account()

    def info(self) -> dict[str, Any]:
        """What this file is (plain JSON values)."""
        return {**self._info, "duration_s": round(float(self.end_s), 6)}

    def summary(self) -> str:
        """One line on how much was readable and what was wrong."""
        readable, expected = float(self.end_s - self.lost_s), float(self.expected_end_s)
        whole = f" of {expected:.2f} s" if expected - readable > 0.01 else ""  # else the file does not tell its length
        return f"{self._path}: only {readable:.2f} s{whole} readable{self._why()}"

    def _why(self) -> str:
        more = f" and {len(self.problems) - 3} more" if len(self.problems) > 3 else ""
        return f" ({'; '.join(self.problems[:3])}{more})" if self.problems else ""

    def _pictures(self) -> Iterator[Picture]:
        damage, guesser = DamageTracker(), TimestampGuesser()
        last: Fraction | None = None
        for frame in self._frames(damage):
            self._progress()
            pts = guesser.guess(frame.pts, frame.dts)
            if pts is None and last is None:
                raise ItemError(Kind.PERMANENT, f"{self._path}: its pictures carry no presentation times")
            time = self._time(pts) if pts is not None else self.end_s
            if last is not None and time < last:
                if last - time > _BACKWARD_JUMP_S:
                    self._break(damage, None, f"time stamps jump back by {float(last - time):.2f} s", at=last)
                    return
                time = last  # late, and shown as soon as it is there
            if not damage.is_trusted(frame.pts):
                self._open_hole(time)
                continue
            if self._hole_from is not None and time >= self._hole_from:
                self.lost_s += time - self._hole_from
                self._hole_from = None
            last = self.last_s = time
            self.end_s = time + self._length(frame.duration)
            yield self._picture(time, frame)

    def _frames(self, damage: DamageTracker) -> Iterator[av.VideoFrame]:
        """Every picture that comes out of the decoder, in order of presentation; damage is noted on the way."""
        is_first = True
        for packet in self._packets(damage):
            if packet is not None:
                if is_first and not packet.is_keyframe:
                    self._break(damage, packet.pts, "begins between key pictures")
                is_first = False
                damage.feed(packet)
                if packet.is_corrupt:
                    self._break(damage, packet.pts, "damaged data")
            for frame in self._decode(packet, damage):
                if frame.is_corrupt:
                    self._break(damage, frame.pts, "damaged picture")
                yield frame

    def _packets(self, damage: DamageTracker) -> Iterator[av.Packet | None]:
        """The packets of the video stream in the file's order, and at last a None, which drains the decoder."""
        import av

        packets = self._container.demux()
        while True:
            try:
                with collect_errors(self._container.format.name) as logged:
                    packet = next(packets, None)
            except av.error.FFmpegError as error:
                source.raise_for_system(self._path, error)
                self._break(damage, None, f"the file cannot be read on: {error.strerror}")
                break
            if logged:
                self._break(damage, None, logged[0])
            if packet is None:
                break
            if packet.size:
                self._note_end(packet)
                if packet.stream_index == self._stream.index:
                    yield packet
        yield None

    def _decode(self, packet: av.Packet | None, damage: DamageTracker) -> list[av.VideoFrame]:
        import av

        try:
            return self._stream.codec_context.decode(packet)
        except av.error.FFmpegError as error:
            source.raise_for_system(self._path, error)
            self._break(damage, packet.pts if packet is not None else None, "undecodable data")
            return []

    def _note_end(self, packet: av.Packet) -> None:
        if packet.pts is None or packet.is_discard:  # an edit list hides discarded packets from the player
            return
        end = packet.pts + (packet.duration or 0)
        if end > self._ends.get(packet.stream_index, end - 1):
            self._ends[packet.stream_index] = end

    @property
    def _video_end_s(self) -> Fraction:
        """Where the packets of the video stream end, on the player's clock."""
        end = self._ends.get(self._stream.index)
        return max(Fraction(0), self._time(end)) if end is not None else Fraction(0)

    @property
    def _file_end_s(self) -> Fraction:
        """Where the packets of all streams end, likewise."""
        bases = {stream.index: stream.time_base for stream in self._container.streams}
        return max((end * (bases[index] or 0) - self._zero for index, end in self._ends.items()), default=Fraction(0))

    def _break(self, damage: DamageTracker, pts: int | None, what: str, at: Fraction | None = None) -> None:
        """Note that the packet or picture ``pts`` is broken, or, without one, whatever came last."""
        damage.hit(pts)
        if at is None:
            at = self._time(pts) if pts is not None else self._video_end_s
        self._open_hole(at)
        self.problems.append(f"{what} at {float(at):.2f} s")

    def _open_hole(self, time: Fraction) -> None:
        self._hole_from = time if self._hole_from is None else min(self._hole_from, time)

    def _close_account(self) -> None:
        """Compare what came with what the header promised and with what the packets announced."""
        video_end, file_end = source.stated_end(self._container, self._stream)
        expected = max(self._video_end_s, self.end_s)
        if video_end is not None:
            expected = max(expected, video_end - self._zero)
        elif file_end is not None and file_end - self._zero - self._file_end_s > self._tolerance(file_end):
            # no stream reaches the end that the header gives to the file: it was cut
            expected = max(expected, file_end - self._zero)
        is_fragmented = False  # then FFmpeg's length is only the sum of the fragments that are there
        if self._container.format.name.startswith("mov,mp4"):
            is_fragmented = self._stream.frames == 0 or has_fragments(self._path)
        if is_fragmented and (box := cut_box(self._path)):
            self.problems.append(f"the file ends inside a box ({box})")
        self._info["states_length"] = not is_fragmented and (video_end or file_end) is not None
        if expected - self.end_s > self._tolerance(expected) and not self.problems:
            self.problems.append(f"the pictures end at {float(self.end_s):.2f} s")
        self.expected_end_s = expected

    def _tolerance(self, length: Fraction) -> Fraction:
        """How much longer than its pictures a header may claim to be: 1 s, in a clip below 10 s less."""
        frame = 1 / self.native_fps if self.native_fps else Fraction(0)
        return min(Fraction(1), max(length / 10, 2 * frame))

    def _time(self, pts: int) -> Fraction:
        return pts * self._time_base - self._zero

    def _length(self, duration: int) -> Fraction:
        """Seconds of a picture that is shown for ``duration`` units, by the rate where a file does not say."""
        if duration:
            return duration * self._time_base
        return 1 / self.native_fps if self.native_fps else Fraction(0)

    def _picture(self, time: Fraction, frame: av.VideoFrame) -> Picture:
        """The picture with what is needed to show it; the first one's facts stand for the file's.

        Looking at a frame's side data ties it to itself, and it would stay in memory until Python looks for such knots,
        so that is done once for each turn that its display matrix makes.
        """
        if frame.rotation not in self._orientations:
            try:
                self._orientations[frame.rotation] = orientation_of(frame)
            except ValueError as error:
                raise ItemError(Kind.PERMANENT, f"{self._path}: {error}") from error
        orientation = self._orientations[frame.rotation]
        if "pix_fmt" not in self._info:
            self._info |= _picture_facts(frame, orientation)
        return Picture(time, frame, self._stream.sample_aspect_ratio, orientation)

    def _stream_facts(self) -> dict[str, Any]:
        stream = self._stream
        return {
            "container": self._container.format.name,
            "stream": stream.index,
            "codec": stream.codec_context.codec.canonical_name,
            "native_fps": round(float(self.native_fps), 6) if self.native_fps else None,
            "start_s": round(float(self._zero), 6),
            "sample_aspect": str(stream.sample_aspect_ratio or Fraction(1)),
        }


def _picture_facts(frame: av.VideoFrame, orientation: Orientation) -> dict[str, Any]:
    return {
        "width": frame.width,
        "height": frame.height,
        "pix_fmt": frame.format.name,
        "rotation_deg": orientation.rotation_deg,
        "mirrored": orientation.is_mirrored,
    }
