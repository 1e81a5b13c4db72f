from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from mmassist.core.annotation import Annotation
from mmassist.core.config import build
from mmassist.core.errors import ConfigError, StageError
from mmassist.dialog.record import record_schema
from mmassist.llm import build_engine
from mmassist.llm.ask import schema_reasons
from mmassist.llm.protocol import Answer, Engine, Request
from mmassist.llm.scripted import ScriptedConfig
from mmassist.stages.generate import Generate, GenerateConfig
from tests.mmassist.stages.generating import ITEM, TASKS, FakeContext, annotation, run, stage, turns_of

pytestmark = pytest.mark.long


@dataclass(frozen=True, kw_only=True)
class Unschooled(ScriptedConfig):
    """Scripted, as if it knew no schemas."""

    @property
    def has_schemas(self) -> bool:
        return False


@dataclass
class Speaking:
    """Lets another engine's answers through, changed by ``change`` on first attempts of ``kinds``."""

    inner: Engine
    kinds: set[str]
    change: Any
    name: str = "speaking 1"
    revision: str = "1"
    is_scripted: bool = False

    async def answer(self, request: Request) -> Answer:
        made = await self.inner.answer(request)
        if request.kind not in self.kinds or request.is_repair:
            return made
        samples = tuple(replace(sample, text=self.change(sample.text)) for sample in made.samples)
        return replace(made, samples=samples, engine=self.name)

    def close(self) -> None: ...


def run_with(generate: Generate, engine: Engine, made: Annotation, **context: Any) -> tuple[dict[str, Any], Any]:
    ctx = FakeContext(made, engine, **context)
    outputs = asyncio.run(generate.process(ITEM, ctx))  # type: ignore[arg-type]
    record = json.loads(next(iter(outputs.members))[1])  # type: ignore[arg-type]
    jsonschema.validate(record, record_schema())
    return record, (ctx, outputs.stats)


def unschooled(flaw_rate: float = 0.0, **values: Any) -> Generate:
    llm = Unschooled(engine="scripted", flaw_rate=flaw_rate)
    return Generate({"generate": build(GenerateConfig, values, "generate"), "llm": llm, "dataset": None})


@pytest.mark.parametrize("values", [{}, {"goal_method": "match", "label_filter": True}])
def test_an_engine_without_schemas_gives_the_same_dialogs_through_lines(values: dict[str, Any]) -> None:
    made = annotation(known_tasks=TASKS)
    generate = unschooled(**values)
    record, (ctx, _) = run_with(generate, build_engine(generate.configs["llm"]), made)
    by_schema, _ = run(made, **values)
    assert {request.schema is None for request in ctx.requests} == {True}
    assert not record["compat"] and record["answers"]["rejected"] == {}
    for key in ("inferred_goal", "inferred_knowledge", "conversations", "video_labels"):
        assert record[key] == by_schema[key]


def test_the_reference_rules_stay_what_they_are_for_an_engine_without_schemas() -> None:
    generate = unschooled()
    record, (ctx, _) = run_with(generate, build_engine(generate.configs["llm"]), annotation(), compat=True)
    assert record["compat"] and {request.schema is None for request in ctx.requests} == {True}
    assert record["conversations"] == run(annotation(), compat=True)[0]["conversations"]


def test_talk_around_lines_is_counted_and_costs_nothing() -> None:
    generate = unschooled(flaw_rate=1.0)
    record, _ = run_with(generate, build_engine(generate.configs["llm"]), annotation())
    assert len(record["conversations"]) == 10 and record["answers"]["num_repairs"] == 0
    assert record["answers"]["rejected"].keys() == {"line_no_turn", "line_talk"}


def test_lines_are_checked_like_objects_and_repaired() -> None:
    def spoil(text: str) -> str:
        return text.replace(" [initiative|instruction]", "", 1)

    generate = unschooled(user_types="no_talk@1")
    engine = Speaking(build_engine(generate.configs["llm"]), {"refine"}, spoil)
    record, _ = run_with(generate, engine, annotation())
    answers = record["answers"]
    assert len(record["conversations"]) == 1 and answers["num_repairs"] > 0
    assert answers["rejected"] == {"no_label": answers["num_repairs"]}


def test_turns_out_of_order_are_sorted_and_counted_and_the_answering_engines_named() -> None:
    def shuffle(text: str) -> str:
        turns = json.loads(text)["turns"]
        return json.dumps({"turns": [turns[0], *sorted(turns[1:], key=lambda turn: -turn["time"])]})

    generate = stage(user_types="no_talk@1")
    scripted = build_engine(generate.configs["llm"])
    record, _ = run_with(generate, Speaking(scripted, {"dialog"}, shuffle), annotation())
    straight, _ = run(annotation(), user_types="no_talk@1")
    assert record["conversations"] == straight["conversations"]
    assert record["answers"]["num_repairs"] == 0 and record["answers"]["repaired"]["reordered"] > 3
    assert record["answers"]["engines"] == ["scripted", "speaking 1"]
    assert straight["answers"]["repaired"] == {} and straight["answers"]["engines"] == ["scripted"]


