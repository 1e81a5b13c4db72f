"""Stages are found by their files; what is amiss with one is told in one line."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import mmassist.stages
from launchers.compose import CONF_DIR, compose_command
from mmassist.core.adapter import Content
from mmassist.core.errors import ConfigError
from mmassist.stages import list_stages

SHIPPED = ("extract", "generate", "judge", "split", "encode", "pack")
STAGE = """\
from mmassist.stages.judge import Judge

class Odd(Judge):
    name, place, reads = "odd", 25, ({read!r},)
"""


@pytest.fixture
def add_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """``add_module(text)`` adds ``mmassist.stages.odd``."""

    def add(text: str) -> None:
        (tmp_path / "odd.py").write_text(text)
        monkeypatch.setattr(mmassist.stages, "__path__", [*mmassist.stages.__path__, str(tmp_path)])
        list_stages.cache_clear()

    yield add
    sys.modules.pop("mmassist.stages.odd", None)
    list_stages.cache_clear()


def test_the_stages_and_what_they_are_for() -> None:
    assert [name for name in list_stages() if name in SHIPPED] == list(SHIPPED)
    assert not {"generate", "judge", "split"} & set(list_stages(Content.CAPTION))


def test_a_stage_takes_its_place(add_module) -> None:
    add_module(STAGE.format(read="generate"))
    assert list_stages()[:4] == ("extract", "generate", "odd", "judge")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "mmassist/stages/odd.py has no stage Odd with the name 'odd'"),
        (STAGE.format(read="pack"), "stage odd reads 'pack'; before it run extract, generate"),
        (
            STAGE.format(read="generate"),
            "there is mmassist/stages/odd.py, but no conf/stages/odd.yaml; a stage has both",
        ),
    ],
)
def test_what_a_module_lacks_is_one_line(add_module, text: str, message: str) -> None:
    add_module(text)
    with pytest.raises(ConfigError) as error:
        compose_command(["stage=extract", "dataset=wtag"])
    assert str(error.value) == message


def test_settings_without_a_stage_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("launchers.compose.CONF_DIR", shutil.copytree(CONF_DIR, tmp_path / "conf"))
    (tmp_path / "conf" / "stages" / "odd.yaml").write_text("# @package odd\n")
    with pytest.raises(ConfigError, match=r"^there is conf/stages/odd\.yaml, but no mmassist/stages/odd\.py"):
        compose_command(["stage=extract", "dataset=wtag"])
