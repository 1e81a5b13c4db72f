"""What a source says about one item, as the stages see it, the same for every source.

All times are seconds on the annotation's clock, whose zero lies at ``Item.time_offset_s`` of the media.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

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
class ReferenceForm:
    """How the reference writes a source down where it differs from source to source; used for comparison alone.

    ``is_flush_left``: utterances stand at the start of the line, not behind a blank; ``has_last_line_end``: the text
    ends with a line end; ``window_cut_s``: so much is missing at the end of every generation window.
    """

    is_flush_left: bool = False
    has_last_line_end: bool = True
    window_cut_s: float = 0.0


@dataclass(frozen=True)
class KnownTask:
    """One of a source's few tasks; ``steps`` are its procedure in order."""

    title: str
    steps: tuple[str, ...]


@dataclass(frozen=True)
class Annotation:
    """One dialog item's annotation; steps in time order.

    ``ann_ratio`` is the annotated share of ``duration_s``; ``knowledge`` the publisher's recipe or manual where one
    ships with the source; ``known_tasks`` are those the recording may show, of a source that does not say
    which; ``drops`` is what the adapter repaired or left out while reading.
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
    known_tasks: tuple[KnownTask, ...] = ()
    reference_form: ReferenceForm = ReferenceForm()
    drops: tuple[Drop, ...] = ()


@dataclass(frozen=True)
class Caption:
    """One text and what shows it.

    ``member`` is the place in the media item's ``sources`` (images and clips) and ``file`` what has to stand there;
    ``time_s`` is the moment in a video. ``record`` is the source's own name of the record.
    """

    text: str
    member: int = 0
    file: str = ""
    time_s: float | None = None
    record: str = ""


class Request(StrEnum):
    """What the assistant is asked to do with the pictures; each has a few wordings in ``mmassist.packing``."""

    NARRATE_WEARER = "narrate_wearer"  # what the person behind the camera does, as it happens
    DESCRIBE_CLIP = "describe_clip"  # the action in each short clip
    CAPTION_IMAGE = "caption_image"  # a short description of each picture
    LIST_OBJECTS = "list_objects"  # the objects in each picture


@dataclass(frozen=True)
class CaptionTrack:
    """One item's captions, by member or by time."""

    dataset: str
    key: str
    captions: tuple[Caption, ...]
    drops: tuple[Drop, ...] = ()
