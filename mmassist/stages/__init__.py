"""One module per stage: the only place where the parts meet.

A stage's module is named like the stage and holds a class of the same name, capitalised.
"""

from __future__ import annotations

import importlib

from mmassist.core.adapter import Content
from mmassist.core.stage import Stage

PIPELINE = ("extract", "generate", "judge", "split", "encode", "pack")  # in the order in which a command runs them
STAGES_OF = {Content.DIALOG: PIPELINE, Content.CAPTION: ("extract", "encode", "pack")}


def stage_class(name: str) -> type[Stage]:
    """The class of stage ``name``; importing it loads no heavy package."""
    found: type[Stage] = getattr(importlib.import_module(f"mmassist.stages.{name}"), name.capitalize())
    return found
