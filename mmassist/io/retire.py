"""What only the holder of a folder's lock does to it: open committed tasks again, remove what dead attempts left."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmassist.core.errors import StageError
from mmassist.io import disk, faults
from mmassist.io.atomic import TEMP_SUFFIX, read_json
from mmassist.io.fragment import DamagedBytes, Fragment, copy_fragment
from mmassist.io.layout import UnitLayout
from mmassist.io.records import find_damage, roll_forward

log = logging.getLogger(__name__)


def retire_task(unit: UnitLayout, task: str, redo: Sequence[str], run_id: str) -> None:
    """Open a committed task again because ``redo`` must be made anew or left out.

    The other items' bytes go back into fragments first, so only ``redo`` is done again; the old files are kept under
    ``retired/``. Items whose bytes are damaged are not taken over, and so are done again too.
    """
    record = roll_forward(unit, task)
    if record["files"] and not find_damage(unit, record):
        _take_over(unit, task, record, redo)
    aside = unit.retired(run_id)
    for path in (unit.record(task), unit.index(task), unit.shard(task)):
        target = aside / path.parent.name / path.name
        disk.make_folder(target.parent, target, "retire")
        if disk.is_there(path):
            disk.replace(path, target, "retire")
            disk.sync_folder(path.parent)
            faults.reached("retire:moved")


def _take_over(unit: UnitLayout, task: str, record: Mapping[str, Any], redo: Sequence[str]) -> None:
    index = read_json(unit.index(task))
    try:
        with unit.shard(task).open("rb") as shard:
            for key, entry in index["items"].items():
                if key in redo:
                    continue
                members = [(name, offset - entry["start"], size) for name, offset, size in entry["members"]]
                outcome = record["outcomes"][key]
                path = unit.fragment(task, key)
                was = (entry["digest"], entry["size"], members, outcome["stats"])
                try:
                    copy_fragment(path, Fragment(path, key, outcome["inputs"], *was), shard, entry["start"])
                except DamagedBytes as damage:
                    log.warning("%s: %s; it is made again", unit.shard(task), damage)
    except OSError as error:
        raise StageError(f"cannot read {unit.shard(task)} ({error.strerror}): mend that, then run again") from error


def clean_dead_attempts(unit: UnitLayout) -> None:
    """Finish committed tasks and remove temporary files that none of them needs.

    Only the holder of the folder's lock may call this. What cannot be removed stays, with a warning.
    """
    for path in unit.record_dir.glob("*.json"):
        roll_forward(unit, path.stem)
    kept = []
    for folder, _, names in os.walk(unit.root):
        for name in names:
            if name.startswith(".") and name.endswith(TEMP_SUFFIX):
                temp = Path(folder, name)
                _finish_task_of(unit, temp)
                if not disk.discard(temp):
                    kept.append(temp)
    if kept:
        log.warning("%d temporary files cannot be removed, such as %s", len(kept), kept[0])


def _finish_task_of(unit: UnitLayout, temp: Path) -> None:
    """Rename a temporary file after all if it is a committed task's: a file server may list records late."""
    for folder, suffix in ((unit.shard_dir, ".tar."), (unit.index_dir, ".json.")):
        if temp.parent == folder:
            task = temp.name[1:].split(suffix)[0]
            if disk.is_there(unit.record(task)):
                roll_forward(unit, task)
