"""Who would be trained on and who evaluated, by the composed rules and by an assignment that exists already."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from launchers.jobs import Job
from launchers.prepare import Sides, assign_sides
from mmassist.core.errors import ConfigError
from mmassist.core.item import Listing
from mmassist.io.atomic import read_json
from mmassist.io.layout import Layout


@dataclass(frozen=True)
class SideTable:
    """Rows of the audit, and how they compare with ``splits/assignment.json``: ``kept``, or ``conflict`` if runs stop.

    ``moved`` counts recordings by reason, those on another side than the source's own split asks for.
    """

    sides: list[dict[str, Any]] = field(default_factory=list)
    moved: dict[str, int] = field(default_factory=dict)
    num_without_side: int = 0
    shared_participants: int = 0
    kept: str = ""
    conflict: str = ""

    @property
    def empty(self) -> list[str]:
        return [row["side"] for row in self.sides if not row["num_recordings"]]


def look_at_sides(layout: Layout, job: Job, listing: Listing) -> tuple[SideTable, Sides | None]:
    """The table of sides, and the sides themselves; with other rules on disk the table is that of a new assignment."""
    conflict = ""
    try:
        made = assign_sides(layout, job, listing, is_anew=False)
    except ConfigError as error:
        conflict = str(error)
        try:
            made = assign_sides(layout, job, listing, is_anew=True)
        except ConfigError:  # the file is damaged, or the rules cannot be used at all
            return SideTable(conflict=conflict), None
    moves = made.audit["moved"]
    return SideTable(
        sides=made.audit["sides"],
        moved=dict(sorted(Counter(move["reason"] for move in moves).items())),
        num_without_side=sum(not move["side"] for move in moves),
        shared_participants=len(made.audit["shared_participants"]),
        kept="" if conflict else _compare(layout, job, listing),
        conflict=conflict,
    ), made


def _compare(layout: Layout, job: Job, listing: Listing) -> str:
    path = layout.unit(job.dataset, "splits").assignment
    if not path.exists():
        return "no assignment yet"
    known = read_json(path)["recordings"]
    listed = {item.recording for item in listing.dialogs}
    num_new, num_gone = len(listed - known.keys()), len(known.keys() - listed)
    changes = [f"{num} recordings {what}" for num, what in ((num_new, "are new"), (num_gone, "left the source")) if num]
    return f"agrees with {layout.relative(path)}" + (f"; {', '.join(changes)}" if changes else "")
