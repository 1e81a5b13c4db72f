"""CaptainCook4D (Peddi et al., NeurIPS 2024): recipe steps, many of them done wrongly on purpose.

The reference has no reader for this source, so ``compat`` changes nothing here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from mmassist.core.adapter import Need, RawRecord
from mmassist.core.annotation import Annotation, Step
from mmassist.core.errors import ItemError, Kind
from mmassist.core.item import Drop, Item, Listing
from mmassist.datasets.base import DialogAdapter, DialogConfig
from mmassist.datasets.captaincook4d_errors import Errors, errors_digest, has_errors
from mmassist.datasets.captaincook4d_files import Files, iter_records, read_length, read_person
from mmassist.datasets.captaincook4d_recipe import clean_description, order_steps
from mmassist.datasets.source import record_digest
from mmassist.datasets.span import covered_share, fit_span, read_number

_REPOSITORY = "https://github.com/CaptainCook4D/annotations"
_STEP_FACTS = ("step_id", "start_time", "end_time", "description", "has_errors", "errors")


@dataclass(frozen=True)
class Config(DialogConfig):
    """Where the publisher's files lie below ``DATA_ROOT_DIR/datasets``."""

    steps_file: str
    activities_file: str
    errors_file: str
    videos_file: str
    split_file: str
    graph_dir: str


class Adapter(DialogAdapter):
    """Read the annotation repository's JSON files; all of them together are a few megabytes."""

    config: Config

    def list_needs(self) -> Sequence[Need]:
        """The files of the publisher's annotation repository."""
        config = self.config
        return (
            Need(config.steps_file, "steps with times, per recording", page=_REPOSITORY),
            Need(config.activities_file, "recipe and person of each recording", page=_REPOSITORY),
            Need(config.errors_file, "what went wrong in a step", page=_REPOSITORY),
            Need(config.videos_file, "lengths of the videos", page=_REPOSITORY),
            Need(config.split_file, "the official train, val and test", page=_REPOSITORY),
            Need(f"{config.graph_dir}/*.json", "order of a recipe's steps", is_required=False, page=_REPOSITORY),
        )

    def list_items(self, which: str = "needed") -> Listing:
        """Items of all recordings that are annotated and in the split file.

        Raises ConfigError for an absent or unreadable file, for an empty train or val list, and when training is left
        empty.
        """
        files, dialogs, drops = self._files, [], []
        for recording, split in sorted(files.splits.items()):
            records = self._records(recording)
            if not isinstance(records["steps"], list):
                drops.append(Drop(recording, recording, f"in the {split} list but not annotated"))
                continue
            person = read_person(records["activity"].get("person_id"))
            dialogs.append(
                self.source.dialog_item(
                    recording,
                    split,
                    (self.config.steps_file, self.config.activities_file, self.config.errors_file),
                    self._digest(recording, records),
                    duration_s=_read_duration(records)[0],
                    participant=person or read_person(records["video"].get("person_id")),
                )
            )
        unlisted = sorted(files.steps.keys() - files.splits.keys())
        drops += [Drop(name, name, "annotated but in no split list") for name in unlisted]
        return self.source.listing(dialogs, drops + files.drops, which)

    def load_annotation(self, item: Item) -> Annotation:
        """Steps in the order they were done. Raises ItemError when the recording is not annotated."""
        recording = item.recording
        records = self._records(recording)
        if not isinstance(records["steps"], list):
            raise ItemError(Kind.PERMANENT, f"{recording} is not in {self.config.steps_file}")
        duration_s, remark = _read_duration(records)
        drops = [Drop(recording, "duration", remark)] if remark else []
        steps, omitted = _build_steps(records, recording, duration_s, drops)
        title, remark = self._files.title(recording)
        if remark:
            drops.append(Drop(recording, "activity_name", remark))
        return Annotation(
            dataset=self.name,
            key=item.key,
            domain=self.config.domain,
            knowledge_type=self.config.knowledge_type,
            goal=f"Make {title}",
            steps=steps,
            duration_s=duration_s,
            ann_ratio=covered_share([(step.start_s, step.end_s) for step in steps], duration_s),
            has_mistake=bool(omitted) or any(step.note for step in steps),
            summary=f"Steps of the recipe the user left out: {'; '.join(omitted)}." if omitted else "",
            knowledge=self._render_recipe(title, records, recording, drops),
            drops=tuple(drops),
        )

    def load_records(self, item: Item) -> Sequence[RawRecord]:
        """Everything raw about the recording, file by file. Raises ItemError when it is not annotated."""
        records = self._records(item.recording)
        if not isinstance(records["steps"], list):
            raise ItemError(Kind.PERMANENT, f"{item.recording} is not in {self.config.steps_file}")
        return tuple(self._iter_raw(item.recording, records))

    def _iter_raw(self, recording: str, records: dict[str, Any]) -> Iterator[RawRecord]:
        config = self.config
        for position, step in enumerate(records["steps"]):
            yield RawRecord(f"{config.steps_file} {recording} steps[{position}]", step)
        yield RawRecord(f"{config.activities_file} {recording}", records["activity"])
        for place, entry in records["errors"]:
            yield RawRecord(place, entry)
        yield RawRecord(f"{config.videos_file} {recording}", records["video"])
        title = self._files.title(recording)[0]
        yield RawRecord(f"{config.graph_dir} {title}", self._files.graph(title)[0])

    def _render_recipe(self, title: str, records: dict[str, Any], recording: str, drops: list[Drop]) -> str:
        """Title and numbered steps in an order that the recipe's task graph allows."""
        graph, refusal = self._files.graph(title)
        descriptions, remark = order_steps(graph)
        if refusal or remark:
            drops.append(Drop(recording, "task graph", ", ".join(filter(None, (refusal, remark)))))
        if not descriptions:
            listed = [clean_description(step.get("description")) for step in iter_records(records["steps"])]
            descriptions = list(dict.fromkeys(text for text in listed if text))
        return "\n".join([title, *(f"{position}. {text}" for position, text in enumerate(descriptions, 1))])

    def _records(self, recording: str) -> dict[str, Any]:
        """Everything raw that shapes one recording's annotation."""
        entry = self._files.steps.get(recording)
        return {
            "steps": entry.get("steps") if isinstance(entry, dict) else None,
            "activity": self._files.activities.get(recording, {}),
            "errors": self._files.errors.get(recording, []),
            "video": self._files.videos.get(recording, {}),
        }

    def _digest(self, recording: str, records: dict[str, Any]) -> str:
        """Digest of what shapes the annotation. The order of steps is the recipe's where no task graph has it."""
        title = self._files.title(recording)[0]
        return record_digest(
            title,
            order_steps(self._files.graph(title)[0])[0],
            [[step.get(name) for name in _STEP_FACTS] for step in iter_records(records["steps"])],
            errors_digest(records["errors"]),
            read_length(records["video"]),
        )

    @cached_property
    def _files(self) -> Files:
        return Files(self.config, self.source)


