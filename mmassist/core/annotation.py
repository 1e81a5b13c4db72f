"""The annotation of one recording as the stages see it, the same for every source.

All times are seconds on the annotation's clock, whose zero lies at ``Item.time_offset_s`` of the media.
"""

from __future__ import annotations

from dataclasses import dataclass

from mmassist.core.item import Drop


@dataclass(frozen=True)
class Substep:
    """A fine action or an utterance; ``end_s`` None means an instant."""

    start_s: float
    text: str
    end_s: float | None = None
    role: str | None = None  # "user" or "assistant" for an utterance, None for an action
    note: str = ""  # what went wrong, for an erroneous action


@dataclass(frozen=True)
class Step:
    """A coarse action. ``note`` carries a remark such as ``mistake: wrong order``."""

    start_s: float
    end_s: float
    text: str
    note: str = ""
    substeps: tuple[Substep, ...] = ()
    is_marker: bool = False  # the start of a recording rather than an action (WTaG)


@dataclass(frozen=True)
class Annotation:
    """One dialog item's annotation; steps in time order.

    ``ann_ratio`` is the annotated share of ``duration_s``; ``knowledge`` the publisher's recipe or manual where one
    ships with the source; ``drops`` what the adapter repaired or left out while reading it.
    """

    dataset: str
    key: str
    domain: str
    knowledge_type: str
    goal: str
    steps: tuple[Step, ...]
    duration_s: float
    ann_ratio: float
    start_s: float = 0.0
    has_mistake: bool = False
    fps: float | None = None
    summary: str = ""
    knowledge: str = ""
    drops: tuple[Drop, ...] = ()
