"""Settings and choices: what pages name exists in ``conf/``, and what exists there is named where it belongs."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import fields
from functools import cache
from inspect import getsource, signature
from typing import Any

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import OmegaConf

from launchers.compose import CONF_DIR, GROUPS, Command, compose_command, list_options
from launchers.jobs import build_stage
from mmassist.core.config import build
from mmassist.core.errors import ConfigError
from mmassist.core.stage_config import StageConfig
from mmassist.datasets.base import DialogConfig
from mmassist.loader import Collator, PreparedDataset, PreparedLoader
from mmassist.stages import list_stages
from tests.docs.pages import Page, pages

# Where the settings of a section, and the choices of a group, are explained. What all stages and all sources have in
# common has a page of its own; what only one source has is on that source's page.
HOME = {
    **{stage: f"docs/stages/{stage}.md" for stage in list_stages()},
    **dict.fromkeys(("llm", "judge_llm"), "docs/stages/generate.md"),
    **dict.fromkeys(("tokenizer", "setup"), "docs/stages/pack.md"),
    **dict.fromkeys(("", "paths", "models", "hydra/launcher"), "docs/running.md"),
    **{"encoder": "docs/stages/encode.md", "cluster": "slurm/README.md"},
}
OF_ALL_STAGES, OF_ALL_SOURCES = "docs/running.md", "docs/sources/index.md"
LOADER = (Collator, PreparedDataset, PreparedLoader)
OTHERS = {  # words in the form of a setting that are none of a command of the pipeline, and whose they are
    "key": "tools.inspect; key=value stands for any setting",
    "unit": "tools.logs and others",
    "run": "tools.logs",
    **{name: thing.__name__ for thing in LOADER for name in signature(thing).parameters},
}
WORD = re.compile(r"[\"']?([a-z][a-z_/]*(?:\.[a-z_0-9]+)*)=(?!=)(.*)")
FILE = re.compile(r"\.(py|json)$")
PLACEHOLDER = re.compile(r"^$|^[A-Z]$|[A-Z]{3}|\.\.\.|…|<|[\"']$")


@cache
def _load(name: str) -> dict[str, Any]:
    values = OmegaConf.to_container(OmegaConf.load(CONF_DIR / f"{name}.yaml"))
    assert isinstance(values, dict)
    return {str(key): value for key, value in values.items()}


@cache
def settings() -> dict[str, set[str]]:
    """Keys of each section, "" being the command's own."""
    found = {stage: set(_load(f"stages/{stage}")) for stage in list_stages()}
    found[""] = {key for key, value in _load("config").items() if key != "defaults" and not isinstance(value, dict)}
    for group in ("llm", "judge", "encoder", "tokenizer", "setup", "paths"):
        found.setdefault(group, set()).update(*(_load(f"{group}/{name}") for name in list_options(group)))
    found["judge_llm"] = found["llm"]
    for group in ("cluster", "dataset"):
        found[group] = set().union(*(_load(f"{group}/{name}")[group] for name in list_options(group)))
    return found


def unknown_settings(page: Page) -> Iterator[str]:
    """Code spans with a setting, or with a value of one, that does not exist.

    A key may be given without its section. Words in capitals, and dots, stand for what the reader puts there.
    """
    for span in page.spans:
        for key, value in _words(span.text):
            fault = _fault_of_key(key) or (value is not None and _fault_of_value(key, value))
            if fault:
                yield f"{span.place}: {span.text}: {fault}"


def _words(text: str) -> Iterator[tuple[str, str | None]]:
    """``(key, value)`` of each ``key=value`` that a span consists of; ``(section.key, None)`` of a key alone."""
    if re.fullmatch(r"[a-z_]+\.[a-z_]\w*", text):
        if text.split(".")[0] in settings() and not FILE.search(text):
            yield text, None
        return
    try:
        words = shlex.split(text)
    except ValueError:  # one of several quotes
        words = [text]
    found = [WORD.fullmatch(word) for word in words]
    yield from ((match[1], match[2]) for match in found if match and all(found))


def _fault_of_key(key: str) -> str:
    section, _, name = key.rpartition(".")
    if key in GROUPS or key in OTHERS:
        return ""
    if section:
        is_loader = section == "dataset" and f"self.{name}" in getsource(PreparedDataset)  # in docs/loading.md
        return "" if is_loader or name in settings().get(section, ()) else f"there is no setting {key}"
    return "" if any(name in keys for keys in settings().values()) else f"no section has a setting {key}"


def _fault_of_value(key: str, text: str) -> str:
    if PLACEHOLDER.search(text):
        return ""
    if key in GROUPS or key == "stage":
        unknown = set(text.split(",")) - set(list_stages() if key == "stage" else list_options(key))
        return f"there is no {key} {', '.join(sorted(unknown))}" if unknown else ""
    section, _, name = key.rpartition(".")
    owners = [section] if section else [s for s, keys in settings().items() if name in keys]
    faults = [_refusal(owner, name, text) for owner in owners]
    return "" if "" in faults else "; ".join(faults)


@cache
def _composed() -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    combination = compose_command(["stage=extract", "dataset=wtag", "judge=llm"])[0]
    return vars(combination.command), combination.sections


def _refusal(section: str, name: str, text: str) -> str:
    """Why a value is refused, "" if it is not; values of models, sites and sources are not looked at."""
    command, sections = _composed()
    for value in _read(f"{name}={text}", text):
        try:
            if section == "":
                build(Command, {**command, name: value}, "")
            elif section in list_stages() and name in sections[section]:
                build_stage(section, {**sections, section: {**sections[section], name: value}})
        except ConfigError as error:
            return str(error)
    return ""


