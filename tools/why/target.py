"""What a word asks for: an item, a sample inside it, or a place in a shard; and the folder to begin with."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from mmassist.core.errors import ConfigError
from mmassist.core.outcome import Status
from mmassist.io.layout import Layout
from mmassist.stages import list_stages
from tools.command import Words, advise
from tools.records.file import Reader, table_of, text_of
from tools.records.place import Place, find_place
from tools.records.task import load_record, load_task_rows
from tools.records.unit import Unit, choose_units, list_units, stage_rank

_SHARD = re.compile(r"(?:(?P<unit>.+?)/)??(?:shards/)?(?P<task>(?:[a-z]+-)?\d{6})\.tar(?:[/:](?P<rest>.+))?")
MAX_KEYS = 5


@dataclass(frozen=True)
class Target:
    """``task`` and ``unit`` are "" unless a shard was named; ``sample`` is a member's name up to its first dot."""

    key: str
    sample: str = ""
    task: str = ""
    unit: str = ""


@dataclass(frozen=True)
class Start:
    """Where the way back begins. ``members`` are those of the sample asked for, ``others`` further folders."""

    place: Place
    target: Target
    members: tuple[tuple[str, int, int], ...]
    others: tuple[str, ...]


def read_target(layout: Layout, word: str) -> Target:
    """``KEY``, ``KEY/sample``, ``KEY/sample.json``, each maybe behind the path of a shard."""
    plain = word.removeprefix(f"{layout.data_root}/").removeprefix(f"{layout.processed.name}/")
    match = _SHARD.fullmatch(plain)
    rest = (match["rest"] or "") if match else plain
    key, _, member = rest.partition("/")
    sample = member.partition(".")[0]
    return Target(key, sample, match["task"] if match else "", (match["unit"] or "") if match else "")


def find_start(layout: Layout, word: str, words: Words) -> Start:
    """The folder of the latest stage that holds what is asked for, of several the newest.

    Raises ConfigError with the nearest names.
    """
    target = read_target(layout, word)
    units = [unit for unit in choose_units(list_units(layout), words.filters) if _fits(unit, target, words)]
    if not units:
        raise ConfigError(f"{word!r}: no folder in {layout.processed} fits {words.shown_filters or 'it'}")
    if target.task and not target.key:
        target = Target(_only_key(word, target, units), "", target.task, target.unit)
    found = [(place, _members(place, target)) for unit in units if (place := find_place(unit, target.key))]
    found = [(place, members) for place, members in found if target.task in ("", place.task)]
    if not found:
        raise ConfigError(_unknown(layout, word, target, units))
    fitting = [(place, members) for place, members in found if members or not target.sample]
    if not fitting:
        raise ConfigError(_no_sample(word, target, [place for place, _ in found]))
    fitting.sort(key=lambda one: _preference(one[0]), reverse=True)
    place, members = fitting[0]
    same = tuple(one.unit.path for one, _ in fitting[1:] if one.unit.stage == place.unit.stage)
    return Start(place, target, tuple(members), same)


def _preference(place: Place) -> tuple[bool, int, bool, str]:
    """Sorts what is asked for last: the latest stage, what is done before what is not, the newest."""
    stage = place.unit.stage
    return (stage in list_stages(), stage_rank(stage), place.status == Status.DONE, place.time)


def index_members(place: Place) -> list[tuple[str, int, int]]:
    """Name, offset and size of the item's files in its shard; none while it is not committed."""
    index = (Reader().read_object(place.unit.layout.index(place.task)) if place.record else None) or {}
    members = table_of(table_of(index, "items"), place.key).get("members")
    return [
        (member[0], member[1], member[2])
        for member in (members if isinstance(members, list) else ())
        if isinstance(member, list) and len(member) == 3 and isinstance(member[0], str)
    ]


def _members(place: Place, target: Target) -> list[tuple[str, int, int]]:
    if not target.sample:
        return []
    return [member for member in index_members(place) if _sample(member[0]) == target.sample]


def _sample(name: str) -> str:
    return name.partition("/")[2].partition(".")[0]


def _fits(unit: Unit, target: Target, words: Words) -> bool:
    setups = words.filters.get("setup")
    is_setup = not setups or text_of(table_of(unit.settings, "setup"), "name") in setups
    return is_setup and (not target.unit or unit.is_called(target.unit))


def _only_key(word: str, target: Target, units: Sequence[Unit]) -> str:
    """The key of a shard's only item. Raises ConfigError naming its items when there are several."""
    keys: list[str] = []
    for unit in units:
        keys += load_record(unit.layout, target.task).get("items", [])
    if not keys:
        raise ConfigError(f"{word!r}: no such task is committed in {', '.join(unit.path for unit in units[:MAX_KEYS])}")
    keys = list(dict.fromkeys(keys))
    if len(keys) > 1:
        more = f" … ({len(keys)} in all)" if len(keys) > MAX_KEYS else ""
        raise ConfigError(f"{word!r} holds several items; add /KEY with one of {', '.join(keys[:MAX_KEYS])}{more}")
    return keys[0]


def _no_sample(word: str, target: Target, places: Sequence[Place]) -> str:
    names = {_sample(name) for place in places for name, _, _ in index_members(place)}
    samples = [f"{target.key}/{name}" for name in sorted(names)]
    hint = f"there are {', '.join(samples[:MAX_KEYS])}" if samples else "nothing of it is committed"
    return f"{word!r}: item {target.key} has no such sample; {advise(f'{target.key}/{target.sample}', samples, hint)}"


def _unknown(layout: Layout, word: str, target: Target, units: Sequence[Unit]) -> str:
    names = {key for unit in units for row in load_task_rows(unit.layout) for key in row["items"]}
    hint = "give an item key, KEY/SAMPLE, or SHARD.tar/KEY"
    return f"{word!r}: no folder in {layout.processed} knows the item; {advise(target.key, names, hint)}"
