"""CaptainCook4D's files, read once: split lists, one table each of steps, activities, errors, videos; task graphs."""

from __future__ import annotations

import io
import logging
import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Any

from mmassist.core.errors import ConfigError
from mmassist.core.item import Drop
from mmassist.datasets.json_file import Outermost
from mmassist.datasets.source import Source, record_digest
from mmassist.datasets.span import read_number
from mmassist.datasets.table import BadRow, iter_rows

if TYPE_CHECKING:
    from mmassist.datasets.captaincook4d import Config

SPLITS = ("train", "val", "test")
_LENGTH = "duration(sec)"
_NAME = re.compile(r"[^/\x00-\x1f\x7f\x85\u2028\u2029]{1,150}")  # what a video's file can be called after
_LOG = logging.getLogger(__name__)


class Files:
    """Everything raw, by recording; all of it together is a few megabytes. Reads nothing until asked.

    Every property raises ConfigError for a file that is absent or not what it should be.
    """

    def __init__(self, config: Config, source: Source):
        self._config = config
        self._source = source
        self._drops: dict[str, list[Drop]] = defaultdict(list)  # by file
        self._read_graphs: dict[str, tuple[Any, str]] = {}

    @property
    def drops(self) -> list[Drop]:
        """What was repaired in the files read so far."""
        return [drop for drops in self._drops.values() for drop in drops]

    @cached_property
    def splits(self) -> dict[str, str]:
        """Recording -> split. A name in several lists goes to the one that is furthest from training.

        Raises ConfigError when there is no list of train or val names; without test names nothing can be held out as
        the publisher does, so that is logged.
        """
        file = self._config.split_file
        lists: dict[str, list[Any]] = {}
        for split, listed in self._iter_json(file, "object"):
            if split in SPLITS and listed is not None:
                if not isinstance(listed, list):
                    raise self._refuse_list(split)
                lists.setdefault(split, []).extend(listed)
        splits: dict[str, str] = {}
        for split in SPLITS:
            names = []
            for position, listed in enumerate(lists.get(split, [])):
                if name := _read_name(listed):
                    names.append(name)
                else:
                    self._drops[file].append(Drop("", f"{split}[{position}]", "not a recording's name"))
            if not names and split != "test":
                raise self._refuse_list(split)
            if not names:
                _LOG.warning("data set %s: the test list of %s is empty", self._source.dataset, file)
            for name in names:
                if splits.get(name, split) != split:
                    remark = f"also in the {split} list, which wins"
                    self._drops[file].append(Drop(name, f"{splits[name]} list", remark))
                splits[name] = split
        return splits

    @cached_property
    def steps(self) -> dict[str, Any]:
        """Recording -> its record with a list of steps; of several the one with most of them."""
        entries = self._read_mapping(self._config.steps_file, count_steps)
        if all(count_steps(entry) < 1 for entry in entries.values()):
            raise self._source.refuse(self._config.steps_file, "holds no step of any recording")
        return entries

    @cached_property
    def activities(self) -> dict[str, dict[str, Any]]:
        """Activity and person per recording, of several the entry with a name; the steps repeated there are not kept.

        What is no object is left out, so its recording has no recipe name, and says so.
        """
        entries = self._read_mapping(self._config.activities_file, lambda entry: bool(_read_title(entry)))
        kept = {name: entry for name, entry in entries.items() if isinstance(entry, dict)}
        return {name: {key: value for key, value in entry.items() if key != "steps"} for name, entry in kept.items()}

    @cached_property
    def errors(self) -> dict[str, list[tuple[str, dict[str, Any]]]]:
        """Recording -> place and value of each annotated step; those of one that is listed twice follow each other."""
        file = self._config.errors_file
        errors: dict[str, list[tuple[str, dict[str, Any]]]] = {}
        counts: Counter[str] = Counter()
        for position, entry in self._iter_json(file, "list"):
            name = _read_name(entry.get("recording_id")) if isinstance(entry, dict) else ""
            if not name:
                self._drops[file].append(Drop("", f"{file} [{position}]", "no recording_id"))
                continue
            if name in errors:
                self._drops[file].append(Drop(name, "second error record", "its steps were added to the first's"))
            found = errors.setdefault(name, [])
            annotated = entry.get("step_annotations")
            if not isinstance(annotated, list):
                self._drops[file].append(Drop(name, f"{file} [{position}]", "no list of annotated steps"))
                continue
            for step in annotated:
                place = f"{file} {name} step_annotations[{counts[name]}]"
                counts[name] += 1  # goes on in a second record, so that no two places are the same
                if isinstance(step, dict):
                    found.append((place, step))
                else:
                    self._drops[file].append(Drop(name, place, "not a record"))
        return errors

    @cached_property
    def videos(self) -> dict[str, dict[str, str]]:
        """Recording -> its row; of several the longest."""
        file = self._config.videos_file
        videos: dict[str, dict[str, str]] = {}
        for line, row in self._iter_rows(file):
            record, name = f"{file} line {line}", row["recording_id"]
            if not name:
                self._drops[file].append(Drop("", record, "no recording_id"))
                continue
            if name in videos:
                self._drops[file].append(Drop(name, record, "second row of a video, the longest counts"))
            if name not in videos or _rank(row) > _rank(videos[name]):
                videos[name] = row
        return videos

    def graph(self, title: str) -> tuple[Any, str]:
        """Task graph of a recipe (None without one) and a remark; a bad file costs only this recipe's order."""
        path = self._graph_files.get("".join(char for char in title.lower() if char.isalnum()))
        if path is None:
            return None, ""
        if path not in self._read_graphs:
            try:
                self._read_graphs[path] = self._source.read_json(path)
            except ConfigError:
                self._read_graphs[path] = None, "task graph is not readable"
        return self._read_graphs[path]

    def title(self, recording: str) -> tuple[str, str]:
        """Name of a recording's recipe, and a remark.

        Without one it is the name that most other recordings of the same activity have: ``1_7`` is of activity 1.
        """
        title = _read_title(self.activities.get(recording, {}))
        if title:
            return title, ""
        number = _activity(recording)
        if number in self._titles:
            return self._titles[number], f"no recipe name, that of activity {number} used"
        return f"recipe {number}", "no recipe name, activity number used"

    @cached_property
    def _titles(self) -> dict[str, str]:
        """Activity number -> its recipe's most frequent name."""
        counts: dict[str, Counter[str]] = defaultdict(Counter)
        for recording, entry in self.activities.items():
            if title := _read_title(entry):
                counts[_activity(recording)][title] += 1
        return {number: min(found, key=lambda title: (-found[title], title)) for number, found in counts.items()}

    @cached_property
    def _graph_files(self) -> dict[str, str]:
        """Recipe's name in small letters without blanks -> file below the source's folder."""
        folder = self._config.graph_dir
        paths = sorted((self._source.root / folder).glob("*.json"))
        return {path.stem.lower(): f"{folder}/{path.name}" for path in paths}

    def _read_mapping(self, file: str, rank: Callable[[Any], float]) -> dict[str, Any]:
        """Name -> value of a JSON object; of a name that is there twice the value of the higher rank."""
        content: dict[str, Any] = {}
        for key, value in self._iter_json(file, "object"):
            name = " ".join(str(key).split())
            if name in content:
                self._drops[file].append(Drop(name, f"{file} {name}", "listed twice, the fuller record is kept"))
                # of equals any rule will do that is free of the file's order
                ranks = [(rank(entry), record_digest(entry)) for entry in (value, content[name])]
                if ranks[0] <= ranks[1]:
                    continue
            content[name] = value
        return content

    def _iter_rows(self, file: str) -> Iterator[tuple[int, dict[str, str]]]:
        """Line and cells of each row, by all columns that there are. Raises ConfigError when one is missing."""
        text, remark = self._source.read_text(file)
        self._note(file, remark)
        header: list[str] = []
        for row in iter_rows(io.StringIO(text, newline="")):
            if isinstance(row, BadRow):
                self._drops[file].append(Drop("", f"{file} line {row.line}", row.reason))
            found = row.row if isinstance(row, BadRow) else row
            cells = [cell.strip() for cell in found.cells] if found else []
            if cells and header:
                yield row.line, dict(zip(header, cells, strict=True))
            elif cells:
                header = cells
                if not {"recording_id", _LENGTH} <= set(header):
                    break
        if not {"recording_id", _LENGTH} <= set(header):
            raise self._source.refuse(file, f"has no columns recording_id and {_LENGTH}")

    def _iter_json(self, file: str, outermost: Outermost) -> Iterator[tuple[str | int, Any]]:
        is_odd = False
        for element in self._source.iter_json(file, outermost=outermost):
            is_odd = is_odd or element.is_odd
            yield element.key, element.value
        if is_odd:
            self._note(file, "not wholly UTF-8, the odd bytes became U+FFFD")

    def _refuse_list(self, split: str) -> ConfigError:
        return self._source.refuse(self._config.split_file, f"has no list of recordings called '{split}'")

    def _note(self, file: str, remark: str) -> None:
        if remark:
            self._drops[file].append(Drop("", file, remark))


