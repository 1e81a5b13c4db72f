"""No setting is without effect: changed, it changes the fingerprint, or a reason says why not and some code reads it.

Every leaf that ``--cfg job`` shows is walked, for every stage and every choice of each config group.
"""

from __future__ import annotations

import dataclasses
import re
import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

from launchers.compose import Combination, compose_command, list_options
from launchers.division import divide, request_of
from launchers.job_config import arrange
from launchers.jobs import Job
from launchers.slurm.request import ClusterConfig
from launchers.submit import resources_of
from launchers.upstream import OUTSIDE, build_stage, settings_of
from mmassist.core.adapter import Content
from mmassist.core.config import Why, build, reason
from mmassist.core.errors import ConfigError
from mmassist.core.fingerprint import digest
from mmassist.core.stage import Stage, Task
from mmassist.core.stage_config import StageConfig
from mmassist.datasets import adapter_class, build_dataset_config
from mmassist.io.layout import Layout
from mmassist.stages import list_stages
from mmassist.stages.encode import EncodeConfig
from tests.launchers.setting_readers import REPOSITORY, find_unread

pytestmark = pytest.mark.long

# Other values, where the type alone does not say which are allowed.
OTHER_VALUES: dict[str, Any] = {
    "split.score": "2 * timing",
    "split.filter": "timing.no_resp_user_turns == 0",
    "generate.user_types": "no_talk@1",
    "generate.guidance": "egoexolearn",
    "pack.separator": "EOS",
    "pack.keep_context_s": [2, 30],
    "encode.grids": [5],
    "encoder.layer": -3,
    "llm.key_variable": "KEY",
    "judge_llm.key_variable": "KEY",
    "cluster.sbatch": ["nice=100"],
    "dataset.marked_tasks": [],
    "dataset.rotation_deg": 180,
}
# The choice of a group, not a value beside others.
CHOICES = {"stage", "dataset.name", "llm.engine", "judge_llm.engine", "encoder.engine", "judge.kind"}
# What SLURM or an element is told of; the stages' settings without the stage's name.
TOLD = {"num_workers", "cpus_per_task", "gpus_per_node", "mem_gb", "timeout_min", "item_timeout_s", "max_fail_ratio"}


@dataclass
class Case:
    """A combination with the config objects behind its sections; "" are the words of the command."""

    combination: Combination
    stage: Stage = field(init=False)

    def __post_init__(self) -> None:
        self.stage = build_stage(self.combination.command.stage, self.combination.sections)

    @cached_property
    def configs(self) -> dict[str, Any]:
        sections = self.combination.sections
        return {
            "": self.combination.command,
            "cluster": build(ClusterConfig, sections["cluster"], "cluster"),
            "dataset": build_dataset_config(sections["dataset"], "dataset"),
            "judge_llm": self.stage.engine,
            **{name: build_stage(name, sections).configs[name] for name in ("extract", "split")},
            **self.stage.configs,
        }

    @cached_property
    def fingerprint(self) -> str:
        combination = self.combination
        return digest(settings_of(self.stage, combination.sections, combination.command.compat == "reference"))

    def leaves(self) -> Iterator[tuple[str, Any]]:
        shown = arrange(self.combination)
        for values in (shown.what, shown.models, shown.settings, {self.stage.name: shown.work}, shown.place):
            for name, value in values.items():
                inner = value.items() if isinstance(value, Mapping) else None
                yield from ((f"{name}.{key}", one) for key, one in inner) if inner is not None else [(name, value)]

    def why(self, key: str) -> Why | None:
        """The reason that is declared for the setting's having no part in the stage's fingerprint."""
        section, _, name = key.rpartition(".")
        is_own = section in self.stage.configs or section == "judge_llm"
        return reason(self.configs[section], name) if is_own else OUTSIDE.get(section or name)

    def change(self, key: str, value: Any) -> Case:
        """Raises ConfigError for a value that does not go with the others."""
        one, (section, _, name) = self.combination, key.rpartition(".")
        if section:
            sections = {**one.sections, section: {**one.sections[section], name: value}}
            if section == "judge_llm":
                sections["judge"] = {**sections["judge"], "engine": sections[section]}
            return Case(dataclasses.replace(one, sections=sections))
        if name == "hydra/launcher":
            return Case(dataclasses.replace(one, launcher=value))
        return Case(dataclasses.replace(one, command=dataclasses.replace(one.command, **{name: value})))

    def told(self) -> Any:
        """What SLURM and an element are told, and how a hundred tasks are divided."""
        one = self.combination
        unit = Layout(Path("/data")).unit(one.dataset, "folder")
        job = Job(self.stage, one.dataset, one.sections, one.command, one.launcher, unit, {}, {})
        request = request_of(job)
        bundles, windows = divide(job, [Task(f"{n:06d}", (), 600.0) for n in range(100)], None)
        return request.parameters(4, [], "code"), resources_of(job, request), len(bundles), windows


