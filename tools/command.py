"""How every command of this package reads its words, finds the data and reports mistakes."""

from __future__ import annotations

import contextlib
import difflib
import os
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from launchers.ending import EXIT_OK, end_command
from mmassist.core.config import nearest
from mmassist.core.errors import ConfigError
from mmassist.io.layout import Layout

ROOT = "--root"
ROOT_KEY = "paths.data_root"  # the same as a setting, as launchers.run has it
MAX_COMPARED = 2000  # names; comparing takes about 20 microseconds each
NUM_NEAREST = 3
MIN_PART = 3  # letters; fewer are in most names


@dataclass(frozen=True)
class Grammar:
    """Words that a command takes besides ``--help`` and ``--root``.

    ``options`` have a value, and say what it is; one that is among the ``flags``, too, may go without. ``keys`` None:
    whatever ``launchers.run`` takes.
    """

    keys: tuple[str, ...] | None = ()
    flags: tuple[str, ...] = ()
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Words:
    """What a command was told. ``settings`` are for ``launchers.run`` to read, as they were written."""

    targets: tuple[str, ...] = ()
    filters: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    flags: frozenset[str] = frozenset()
    options: Mapping[str, str] = field(default_factory=dict)
    settings: tuple[str, ...] = ()

    def whole_number(self, name: str, default: int) -> int:
        """The value of an option. Raises ConfigError unless it is a whole number of 0 or more."""
        text = self.options.get(name, str(default))
        if not text.isascii() or not text.isdigit():
            raise ConfigError(f"{name} is given {text!r}; say {name} N with a whole number")
        return int(text)

    @property
    def shown_filters(self) -> str:
        """The filters as they are given."""
        return " ".join(f"{key}={','.join(values)}" for key, values in self.filters.items())

    def one_target(self, what: str) -> str:
        """The only word that is neither filter nor option. Raises ConfigError saying ``what`` it should be."""
        if len(self.targets) != 1:
            given = " and ".join(map(repr, self.targets)) or "nothing"
            raise ConfigError(f"{given} is asked for; give one {what}")
        return self.targets[0]

    def one(self, key: str) -> str | None:
        """The only value of a key, None without it. Raises ConfigError for several."""
        values = self.filters.get(key, ())
        if len(values) > 1:
            raise ConfigError(f"{key}={','.join(values)}: give one value")
        return values[0] if values else None


def run_command(
    work: Callable[[list[str]], int],
    usage: str,
    arguments: Sequence[str] | None = None,
    *,
    needs_words: bool = False,
    stopped: str = "stopped",
) -> int:
    """Do ``work`` with the command's words, and return its exit code.

    What goes wrong is told as ``end_command`` says; ``--help``, or no word where some are needed, prints the ``usage``.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    with contextlib.suppress(AttributeError):  # names of files need not be text
        sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    if {"--help", "-h"} & set(words) or (needs_words and not words):
        return end_command(lambda: _show(usage), stopped)
    return end_command(lambda: work(words), stopped)


def _show(usage: str) -> int:
    print(usage, end="")
    return EXIT_OK


def read_words(words: Sequence[str], grammar: Grammar) -> Words:
    """Sort a command's words. Raises ConfigError naming the word at fault, with the nearest that there is."""
    targets: list[str] = []
    filters: dict[str, tuple[str, ...]] = {}
    flags: set[str] = set()
    options: dict[str, str] = {}
    settings: list[str] = []
    queue = list(words)
    while queue:
        word = queue.pop(0)
        name, equals, value = word.partition("=")
        if word.startswith("-"):
            taken = _take_value(word, queue, grammar)
            if taken is None:
                flags.add(word)
            else:
                _refuse_second(name in options, name)
                options[name] = taken
        elif grammar.keys is None:
            settings.append(word)
        elif name == ROOT_KEY:
            _refuse_second(ROOT in options, f"{ROOT} or {ROOT_KEY}")
            options[ROOT] = value.strip("'\"")
        elif not equals or "/" in name:
            targets.append(word)
        else:
            _add_filter(filters, name, value, grammar.keys)
    if grammar.keys is None and ROOT in options:
        root = options[ROOT].replace("'", "\\'")
        settings.append(f"{ROOT_KEY}='{root}'")
    return Words(tuple(targets), filters, frozenset(flags), options, tuple(settings))


