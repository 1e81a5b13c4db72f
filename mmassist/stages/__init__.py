"""One module per stage: the only place where the parts meet.

A stage's module is named like the stage and holds a class of the same name, capitalised. CONTRIBUTING.md shows how to
add one; nothing has to be edited for it.
"""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache

from mmassist.core.adapter import Content
from mmassist.core.errors import ConfigError
from mmassist.core.stage import Stage, stage_of


@cache
def list_stages(content: Content | None = None) -> tuple[str, ...]:
    """Names of the stages, of those for sources of ``content`` alone, in the order in which a command runs them.

    Raises ConfigError for a module without its stage, and for a stage that reads what runs behind it or not at all.
    """
    names = (module.name for module in pkgutil.iter_modules(__path__))
    ordered = sorted(names, key=lambda name: (stage_class(name).place, name))
    for number, name in enumerate(ordered):
        for read in stage_class(name).reads:
            if stage_of(read) not in ordered[:number]:
                raise ConfigError(f"stage {name} reads {read!r}; before it run {', '.join(ordered[:number]) or 'none'}")
    return tuple(name for name in ordered if content is None or content in stage_class(name).contents)


def stage_class(name: str) -> type[Stage]:
    """The class of stage ``name``; importing it loads no heavy package. Raises ConfigError when its module has none."""
    found = getattr(importlib.import_module(f"mmassist.stages.{name}"), name.capitalize(), None)
    if not (isinstance(found, type) and issubclass(found, Stage) and found.name == name):
        raise ConfigError(f"mmassist/stages/{name}.py has no stage {name.capitalize()} with the name {name!r}")
    return found