def _build_steps(
    records: dict[str, Any], recording: str, duration_s: float, drops: list[Drop]
) -> tuple[tuple[Step, ...], list[str]]:
    """Steps by time, and the descriptions of those that were skipped (start and end -1 in the source)."""
    steps: list[Step] = []
    omitted: list[str] = []
    errors = Errors(records["errors"])
    latest_s = 0.0
    for position, record in enumerate(records["steps"]):
        name = f"steps[{position}]"
        wrong = errors.of_step(record) if isinstance(record, dict) else []
        text = clean_description(record.get("description")) if isinstance(record, dict) else ""
        if not text:
            drops.append(Drop(recording, name, "no description"))
            continue
        start_s, end_s = read_number(record.get("start_time")), read_number(record.get("end_time"))
        if start_s is not None and start_s < 0:
            is_skipped = end_s is None or end_s < 0
            if is_skipped:
                omitted.append(text)
            drops.append(Drop(recording, name, "skipped step" if is_skipped else "no start time"))
            continue
        span, remark = fit_span(start_s, end_s, duration_s)
        if remark:
            drops.append(Drop(recording, name, remark))
        if span is None:
            continue
        if span[0] < latest_s:
            drops.append(Drop(recording, name, "listed out of time order, sorted"))
        latest_s = max(latest_s, span[0])
        step = Step(*span, text, note=_render_errors(wrong, has_errors(record)))
        if step in steps:
            drops.append(Drop(recording, name, "copy of another step"))
        else:
            steps.append(step)
    drops += [Drop(recording, place, reason) for place, reason in errors.list_unused()]
    ordered = sorted(steps, key=lambda step: (step.start_s, step.end_s, step.text, step.note))
    return tuple(ordered), list(dict.fromkeys(omitted))


def _render_errors(errors: list[str], is_wrong: bool) -> str:
    """``mistake: <tag>: <description>``, several joined by semicolons; "" for a step done right."""
    if errors:
        return f"mistake: {'; '.join(errors)}"
    return "mistake" if is_wrong else ""


def _read_duration(records: dict[str, Any]) -> tuple[float, str]:
    """Length in seconds and a remark; without an entry in the video table the last end of a step counts."""
    duration_s = read_length(records["video"])
    if duration_s is not None:
        return duration_s, ""
    ends = [read_number(step.get("end_time")) for step in iter_records(records["steps"])]
    last_s = max((end for end in ends if end is not None), default=0.0)
    return max(0.0, last_s), "no usable length, the last step's end used"
