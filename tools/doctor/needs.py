"""Which of the publisher's files are there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from mmassist.core.adapter import Need
from tools.doctor.hints import explain_missing


class State(StrEnum):
    THERE = "there"
    EMPTY = "empty"  # a file of 0 bytes, a folder without entries
    MISSING = "missing"
    UNREADABLE = "unreadable"  # the file server or its permissions do not let us look


@dataclass(frozen=True)
class NeedState:
    """One file or folder that the source is read from. ``found`` is the first path that matches, "" when none does."""

    path: str
    what: str
    is_required: bool
    state: State
    found: str = ""
    hint: str = ""
    page: str = ""

    @property
    def is_usable(self) -> bool:
        return self.state is State.THERE


def look_for_needs(root: Path, needs: Sequence[Need], homepage: str) -> list[NeedState]:
    """State of every need below ``root``, in the adapter's order; nothing is opened."""
    looked = [(need, *_look(root, need.path)) for need in needs]
    known = [path for _, state, path in looked if state is State.THERE]
    return [
        NeedState(
            path=need.path,
            what=need.what,
            is_required=need.is_required,
            state=state,
            found=path,
            hint=explain_missing(root, need.path, known) if state is State.MISSING and root.is_dir() else "",
            page=need.page or homepage,
        )
        for need, state, path in looked
    ]


def _look(root: Path, path: str) -> tuple[State, str]:
    try:
        found = _first_match(root, path)
        if found is None:
            return State.MISSING, ""
        is_empty = next(found.iterdir(), None) is None if found.is_dir() else found.stat().st_size == 0
    except OSError:
        return State.UNREADABLE, ""
    where = found.relative_to(root) if found.is_relative_to(root) else found  # a setting may lead elsewhere
    return (State.EMPTY if is_empty else State.THERE), where.as_posix()


def _first_match(root: Path, path: str) -> Path | None:
    if "*" in path:
        return next((found for found in root.glob(path) if found.exists()), None)
    return root / path if (root / path).exists() else None
