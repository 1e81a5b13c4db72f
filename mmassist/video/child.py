"""The decoder process: requests on standard input, records on standard output, and an end with its parent."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
from typing import BinaryIO

from mmassist.core.errors import ItemError, Kind
from mmassist.video.extract import decode
from mmassist.video.records import ERROR, INFO, PROGRESS, Request, pack_frame, pack_json, pack_record

_PARENT_CHECK_S = 0.5

# A batch system sends its warning to every process of the job. The parent decides what becomes of the video in hand; if
# it goes, this process sees that by itself.
_PARENTS_BUSINESS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)


def main(parent_pid: int) -> None:
    """Serve requests until standard input closes or the parent is gone."""
    for number in _PARENTS_BUSINESS:
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_leave_with_parent, args=(parent_pid,), daemon=True).start()
    logging.getLogger("libav").addHandler(logging.NullHandler())
    logging.getLogger("libav").propagate = False
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # a library that writes to standard output must not break the records
    try:
        for line in sys.stdin.buffer:
            _serve(Request.from_line(line), answers)
    except BrokenPipeError:
        sys.exit(1)


def _serve(request: Request, answers: BinaryIO) -> None:
    interval_s = min(1.0, request.config.max_stall_s / 4)
    last_sent = time.monotonic()

    def send(record: bytes) -> None:
        nonlocal last_sent
        view = memoryview(record)
        while view:
            view = view[answers.write(view) :]
        last_sent = time.monotonic()

    def report_progress() -> None:
        if time.monotonic() - last_sent > interval_s:
            send(pack_record(PROGRESS))

    frames = decode(request, report_progress)
    try:
        while True:
            send(pack_frame(*next(frames)))
    except StopIteration as stop:
        send(pack_json(INFO, stop.value))
    except ItemError as error:
        send(pack_json(ERROR, {"kind": error.kind, "message": error.message}))
    except MemoryError:
        send(pack_json(ERROR, {"kind": Kind.OUT_OF_MEMORY, "message": "the decoder ran out of memory"}))


def _leave_with_parent(parent_pid: int) -> None:
    """End this process when its parent is gone.

    Not left to PR_SET_PDEATHSIG: that one fires already when the *thread* that started the process ends.
    """
    while os.getppid() == parent_pid:
        time.sleep(_PARENT_CHECK_S)
    os._exit(1)
