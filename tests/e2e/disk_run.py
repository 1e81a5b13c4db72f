"""The command in this process on a disk that goes wrong.

``python -m tests.e2e.disk_run fail NUMBER ERRNO …``: from the NUMBER-th call that writes on, every one fails.
With NUMBER 0 none fails and the number of such calls is printed last.
``python -m tests.e2e.disk_run limit BYTES …``: no file may grow beyond BYTES, in worker children neither.
"""

from __future__ import annotations

import os
import resource
import sys

from launchers.run import main
from mmassist.io import faults

CALLS = ("mkdir", "open", "write", "fsync")
called = 0


def fail_from(first: int, code: int) -> None:
    def fail(point: str) -> None:
        global called
        if point.split(":")[1] in CALLS:
            called += 1
            if 0 < first <= called:
                raise OSError(code, os.strerror(code))

    faults.install(fail)


if __name__ == "__main__":
    if sys.argv[1] == "fail":
        fail_from(int(sys.argv[2]), int(sys.argv[3]))
        code = main(sys.argv[4:])
        sys.stdout.write(f"calls: {called}\n")
    else:
        limit = int(sys.argv[2])
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        code = main(sys.argv[3:])
    sys.exit(code)
