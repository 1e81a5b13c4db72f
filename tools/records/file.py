"""Reading files that others write, move and remove meanwhile: what cannot be read is noted, and the rest is shown."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmassist.io.ledger import iter_rows


@dataclass
class Reader:
    """Reads what is there; ``problems`` says what could not be read, one line each."""

    problems: list[str] = field(default_factory=list)

    def read_object(self, path: Path) -> dict[str, Any] | None:
        """The JSON object in ``path``; None when there is none, or none that can be read."""
        data = self.read_bytes(path)
        try:
            value = None if data is None else json.loads(data)
        except ValueError as error:
            self.note(f"{path} cannot be read: it is damaged ({error})")
            return None
        if data is not None and not isinstance(value, dict):
            self.note(f"{path} cannot be read: it holds no JSON object")
            return None
        return value

    def read_bytes(self, path: Path) -> bytes | None:
        """All of a file; None when there is none, or none that can be read."""
        try:
            return path.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            self.note(f"{path} cannot be read: {error.strerror or error}")
            return None

    def iter_rows(self, path: Path) -> Iterator[dict[str, Any]]:
        """The whole lines of a JSON-lines file that are objects; torn ones were never written."""
        try:
            yield from iter_rows(path)
        except OSError as error:
            self.note(f"{path} cannot be read: {error.strerror or error}")

    def list_names(self, folder: Path, suffix: str = "") -> list[str]:
        """Names in ``folder`` that end with ``suffix``, hidden ones left out, sorted; none when it is not there."""
        return [entry.name for entry in self._scan(folder) if entry.name.endswith(suffix)]

    def list_folders(self, folder: Path) -> list[str]:
        """Names of the folders in ``folder``, hidden ones left out, sorted; none when it is not there."""
        return [entry.name for entry in self._scan(folder) if entry.is_dir()]

    def _scan(self, folder: Path) -> list[os.DirEntry[str]]:
        try:
            with os.scandir(folder) as entries:
                return sorted((e for e in entries if not e.name.startswith(".")), key=lambda entry: entry.name)
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            self.note(f"{folder} cannot be read: {error.strerror or error}")
            return []

    def note(self, problem: str) -> None:
        if problem not in self.problems:
            self.problems.append(problem)


def text_of(row: Mapping[str, Any], name: str) -> str:
    """A field that is text, "" when it is absent or something else."""
    value = row.get(name)
    return value if isinstance(value, str) else ""


def number_of(row: Mapping[str, Any], name: str) -> Any:
    """A field that is a number, 0 when it is absent or something else."""
    value = row.get(name)
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else 0


def table_of(row: Mapping[str, Any], name: str) -> dict[str, Any]:
    """A field that is an object, empty when it is absent or something else."""
    value = row.get(name)
    return value if isinstance(value, dict) else {}


def rows_of(row: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    """The objects in a field that is a list, none when it is absent or something else."""
    value = row.get(name)
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []


def source_rows(data_root: Path, paths: Iterable[str]) -> list[dict[str, Any]]:
    """The source's files that an item is made from, and whether they are there; a group may name one many times."""
    return [_source_row(data_root, path) for path in dict.fromkeys(paths)]


def _source_row(data_root: Path, path: str) -> dict[str, Any]:
    try:
        found = data_root / path
        num_bytes = found.stat().st_size if found.is_file() else None
    except OSError:
        num_bytes = None
    return {"path": path, "is_there": num_bytes is not None, "num_bytes": num_bytes}
