"""Named points in every write at which tests stop the process; nothing happens there otherwise."""

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
