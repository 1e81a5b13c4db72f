"""Scores as they lie on disk: of one source by one judge, a conversation each."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from mmassist.core.errors import Blocked, ItemError, Skip, StageError
from mmassist.dialog.judgement import FINAL, SPREAD, record_values_of, values_of
from mmassist.io.reader import UnitReader
from tools.records.file import Reader, rows_of, table_of, text_of
from tools.records.task import load_record, load_task_rows
from tools.records.unit import Unit

MEMBER = "scores.json"
UNREADABLE = (ItemError, Skip, Blocked, StageError, OSError, ValueError, KeyError, TypeError, AttributeError)
Values = Mapping[str, float | None]


@dataclass(frozen=True)
class Judged:
    """One conversation; ``inputs`` is the digest of the dialogs that were scored, "" where no record has it."""

    key: str
    user_type: str
    user_id: str
    inputs: str
    values: Values

    @property
    def final(self) -> float | None:
        return self.values.get(FINAL)

    @property
    def place(self) -> tuple[str, str]:
        """What it has in common with the same conversation before another judge."""
        return self.key, self.user_id


@dataclass
class JudgeScores:
    """All of one folder; ``records`` are values of recordings as a whole, by item key."""

    unit: Unit
    num_items: int = 0
    num_scored: int = 0
    rows: list[Judged] = field(default_factory=list)
    records: dict[str, Values] = field(default_factory=dict)
    engine: Mapping[str, Any] = field(default_factory=dict)  # of a judge that is a model
    generator: str = ""

    @property
    def judge(self) -> str:
        return self.unit.folder.partition("/")[2]

    @cached_property
    def measures(self) -> list[str]:
        """Names of the values of conversations, the final score first; means of a rubric without their spreads."""
        names = dict.fromkeys(name for row in self.rows for name in row.values)
        of_record = {name for values in self.records.values() for name in values}
        kept = [name for name in names if not name.endswith(SPREAD) and name not in of_record]
        return [FINAL, *(name for name in kept if name not in (FINAL, "overall"))]  # overall is the final score

    @property
    def criteria(self) -> list[str]:
        """The measures that are ratings of several samples."""
        rated = {name.removesuffix(SPREAD) for row in self.rows for name in row.values if name.endswith(SPREAD)}
        return [name for name in self.measures if name in rated]


def load_scores(unit: Unit, reader: Reader) -> JudgeScores:
    """Everything that is finished in a folder; what cannot be read is noted, the first of its kind by name."""
    found = JudgeScores(unit)
    found.num_items = len({key for row in load_task_rows(unit.layout, reader) for key in row["items"]})
    try:
        shards = UnitReader(unit.layout, "judge")
    except UNREADABLE as error:
        reader.note(f"{unit.path} cannot be read: {describe(error)}")
        return found
    inputs = _load_inputs(unit, reader)
    unread: list[tuple[str, str]] = []
    try:
        for key in shards.keys():  # noqa: SIM118
            try:
                _add(found, key, inputs.get(key, ""), json.loads(shards.read(key).read(MEMBER)))
                found.num_scored += 1
            except UNREADABLE as error:
                unread.append((key, describe(error)))
    finally:
        shards.close()
    if unread:
        more = f" ({len(unread) - 1} more cannot be read either)" if len(unread) > 1 else ""
        reader.note(f"{unit.path}: the scores of {unread[0][0]} cannot be read: {unread[0][1]}{more}")
    return found


def describe(error: BaseException) -> str:
    """An error in one line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if isinstance(error, (KeyError, TypeError, AttributeError)) else text


def _load_inputs(unit: Unit, reader: Reader) -> dict[str, str]:
    found: dict[str, str] = {}
    for name in reader.list_names(unit.layout.record_dir, ".json"):
        outcomes = table_of(load_record(unit.layout, name.removesuffix(".json")), "outcomes")
        found |= {key: row["inputs"] for key, row in outcomes.items() if row["status"] == "done"}
    return found


def _add(found: JudgeScores, key: str, inputs: str, scores: Any) -> None:
    rows = rows_of(scores, "scores")
    made = [
        Judged(key, text_of(row, "user_type"), text_of(row, "user_id"), inputs, _finite(values_of(scores, row)))
        for row in rows
    ]
    of_record = _finite(record_values_of(scores))
    if of_record:
        found.records[key] = of_record
    found.rows += made
    found.engine = found.engine or table_of(scores, "engine")
    found.generator = found.generator or text_of(scores, "generator")


def _finite(values: Values) -> Values:
    return {name: value if value is not None and math.isfinite(value) else None for name, value in values.items()}
