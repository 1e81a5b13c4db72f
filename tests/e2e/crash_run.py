"""``python -m tests.e2e.crash_run NUMBER …``: the command in this process, killed at the NUMBER-th point of a write.

With NUMBER 0 nothing is killed and the number of points passed is printed last. A point's name may stand for the first
time that it is reached.
"""

from __future__ import annotations

import os
import signal
import sys

from launchers.run import main
from mmassist.io import faults

passed = 0
deadly = sys.argv[1]


def die(point: str) -> None:
    global passed
    passed += 1
    if deadly in (str(passed), point):
        os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    faults.install(die)
    code = main(sys.argv[2:])
    print(f"points: {passed}")
    sys.exit(code)
