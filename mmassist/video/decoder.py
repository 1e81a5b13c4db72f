"""Supervised decoding: a child process does the work, so that no video can take the parent down with it."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import IO, Self

from mmassist.core.errors import ItemError, Kind
from mmassist.core.item import Geometry, Medium
from mmassist.video.config import VideoConfig
from mmassist.video.extract import Frame, FrameStream, Info, decode, name_of
from mmassist.video.records import ERROR, FRAME, INFO, RecordBuffer, Request, parse_frame

_TICK_S = 0.2  # how often the parent looks at the child's memory
_ROOT = Path(__file__).resolve().parents[2]
_START = "import sys; sys.path.insert(0, sys.argv[1]); from mmassist.video.child import main; main(int(sys.argv[2]))"


class DecoderDied(ItemError):
    """The decoder process ended without a word; ``was_killed``: from outside, which tells nothing about the file."""

    def __init__(self, message: str, was_killed: bool):
        super().__init__(Kind.CRASH, message)
        self.was_killed = was_killed


class Decoder:
    """Extracts frames of one video after another in a decoder process that is kept between videos.

    The process is started at the first video and again after a failure. With ``config.isolated`` false everything
    runs in the calling process, by the same code. One video at a time: a stream that is not read to its end is given
    up when the next begins.
    """

    def __init__(self, config: VideoConfig):
        self._config = config
        self._child: _Child | None = None

    def extract(self, paths: Sequence[Path], geometry: Geometry, compat: bool = False) -> FrameStream:
        """Return the frames of a video, or of several joined into one timeline.

        Reading the stream raises ItemError: PERMANENT or TRANSIENT for the file; CRASH when the decoder process died,
        TIMEOUT when it decoded no new picture for ``max_stall_s``, OUT_OF_MEMORY when it outgrew ``max_memory_mb``.
        """
        return self._stream(Request(tuple(paths), geometry, self._config, compat))

    def extract_picture(self, path: Path, geometry: Geometry) -> FrameStream:
        """Return a picture file as a stream of one frame. Reading it raises ItemError as a video's does."""
        return self._stream(Request((path,), geometry, self._config, medium=Medium.IMAGES))

    def _stream(self, request: Request) -> FrameStream:
        return FrameStream(self._supervise(request) if self._config.isolated else decode(request))

    @property
    def pid(self) -> int | None:
        """Process id of the decoder process, None while there is none."""
        return self._child.process.pid if self._child else None

    def close(self) -> None:
        """End the decoder process."""
        if self._child:
            self._child.end()
            self._child = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _supervise(self, request: Request) -> Generator[Frame, None, Info]:
        if self._child and (not self._child.is_idle or self._child.process.poll() is not None):
            self.close()
        is_fresh = self._child is None
        if self._child is None:
            self._child = _Child()
        child = self._child
        try:
            return (yield from child.run(request))
        except ItemError as error:
            # a kept process that ends without a word may have died while idle: this video gets a new one
            if is_fresh or child.has_answered or error.kind != Kind.CRASH:
                raise
        finally:
            if not child.is_idle and child is self._child:  # failed, or the caller gave up
                self.close()
        return (yield from self._supervise(request))


class _Child:
    """One decoder process and the pipe to it."""

    def __init__(self) -> None:
        self.has_answered = False  # to the last request
        self.is_idle = True  # waits for a request, in good health
        self._next_look = 0.0  # at its memory, on the monotonic clock
        self._stderr: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
        self.process = subprocess.Popen(
            # -P: a module of the same name in the current folder must not be taken for one of ours
            [sys.executable, "-P", "-c", _START, str(_ROOT), str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
        )
        self._poll = select.poll()
        assert self.process.stdout
        self._poll.register(self.process.stdout, select.POLLIN)

    def end(self) -> None:
        """Kill the process (it has nothing to lose) and free its pipes."""
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout, self._stderr):
            assert pipe
            with contextlib.suppress(BrokenPipeError):
                pipe.close()

    def run(self, request: Request) -> Generator[Frame, None, Info]:
        """Send a request, yield the frames that come back and return the info."""
        self.is_idle = self.has_answered = False
        what = name_of(request.paths)
        num_frames = 0
        try:
            assert self.process.stdin
            self.process.stdin.write(request.to_line())
            self.process.stdin.flush()
        except BrokenPipeError as error:
            raise self._crash(what, num_frames) from error
        records = RecordBuffer()
        while True:
            data = self._read(what, request.config)
            if not data:
                raise self._crash(what, num_frames)
            for kind, payload in records.add(data):
                self.has_answered = True
                if kind == FRAME:
                    num_frames += 1
                    yield parse_frame(payload)
                elif kind == INFO:
                    self.is_idle = True
                    return json.loads(payload)
                elif kind == ERROR:
                    failure = json.loads(payload)
                    self.is_idle = failure["kind"] != Kind.OUT_OF_MEMORY
                    raise ItemError(Kind(failure["kind"]), failure["message"])

    def _read(self, what: str, config: VideoConfig) -> bytes:
        """The next bytes of the child, b'' when it has ended. Only time spent waiting counts as a stall."""
        assert self.process.stdout
        deadline = time.monotonic() + config.max_stall_s
        while True:
            ready = self._poll.poll(_TICK_S * 1000)
            if (used_mb := self._resident_mb()) > config.max_memory_mb:
                raise ItemError(
                    Kind.OUT_OF_MEMORY,
                    f"{what}: the decoder used {used_mb} MB of memory, more than max_memory_mb={config.max_memory_mb}",
                )
            if ready:
                return os.read(self.process.stdout.fileno(), 1 << 18)
            if time.monotonic() > deadline:
                raise ItemError(
                    Kind.TIMEOUT, f"{what}: no new picture for {config.max_stall_s:g} s (max_stall_s), decoder stopped"
                )

    def _resident_mb(self) -> int:
        """The child's memory, 0 where it was looked at less than a tick ago: pictures come faster than it grows."""
        if (now := time.monotonic()) < self._next_look:
            return 0
        self._next_look = now + _TICK_S
        try:
            pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        except (OSError, IndexError):  # gone, or a system without /proc: reading the pipe tells more
            return 0
        return pages * os.sysconf("SC_PAGE_SIZE") >> 20

    def _crash(self, what: str, num_frames: int) -> DecoderDied:
        code = self.process.wait()
        if code < 0:
            cause = f"killed by {signal.Signals(-code).name}"
            if -code == signal.SIGKILL:
                cause += " from outside, often by the system for lack of memory"
        else:
            self._stderr.seek(0)
            lines = self._stderr.read().decode(errors="replace").strip().splitlines()
            cause = f"exit code {code}" + (f", {lines[-1]}" if lines else "")
        message = f"{what}: the decoder process died after {num_frames} frames ({cause})"
        return DecoderDied(message, was_killed=code == -signal.SIGKILL)


def extract_frames(paths: Sequence[Path], geometry: Geometry, config: VideoConfig, compat: bool = False) -> FrameStream:
    """Return the frames of a video, or of several joined into one timeline, in a decoder process of its own.

    For many videos keep a ``Decoder``: it starts the process once.
    """
    return FrameStream(_extract_alone(paths, geometry, config, compat))


def _extract_alone(
    paths: Sequence[Path], geometry: Geometry, config: VideoConfig, compat: bool
) -> Generator[Frame, None, Info]:
    with Decoder(config) as decoder:
        stream = decoder.extract(paths, geometry, compat)
        yield from stream
        return stream.info()
