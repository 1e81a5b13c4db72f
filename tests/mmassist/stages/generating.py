"""A recording, a stage and what the runtime would hand to it, for the tests of ``generate``."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field, replace
from typing import Any

import jsonschema

from mmassist.core.annotation import Annotation, KnownTask, Step, Substep
from mmassist.core.config import build
from mmassist.core.item import Item, ItemKind
from mmassist.dialog.record import list_conversations, read_record, record_schema
from mmassist.dialog.turn import Turn
from mmassist.llm import build_engine, build_llm_config
from mmassist.llm.protocol import Answer, Engine, Request
from mmassist.stages.generate import Generate, GenerateConfig

ITEM = Item("kitchen", "kitchen-1", ItemKind.DIALOG, "train", (), "digest", "kitchen-1")
WORDS = ["kettle", "teapot", "spoon", "sugar", "lemon", "saucer", "biscuit", "napkin", "tray", "table"]


def annotation(num_steps: int = 10, **changes: Any) -> Annotation:
    steps = []
    for n in range(num_steps):
        start = 5.0 + 15 * n
        substeps: tuple[Substep, ...] = ()
        if n == 2:
            substeps = (
                Substep(start + 2, "lift lid", start + 4),
                Substep(start + 6, "is this  right?", role="user"),
                Substep(start + 7, "yes that is right", role="assistant"),
                Substep(start + 9, "drop lid", start + 10, note="the lid fell"),
            )
        note = "measurement error: too much" if n == 4 else ""
        steps.append(Step(start, start + 12, f"The user takes the {WORDS[n % 10]}.", note, substeps))
    made = Annotation(
        "kitchen", "kitchen-1", "cooking", "recipe", "lay the table", tuple(steps), 5.0 + 15 * num_steps, 0.8
    )
    return replace(made, **changes)


@dataclass
class FakeContext:
    """What the runtime would hand over, with a log of the requests."""

    made: Annotation
    engine: Engine
    compat: bool = False
    requests: list[Request] = field(default_factory=list)
    verdicts: int = 0
    planned_revision: dict[str, Any] = field(default_factory=dict)

    def num_verdicts(self, item: Item) -> int:
        return self.verdicts

    @property
    def adapter(self) -> FakeContext:
        return self

    @property
    def llm(self) -> FakeContext:
        return self

    def load_annotation(self, item: Item) -> Annotation:
        return self.made

    async def ask(self, request: Request) -> Answer:
        self.requests.append(request)
        await asyncio.sleep(0)
        return await self.engine.answer(request)


def stage(flaw_rate: float = 0.0, **values: Any) -> Generate:
    llm = build_llm_config({"engine": "scripted", "flaw_rate": flaw_rate}, "llm")
    return Generate({"generate": build(GenerateConfig, values, "generate"), "llm": llm, "dataset": None})


def run(
    made: Annotation, flaw_rate: float = 0.0, compat: bool = False, **values: Any
) -> tuple[dict[str, Any], FakeContext]:
    generate = stage(flaw_rate, **values)
    ctx = FakeContext(made, build_engine(generate.configs["llm"]), compat)
    outputs = asyncio.run(generate.process(ITEM, ctx))  # type: ignore[arg-type]
    ((name, content),) = list(outputs.members)  # type: ignore[arg-type]
    assert name == "dialogs.json"
    record = json.loads(content)
    jsonschema.validate(record, record_schema())
    assert outputs.stats["conversations"] == len(record["conversations"])
    return record, ctx


def turns_of(record: dict[str, Any]) -> list[tuple[str, tuple[Turn, ...]]]:
    return [(c.user_type, c.turns) for c in list_conversations(read_record(record))]


TASKS = (
    KnownTask("Mend a tyre", ("Lift: Raise the car.", "Swap: Change the wheel.")),
    KnownTask("Lay the table", ("Carry: Bring kettle, teapot and spoon.", "Set: Put them on the table.")),
    KnownTask("Sweep", ("Sweep: Use a broom.",)),
)
