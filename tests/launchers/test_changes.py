"""What a message says of a finished item whose inputs are others now."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from launchers.changes import describe_change
from launchers.workspace import inputs_digest
from mmassist.core.item import Item, ItemKind
from mmassist.io.layout import Layout
from mmassist.io.ledger import append_row

ITEM = Item("wtag", "T1-x", ItemKind.DIALOG, "train", ("datasets/WTaG/T1/steps.csv",), "s1", "T1", media_key="T1")
NOW = {"extract": "e2", "judge@llm": "j2"}


@pytest.fixture
def upstream(tmp_path: Path) -> dict[str, Any]:
    """What two earlier stages noted when they finished the item: twice each."""
    units = {"extract": Layout(tmp_path).unit("wtag", "frames"), "judge@llm": Layout(tmp_path).unit("wtag", "scores")}
    for read, unit in units.items():
        for number in (1, 2):
            row = {"item": "T1" if read == "extract" else "T1-x", "digest": f"{read[0]}{number}", "time": str(number)}
            append_row(unit.done_log("r1.w"), row)
    return units


def described(upstream: dict[str, Any], before: str, now: dict[str, Any] = NOW, reads_source: bool = False) -> str:
    stage = SimpleNamespace(name="pack", reads=tuple(n for n in now if n != "source"), reads_source=reads_source)
    workspace = SimpleNamespace(parts=lambda item: now)
    job: Any = SimpleNamespace(stage=stage, upstream=upstream)
    return describe_change(job, ITEM, "train", workspace, before)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("parts", "side", "said"),
    [
        ({"extract": "e1", "judge@llm": "j2"}, "train", "by what extract made of it"),
        ({"extract": "e2", "judge@llm": "j1"}, "train", "by what judge (llm) made of it"),
        ({"extract": "e1", "judge@llm": "j1"}, "train", "by what extract and judge (llm) made of it"),
        (NOW, "val", "by its recording's side, val before and train now"),
        ({"extract": "lost", "judge@llm": "j2"}, "train", "by what extract or judge (llm) made of it"),
    ],
)
def test_the_part_that_changed_is_named(upstream, parts, side, said):
    assert described(upstream, inputs_digest(parts, side, "pack")) == said


def test_of_captions_it_may_be_the_source(upstream):
    now = {"source": "s1", "extract": "e2"}
    before = inputs_digest({"source": "s1", "extract": "e1"}, "train", "pack")
    assert described(upstream, before, now, reads_source=True) == "by what extract made of it"
    before = inputs_digest({"source": "s0", "extract": "e2"}, "train", "pack")
    said = "by its records in datasets/WTaG/T1/steps.csv, or by what extract made of it"
    assert described(upstream, before, now, reads_source=True) == said
