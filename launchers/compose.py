"""From command-line words to checked, composed settings: one plain dict per combination.

Everything a user can mistype is found here, before Hydra composes: its own messages name the mistake but not the
nearest valid name.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal

from hydra import main
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from mmassist.core.config import build, nearest
from mmassist.core.errors import ConfigError
from mmassist.core.item import KEY_PATTERN
from mmassist.datasets import list_datasets
from mmassist.stages import PIPELINE

CONF_DIR = Path(__file__).resolve().parent.parent / "conf"
GROUPS = (
    *("dataset", "models", "llm", "encoder", "tokenizer", "judge", "judge_llm", "setup", "cluster", "paths"),
    "hydra/launcher",
)
FOLDERS = {"judge_llm": "llm"}  # groups whose choices are another group's files, put under a key of their own
_GLOBAL = ("dataset", "cluster", "models")  # groups whose files set keys of any section
LAUNCHERS = ("slurm", "local", "basic")
_MISSING = object()


@dataclass(frozen=True)
class Command:
    """The settings of the command itself; the YAML beside each key says what it does."""

    stage: str
    retry: Literal["none", "failed", "all"]
    items: tuple[str, ...] | None
    limit: int | None
    on_stale: Literal["stop", "rebuild"]
    plan: bool
    compat: Literal["none", "reference"]
    num_workers: int | None
    log_level: Literal["debug", "info", "warning", "error"]

    def __post_init__(self) -> None:
        for name in ("limit", "num_workers"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} is {value}; it must be 1 or more")


@dataclass(frozen=True)
class Combination:
    """One point of the sweep: the command's settings, every section as plain values, and the launcher chosen."""

    command: Command
    sections: dict[str, dict[str, Any]]
    launcher: str

    @property
    def dataset(self) -> str:
        return str(self.sections["dataset"]["name"])


def list_options(group: str) -> list[str]:
    """The choices of a config group, sorted."""
    if group == "hydra/launcher":
        return sorted(LAUNCHERS)  # ``basic`` is Hydra's own file
    return sorted(path.stem for path in (CONF_DIR / group).glob("*.yaml"))


def compose_command(arguments: Sequence[str]) -> list[Combination]:
    """Compose every combination that the arguments ask for, the same with and without ``-m``.

    Raises ConfigError with one line for anything that is misspelt, missing or of the wrong type.
    """
    words = [a for a in arguments if a not in ("-m", "--multirun")]
    flags = [a for a in words if a.startswith("--")]
    if flags:
        raise ConfigError(f"unknown option {flags[0]!r}; settings are given as key=value, see --help")
    overrides = parse_words(words)
    stages = [value for o in overrides if o.key_or_group == "stage" for value in _values(o)]
    # A stage changes no other setting: composing once for all of them is what makes long sweeps quick.
    rest = [_plain_word(o) for o in overrides if o.key_or_group != "stage"]
    composed = _compose_all([*rest, f"stage={stages[0]}"])
    return [replace(one, command=replace(one.command, stage=stage)) for one in composed for stage in stages]


def parse_words(words: Sequence[str]) -> list[Override]:
    """Parse overrides and check their names and choices. Raises ConfigError."""
    try:
        overrides = OverridesParser.create().parse_overrides(list(words))
    except HydraException as error:
        hint = "a value with blanks, signs or commas needs quotes within quotes, as in \"KEY='a >= 5'\""
        raise ConfigError(f"cannot read the command line: {_first_line(error)}; {hint}") from error
    given = Counter(o.key_or_group for o in overrides)
    for name, times in given.items():
        if times > 1:
            raise ConfigError(f"'{name}' is given {times} times; give it once, several values with commas")
    for name, choices in (("stage", PIPELINE), ("dataset", list_options("dataset"))):
        if name not in given:
            raise ConfigError(f"'{name}' is not given; say {name}=NAME with one or more of: {', '.join(choices)}")
    for override in overrides:
        key = override.key_or_group
        if override.is_delete() or override.is_add():
            raise ConfigError(f"'{override.input_line}': settings can be changed, not added or removed; say key=value")
        if key == "stage":
            _check_choices(key, _values(override), PIPELINE)
            _check_order(_values(override))
        elif key in GROUPS:
            _check_choices(key, _values(override), list_options(key))
        elif not key.startswith("hydra"):
            _check_key(key, _every_key())
    return overrides


def _check_choices(key: str, values: Iterable[str], choices: Sequence[str]) -> None:
    for value in values:
        if value not in choices:
            close = nearest(value, choices)
            rest = "" if "Valid" in close else f" All choices: {', '.join(choices)}."
            if key == "dataset" and value in list_datasets():
                close, rest = f" Its module is there, conf/dataset/{value}.yaml is not.", ""
            raise ConfigError(f"{key}={value}: there is no such {key}.{close}{rest}")


def _check_order(stages: Sequence[str]) -> None:
    ordered = [stage for stage in PIPELINE if stage in stages]
    if list(stages) != ordered:
        raise ConfigError(
            f"stage={','.join(stages)}: stages are named once each and in the order in which they run; "
            f"say stage={','.join(ordered)}"
        )


