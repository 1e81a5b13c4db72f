"""Settings as dataclasses beside the class they configure: built strictly, fingerprinted by meaning."""

from __future__ import annotations

import dataclasses
import difflib
import functools
import json
import math
import types
import typing
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any, TypeVar

from mmassist.core.errors import ConfigError

T = TypeVar("T")
_KINDS = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}


class Why(StrEnum):
    """Why a setting cannot change data, so that it stays out of fingerprints."""

    CHOICE = "which items are made or made again, not what is made of them"
    CUT = "how items are cut into shards: it counts when a folder's tasks are cut, and tasks.json holds from then on"
    PACE = "how much is done at once"
    LIMIT = "when something is given up; what is finished is the same"
    MACHINE = "what is asked of the cluster or the machine, and where the work is done"
    ITEMS = "what the source's items are; each is compared with what it was made from, one by one"
    METHOD = "how the work is done; tests compare the outputs, which are the same"
    PLACE = "where something lies; what is in it counts"
    SERVER = "how a server is reached; the model that it serves counts"
    SAMPLING = "may change the last bits of a logit, but answers are drawn by chance, and none is asked for twice"
    SIDES = "which side a recording is put on when it is first seen; splits/assignment.json holds from then on"
    NAMED = "says no more than another setting, which counts"
    REPORT = "what is told about the work"


def transient(default: Any = dataclasses.MISSING, *, why: Why) -> Any:
    """A field that cannot change data: it stays out of fingerprints."""
    return dataclasses.field(default=default, metadata={"transient": why})


def reason(config: Any, name: str) -> Why | None:
    """Why field ``name`` of a config dataclass or object cannot change data; None for one that can."""
    (field,) = (field for field in dataclasses.fields(config) if field.name == name)
    return field.metadata.get("transient")


def added(default: Any) -> Any:
    """A field that came when there were outputs already: at its default it stays out of fingerprints, or they changed.

    Its default must give the bytes that were made before it was there.
    """
    return dataclasses.field(default=default, metadata={"added": True})


def nearest(name: str, choices: Iterable[str]) -> str:
    """`` Did you mean 'x'?`` for the closest of ``choices``, or the list of them all when nothing is close."""
    names = sorted(choices)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return f" Did you mean {close[0]!r}?" if close else f" Valid names: {', '.join(names)}."


def build(cls: type[T], values: Mapping[str, Any], section: str) -> T:
    """Make a config dataclass from plain values.

    Raises ConfigError naming ``section.key`` for an unknown or missing key, a value of the wrong type, and whatever
    ``ValueError`` the dataclass itself raises about its values.
    """
    prefix = f"{section}." if section else ""
    hints = _hints_of(cls)  # type: ignore[arg-type]
    fields = {f.name: f for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
    for key in values:
        if key not in fields:
            raise ConfigError(f"unknown key '{prefix}{key}'.{nearest(key, fields)}")
    made = {}
    for name, field in fields.items():
        if name in values:
            made[name] = _checked(values[name], hints[name], f"{prefix}{name}")
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise ConfigError(f"'{prefix}{name}' is not set and has no default; say {prefix}{name}=VALUE")
    try:
        return cls(**made)
    except ConfigError:
        raise
    except ValueError as error:
        raise ConfigError(_with_section(section, str(error), fields)) from error


def _with_section(section: str, message: str, fields: Iterable[str]) -> str:
    """A dataclass speaks of its fields by their bare names; the user gave them with their section's."""
    if not section:
        return message
    return f"{section}.{message}" if message.split(" ", 1)[0] in fields else f"in '{section}': {message}"


def as_given(value: Any) -> str:
    """A value in a message, as a command or a YAML file would have it."""
    return json.dumps(value) if value is None or isinstance(value, bool) else repr(value)


@functools.cache
def _hints_of(cls: type) -> dict[str, Any]:
    return typing.get_type_hints(cls)


def _checked(value: Any, hint: Any, name: str) -> Any:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in args:
            return None
        inner = [a for a in args if a is not type(None)]
        return _checked(value, inner[0], name)
    if origin is tuple:
        if isinstance(value, str) or not isinstance(value, Iterable):
            value = (value,)
        return tuple(_checked(v, args[0], name) for v in value)
    if origin is dict:
        if not isinstance(value, Mapping):
            raise ConfigError(f"'{name}' is {as_given(value)}; it must be a mapping of keys to values")
        return {str(k): _checked(v, args[1], f"{name}.{k}") for k, v in value.items()}
    if origin is typing.Literal:
        if value not in args:
            raise ConfigError(f"'{name}' is {as_given(value)}; it must be one of {', '.join(map(repr, args))}")
        return value
    if dataclasses.is_dataclass(hint) and not isinstance(value, typing.cast(type, hint)):
        return build(typing.cast(type, hint), value, name)
    if hint is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        if not math.isfinite(value):
            raise ConfigError(f"'{name}' is {value!r}; it must be a finite number")
        return float(value)
    if hint is Any or (isinstance(value, hint) and not (hint is int and isinstance(value, bool))):
        return value
    raise ConfigError(f"'{name}' is {as_given(value)}; it must be {_KINDS.get(hint, hint.__name__)}")


def meaning(config: Any) -> dict[str, Any]:
    """The values of a config dataclass that can change data, as plain JSON values."""
    values: dict[str, Any] = {}
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        is_unused = field.metadata.get("added") and value == field.default
        if not field.metadata.get("transient") and not is_unused:
            values[field.name] = _plain(value)
    return values


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return meaning(value)
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    return value
