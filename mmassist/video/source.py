"""One video file before decoding: is it one, which of its streams is the picture, when does a player start it."""

from __future__ import annotations

import errno
import hashlib
import stat
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from mmassist.core.errors import ItemError, Kind

if TYPE_CHECKING:
    import av
    from av.container import InputContainer
    from av.video.stream import VideoStream

_MICROSECOND = Fraction(1, 1_000_000)

# Read by FFmpeg as "video" though nobody would call them one: single pictures, play lists that point at other files,
# and plain text drawn as a terminal.
_REFUSED_FORMATS = {"image2", "hls", "dash", "concat", "concatf", "imf", "tty", "lavfi"}

# Their headers state a length. In MPEG streams and raw streams FFmpeg only guesses it from what is there.
_FORMATS_WITH_LENGTH = ("mov,mp4", "matroska", "avi", "asf", "flv")


def check_file(path: Path, wanted: str = "video") -> int:
    """Return the size in bytes of a file that may be what is wanted, a ``video`` or a ``picture``.

    Raises ItemError(PERMANENT) saying what lies there instead, ItemError(TRANSIENT) when the disk does not answer.
    """
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise ItemError(Kind.PERMANENT, f"{path}: a folder, not a {wanted} file")
        if not stat.S_ISREG(status.st_mode):
            raise ItemError(Kind.PERMANENT, f"{path}: not a regular file")
        if status.st_size == 0:
            raise ItemError(Kind.PERMANENT, f"{path}: the file is empty")
        with path.open("rb") as file:
            head = file.read(512)
    except FileNotFoundError as error:
        if path.is_symlink():
            raise ItemError(Kind.PERMANENT, f"{path}: a link to {path.readlink()}, which does not exist") from error
        raise ItemError(Kind.PERMANENT, f"{path}: no such file") from error
    except (PermissionError, NotADirectoryError) as error:
        raise ItemError(Kind.PERMANENT, f"{path}: {error.strerror}") from error
    except OSError as error:
        kind = Kind.PERMANENT if error.errno in (errno.ENAMETOOLONG, errno.ELOOP) else Kind.TRANSIENT
        raise ItemError(kind, f"{path}: {error.strerror}") from error
    except ValueError as error:  # a zero byte, or half a surrogate pair
        raise ItemError(Kind.PERMANENT, f"{path}: no file can have such a name") from error
    what = _what_else(head) or (_picture_kind(head) if wanted == "video" else "")
    if what:
        raise ItemError(Kind.PERMANENT, f"{path}: {what}, not a {wanted}")
    return status.st_size


def _what_else(head: bytes) -> str:
    """Name the usual things that lie under a video's or picture's name, '' when it is none of them."""
    if head.startswith(b"version https://git-lfs.github.com/spec/"):
        return "a Git LFS pointer (the content was never fetched: git lfs pull)"
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<!doctype html", b"<html")):
        return "an HTML page (a download that saved an error message)"
    if text.startswith(b"<?xml"):
        return "an XML document (a download that saved an error message)"
    return ""


def _picture_kind(head: bytes) -> str:
    if head.startswith(b"\xff\xd8\xff"):
        return "a JPEG picture"
    if head.startswith(b"\x89PNG\r\n"):
        return "a PNG picture"
    return ""


def file_digest(path: Path, progress: Callable[[], None]) -> str:
    """First 32 hex digits of the SHA-256 of a whole file. Raises ItemError(TRANSIENT) when reading fails."""
    sha = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while block := file.read(1 << 22):
                sha.update(block)
                progress()
    except OSError as error:
        raise ItemError(Kind.TRANSIENT, f"{path}: {error.strerror}") from error
    return sha.hexdigest()[:32]


