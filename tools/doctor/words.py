"""The sources and settings that a command about sources is given, in the words of ``launchers.run``."""

from __future__ import annotations

from collections.abc import Sequence

from launchers.compose import compose_command, list_options
from launchers.jobs import Job, build_stage, resolve_jobs
from mmassist.core.errors import ConfigError
from mmassist.core.stage import Stage
from mmassist.datasets import adapter_class
from mmassist.io.layout import Layout
from mmassist.stages import list_stages

MULTIRUN = ("-m", "--multirun")  # nothing but sweeps here: it changes nothing
_STAGE = "extract"  # composing needs one; this one every source has, and it needs no weights


def open_jobs(words: Sequence[str], tool: str) -> tuple[Layout, list[Job]]:
    """One job per source with all settings composed; without ``dataset=`` all sources.

    Raises ConfigError for an unusable DATA_ROOT_DIR and for whatever ``launchers.run`` refuses, and for two values of
    one setting.
    """
    refuse_stage(words, tool)
    plain = list(words)
    if not names_dataset(plain):
        plain.append(f"dataset={','.join(list_options('dataset'))}")
    combinations = compose_command([*plain, f"stage={_STAGE}"])
    names = [combination.dataset for combination in combinations]
    if len(set(names)) < len(names):
        raise ConfigError(f"{tool} looks at each source once; give every setting but dataset one value")
    layout, jobs = resolve_jobs(combinations)
    return layout, jobs


def build_stages(job: Job) -> dict[str, Stage]:
    """The stages that apply to the source, by name. Raises ConfigError for settings that a run would refuse."""
    stages = {name: build_stage(name, job.sections) for name in list_stages(adapter_class(job.dataset).content)}
    build_stage("split", job.sections)  # of captions, too: who is trained on is decided for every source
    return stages


def names_dataset(words: Sequence[str]) -> bool:
    """Whether the words choose sources."""
    return any(word.startswith("dataset=") for word in words)


def refuse_stage(words: Sequence[str], tool: str) -> None:
    """Raise ConfigError for a stage among the words."""
    for word in words:
        if word.startswith("stage="):
            raise ConfigError(f"{word!r}: {tool} looks at sources, not at a stage; leave it out")