def _read(word: str, text: str) -> list[Any]:
    """The values that a command would read; the text itself where the page left out the quotes around it."""
    try:
        (override,) = OverridesParser.create().parse_overrides([word])
    except HydraException:
        return [text]
    value = override.value()
    return list(value.list) if override.is_sweep_override() else [value]


def unnamed_settings(by_path: Mapping[str, Page]) -> Iterator[str]:
    """Settings that no page names where it should: ``section.key`` on any page, or ``key`` on the section's own."""
    texts = {path: " ".join(span.text for span in page.spans) for path, page in by_path.items()}
    shared = {field.name for field in fields(StageConfig)}
    common = {field.name for field in fields(DialogConfig)}

    def is_named(section: str, key: str, home: str) -> bool:
        return _holds(texts[home], key) or (
            section != "" and any(_holds(t, f"{section}.{key}") for t in texts.values())
        )

    for section, keys in settings().items():
        if section in ("judge_llm", "dataset"):
            continue  # those of llm; and of each source alone, below
        for key in sorted(keys):
            home = OF_ALL_STAGES if key in shared else HOME[section]
            if not is_named(section, key, home):
                yield f"{home} does not name {section}.{key}"
    for name in list_options("dataset"):
        for key in sorted(_load(f"dataset/{name}")["dataset"]):
            home = OF_ALL_SOURCES if key in common else f"docs/sources/{name}.md"
            if not is_named("dataset", key, home):
                yield f"{home} does not name dataset.{key}"


def _holds(text: str, word: str) -> bool:
    return re.search(rf"(?<![\w/])(<stage>\.)?(?<!\w\.){re.escape(word)}(?!\w)", text) is not None


def unnamed_choices(by_path: Mapping[str, Page]) -> Iterator[str]:
    """Choices of ``conf/`` that neither have a page nor stand on the page of their group."""
    homes = {group: HOME[group] for group in GROUPS if group in HOME and group != "paths"} | {"judge": HOME["judge"]}
    for group, home in homes.items():
        text = " ".join(span.text for span in by_path[home].spans)
        for name in list_options(group):
            if not re.search(rf"(?<![\w.]){re.escape(name)}(?!\w)", text):
                yield f"{home} does not name {group}={name}"
    for group, folder in (("dataset", "docs/sources"), ("stage", "docs/stages")):
        for name in list_stages() if group == "stage" else list_options(group):
            if f"{folder}/{name}.md" not in by_path:
                yield f"{group}={name} has no page"
            if not any(span.text == name for span in by_path["README.md"].spans):
                yield f"README.md has no row for {group}={name}"


def all_pages() -> dict[str, Page]:
    return {page.path: page for page in pages()}


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.path)
def test_settings_that_are_named_exist(page: Page) -> None:
    assert list(unknown_settings(page)) == []


def test_every_setting_is_named_where_it_belongs() -> None:
    assert list(unnamed_settings(all_pages())) == []


def test_every_choice_has_its_page_or_row() -> None:
    assert list(unnamed_choices(all_pages())) == []


@pytest.mark.parametrize(
    ("span", "fault"),
    [
        ("extract.speed", "there is no setting extract.speed"),
        ("extract.jpg_quality=80", "there is no setting extract.jpg_quality"),
        ("speed=2", "no section has a setting speed"),
        ("cluster.partion=gpu", "there is no setting cluster.partion"),
        ("judge=lm", "there is no judge lm"),
        ("stage=extract,encod", "there is no stage encod"),
        ("retry=fail", "'retry' is 'fail'"),
        ("goal_method=guess", "'generate.goal_method' is 'guess'"),
        ("split.filter='llm.correctness >'", "split.filter is 'llm.correctness >'"),
        ("stage=split on_stale=again", "'on_stale' is 'again'"),
        ("dataset.wait_for", "there is no setting dataset.wait_for"),
    ],
)
def test_a_setting_that_does_not_exist_is_found(span: str, fault: str) -> None:
    page = Page("docs/invented.md", f"One may say `{span}` here.")
    (found,) = unknown_settings(page)
    assert found.startswith("docs/invented.md:1: ") and fault in found


def test_what_stands_for_the_readers_own_is_no_fault() -> None:
    text = "`llm.model=NAME` `limit=N` `judge_llm.KEY=` `dataset=…` `KEEP=1` `prefetch=2` `image_tokens=1,5`"
    assert list(unknown_settings(Page("docs/invented.md", text))) == []


def test_a_setting_or_a_choice_without_a_word_is_found() -> None:
    empty = {path: Page(path, "") for path in all_pages()}
    quality = empty | {
        "docs/stages/extract.md": Page("", "`jpeg_quality`"),
        "docs/stages/pack.md": Page("", "`pack.seeds`"),
    }
    faults = set(unnamed_settings(quality))
    assert "docs/stages/extract.md does not name extract.size" in faults
    assert "docs/stages/extract.md does not name extract.jpeg_quality" not in faults
    assert {"docs/stages/pack.md does not name pack.seed", "docs/running.md does not name pack.mem_gb"} <= faults
    assert "docs/sources/llava.md does not name dataset.captions_file" in faults
    del empty["docs/sources/wtag.md"]
    choices = set(unnamed_choices(empty))
    assert {"docs/stages/pack.md does not name setup=knowledge", "dataset=wtag has no page"} <= choices
    assert "README.md has no row for stage=pack" in choices
