"""The project's error classes: one for the user, one for an item, one for a task, and two that are decisions."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mmassist.core.item import Drop


class Kind(StrEnum):
    """Why an item failed. A plain rerun retries only ``TRANSIENT`` and ``KILLED``."""

    TRANSIENT = "transient"  # the same input may work next time: a file server hiccup, a lost engine
    PERMANENT = "permanent"  # the input is at fault
    KILLED = "killed"  # the process died under this item, perhaps for no fault of it: it is tried once more at once
    CRASH = "crash"  # the process died under this item a second time
    TIMEOUT = "timeout"
    OUT_OF_MEMORY = "out_of_memory"


class ConfigError(ValueError):
    """A user's mistake, found before any work. The message is one line: key, value, what would be right."""


class StageError(RuntimeError):
    """Something that no other item could survive either (weights do not load, disk full): stops the task."""


class EngineLost(StageError):
    """The process's engine has died, for no fault of an item: a new process may go on."""


class ItemError(Exception):
    """One item failed; it is recorded and the loop goes on."""

    def __init__(self, kind: Kind, message: str):
        super().__init__(message)
        self.kind = kind
        self.message = message


class Skip(Exception):
    """A decision not to produce an item, with a reason from a small vocabulary (``no_video``, ``low_coverage``).

    ``drops`` are the records that left too little of it.
    """

    def __init__(self, reason: str, message: str = "", drops: Sequence[Drop] = ()):
        super().__init__(message or reason)
        self.reason = reason
        self.message = message or reason
        self.drops = drops


class Blocked(Exception):
    """An input is not there yet; a later plain run picks the item up."""

    def __init__(self, by: str):
        super().__init__(f"waiting for {by}")
        self.by = by


def describe_os_error(error: OSError) -> str:
    """What the system refused and for which file, in one line."""
    return f"{error.strerror or error}: {error.filename or ''}".rstrip(": ")
