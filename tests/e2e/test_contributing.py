"""CONTRIBUTING.md followed to the letter, in a copy of the repository: its files written, its commands run."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from mmassist.io.layout import Layout
from mmassist.io.reader import UnitReader
from mmassist.loader import iter_samples
from tests.docs.pages import Page
from tests.e2e.commands import REPOSITORY

COPIED = ("conf", "launchers", "mmassist", "tools", "tests", "pyproject.toml")
COMMANDS = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Recipe:
    """``files`` by their paths in the repository; ``commands`` for a shell in it."""

    files: dict[str, str]
    commands: str


def read_recipe(title: str) -> Recipe:
    text = (REPOSITORY / "CONTRIBUTING.md").read_text()
    section = text.partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    (commands,) = COMMANDS.findall(section)
    return Recipe(Page("CONTRIBUTING.md", section).files, commands)


def follow(recipe: Recipe, repository: Path) -> str:
    """Write the files, which must be new, and run the commands; returns what they print."""
    for name, content in recipe.files.items():
        with (repository / name).open("x") as file:
            file.write(content)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {name: value for name, value in os.environ.items() if name != "DATA_ROOT_DIR"}
    done = subprocess.run(
        ["bash", "-ex", "-c", recipe.commands],
        cwd=repository,
        env={**environment, "PATH": path, "HF_HUB_OFFLINE": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the repository."""
    root = tmp_path_factory.mktemp("repository")
    for name in COPIED:
        if (REPOSITORY / name).is_dir():
            shutil.copytree(REPOSITORY / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(REPOSITORY / name, root / name)
    return root


@pytest.fixture(scope="module")
def source(repository: Path) -> str:
    """What the commands of the first recipe print."""
    recipe = read_recipe("A source")
    assert len(recipe.files) == 3
    return follow(recipe, repository)


def test_a_source_is_three_files(source: str, repository: Path) -> None:
    layout = Layout(repository / "demo_data")
    unit = layout.unit("toy", "prepared/knowledge_L4096_I10")
    samples = [sample for side in ("train", "val", "test") for sample in iter_samples(unit.root, side)]
    assert {sample["record"]["dataset"] for sample in samples} == {"toy"}
    assert {sample["key"].split("/")[0] for sample in samples} == {"tea-1", "tea-2", "tea-3", "tea-4"}
    assert "\ntoy: ready\n" in source
    assert "fill the kettle" in source  # the annotation, as the stages see it
    assert re.search(r"\d+ passed", source) and "skipped" not in source


def test_a_stage_is_three_files(source: str, repository: Path) -> None:
    recipe = read_recipe("A stage")
    assert len(recipe.files) == 3
    text = follow(recipe, repository)
    assert "2 passed" in text
    assert "count-toy-counts: 4 items in 1 tasks to do" in text
    assert "expected: not known before a first run has been measured" in text
    first, second = text.split("launchers.run stage=count dataset=toy models=tiny hydra/launcher=basic\n")[-2:]
    assert re.search(r"^count +toy +4 done \(4 now\)", first, re.MULTILINE)
    assert "all is done: nothing to do" in second
    shown = text.partition("tools.status")[2].partition("tools.doctor")[0]
    stages = re.findall(r"\b(extract|generate|count|judge|split|pack)\b.*\b4\b", shown)
    assert stages == ["extract", "generate", "count", "judge", "split", "pack"], shown
    shards = UnitReader(Layout(repository / "demo_data").unit("toy", "counts"), "count")
    rows = [json.loads(shards.read(key).read("words.json")) for key in shards.keys()]  # noqa: SIM118
    assert [row["key"] for row in rows] == ["tea-1", "tea-2", "tea-3", "tea-4"]
    assert all(row["role"] == "assistant" and len(row["words"]) == 10 and min(row["words"]) > 0 for row in rows)
