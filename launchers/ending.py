"""How a command of this package ends: the exit codes, and one line for whatever goes wrong."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from mmassist.core.errors import ConfigError, StageError, describe_os_error

EXIT_OK, EXIT_FAILED, EXIT_USER, EXIT_INTERRUPTED, EXIT_UNREAD = 0, 1, 2, 130, 141


def end_command(work: Callable[[], int], stopped: str, failures: tuple[type[Exception], ...] = (StageError,)) -> int:
    """Do ``work`` and return the exit code, its own unless it raises.

    A mistake of the user (2), ``failures`` and what the system refuses (1), and an interrupt (130, with the words of
    ``stopped``) are one line each on standard error. A reader that goes away (``| head``) ends it without a word, with
    the code that a shell gives to a closed pipe (141).
    """
    try:
        try:
            return _code_of(work, stopped, failures)
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python would complain when it closes it
        return EXIT_UNREAD


def _code_of(work: Callable[[], int], stopped: str, failures: tuple[type[Exception], ...]) -> int:
    try:
        return work()
    except BrokenPipeError:
        raise
    except ConfigError as error:
        line, code = f"error: {error}", EXIT_USER
    except failures as error:
        line, code = f"error: {error}", EXIT_FAILED
    except (KeyboardInterrupt, InterruptedError):
        line, code = f"\n{stopped}", EXIT_INTERRUPTED
    except OSError as error:
        line, code = f"error: {describe_os_error(error)}", EXIT_FAILED
    print(line, file=sys.stderr)
    return code
