"""What a message says of settings that are others than those an output folder was made with."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from mmassist.core.config import as_given
from mmassist.core.fingerprint import iter_differences
from mmassist.core.stage import name_of, title_of

MAX_TOLD = 4
_READ = re.compile(r"reads\.([^.]+)\.")  # stands before the settings of what is read, once more for what that reads
_OF_A_STAGE = {"compat", "revision", "version"}  # not settings of a section: whose they are has to be said


def describe_differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """The first differences, each by the name that a command has for it; empty when there are none."""
    found = list(dict.fromkeys(_describe(before, now, *change) for change in iter_differences(before, now)))
    more = f" and {len(found) - MAX_TOLD} more" if len(found) > MAX_TOLD else ""
    return "; ".join(found[:MAX_TOLD]) + more


def _describe(before: Mapping[str, Any], now: Mapping[str, Any], key: str, old: Any, new: Any) -> str:
    name, read = key, ""
    while found := _READ.match(name):
        name, read = name[found.end() :], found[1]
    if isinstance(old, Mapping) or isinstance(new, Mapping):  # such as all that is read of a judge
        what = title_of(name.removeprefix("reads."))
        return f"{what} was not read there and is now" if new else f"{what} was read there and is not now"
    is_told = name_of(read) or (read and name.split(".")[0] in _OF_A_STAGE)
    whose = f" of {title_of(read)}" if is_told else ""
    return f"{name}{whose} is {_shown(before, key, old)} there and {_shown(now, key, new)} now"


def _shown(settings: Mapping[str, Any], key: str, value: Any) -> str:
    group, _, name = key.rpartition(".")
    for part in group.split(".") if group else ():
        settings = settings.get(part) or {}
    return as_given(value) if name in settings else "its default"  # a field added later is kept only where it is set