def open_container(path: Path) -> InputContainer:
    """Open a file that ``check_file`` let pass. Raises ItemError when it is no video."""
    import av

    try:
        # "file:" keeps a colon or a percent sign in the name from being taken for a protocol or a pattern; the
        # whitelist keeps a file from making the reader open others, or the network
        container = av.open(
            f"file:{path.absolute()}", metadata_errors="replace", options={"protocol_whitelist": "file"}
        )
    except UnicodeEncodeError as error:
        raise ItemError(Kind.PERMANENT, f"{path!r}: the file name is not valid UTF-8") from error
    except av.error.FFmpegError as error:
        raise_for_system(path, error)
        raise ItemError(Kind.PERMANENT, f"{path}: {_why_unreadable(path)} ({error.strerror})") from error
    name = container.format.name
    if name in _REFUSED_FORMATS or name.endswith("_pipe"):
        container.close()
        raise ItemError(Kind.PERMANENT, f"{path}: of format {name}, not a video")
    return container


def raise_for_system(path: Path, error: av.error.FFmpegError) -> None:
    """Raise on an FFmpeg error that the system is to blame for, not the data; return for all others.

    Raises ItemError(TRANSIENT) when reading failed; a lack of memory is raised as it is.
    """
    if isinstance(error, MemoryError):
        raise error
    if isinstance(error, OSError):
        raise ItemError(Kind.TRANSIENT, f"{path}: {error.strerror}") from error


def _why_unreadable(path: Path) -> str:
    with path.open("rb") as file:
        head = file.read(12)
    if head[4:8] == b"ftyp":
        return "the file was cut off: its index (moov) is missing, nothing can be read"
    return "not a video in any known format"


def choose_stream(container: InputContainer, path: Path) -> VideoStream:
    """The picture stream that ffmpeg and players show: the default one, then the largest, then the first.

    Cover pictures and thumbnails are no candidates. Raises ItemError(PERMANENT) when there is none, or no decoder.
    """
    from av.stream import Disposition

    still = Disposition.attached_pic | Disposition.timed_thumbnails | Disposition.still_image
    candidates = [stream for stream in container.streams.video if not stream.disposition & still]
    if not candidates:
        kinds = ", ".join(sorted({stream.type for stream in container.streams})) or "nothing"
        raise ItemError(Kind.PERMANENT, f"{path}: no video stream (the file holds: {kinds})")

    def rank(stream: VideoStream) -> tuple[bool, int, int]:
        area = stream.width * stream.height if stream.codec_context is not None else 0
        return bool(stream.disposition & Disposition.default), area, -stream.index

    best = max(candidates, key=rank)
    if best.codec_context is None:
        raise ItemError(Kind.PERMANENT, f"{path}: no decoder for the codec of video stream {best.index}")
    return best


def clock_zero(container: InputContainer, stream: VideoStream) -> Fraction:
    """Time 0 of a player's clock, in seconds of the container's own time stamps.

    A player starts where the earliest stream starts: a program stream that begins at 0.533 s, or a Matroska file whose
    first picture is at 2.5 s, starts at 0 on its clock; a picture that begins 21 ms after the sound comes at 0.021.
    FFmpeg states that start in whole microseconds; the stream that has it states it exactly.
    """
    start = container.start_time
    if start is None:
        return Fraction(stream.start_time) * exact_time_base(stream) if stream.start_time is not None else Fraction(0)
    stated = start * _MICROSECOND
    exact = [s.start_time * s.time_base for s in container.streams if s.start_time is not None and s.time_base]
    nearest = min(exact, key=lambda time: abs(time - stated), default=stated)
    return Fraction(nearest if abs(nearest - stated) <= _MICROSECOND else stated)


def stated_end(container: InputContainer, stream: VideoStream) -> tuple[Fraction | None, Fraction | None]:
    """Where the header says that the pictures end, and that the whole file ends; None where it does not say.

    Both in seconds of the container's own time stamps. Matroska states only the end of the file, counted from 0.
    """
    if not container.format.name.startswith(_FORMATS_WITH_LENGTH):
        return None, None
    if stream.duration:
        return Fraction((stream.start_time or 0) + stream.duration) * exact_time_base(stream), None
    return None, (container.duration * _MICROSECOND if container.duration else None)


def exact_time_base(stream: VideoStream) -> Fraction:
    """Seconds per unit of the stream's time stamps."""
    assert stream.time_base, "FFmpeg gives every stream a time base"
    return Fraction(stream.time_base)
