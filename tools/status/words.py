"""The words of the command, and the folder to look at."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mmassist.core.config import nearest
from mmassist.core.errors import ConfigError
from mmassist.datasets import list_datasets
from mmassist.io.layout import Layout
from mmassist.stages import PIPELINE
from tools.doctor.words import take_value
from tools.status.report import Choice

WATCH_S = 5.0
KEYS = ("dataset", "stage")
FLAGS = ("--json", "--root", "--watch")


@dataclass(frozen=True)
class Arguments:
    """``watch_s`` None: look once."""

    layout: Layout
    choice: Choice
    is_json: bool
    watch_s: float | None


def read_arguments(words: Sequence[str]) -> Arguments:
    """Read the command line. Raises ConfigError naming the word at fault."""
    root, rest = take_value(words, "--root", "a folder; say --root FOLDER")
    watch_s, rest = _take_watch(rest)
    is_json = "--json" in rest
    if is_json and watch_s is not None:
        raise ConfigError("--json and --watch are both given; use one of them")
    runs: list[str] = []
    chosen: dict[str, tuple[str, ...]] = {}
    for word in rest:
        key, is_setting, value = word.partition("=")
        if word == "--json":
            continue
        if word.startswith("-"):
            raise ConfigError(f"unknown option {word!r}.{nearest(word, FLAGS)}")
        if not is_setting:
            runs.append(word.rstrip("/").rpartition("/")[2])  # the run folder's path will do
        elif key not in KEYS:
            raise ConfigError(f"unknown key {key!r}.{nearest(key, KEYS)}")
        elif key in chosen:
            raise ConfigError(f"{key!r} is given 2 times; give it once, several values with commas")
        else:
            chosen[key] = _check_values(key, value)
    choice = Choice(tuple(runs), chosen.get("dataset", ()), chosen.get("stage", ()))
    return Arguments(Layout(_data_root(root)), choice, is_json, watch_s)


def _check_values(key: str, value: str) -> tuple[str, ...]:
    choices = PIPELINE if key == "stage" else list_datasets()
    values = tuple(part.strip() for part in value.strip("[]").split(",") if part.strip())
    if not values:
        raise ConfigError(f"'{key}' has no value; say {key}=NAME with one or more of: {', '.join(choices)}")
    for name in values:
        if name not in choices:
            raise ConfigError(f"{key}={name}: there is no such {key}.{nearest(name, choices)}")
    return values


def _take_watch(words: Sequence[str]) -> tuple[float | None, list[str]]:
    """``--watch``, ``--watch 10`` or ``--watch=10``."""
    rest: list[str] = []
    watch_s: float | None = None
    queue = list(words)
    while queue:
        word = queue.pop(0)
        if word == "--watch":
            watch_s = _seconds(queue.pop(0)) if queue and _is_number(queue[0]) else WATCH_S
        elif word.startswith("--watch="):
            watch_s = _seconds(word.partition("=")[2])
        else:
            rest.append(word)
    return watch_s, rest


def _seconds(text: str) -> float:
    if not _is_number(text) or not 0.2 <= float(text) <= 86400:
        raise ConfigError(f"--watch {text}: say a number of seconds from 0.2 to 86400, or none for {WATCH_S:g}")
    return float(text)


def _is_number(text: str) -> bool:
    return text.replace(".", "", 1).removeprefix("-").isdigit()


def _data_root(given: str | None) -> Path:
    value = given or os.environ.get("DATA_ROOT_DIR", "")
    if not value:
        raise ConfigError("DATA_ROOT_DIR is not set; export DATA_ROOT_DIR=/folder/that/holds/datasets, or say --root")
    name = f"--root {value}" if given else f"DATA_ROOT_DIR is {value!r}, which"
    root = Path(value).expanduser()
    if not root.is_dir():
        raise ConfigError(f"{name}: there is no such folder" if given else f"{name} is no folder that exists")
    return root.resolve()