def _check_key(key: str, config: DictConfig) -> None:
    if key.startswith("judge.engine."):
        raise ConfigError(
            f"'{key}': the model that judges has a section of its own; say judge_llm.{key.split('.', 2)[2]}"
        )
    if OmegaConf.select(config, key, default=_MISSING) is not _MISSING:
        return
    leaves = _leaf_keys(config)
    same_name = [k for k in leaves if k.split(".")[-1] == key.split(".")[-1] and "." not in key]
    close = f" Did you mean '{same_name[0]}'?" if same_name else nearest(key, leaves)
    if "Did you mean" not in close:
        close = f" Settings are {', '.join(str(k) for k in config)} and theirs; --help lists them all."
    raise ConfigError(f"unknown key '{key}'.{close}")


def _leaf_keys(config: DictConfig, prefix: str = "") -> list[str]:
    found = []
    for key in config:
        node = config._get_node(key)
        found += _leaf_keys(node, prefix + str(key) + ".") if isinstance(node, DictConfig) else [prefix + str(key)]
    return found


def _values(override: Override) -> list[str]:
    if not override.is_sweep_override():
        return [str(override.value())]
    try:
        words: list[Any] = list(override.sweep_string_iterator())
    except HydraException as error:  # glob(*) and range() would need Hydra to know all choices already
        raise ConfigError(f"'{override.input_line}': give the values one by one, with commas between") from error
    return [str(word).strip("'\"") for word in words]


def _plain_word(override: Override) -> str:
    """The override as it was given; item keys quoted, since the key ``8_33`` would be read as the number 833."""
    line = override.input_line or ""
    if override.key_or_group != "items" or override.value() is None:
        return line
    keys = [word.strip().strip("'\"") for word in line.partition("=")[2].strip("[] ").split(",")]
    for key in keys:
        if not KEY_PATTERN.fullmatch(key):
            raise ConfigError(f"items: {key!r} is no item key; say 'items=[KEY,KEY]' with keys as in the ledger")
    return f"items=[{','.join(repr(key) for key in keys)}]"


@cache
def _every_key() -> DictConfig:
    """All keys that some combination of choices has; what a combination lacks, Hydra itself refuses."""
    trees: list[Any] = [OmegaConf.load(CONF_DIR / "config.yaml")]
    for group in GROUPS[:-1]:
        for name in list_options(group):
            tree = _load_choice(group, name)
            trees.append(tree if group in _GLOBAL else OmegaConf.create({group: tree}))
    for name in list_options("stages"):
        trees.append(OmegaConf.create({name: OmegaConf.load(CONF_DIR / "stages" / f"{name}.yaml")}))
    merged = OmegaConf.merge(*trees)
    assert isinstance(merged, DictConfig)
    for key in ("defaults", "hydra"):
        merged.pop(key, None)
    return merged


def _load_choice(group: str, name: str) -> Any:
    return OmegaConf.load(CONF_DIR / FOLDERS.get(group, group) / f"{name}.yaml")


def _compose_all(words: Sequence[str]) -> list[Combination]:
    found: list[tuple[dict[str, Any], str]] = []

    def collect(config: DictConfig) -> None:
        values = OmegaConf.to_container(config, resolve=True)
        assert isinstance(values, dict)
        launcher = HydraConfig.get().runtime.choices["hydra/launcher"]
        found.append(({str(k): v for k, v in values.items()}, str(launcher)))

    with tempfile.TemporaryDirectory(prefix="mmassist-") as scratch:
        entry = main(version_base="1.3", config_path=str(CONF_DIR), config_name="config")(collect)
        # Hydra prints and exits on errors unless asked for the exception itself.
        before = os.environ.get("HYDRA_FULL_ERROR")
        os.environ["HYDRA_FULL_ERROR"] = "1"
        try:
            _call_with_argv(entry, ["-m", *words, f"hydra.sweep.dir='{scratch}'"])
        except (HydraException, OmegaConfBaseException) as error:
            raise ConfigError(_absent_key(error) or _first_line(error)) from error
        finally:
            if before is None:
                del os.environ["HYDRA_FULL_ERROR"]
            else:
                os.environ["HYDRA_FULL_ERROR"] = before
    return [_combination(values, launcher) for values, launcher in found]


def _call_with_argv(entry: Any, words: Sequence[str]) -> None:
    saved = sys.argv
    sys.argv = [saved[0], *words]
    try:
        entry()
    finally:
        sys.argv = saved


def _combination(values: dict[str, Any], launcher: str) -> Combination:
    sections = {k: v for k, v in values.items() if isinstance(v, dict)}
    plain = {k: v for k, v in values.items() if not isinstance(v, dict)}
    command = build(Command, plain, "")
    return Combination(command, sections, launcher)


def _absent_key(error: BaseException) -> str:
    """What to say of a setting that other choices of its group have, empty for any other error."""
    found = re.match(r"Could not override '([^']+)'", str(error))
    group, _, key = found[1].partition(".") if found else ("", "", "")
    if group not in GROUPS[:-1] or group in _GLOBAL:
        return ""
    owners = [name for name in list_options(group) if key.split(".")[0] in _load_choice(group, name)]
    return f"'{group}.{key}' is no setting of the {group} chosen; say {group}={' or '.join(owners)}" if owners else ""


def _first_line(error: BaseException) -> str:
    """The gist of a message of Hydra's: its first two lines in one."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[:2]) if lines else type(error).__name__