def open_layout(words: Words, may_be_empty: bool = False) -> Layout:
    """The layout below ``--root``, else below DATA_ROOT_DIR.

    Raises ConfigError where there is no such folder and, unless it may be empty, where nothing was ever run.
    """
    given = words.options.get(ROOT)
    value = given or os.environ.get("DATA_ROOT_DIR", "")
    if not value:
        raise ConfigError(f"DATA_ROOT_DIR is not set; export DATA_ROOT_DIR=/folder, or say {ROOT} FOLDER")
    root = Path(value).expanduser().resolve()
    named = f"{ROOT} {value}" if given else f"DATA_ROOT_DIR={value}"
    if not root.is_dir():
        raise ConfigError(f"{named}: there is no such folder")
    layout = Layout(root)
    if not may_be_empty and not layout.processed.is_dir() and not layout.runs.is_dir():
        folders = f"neither {layout.processed.name!r} nor {layout.runs.name!r}"
        raise ConfigError(f"{named}: there is {folders} in it; nothing was run there yet")
    return layout


def check_values(key: str, values: Sequence[str], known: Collection[str]) -> None:
    """Raise ConfigError for the first value of a key that is not among the known names."""
    for value in values:
        if value not in known:
            near = nearest(value, known) if known else " There is none yet."
            raise ConfigError(f"{key}={value}: there is no such {key}.{near}")


def advise(name: str, names: Collection[str], otherwise: str) -> str:
    """``did you mean 'a' or 'b'?`` with the nearest names, else ``otherwise``. Quick, however many names there are."""
    known = set(names)
    small = name.lower()
    holding = (other for other in known if len(small) >= MIN_PART and small in other.lower())
    close = sorted(holding, key=lambda other: (len(other), other))
    if len(close) < NUM_NEAREST:
        # Names of one source are alike in their beginning, so what has most of it in common is compared first.
        by_start = sorted(known, key=lambda other: (-_num_common(other.lower(), small), other))
        similar = difflib.get_close_matches(name, by_start[:MAX_COMPARED], n=NUM_NEAREST)
        close += [other for other in similar if other not in close]
    return f"did you mean {' or '.join(map(repr, close[:NUM_NEAREST]))}?" if close else otherwise


def _take_value(word: str, queue: list[str], grammar: Grammar) -> str | None:
    """The value of an option, taken from the word itself or from the next one; None for a flag."""
    options = {ROOT: f"a folder; say {ROOT} FOLDER", **grammar.options}
    name, equals, value = word.partition("=")
    if name not in options:
        if word not in grammar.flags:
            raise ConfigError(f"unknown option {word!r}.{nearest(word, {*grammar.flags, *options, '--help'})}")
        return None
    if equals:
        if not value:
            raise ConfigError(f"{name} is given without {options[name]}")
        return value
    if word in grammar.flags:  # the value may be left out: only what looks like a number is one
        return queue.pop(0) if queue and queue[0].replace(".", "", 1).removeprefix("-").isdigit() else None
    if not queue or queue[0].startswith("--") or "=" in queue[0]:
        raise ConfigError(f"{name} is given without {options[name]}")
    return queue.pop(0)


def _add_filter(filters: dict[str, tuple[str, ...]], key: str, value: str, keys: Collection[str]) -> None:
    if key not in keys:
        raise ConfigError(f"unknown key {key!r}.{nearest(key, {*keys, ROOT_KEY})}")
    values = tuple(part.strip().strip("'\"") for part in value.strip("[]").split(",") if part.strip())
    if not values:
        raise ConfigError(f"'{key}' has no value; say {key}=NAME")
    if key in filters:
        raise ConfigError(f"{key!r} is given 2 times; give it once, several values with commas")
    filters[key] = values


def _refuse_second(is_known: bool, word: str) -> None:
    if is_known:
        raise ConfigError(f"{word!r} is given 2 times; give it once")


def _num_common(left: str, right: str) -> int:
    """Letters that two names have in common from their beginning."""
    return next((at for at, (a, b) in enumerate(zip(left, right, strict=False)) if a != b), min(len(left), len(right)))
