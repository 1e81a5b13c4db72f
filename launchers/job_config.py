"""``--cfg job``: the settings that a stage over a source obeys, in groups, as YAML that reads on one screen.

Every section is composed for every stage; what has no effect on a stage is left out here. Nothing is looked up on disk.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import yaml

from launchers.compose import Combination, compose_command
from launchers.jobs import select_applicable
from launchers.prepare import SIDE_RULES
from mmassist.core.adapter import Content
from mmassist.core.errors import ConfigError
from mmassist.core.item import ItemKind
from mmassist.core.stage_config import StageConfig
from mmassist.datasets import adapter_class
from mmassist.stages import stage_class

FLAGS = ("--cfg", "-c")  # Hydra's own names
_MODELS = ("llm", "judge_llm", "encoder", "tokenizer")
_WORK = tuple(field.name for field in fields(StageConfig))
_OF_SLURM = ("cpus_per_task", "gpus_per_node", "mem_gb", "timeout_min")
_OF_SUPERVISORS = ("num_workers", "item_timeout_s")
WIDTH = 100


@dataclass(frozen=True)
class JobConfig:
    """The settings of one stage over one source, by the question they answer; the keys are those of a command."""

    what: dict[str, Any]
    models: dict[str, Any]
    settings: dict[str, Any]
    work: dict[str, Any]  # of the stage's section: how its work is cut, run and limited
    place: dict[str, Any]


def take_flag(words: Sequence[str]) -> tuple[list[str], bool]:
    """The words without ``--cfg job``, and whether it was there. Raises ConfigError for another kind of config."""
    rest: list[str] = []
    kinds: list[str] = []
    left = iter(words)
    for word in left:
        name, equals, kind = word.partition("=")
        if name in FLAGS:
            kinds.append(kind if equals else next(left, ""))
        else:
            rest.append(word)
    for kind in kinds:
        if kind != "job":
            raise ConfigError(f"--cfg is {kind!r}; say --cfg job, the settings of each stage as they would be run")
    return rest, bool(kinds)


def iter_job_configs(words: Sequence[str]) -> Iterator[str]:
    """Yield the text of a YAML document for every job that the words ask for, and comments on stages left out.

    Raises ConfigError as ``compose_command`` does. Weights, tokenizers and sources need not be there.
    """
    combinations, remarks = select_applicable(compose_command(words))
    for remark in remarks:
        yield f"# left out: {remark}"
    for number, combination in enumerate(combinations):
        if number:
            yield "---"
        yield from _render(combination)


def arrange(combination: Combination) -> JobConfig:
    """Sort what a combination's stage obeys into groups."""
    sections, command, launcher = combination.sections, asdict(combination.command), combination.launcher
    stage, is_slurm = combination.command.stage, launcher == "slurm"
    content = adapter_class(combination.dataset).content
    what = {"stage": stage, "dataset": sections["dataset"]}
    if stage_class(stage).kind is ItemKind.MEDIA and stage != "extract":
        what["extract"] = _OneLine(which=sections["extract"]["which"])
    if stage == "pack" and content is Content.CAPTION:  # there is no split, but there are sides
        what["split"] = _OneLine((name, sections["split"][name]) for name in SIDE_RULES)
    what |= {name: command[name] for name in ("items", "limit", "retry", "on_stale", "plan", "compat")}

    own = dict(sections[stage])
    used = set(stage_class(stage).sections)
    if own.pop("engine", None) is not None:  # of a judge: shown once, where it is set
        used.add("judge_llm")
    unused = () if is_slurm else _OF_SLURM if launcher == "local" else (*_OF_SLURM, *_OF_SUPERVISORS)
    settings: dict[str, Any] = {}
    if "setup" in used and content is Content.DIALOG:
        settings["setup"] = sections["setup"]
    settings[stage] = {name: value for name, value in own.items() if name not in _WORK}

    place: dict[str, Any] = {"hydra/launcher": launcher, "log_level": command["log_level"]}
    if launcher == "local":
        place["num_workers"] = command["num_workers"]
    place["paths"] = _OneLine(sections["paths"])
    if is_slurm:
        place["cluster"] = _OneLine(sections["cluster"])
    return JobConfig(
        what=what,
        models={name: sections[name] for name in _MODELS if name in used},
        settings=settings,
        work={name: own[name] for name in _WORK if name not in unused},
        place=place,
    )


def _render(combination: Combination) -> Iterator[str]:
    config = arrange(combination)
    yield f"# {combination.command.stage} of {combination.dataset}"
    yield _dump(config.what)
    for title, values in (("Models", config.models), ("Settings", config.settings)):
        if values:
            yield f"\n# {title}\n{_dump(values)}"
    # The stage's section comes last among the settings, and goes on here.
    yield f"  # Where and how it runs\n{_indent(_dump(config.work))}"
    yield _dump(config.place)


class _OneLine(dict[str, Any]):
    """A mapping written on as few lines as it takes."""


class _Dumper(yaml.SafeDumper):
    """Lists on one line, as in ``conf/``; mappings one key a line unless they are marked."""


_SEQUENCE, _MAPPING = "tag:yaml.org,2002:seq", "tag:yaml.org,2002:map"
_Dumper.add_representer(list, lambda dumper, values: dumper.represent_sequence(_SEQUENCE, values, flow_style=True))
_Dumper.add_representer(tuple, lambda dumper, values: dumper.represent_sequence(_SEQUENCE, values, flow_style=True))
_Dumper.add_representer(_OneLine, lambda dumper, values: dumper.represent_mapping(_MAPPING, values, flow_style=True))


def _dump(values: dict[str, Any]) -> str:
    return yaml.dump(values, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=WIDTH).rstrip()


def _indent(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.splitlines())