def iter_records(value: Any) -> Iterator[dict[str, Any]]:
    """Yield the objects of a JSON list; nothing for anything else."""
    yield from (entry for entry in value if isinstance(entry, dict)) if isinstance(value, list) else ()


def count_steps(entry: Any) -> int:
    """Number of step records of a recording's entry, -1 where it has no list of them."""
    steps = entry.get("steps") if isinstance(entry, dict) else None
    return sum(1 for _ in iter_records(steps)) if isinstance(steps, list) else -1


def read_length(row: dict[str, str]) -> float | None:
    """Length in seconds that a row of the video table gives, or None."""
    length_s = read_number(row.get(_LENGTH))
    return length_s if length_s is not None and length_s > 0 else None


def read_person(value: Any) -> str | None:
    """A person's number or name, or None for what can be neither."""
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        return None
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return " ".join(str(value).split()) or None


def _rank(row: dict[str, str]) -> tuple[float, list[tuple[str, str]]]:
    return read_length(row) or 0.0, sorted(row.items())


def _read_name(value: Any) -> str:
    """A recording's name, "" for what can be none."""
    name = value.strip() if isinstance(value, str) else ""
    return name if _NAME.fullmatch(name) else ""


def _read_title(activity: Any) -> str:
    name = activity.get("activity_name") if isinstance(activity, dict) else None
    return " ".join(name.split()) if isinstance(name, str) else ""


def _activity(recording: str) -> str:
    return recording.split("_")[0]
