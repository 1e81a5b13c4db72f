"""The frames of many small files in one store: clips with a clock of their own each, or pictures."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmassist.core.errors import ItemError, Kind, Skip
from mmassist.core.item import Drop, Item, Medium
from mmassist.video.decoder import Decoder, DecoderDied
from mmassist.video.extract import FrameStream

MISSING = "does not exist"
UNREADABLE = "cannot be read"
CUT_SHORT = "is damaged, readable part kept"


class FrameGroup:
    """Frames of an item's sources one after another, and the account of every source.

    A source that is absent or damaged costs itself alone: it has no frames, and says why. Only what may work when
    tried again fails the whole item. ``members`` and ``drops`` grow as sources are read; of the frames only those of
    one source are held, since a clip counts when it proved whole.
    """

    def __init__(self, decoder: Decoder, item: Item, compat: bool):
        self._decoder = decoder
        self._item = item
        self._compat = compat
        self.members: list[dict[str, Any]] = []
        self.drops: list[Drop] = []
        self.num_frames = 0
        self.readable_s = 0.0

    def read(self, path: Path, source: str) -> Iterator[tuple[int, bytes]]:
        """Yield the frames ``(index in the store, JPEG)`` of one source.

        Raises ItemError for what is not the file's fault: TRANSIENT when the disk does not answer, TIMEOUT and
        OUT_OF_MEMORY at the decoder's limits, CRASH when something else ended the decoder process.
        """
        member: dict[str, Any] = {"path": _as_text(source), "start": self.num_frames, "end": self.num_frames}
        if self._item.medium is Medium.CLIPS:
            member["pts_s"] = []
        try:
            if not _exists(path):
                raise ItemError(Kind.PERMANENT, MISSING)
            frames, info = self._read_whole(path)
        except ItemError as error:
            if not self._is_files_fault(error, path):
                raise
            reason = MISSING if error.message == MISSING else UNREADABLE
            self._note(member, reason, error.message.removeprefix(f"{path}: ").removeprefix(f"{path!r}: "))
            self.members.append(member)
            return
        self._describe(member, info, path.name)
        for jpeg in frames:
            yield self.num_frames, jpeg
            self.num_frames += 1
        member["end"] = self.num_frames
        self.members.append(member)

    def check(self) -> None:
        """Raise when not one source had a frame: Skip(no_video) if none exists, else ItemError(PERMANENT)."""
        if self.num_frames:
            return
        if all(drop.reason == MISSING for drop in self.drops):
            first = f", the first is {self.members[0]['path']}" if self.members else ""
            raise Skip("no_video", f"none of its {len(self.members)} files exists{first}")
        first = next(text for text in self.problems() if not text.endswith(f": {MISSING}"))
        raise ItemError(Kind.PERMANENT, f"none of its {len(self.members)} files can be read: {first}")

    def problems(self) -> list[str]:
        """One text per source that is not there or not whole."""
        return [f"{member['path']}: {member['problem']}" for member in self.members if "problem" in member]

    def num_drops(self, *reasons: str) -> int:
        return sum(drop.reason in reasons for drop in self.drops)

    def _read_whole(self, path: Path) -> tuple[list[bytes], dict[str, Any]]:
        """All frames of a file. What may not be the file's fault is tried once more, in a new process if need be."""
        try:
            return _read_all(self._stream(path))
        except ItemError as error:
            if not (isinstance(error, DecoderDied) or error.kind is Kind.TRANSIENT):
                raise
        return _read_all(self._stream(path))

    def _stream(self, path: Path) -> FrameStream:
        if self._item.medium is Medium.IMAGES:
            return self._decoder.extract_picture(path, self._item.geometry)
        return self._decoder.extract([path], self._item.geometry, self._compat)

    def _is_files_fault(self, error: ItemError, path: Path) -> bool:
        if isinstance(error, DecoderDied):
            return not error.was_killed  # from outside: a machine short of memory does that
        if error.kind is Kind.TRANSIENT and self._item.medium is Medium.CLIPS:
            return _can_be_read(path)  # FFmpeg calls broken Matroska data an input/output error, too
        return error.kind is Kind.PERMANENT

    def _describe(self, member: dict[str, Any], info: dict[str, Any], name: str) -> None:
        if self._item.medium is Medium.IMAGES:
            member |= {key: info[key] for key in ("digest", "width", "height")}
            return
        member |= {"digest": info["sources"][0]["digest"], "pts_s": info["pts_s"]}
        self.readable_s += info["readable_s"]
        if info["partial"]:
            found = [text.removeprefix(f"{name}: ") for text in info["problems"]]
            more = f" and {len(found) - 3} more" if len(found) > 3 else ""
            self._note(member, CUT_SHORT, "; ".join(found[:3]) + more)

    def _note(self, member: dict[str, Any], reason: str, problem: str) -> None:
        member["problem"] = _as_text(problem)
        self.drops.append(Drop(self._item.recording, member["path"], reason))


def _read_all(stream: FrameStream) -> tuple[list[bytes], dict[str, Any]]:
    frames = [jpeg for _, jpeg in stream]
    return frames, stream.info()


def _can_be_read(path: Path) -> bool:
    """Whether the disk gives the file out to its end."""
    try:
        with path.open("rb") as file:
            while file.read(1 << 20):
                pass
    except OSError:
        return False
    return True


def _exists(path: Path) -> bool:
    """Whether something lies there; what else may be wrong with it, the decoder finds out."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except (OSError, ValueError):
        return True
    return True


def _as_text(name: str) -> str:
    """A name that is no valid Unicode, with escapes in its place, so that it fits into JSON."""
    return name.encode("utf-8", "backslashreplace").decode()
