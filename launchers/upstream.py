"""What a stage reads: the settings that earlier outputs are made with, and their folders.

Of a stage with several outputs (``judge@llm``) a command composes one at a time, so that the settings of another come
from another combination of the command, or from what is on disk.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from omegaconf import OmegaConf

from launchers.compose import CONF_DIR, list_options
from mmassist.core.config import Why, meaning, nearest
from mmassist.core.errors import ConfigError
from mmassist.core.stage import Stage, name_of, stage_of, words_of
from mmassist.io.atomic import read_json
from mmassist.io.layout import Layout, UnitLayout
from mmassist.stages import stage_class

Sections = dict[str, dict[str, Any]]

# What no output's settings hold beside the fields that are marked ``transient``: whole sections where a stage does not
# count them among its own, and words of the command.
OUTSIDE = {
    **dict.fromkeys(("items", "limit", "retry", "on_stale", "plan", "extract"), Why.CHOICE),
    "num_workers": Why.PACE,
    "hydra/launcher": Why.MACHINE,
    "cluster": Why.MACHINE,
    "paths": Why.PLACE,
    "log_level": Why.REPORT,
    "dataset": Why.ITEMS,
    "split": Why.SIDES,
}

# Outputs that nothing can be set for: a command that is composed with another one still knows how they are made.
WITHOUT_SETTINGS = ("judge@timing",)


def build_stage(name: str, sections: Sections) -> Stage:
    """Build a stage from composed sections. Raises ConfigError naming the key at fault."""
    cls = stage_class(name)
    configs = {}
    for section, builder in cls.sections.items():
        if section not in sections:
            raise ConfigError(f"section '{section}' is missing; stage {name} needs it")
        configs[section] = builder(sections[section], section)
    return cls(configs)


@dataclass(frozen=True)
class Upstream:
    """The outputs of one source: ``composed`` are the sections of all the command's combinations over it."""

    layout: Layout
    dataset: str
    composed: Sequence[Sections]

    def units_of(self, stage: Stage, sections: Sections) -> dict[str, UnitLayout]:
        """The folders that ``stage`` reads, by the entries of its ``reads``."""
        return {read: self._unit(read, sections) for read in stage.reads}

    def settings_of(self, stage: Stage, read: str, sections: Sections, compat: bool) -> dict[str, Any]:
        """The settings of what ``stage`` reads as ``read``.

        From the command where it composes them. Else what the output's own folder was made with, on what the command
        says of the stages before it, so that changed dialogs make old scores stale; last what ``stage`` itself was made
        with, if the folder has been put away since. Raises ConfigError when nothing of it is there.
        """
        found = self._find_sections(read, sections)
        if found is not None:
            return settings_of(build_stage(stage_of(read), found), found, compat, self)
        unit = self._unit(read, sections)
        recorded = _recorded(unit) or _recorded(self.unit_of(stage)).get("reads", {}).get(read)
        if not recorded:
            raise ConfigError(f"{stage.origin_of(read)} names the {stage_of(read)} {self._explain_absence(read, unit)}")
        cls = stage_class(stage_of(read))
        reads = {name: self.settings_of(stage, name, sections, compat) for name in cls.reads}
        return {**recorded, "version": cls.version, "compat": compat, "reads": reads}

    def unit_of(self, stage: Stage) -> UnitLayout:
        """The folder that ``stage`` writes."""
        return self.layout.unit(self.dataset, type(stage).folder(stage.configs))

    def _unit(self, read: str, sections: Sections) -> UnitLayout:
        if not name_of(read):
            return self.unit_of(build_stage(stage_of(read), sections))
        named = {stage_of(read): SimpleNamespace(name=name_of(read))}  # the folder follows from the name alone
        return self.layout.unit(self.dataset, stage_class(stage_of(read)).folder(named))

    def _explain_absence(self, read: str, unit: UnitLayout) -> str:
        stage, name, folder = stage_of(read), name_of(read), unit.root.parent
        absent = f"{name!r}, but there are no {folder.name}/{name} of {self.dataset}"
        choices = list_options(stage)
        if name in choices:
            return f"{absent}; run {words_of(read)} first or with it"
        there = [path.parent.name for path in folder.glob("*/manifest.json") if "." not in path.parent.name]
        return f"{absent}.{nearest(name, {*choices, *there})}"

    def _find_sections(self, read: str, sections: Sections) -> Sections | None:
        stage, name = stage_of(read), name_of(read)
        for one in (sections, *self.composed):
            if not name or one.get(stage, {}).get("name") == name:
                return one
        if read not in WITHOUT_SETTINGS:
            return None
        values = OmegaConf.to_container(OmegaConf.load(CONF_DIR / stage / f"{name}.yaml"))
        assert isinstance(values, dict)
        return {**sections, stage: {str(key): value for key, value in values.items()}}


def settings_of(stage: Stage, sections: Sections, compat: bool, upstream: Upstream | None = None) -> dict[str, Any]:
    """Everything that can change the stage's bytes, as a plain tree.

    Without ``upstream`` all that is read has to be composed. Raises ConfigError as ``Upstream.settings_of`` does.
    """
    own = {name: meaning(config) for name, config in stage.configs.items()}
    reads = {
        read: upstream.settings_of(stage, read, sections, compat)
        if upstream is not None
        else settings_of(build_stage(stage_of(read), sections), sections, compat)
        for read in stage.reads
    }
    return {
        "stage": stage.name,
        "version": stage.version,
        "compat": compat,
        **own,
        "revision": stage.revision(),
        "reads": reads,
    }


def _recorded(unit: UnitLayout) -> Mapping[str, Any]:
    """The settings that a folder was made with, empty where there is none."""
    return dict(read_json(unit.manifest)["settings"]) if unit.manifest.exists() else {}