def test_tokens_are_counted_for_the_item_and_never_in_the_record() -> None:
    record, (ctx, stats) = run_with(stage(), build_engine(stage().configs["llm"]), annotation())
    words = dict.fromkeys(("dialog", "summary"), 0)
    for request in ctx.requests:
        if request.kind in words:
            words[request.kind] += sum(len(message.content.split()) for message in request.messages)
    assert stats["llm_summary_prompt_tokens"] == words["summary"]
    assert stats["llm_prompt_tokens"] > words["summary"] + words["dialog"]
    assert stats["llm_completion_tokens"] > 0
    assert stats["llm_cached_tokens"] == stats["llm_summary_cached_tokens"] == 0
    assert "token" not in json.dumps(record["answers"])


def test_everything_scripted_follows_the_schemas_it_would_be_decoded_under() -> None:
    for limits in ({}, {"max_turns": 10, "max_turn_chars": 100}):
        record, ctx = run(annotation(30), user_types="talk_more@3", clip_max_units=12, **limits)
        assert record["failed_conversations"] == [] and record["answers"]["num_repairs"] == 0
        engine = build_engine(stage().configs["llm"])
        for request in ctx.requests:
            (sample, *_) = asyncio.run(engine.answer(request)).samples
            assert request.schema is not None and schema_reasons(json.loads(sample.text), request.schema) == []
        turns = [turn for _, turns in turns_of(record) for turn in turns]
        assert max(len(turn.content) for turn in turns) <= record["gen_args"]["max_turn_chars"]


def test_an_item_that_failed_for_good_is_asked_with_other_seeds() -> None:
    asked = []
    for verdicts in (0, 0, 1, 2):
        engine = build_engine(stage().configs["llm"])
        _, (ctx, _) = run_with(stage(), engine, annotation(), verdicts=verdicts)
        asked.append({request.digest() for request in ctx.requests})
    assert asked[0] == asked[1] and not asked[0] & asked[2] and not asked[2] & asked[3]


def own_prompts(folder: Path) -> str:
    """The example of docs/dialogs.md as a file."""
    text = (Path(__file__).parents[3] / "docs" / "dialogs.md").read_text()
    (example,) = [part.split("```")[0] for part in text.split("```yaml\n")[1:]]
    path = folder / "own.yaml"
    path.write_text(example)
    return str(path)


def test_the_prompt_set_of_the_documentation_works_and_is_part_of_the_fingerprint(tmp_path: Path) -> None:
    path = own_prompts(tmp_path)
    generate = stage(prompts=path)
    generate.check()
    digest = generate.revision()["prompts"]
    assert "prompts" not in stage().revision()
    ctx = FakeContext(annotation(), build_engine(generate.configs["llm"]), planned_revision=generate.revision())
    generate.setup(ctx)  # type: ignore[arg-type]
    record, (ctx, _) = run_with(generate, ctx.engine, annotation(), planned_revision=generate.revision())
    assert record["gen_args"]["prompts"] == digest and path not in json.dumps(record)
    assert run(annotation())[0]["gen_args"]["prompts"] is None
    assert {request.template for request in ctx.requests if request.kind == "dialog"} == {f"dialog/1+{digest[:8]}"}
    said = [request.messages[1].content for request in ctx.requests if request.kind == "dialog"]
    assert any("hums while working" in text for text in said)


def test_a_prompt_set_that_changed_after_planning_stops_the_work(tmp_path: Path) -> None:
    path = Path(own_prompts(tmp_path))
    planned = stage(prompts=str(path)).revision()
    ctx = FakeContext(annotation(), build_engine(stage().configs["llm"]), planned_revision=planned)
    path.write_text(path.read_text() + "\n# a remark changes nothing\n")
    stage(prompts=str(path)).setup(ctx)  # type: ignore[arg-type]
    path.write_text("system.plain: Be brief.\n")
    with pytest.raises(StageError, match="has changed since this was planned"):
        stage(prompts=str(path)).setup(ctx)  # type: ignore[arg-type]
    path.unlink()
    with pytest.raises(StageError, match="cannot be read"):
        stage(prompts=str(path)).setup(ctx)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"'generate\.prompts' is"):
        stage(prompts=str(path)).check()
