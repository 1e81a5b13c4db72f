"""What was found out about a source, and the verdict."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from mmassist.core.item import Item, Medium
from mmassist.datasets.json_file import replace_surrogates
from mmassist.stages import stage_class
from tools.doctor.disk import Disk, StageBytes
from tools.doctor.needs import NeedState, State
from tools.doctor.pictures import Pictures
from tools.doctor.records import Records
from tools.doctor.sides import SideTable

SCHEMA_VERSION = 1
NUM_EXAMPLES = 3


class Verdict(StrEnum):
    READY = "ready"
    WARNINGS = "ready with warnings"
    NOT_READY = "not ready"


@dataclass(frozen=True)
class Contents:
    """What the listing holds.

    ``hours`` are those of the media, of which ``num_unknown_length`` state none and count as 0; ``annotated_hours``
    those of the stretches that dialog items are about. Pictures have no length.
    """

    num_dialogs: int
    dialogs_by_split: dict[str, int]
    num_media: int
    media_by_medium: dict[str, int]
    num_recordings: int
    num_participants: int
    hours: float
    annotated_hours: float
    num_unknown_length: int

    @classmethod
    def of(cls, dialogs: Sequence[Item], media: Sequence[Item]) -> Contents:
        stills = {item.key for item in media if item.medium is Medium.IMAGES}
        timed = [item for item in media if item.key not in stills]
        return cls(
            num_dialogs=len(dialogs),
            dialogs_by_split=dict(sorted(Counter(item.split for item in dialogs).items())),
            num_media=len(media),
            media_by_medium=dict(sorted(Counter(str(item.medium) for item in media).items())),
            num_recordings=len({item.recording for item in dialogs}),
            num_participants=len({item.participant for item in dialogs if item.participant}),
            hours=_hours(timed),
            annotated_hours=_hours([item for item in dialogs if (item.media_key or item.key) not in stills]),
            num_unknown_length=sum(item.duration_s is None for item in timed),
        )


@dataclass
class SourceReport:
    """One source. A part that could not be looked at is None; ``problem`` is why there is no listing."""

    dataset: str
    content: str
    folder: str
    homepage: str
    licence: str
    is_named: bool
    is_there: bool
    shares_folder: bool = False  # with another source, so the folder alone does not say that this one is meant
    folder_hint: str = ""
    stages: tuple[str, ...] = ()
    needs: list[NeedState] = field(default_factory=list)
    picture_pattern: str = ""
    picture_hint: str = ""  # where the pictures might be when none is found
    problem: str = ""
    contents: Contents | None = None
    drops: list[dict[str, str]] = field(default_factory=list)  # of the listing; each with "item": ""
    pictures: Pictures | None = None
    sides: SideTable | None = None
    records: Records | None = None
    disk: list[StageBytes] = field(default_factory=list)
    disk_warnings: list[str] = field(default_factory=list)

    @property
    def counts(self) -> bool:
        """Whether the exit code depends on this source."""
        is_meant = not self.shares_folder or any(need.is_usable for need in self.needs if need.is_required)
        return self.is_named or (self.is_there and is_meant)

    @property
    def all_drops(self) -> list[dict[str, str]]:
        return self.drops + (self.records.drops if self.records else [])

    @property
    def problems(self) -> list[str]:
        """What must be mended first, one line each."""
        if not self.is_there:
            hint = self.folder_hint or f"get it from {self.homepage}"
            return [f"{self.folder} does not exist; {hint}"]
        found = [f"{need.path} is {need.state}" for need in self.needs if need.is_required and not need.is_usable]
        if self.problem:
            found.append(self.problem)
        if self.pictures and self.pictures.num_files and not self.pictures.usable:
            hint = f"; {self.picture_hint}" if self.picture_hint else ""
            what = "can be used: files are missing or of 0 bytes" if self.pictures.num_there else "is there"
            found.append(f"none of the videos or pictures {what}{hint}")
        if self.records and self.records.num_items and self.records.num_unusable == self.records.num_items:
            found.append("no annotation can be used")
        return found

    @property
    def warnings(self) -> list[str]:
        """What costs something, but not the whole."""
        return [
            *(f"{need.path} is {need.state}" for need in self.needs if not need.is_required and _is_suspect(need)),
            *self._picture_warnings(),
            *self._side_warnings(),
            *self._record_warnings(),
            *self.disk_warnings,
        ]

    @property
    def verdict(self) -> Verdict:
        if self.problems:
            return Verdict.NOT_READY
        return Verdict.WARNINGS if self.warnings else Verdict.READY

    @property
    def possible(self) -> dict[str, str]:
        """Stage -> "" when it can run on what is there, else why not."""
        if not self.is_there:
            return dict.fromkeys(self.stages, "the folder is not there")
        if self.contents is None:
            return dict.fromkeys(self.stages, "the source cannot be listed")
        has_pictures = bool(self.pictures and self.pictures.usable)
        return {name: "" if has_pictures or not needs_pictures(name) else "no pictures" for name in self.stages}

    def to_row(self) -> dict[str, Any]:
        """Plain values with the field names of docs/tools.md."""
        return {
            "dataset": self.dataset,
            "content": self.content,
            "folder": self.folder,
            "homepage": self.homepage,
            "licence": self.licence,
            "is_named": self.is_named,
            "is_there": self.is_there,
            "is_counted": self.counts,
            "folder_hint": self.folder_hint,
            "verdict": str(self.verdict),
            "problems": self.problems,
            "warnings": self.warnings,
            "stages": self.possible,
            "needs": [asdict(need) for need in self.needs],
            "picture_pattern": self.picture_pattern,
            "picture_hint": self.picture_hint,
            "contents": asdict(self.contents) if self.contents else None,
            "pictures": _picture_row(self.pictures) if self.pictures else None,
            "sides": asdict(self.sides) if self.sides else None,
            "records": _record_row(self.records) if self.records else None,
            "drops": self.all_drops,
            "disk": [asdict(row) for row in self.disk],
        }

    def _picture_warnings(self) -> list[str]:
        if not self.pictures or not self.pictures.usable:
            return []
        found = []
        if self.pictures.missing:
            found.append(f"{len(self.pictures.missing)} of {self.pictures.num_files} videos or pictures are missing")
        if self.pictures.empty:
            among = "at least " if self.pictures.is_estimate else ""
            found.append(f"{among}{len(self.pictures.empty)} videos or pictures are files of 0 bytes")
        return found

    def _side_warnings(self) -> list[str]:
        if self.sides is None:
            return []
        found = [self.sides.conflict] if self.sides.conflict else []
        if self.content == "dialog":  # captions are mostly published for training alone
            found += [f"no recording is on side {side}" for side in self.sides.empty]
        if self.sides.num_without_side:
            found.append(f"{self.sides.num_without_side} recordings are on no side, so in no sample")
        return found

    def _record_warnings(self) -> list[str]:
        records = self.records
        if records is None or records.num_unusable == records.num_items:
            return []
        found = []
        if records.failed:
            first = records.failed[0]
            found.append(f"{len(records.failed)} items cannot be read, the first {first['item']}: {first['message']}")
        if records.without_goal:
            found.append(f"{len(records.without_goal)} items name no goal, which generate.goal_method=given needs")
        if len(records.low_coverage) * 2 > records.num_items:
            found.append(f"{len(records.low_coverage)} of {records.num_items} items are annotated too sparsely")
        return found


def _hours(items: Sequence[Item]) -> float:
    return round(sum(item.duration_s or 0.0 for item in items) / 3600, 3)


def needs_pictures(stage: str) -> bool:
    """Whether a stage has nothing to do without videos or pictures."""
    return stage == "extract" or "extract" in stage_class(stage).reads


def count_reasons(drops: Iterable[Mapping[str, str]]) -> list[tuple[str, int, list[str]]]:
    """Reasons by frequency, each with its count and the first examples."""
    counts: Counter[str] = Counter()
    examples: dict[str, list[str]] = {}
    for drop in drops:
        counts[drop["reason"]] += 1
        named = examples.setdefault(drop["reason"], [])
        if len(named) < NUM_EXAMPLES:
            named.append(name_of(drop))
    return [(reason, count, examples[reason]) for reason, count in sorted(counts.items(), key=lambda c: (-c[1], c[0]))]


def name_of(drop: Mapping[str, str]) -> str:
    """Recording and record of a drop, once where they are the same."""
    return " ".join(dict.fromkeys(part for part in (drop["recording"], drop["record"]) if part))


def report_row(data_root: str, reports: Sequence[SourceReport], disk: Disk, exit_code: int) -> dict[str, Any]:
    """The whole report as plain values."""
    needed = sum(row.missing for report in reports for row in report.disk)
    row = {
        "schema_version": SCHEMA_VERSION,
        "data_root": data_root,
        "exit_code": exit_code,
        "sources": [report.to_row() for report in reports],
        "disk": {**asdict(disk), "needed_bytes": needed, "fits": needed <= disk.free_bytes},
    }
    plain: dict[str, Any] = replace_surrogates(row)
    return plain


def _is_suspect(need: NeedState) -> bool:
    """An optional file may be missing; one that is there and of no use is a mistake."""
    return need.state in (State.EMPTY, State.UNREADABLE)


def _picture_row(pictures: Pictures) -> dict[str, Any]:
    return {
        "num_files": pictures.num_files,
        "num_there": pictures.num_there,
        "num_bytes": pictures.num_bytes,
        "is_estimate": pictures.is_estimate,
        "num_usable_media": len(pictures.usable),
        "missing": pictures.missing,
        "empty": pictures.empty,
    }


def _record_row(records: Records) -> dict[str, Any]:
    return {key: value for key, value in asdict(records).items() if key != "drops"}
