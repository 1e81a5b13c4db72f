"""Single conversations for a person to read: score, why, and how the dialog begins."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from mmassist.core.fingerprint import digest
from mmassist.dialog.record import list_conversations, read_record
from mmassist.dialog.turn import render_turns
from mmassist.io.reader import UnitReader
from tools.judge_report.scores import MEMBER, UNREADABLE, Judged, JudgeScores
from tools.records.file import rows_of, table_of
from tools.records.unit import Unit

NUM_TURNS = 4  # of a dialog, from its beginning
CHANGED = "the dialogs were made again since"
GONE = "the dialogs are not there any more"


def choose(rows: Sequence[Judged], number: int) -> dict[str, list[Judged]]:
    """The ``number`` worst and best by final score, those that got none left out; nobody is both."""
    order = sorted((row for row in rows if row.final is not None), key=lambda row: (row.final, row.place))
    worst = order[:number]
    return {"worst": worst, "best": order[len(worst) :][::-1][:number]}


class Examples:
    """Reads what belongs to conversations that were chosen: of a source, from the folders of its dialogs and scores."""

    def __init__(self, units: Sequence[Unit]):
        self._units = units
        self._readers: dict[str, UnitReader] = {}

    def row(self, judged: Judged, scores: JudgeScores) -> dict[str, Any]:
        """Key, score and values, the first rationale ("" for a judge that gives none), the dialog's first turns."""
        lines, remark = self._begin(judged, scores)
        return {
            "key": judged.key,
            "user_type": judged.user_type,
            "user_id": judged.user_id,
            "score": judged.final,
            "values": {name: judged.values.get(name) for name in scores.measures},
            "rationale": self.rationale(judged, scores),
            "dialog": lines,
            "remark": remark,
        }

    def rationale(self, judged: Judged, scores: JudgeScores) -> str:
        """The first one that the judge gave."""
        try:
            made = json.loads(self._reader(scores.unit).read(judged.key).read(MEMBER))
        except UNREADABLE:
            return ""
        rows = (row for row in rows_of(made, "scores") if row.get("user_id") == judged.user_id)
        said = next((row.get("rationales") for row in rows), None)
        return said[0] if isinstance(said, list) and said and isinstance(said[0], str) else ""

    def close(self) -> None:
        for reader in self._readers.values():
            reader.close()

    def _begin(self, judged: Judged, scores: JudgeScores) -> tuple[list[str], str]:
        unit = self._find_dialogs(table_of(scores.unit.settings, "reads"))
        if unit is None:
            return [], GONE
        try:
            reader = self._reader(unit)
            # What the runtime notes about an item of judge: see Workspace.inputs.
            now = digest({"reads": {"generate": reader.digest(judged.key)}, "side": ""})
            if judged.inputs and now != judged.inputs:
                return [], CHANGED
            record = read_record(reader.read(judged.key).read("dialogs.json"))
            found = [c for c in list_conversations(record) if c.user_id == judged.user_id]
        except UNREADABLE:
            return [], GONE
        return (render_turns(found[0].turns[:NUM_TURNS]).splitlines(), "") if found else ([], CHANGED)

    def _find_dialogs(self, reads: Mapping[str, Any]) -> Unit | None:
        wanted = digest(table_of(reads, "generate"))
        units = (unit for unit in self._units if unit.stage == "generate")
        return next((unit for unit in units if unit.manifest.get("fingerprint") == wanted), None)

    def _reader(self, unit: Unit) -> UnitReader:
        if unit.path not in self._readers:
            self._readers[unit.path] = UnitReader(unit.layout, unit.stage)
        return self._readers[unit.path]
