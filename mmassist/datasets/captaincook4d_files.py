"""CaptainCook4D's files, read once: split lists, one table each of steps, activities, errors, videos; task graphs."""

from __future__ import annotations

import csv
import io
import logging
from collections import Counter, defaultdict
from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Any

from mmassist.core.errors import ConfigError
from mmassist.core.item import Drop
from mmassist.datasets.source import Source
from mmassist.datasets.span import read_number

if TYPE_CHECKING:
    from mmassist.datasets.captaincook4d import Config

SPLITS = ("train", "val", "test")
_LENGTH = "duration(sec)"
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
        lists = self._read_mapping(file)
        splits: dict[str, str] = {}
        for split in SPLITS:
            listed = lists.get(split)
            names = [name.strip() for name in listed if isinstance(name, str)] if isinstance(listed, list) else []
            is_wrong = not isinstance(listed, list) and listed is not None
            if is_wrong or (split != "test" and not any(names)):
                raise self._source.refuse(file, f"has no list of recordings called '{split}'")
            if not any(names):
                _LOG.warning("data set %s: the test list of %s is empty", self._source.dataset, file)
            for position, name in enumerate(listed or []):
                if not isinstance(name, str) or not name.strip():
                    self._drops[file].append(Drop("", f"{split}[{position}]", "not a recording's name"))
            for name in filter(None, names):
                if splits.get(name, split) != split:
                    remark = f"also in the {split} list, which wins"
                    self._drops[file].append(Drop(name, f"{splits[name]} list", remark))
                splits[name] = split
        return splits

    @cached_property
    def steps(self) -> dict[str, Any]:
        """Recording -> its record with a list of steps."""
        return self._read_mapping(self._config.steps_file)

    @cached_property
    def activities(self) -> dict[str, Any]:
        """Activity and person per recording; the steps repeated in that file are not looked at."""
        return {
            recording: {key: value for key, value in entry.items() if key != "steps"}
            for recording, entry in self._read_mapping(self._config.activities_file).items()
            if isinstance(entry, dict)
        }

    @cached_property
    def errors(self) -> dict[str, list[Any]]:
        """Recording -> annotated steps; the entries of one that is listed twice follow each other."""
        file = self._config.errors_file
        content = self._read_json(file)
        if not isinstance(content, list):
            raise self._source.refuse(file, "is not a JSON list of recordings")
        errors: dict[str, list[Any]] = {}
        for entry in iter_records(content):
            name = str(entry.get("recording_id"))
            if name in errors:
                self._drops[file].append(Drop(name, "second error record", "its steps were added to the first's"))
            errors.setdefault(name, []).extend(iter_records(entry.get("step_annotations")))
        return errors

    @cached_property
    def videos(self) -> dict[str, dict[str, str]]:
        """Recording -> its row; of several the first that has a length."""
        file = self._config.videos_file
        text, remark = self._source.read_text(file)
        self._note(file, remark)
        reader = csv.DictReader(io.StringIO(text, newline=""), restval="")
        videos: dict[str, dict[str, str]] = {}
        try:
            if not {"recording_id", _LENGTH} <= set(reader.fieldnames or ()):
                raise self._source.refuse(file, f"has no columns recording_id and {_LENGTH}")
            for row in reader:
                name = row["recording_id"]
                if name in videos:
                    self._drops[file].append(Drop(name, "second video row", "first row with a length kept"))
                if name and (name not in videos or (not read_length(videos[name]) and read_length(row))):
                    videos[name] = {key: value for key, value in row.items() if isinstance(key, str)}
        except csv.Error as error:
            raise self._source.refuse(file, f"is not a readable CSV table ({error})") from error
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

    def _read_mapping(self, file: str) -> dict[str, Any]:
        content = self._read_json(file)
        if not isinstance(content, dict):
            raise self._source.refuse(file, "is not a JSON object")
        return content

    def _read_json(self, file: str) -> Any:
        content, remark = self._source.read_json(file)
        self._note(file, remark)
        return content

    def _note(self, file: str, remark: str) -> None:
        if remark:
            self._drops[file].append(Drop("", file, remark))


def iter_records(value: Any) -> Iterator[dict[str, Any]]:
    """Yield the objects of a JSON list; nothing for anything else."""
    yield from (entry for entry in value if isinstance(entry, dict)) if isinstance(value, list) else ()


def read_length(row: dict[str, str]) -> float | None:
    """Length in seconds that a row of the video table gives, or None."""
    length_s = read_number(row.get(_LENGTH))
    return length_s if length_s is not None and length_s > 0 else None


def _read_title(activity: dict[str, Any]) -> str:
    name = activity.get("activity_name")
    return " ".join(name.split()) if isinstance(name, str) else ""


def _activity(recording: str) -> str:
    return recording.split("_")[0]
