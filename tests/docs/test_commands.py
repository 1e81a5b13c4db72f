"""Commands of the documentation are understood: modules exist, options parse, settings compose."""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import io
import runpy
import sys
import warnings
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import tools.command
from launchers.compose import Combination, compose_command, parse_words
from launchers.job_config import take_flag
from launchers.jobs import build_stage, select_applicable
from mmassist.core.errors import ConfigError
from tests.docs.pages import Page
from tests.docs.shell import Command, commands, iter_commands

pytestmark = pytest.mark.long

ABOUT_SOURCES = ("tools.doctor", "tools.inspect")  # take settings as launchers.run does, and words of their own
OF_COMMAND = ("plan", "limit", "retry", "items", "on_stale", "log_level", "hydra/launcher")  # change no other setting
SOURCE = "wtag"
OF_PROJECT = ("launchers", "tools", "slurm")


class Parsed(BaseException):
    """Stops a module as soon as it has read its words; no ``except Exception`` keeps it."""


def fault_of(command: Command) -> str:
    """Why the program would refuse the command before any work, "" if it would not.

    Whether weights, sources and runs are there is not looked at. Of a command that leaves something out, as
    ``dataset=…`` does, the module alone is checked.
    """
    if command.module.split(".")[0] not in OF_PROJECT:
        return f"python -m {command.module} is none of the project's commands" if command.module else ""
    path = _path_of(command.module)
    if path is None:
        return f"there is no module {command.module}"
    if "--help" in command.arguments or any("…" in word for word in command.words):
        return ""
    if command.module == "launchers.run":
        return _fault_of_settings(command.arguments)
    text = path.read_text()
    if "parse_args(" not in text and "read_words(" not in text:
        return f"{command.module} takes no words" if command.arguments else ""
    fault = _fault_of_words(command.module, command.arguments)
    if not fault and command.module in ABOUT_SOURCES:
        return _fault_of_settings([*_settings_of(command.arguments), "stage=extract"])
    return fault


def _path_of(module: str) -> Path | None:
    with contextlib.suppress(ModuleNotFoundError):
        spec = importlib.util.find_spec(module)
        if spec is not None and spec.submodule_search_locations:
            spec = importlib.util.find_spec(f"{module}.__main__")
        return Path(spec.origin) if spec is not None and spec.origin else None
    return None


def _fault_of_words(module: str, words: list[str]) -> str:
    """Start the module as ``python -m`` does, up to the moment when its words are read."""
    said = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stderr(said), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the module may be imported already
        for owner, name in ((argparse.ArgumentParser, "parse_args"), (tools.command, "read_words")):
            patch.setattr(owner, name, _stopping(getattr(owner, name)))
        patch.setattr(sys, "argv", [module, *words])
        try:
            runpy.run_module(module, run_name="__main__")
        except Parsed:
            return ""
        except SystemExit:
            pass
    return said.getvalue().strip().splitlines()[-1]


def _stopping(parse: Any) -> Any:
    def parse_and_stop(*arguments: Any, **named: Any) -> None:
        parse(*arguments, **named)
        raise Parsed

    return parse_and_stop


def _settings_of(words: list[str]) -> list[str]:
    """What doctor and inspect pass on: neither options with their values nor the item's key."""
    settings = [word for word in words if "=" in word and not word.startswith(("-", "key="))]
    is_named = any(word.startswith("dataset=") for word in settings)
    return settings if is_named else [*settings, f"dataset={SOURCE}"]


def _fault_of_settings(words: list[str]) -> str:
    try:
        _check_settings([word for word in take_flag(words)[0] if word != "-m"])
    except ConfigError as error:
        return str(error)
    return ""


def _check_settings(words: list[str]) -> None:
    """Raise ConfigError for what ``launchers.run`` would refuse.

    Composing takes a third of a second, so words that change nothing else are composed apart: the command's own
    settings, and which sources are named. That all sources compose tests/launchers/test_compose.py checks.
    """
    parse_words(words)
    stages, datasets = _names(words, "stage"), _names(words, "dataset")
    plain = [word for word in words if word.partition("=")[0] in OF_COMMAND]
    rest = [word for word in words if word not in plain and not word.startswith(("stage=", "dataset="))]
    is_of_source = any(word.startswith("dataset.") for word in rest)
    _compose(*sorted(plain))
    composed = _compose(*sorted(rest), dataset=datasets[0] if is_of_source else SOURCE)
    command, judges = composed[0].command, [one.sections["judge"] for one in composed]
    named = [Combination(replace(command, stage=s), {"dataset": {"name": d}}, "") for s in stages for d in datasets]
    for stage in {one.command.stage for one in select_applicable(named)[0]}:
        for one in composed:
            built = build_stage(stage, one.sections)
            if stage == "split":  # its expressions name values of the judges
                built.check_reads({f"judge@{j['name']}": {"judge": j} for j in judges}, False)


def _names(words: list[str], key: str) -> list[str]:
    return next(word for word in words if word.startswith(f"{key}=")).partition("=")[2].split(",")


@cache
def _compose(*words: str, dataset: str = SOURCE) -> list[Combination]:
    return compose_command([*words, "stage=extract", f"dataset={dataset}"])


@pytest.mark.parametrize("command", [c for c in commands() if c.module], ids=lambda command: command.shown)
def test_a_command_is_understood(command: Command) -> None:
    assert fault_of(command) == ""


def test_every_command_of_the_project_is_looked_at() -> None:
    modules = {command.module for command in commands()}
    assert {"launchers.run", "tools.status", "tools.doctor", "tools.demo", "slurm.private"} <= modules


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("python -m launchers.run stage=extrct dataset=wtag", "there is no such stage. Did you mean 'extract'?"),
        ("python -m launchers.run stage=encode,extract dataset=wtag", "say stage=extract,encode"),
        ("python -m launchers.run stage=extract dataset=wtg", "there is no such dataset. Did you mean 'wtag'?"),
        ("python -m launchers.run stage=extract dataset=wtag extract.speed=2", "unknown key 'extract.speed'"),
        ("python -m launchers.run stage=pack dataset=wtag llm=scripted llm.model=x", "no setting of the llm chosen"),
        ("python -m launchers.run stage=pack dataset=wtag pack.image_tokens=7", "7"),
        ("python -m launchers.run stage=extract dataset=wtag limit=0", "limit is 0; it must be 1 or more"),
        ("python -m launchers.run stage=split dataset=wtag judge=llm split.score=llm.corectness", "'correctness'"),
        ("python -m launchers.run stage=judge dataset=llava", "llava holds captions"),
        ("python -m tools.inspect dataset=wtag key=T1 generate.speed=2", "unknown key 'generate.speed'"),
        ("python -m tools.doctor --recrds", "unknown option '--recrds'"),
        ("python -m tools.status stage=extract,encode untit=x", "unknown key 'untit'"),
        ("python -m tools.frames a.mp4 out --qualty 3", "unrecognized arguments: --qualty"),
        ("python -m tools.bench.packing --dialogs many", "invalid int value: 'many'"),
        ("python -m tools.bench.packng", "there is no module tools.bench.packng"),
        ("python -m tools.train_tiny_tokenizer --big", "takes no words"),
        ("python -m slurm.private crash-nod n1", "invalid choice: 'crash-nod'"),
        ("python -m pip install x", "none of the project's commands"),
    ],
)
def test_what_would_be_refused_is_found(line: str, fault: str) -> None:
    (command,) = iter_commands(Page("docs/invented.md", f"```\n{line}\n```"))
    assert fault in fault_of(command)