@dataclass(frozen=True)
class Change:
    """One setting with another value."""

    key: str
    before: Case
    after: Case

    @property
    def why(self) -> Why | None:
        return self.before.why(self.key)

    @property
    def name(self) -> str:
        """The key as the documentation has it: what every stage has is ``<stage>.KEY``, both models are ``llm``."""
        section, _, name = self.key.rpartition(".")
        if section == "cluster":
            return "cluster.*"
        is_work = section in list_stages() and name in {one.name for one in dataclasses.fields(StageConfig)}
        return f"<stage>.{name}" if is_work else self.key.replace("judge_llm.", "llm.")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two folders of one content and one of another: weights, a tokenizer and the wording of prompts."""
    made = []
    for name, text in (("here", "a"), ("there", "a"), ("other", "b")):
        made.append(tmp_path_factory.mktemp("folders") / name)
        made[-1].mkdir()
        for file in ("config.json", "tokenizer.json", "model.safetensors", "open_clip_model.safetensors"):
            (made[-1] / file).write_text(f'{{"a": "{text}"}}')
        (made[-1] / "own.yaml").write_text(f"guidance: {{wtag: {text}}}")
    return made


@pytest.fixture(scope="module")
def cases(folders: list[Path]) -> list[Case]:
    """Every stage, and every choice of every group where it has a say."""
    captions = [name for name in list_options("dataset") if adapter_class(name).content is Content.CAPTION]
    dialogs = [name for name in list_options("dataset") if name not in captions]
    there = {
        name: f"{name}={folders[0]}" for name in ("llm.model", "judge_llm.model", "encoder.path", "tokenizer.path")
    }
    own = f"generate.prompts={folders[0]}/own.yaml"
    named = [there["encoder.path"], "encoder.model=m", "encoder.mean=[0.5,0.5,0.5]", "encoder.std=[0.5,0.5,0.5]"]
    openai = ["llm=openai", "judge_llm=openai", "llm.model=m", "judge_llm.model=m"]
    commands = [
        [f"stage={','.join(list_stages())}", "dataset=holoassist", "cluster=demo"],
        ["stage=generate", f"dataset={','.join(dialogs)}"],
        [f"stage={','.join(list_stages(Content.CAPTION))}", f"dataset={','.join(captions)}"],
        ["stage=pack", "dataset=wtag", f"setup={','.join(list_options('setup'))}"],
        ["stage=generate,judge,encode,pack", "dataset=wtag", "judge=llm", "models=reference", own, *there.values()],
        ["stage=generate,judge,encode", "dataset=wtag", "judge=llm", *openai, "encoder=open_clip", *named],
        ["stage=judge,encode", "dataset=wtag", "judge=llm", "encoder=timm", *named, "hydra/launcher=local"],
    ]
    return [
        Case(one)
        for words in commands
        for one in compose_command([*([] if "models=reference" in words else ["models=tiny"]), *words])
    ]


@pytest.fixture(scope="module")
def changes(cases: list[Case], folders: list[Path]) -> list[Change]:
    """Every leaf once for each stage, kind of source and class of config that it stands in."""
    made: dict[Any, Change] = {}
    for case in cases:
        for key, value in case.leaves():
            content = adapter_class(case.combination.dataset).content
            place = case.stage.name, content, key, type(case.configs.get(key.rpartition(".")[0]))
            change = _change_one(case, key, value, folders[1]) if place not in made else None
            if change is not None:
                made[place] = change
    return list(made.values())


def _change_one(case: Case, key: str, value: Any, moved: Path) -> Change | None:
    """The setting with the first other value that goes with the rest; None where there is none."""
    for other in _others(case, key, value, moved):
        try:
            after = case.change(key, other)
            after.fingerprint  # noqa: B018
        except (ConfigError, ValueError):
            continue
        return Change(key, case, after)
    return None


def _others(case: Case, key: str, value: Any, moved: Path) -> list[Any]:
    section, _, name = key.rpartition(".")
    if key in CHOICES:
        return []
    if case.why(key) is Why.PLACE:
        there = str(moved / "own.yaml") if name == "prompts" else str(moved)
        return [there] if value or section == "paths" else []
    if key == "hydra/launcher":
        return ["local", "basic"]
    if key in OTHER_VALUES:
        return [OTHER_VALUES[key]]
    return _of_type(typing.get_type_hints(type(case.configs[section]))[name], value)


def _of_type(hint: Any, value: Any) -> list[Any]:
    """Values of a type other than ``value``, the likeliest first."""
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return _of_type(next(part for part in parts if part is not type(None)), value)
    if origin is typing.Literal:
        return [part for part in parts if part != value]
    if origin is tuple:
        return [[_of_type(parts[0], one)[0] for one in value] if value else _of_type(parts[0], None)[:1]]
    if hint is bool:
        return [not value]
    if hint is int:
        return [value + 1, value * 2] if value is not None else [1]
    if hint is float:
        return [value / 2 or 0.5]
    assert hint is str, hint
    return [f"{value or ''}x"]


def test_every_setting_that_is_shown_can_be_changed(cases, changes):
    shown = {key for case in cases for key, _ in case.leaves()}
    assert shown - {change.key for change in changes} == CHOICES


def test_a_setting_changes_the_fingerprint_or_a_reason_says_why_not(changes):
    for change in changes:
        is_same = change.before.fingerprint == change.after.fingerprint
        where = f"{change.key} of {change.before.stage.name}, {change.before.combination.dataset}"
        if is_same:
            assert change.why is not None, f"{where}: no output depends on it, and nothing says why"
        else:
            assert change.why in (None, Why.ITEMS), f"{where}: it counts, and is declared not to: {change.why}"


def test_of_what_lies_somewhere_the_content_counts(changes, folders):
    places = [change for change in changes if change.why is Why.PLACE and not change.key.startswith("paths.")]
    assert {change.name for change in places} == {"llm.model", "encoder.path", "tokenizer.path", "generate.prompts"}
    for change in places:
        elsewhere = folders[2] / "own.yaml" if change.key == "generate.prompts" else folders[2]
        assert change.before.change(change.key, str(elsewhere)).fingerprint != change.before.fingerprint, change.key


def test_what_is_asked_of_a_cluster_reaches_it(changes):
    asked = {f"cluster.{one.name}" for one in dataclasses.fields(ClusterConfig)} - {"cluster.name"}  # in the receipt
    asked |= {f"<stage>.{name}" for name in TOLD}
    told = set()
    for change in changes:
        name = change.key if change.name == "cluster.*" else change.name
        if name in asked - told and change.before.told() != change.after.told():
            told.add(name)
    assert told == asked


def test_every_setting_is_read_somewhere(cases):
    assert find_unread({type(config) for case in cases for config in case.configs.values() if config}) == set()


def test_a_setting_that_nobody_reads_is_found(tmp_path: Path):
    @dataclass(frozen=True, kw_only=True)
    class Planted(EncodeConfig):
        unheard_of: int = 3

    assert find_unread([Planted]) == {"Planted.unheard_of"}
    checked = "class Planted:\n    def __post_init__(self):\n        assert self.unheard_of\n"
    (tmp_path / "planted.py").write_text(checked)
    assert "Planted.unheard_of" in find_unread([Planted], [tmp_path])
    (tmp_path / "planted.py").write_text(checked + "\n    def use(self, config):\n        return config.unheard_of\n")
    assert "Planted.unheard_of" not in find_unread([Planted], [tmp_path])


def test_the_documentation_lists_what_changes_no_data(changes):
    listed = {}
    for line in (REPOSITORY / "docs" / "running.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 2 and cells[0] in set(Why):
            listed[cells[0]] = set(re.findall(r"`([^`]+)`", cells[1]))
    declared: dict[str, set[str]] = {}
    for change in changes:
        if change.why not in (None, Why.ITEMS, Why.SIDES):
            declared.setdefault(change.why, set()).add(change.name)
    assert listed == declared
