"""Command-line words of the tools that look at runs: what is asked for, filters ``key=value``, and flags.

Nothing is composed here: these tools answer from any shell in a moment, also where settings changed since the run.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mmassist.core.errors import ConfigError
from mmassist.io.layout import Layout

ROOT = "paths.data_root"
MAX_COMPARED = 2000  # names; comparing takes about 20 microseconds each
NUM_NEAREST = 3
MIN_PART = 3  # letters; fewer are in most names


@dataclass(frozen=True)
class Words:
    """What a command was told."""

    targets: tuple[str, ...]
    filters: Mapping[str, str]
    flags: frozenset[str]
    numbers: Mapping[str, int]


def read_words(
    words: Sequence[str], filters: Collection[str], flags: Collection[str] = (), numbers: Collection[str] = ()
) -> Words:
    """Sort the words. ``numbers`` are flags with a value, a whole number of 0 or more. Raises ConfigError."""
    targets: list[str] = []
    chosen: dict[str, str] = {}
    found: dict[str, int] = {}
    queue = list(words)
    while queue:
        word = queue.pop(0)
        name, equals, value = word.partition("=")
        if name in numbers:
            text = value if equals else (queue.pop(0) if queue else "")
            if not text.isascii() or not text.isdigit():
                raise ConfigError(f"{name} is given {text!r}; say {name} N with a whole number")
            found[name] = int(text)
        elif word in flags:
            continue
        elif word.startswith("-"):
            raise ConfigError(f"unknown option {word!r}; options are {', '.join([*flags, *numbers, '--help'])}")
        elif not equals:
            targets.append(word)
        elif name not in (*filters, ROOT):
            raise ConfigError(f"unknown key '{name}'; keys are {', '.join([*filters, ROOT])}")
        elif name in chosen or not value:
            raise ConfigError(f"say {name}=… once, with a value")
        else:
            chosen[name] = value.strip("'\"")
    return Words(tuple(targets), chosen, frozenset(flags) & frozenset(words), found)


def open_layout(words: Words) -> Layout:
    """The layout below DATA_ROOT_DIR, or below ``paths.data_root=``. Raises ConfigError."""
    value = words.filters.get(ROOT) or os.environ.get("DATA_ROOT_DIR")
    if not value:
        raise ConfigError(f"DATA_ROOT_DIR is not set; export DATA_ROOT_DIR=/folder, or say {ROOT}=FOLDER")
    root = Path(value).expanduser().resolve()
    layout = Layout(root)
    if not layout.processed.is_dir() and not layout.runs.is_dir():
        raise ConfigError(
            f"DATA_ROOT_DIR is {str(root)!r}, which has neither {layout.processed.name!r} nor {layout.runs.name!r}; "
            "nothing was run there yet"
        )
    return layout


def advise(name: str, names: Collection[str], otherwise: str) -> str:
    """``did you mean 'a' or 'b'?`` with the nearest names, else ``otherwise``. Quick, however many names there are."""
    known = set(names)
    small = name.lower()
    holding = (other for other in known if len(small) >= MIN_PART and small in other.lower())
    close = sorted(holding, key=lambda other: (len(other), other))
    if len(close) < NUM_NEAREST:
        # Names of one source are alike in their beginning, so what has most of it in common is compared first.
        nearest = sorted(known, key=lambda other: (-_num_common(other.lower(), small), other))
        similar = difflib.get_close_matches(name, nearest[:MAX_COMPARED], n=NUM_NEAREST)
        close += [other for other in similar if other not in close]
    return f"did you mean {' or '.join(map(repr, close[:NUM_NEAREST]))}?" if close else otherwise


def _num_common(left: str, right: str) -> int:
    """Letters that two names have in common from their beginning."""
    return next((at for at, (a, b) in enumerate(zip(left, right, strict=False)) if a != b), min(len(left), len(right)))
