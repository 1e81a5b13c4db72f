"""Reading files that others write, move and remove meanwhile: what cannot be read is noted, and the rest is shown."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class Reader:
    """Reads what is there; ``problems`` says what could not be read, one line each."""

    problems: list[str] = field(default_factory=list)

    def read_object(self, path: Path) -> dict[str, Any] | None:
        """The JSON object in ``path``; None when there is none, or none that can be read."""
        try:
            value = json.loads(path.read_bytes())
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ValueError) as error:
            self.note(f"{path} cannot be read: {why(error)}")
            return None
        if not isinstance(value, dict):
            self.note(f"{path} cannot be read: it holds no JSON object")
            return None
        return value

    def iter_rows(self, path: Path) -> Iterator[dict[str, Any]]:
        """The whole lines of a JSON-lines file that are objects; torn ones were never written."""
        try:
            with path.open("rb") as file:
                for line in file:
                    row = _parse(line)
                    if row is not None:
                        yield row
        except FileNotFoundError:
            return
        except OSError as error:
            self.note(f"{path} cannot be read: {why(error)}")

    def list_names(self, folder: Path, suffix: str = "") -> list[str]:
        """Names in ``folder`` that end with ``suffix``, hidden ones left out, sorted; none when it is not there."""
        try:
            with os.scandir(folder) as entries:
                return sorted(e.name for e in entries if e.name.endswith(suffix) and not e.name.startswith("."))
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            self.note(f"{folder} cannot be read: {why(error)}")
            return []

    def note(self, problem: str) -> None:
        if problem not in self.problems:
            self.problems.append(problem)


def why(error: OSError | ValueError) -> str:
    """The reason without the path, which the line names already."""
    return (error.strerror or str(error)) if isinstance(error, OSError) else f"it is damaged ({error})"


def _parse(line: bytes) -> dict[str, Any] | None:
    if not line.endswith(b"\n"):
        return None
    try:
        row = json.loads(line)
    except ValueError:
        return None
    return row if isinstance(row, dict) else None
