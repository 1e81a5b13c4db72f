"""Named points in every write at which tests stop the process or let a call fail; nothing happens there otherwise.

Those named after a call (``mkdir``, ``open``, ``write``, ``fsync``, ``link``, ``rename``) lie right before it, and an
OSError raised there is treated like the call's own; one raised at ``replied`` like a reply that was lost.
"""

from __future__ import annotations

from collections.abc import Callable

_hook: Callable[[str], None] | None = None


def install(hook: Callable[[str], None] | None) -> None:
    """Call ``hook(point)`` at every point reached from now on; None removes it."""
    global _hook
    _hook = hook


def reached(point: str) -> None:
    """Mark a point such as ``fragment:written``: a process may die right here and nothing may be lost or doubled."""
    if _hook is not None:
        _hook(point)
