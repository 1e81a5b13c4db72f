"""generate: an annotation to simulated task dialogs, refined, labelled, timed, with the progress after each turn."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar, Literal, TypeVar

from mmassist.core.annotation import Annotation
from mmassist.core.config import build, meaning
from mmassist.core.errors import ItemError, Kind, Skip
from mmassist.core.fingerprint import canonical_json
from mmassist.core.item import Item, ItemKind
from mmassist.core.rng import seed_of
from mmassist.core.stage import Context, Outputs, Section, Stage
from mmassist.core.stage_config import StageConfig
from mmassist.datasets import build_dataset_config
from mmassist.dialog import prompts, templates
from mmassist.dialog.annotation import Clip, ClipRule, cut_clips
from mmassist.dialog.answers import read_dialog, read_label, read_match, read_refined, read_summary
from mmassist.dialog.checking import Window, check_turns
from mmassist.dialog.knowledge import Knowledge, given_knowledge, knowledge_of_answer, known_tasks, majority
from mmassist.dialog.progress import render_progress
from mmassist.dialog.prompts import Prompt, Scene, Speaker
from mmassist.dialog.record import Conversation, Provenance, build_record, make_user_id
from mmassist.dialog.timing import adjust_times
from mmassist.dialog.turn import Turn
from mmassist.dialog.usertype import parse_user_types
from mmassist.llm import build_llm_config, check_engine
from mmassist.llm.ask import Tally, ask_samples, ask_validated
from mmassist.llm.config import EngineConfig
from mmassist.llm.protocol import Message, Request

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class GenerateConfig(StageConfig):
    """Which dialogs are simulated, from what, and how answers are sampled; conf/stages/generate.yaml says more."""

    user_types: str = "no_talk@2,talk_some@4,talk_more@4"
    num_repeats: int = 10
    min_ann_ratio: float = 0.5
    clip_max_units: int = 6
    clip_counts: Literal["steps", "units"] = "units"
    clip_before: int | None = None
    clip_after: int | None = None
    guidance: str = "none"
    goal_method: Literal["infer", "given", "match"] = "infer"
    label_filter: bool = False
    temperature: float = 0.5
    top_p: float = 0.95
    max_tokens: int = 8192
    history_turns: int = 20
    seed: int = 42

    def __post_init__(self) -> None:
        super().__post_init__()
        parse_user_types(self.user_types)
        if self.guidance not in templates.GUIDANCE:
            raise ValueError(f"guidance is {self.guidance!r}; choose one of {', '.join(sorted(templates.GUIDANCE))}")
        if not 0 <= self.min_ann_ratio <= 1:
            raise ValueError(f"min_ann_ratio is {self.min_ann_ratio!r}; it must lie between 0 and 1")
        for name in ("num_repeats", "clip_max_units", "max_tokens", "history_turns"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)!r}; it must be above 0")
        if self.temperature < 0 or not 0 < self.top_p <= 1:
            raise ValueError("temperature must not be negative, and top_p must lie above 0 and not above 1")

    @property
    def clip_rule(self) -> ClipRule:
        return ClipRule(self.clip_max_units, self.clip_counts, self.clip_before, self.clip_after)


class Generate(Stage):
    """Member per item: ``dialogs.json``, the record of ``mmassist.dialog.record``."""

    name: ClassVar[str] = "generate"
    version: ClassVar[int] = 1
    kind: ClassVar[ItemKind] = ItemKind.DIALOG
    reads: ClassVar[tuple[str, ...]] = ()
    sections: ClassVar[dict[str, Section]] = {
        "generate": partial(build, GenerateConfig),
        "llm": build_llm_config,
        "dataset": build_dataset_config,
    }

    @classmethod
    def folder(cls, configs: dict[str, Any]) -> str:
        return f"generated_dialogs/{configs['llm'].name}"

    def check(self) -> None:
        check_engine(self.configs["llm"])

    def revision(self) -> dict[str, Any]:
        return {"llm": self.configs["llm"].revision, "templates": dict(templates.VERSIONS)}

    async def process(self, item: Item, ctx: Context) -> Outputs:
        """Simulate all dialogs of one annotation.

        Raises Skip for an annotation with too little in it (``no_steps``, ``low_coverage``, ``unsuitable``), ItemError
        when not a single conversation could be finished.
        """
        config: GenerateConfig = self.configs["generate"]
        annotation = ctx.adapter.load_annotation(item)
        _check_coverage(annotation, config.min_ann_ratio)
        simulation = Simulation(config, self.configs["llm"], annotation, item.key, ctx)
        record = await simulation.run()
        conversations = record["conversations"]
        stats = {
            "conversations": len(conversations),
            "failed_conversations": len(record["failed_conversations"]),
            "dropped_records": len(record["drops"]),
            "turns": sum(len(row["conversation"]) for row in conversations),
            "llm_requests": record["answers"]["num_requests"],
            "llm_repairs": record["answers"]["num_repairs"],
            "llm_rejected": sum(record["answers"]["rejected"].values()),
        }
        members = [("dialogs.json", canonical_json(record).encode())]
        counts = {name: float(value) for name, value in stats.items()}
        return Outputs(members, counts, list(annotation.drops))


def _check_coverage(annotation: Annotation, min_ann_ratio: float) -> None:
    if all(step.is_marker for step in annotation.steps):
        raise Skip("no_steps", f"{annotation.key} has no annotated step")
    if annotation.ann_ratio < min_ann_ratio:
        raise Skip(
            "low_coverage",
            f"{annotation.key}: {annotation.ann_ratio:.3f} of the video is annotated, less than {min_ann_ratio}",
        )


class Simulation:
    """All requests for one recording. Conversations are chains of their own and run at the same time."""

    def __init__(
        self, config: GenerateConfig, engine: EngineConfig, annotation: Annotation, key: str, ctx: Context
    ) -> None:
        self.config, self.engine, self.annotation, self.key, self.ctx = config, engine, annotation, key, ctx
        self.compat = ctx.compat
        self.tally = Tally()
        self.clips = cut_clips(annotation, config.clip_rule, self.compat)

    async def run(self) -> dict[str, Any]:
        """The finished record. Raises ItemError when every conversation failed."""
        knowledge = await self._find_knowledge()
        scene = Scene(self.annotation, knowledge, self.config.guidance, self.compat)
        video_labels = await self._label_video(scene) if self.config.label_filter else {}
        speakers = [Speaker(index, name) for index, name in enumerate(parse_user_types(self.config.user_types))]
        made = await _gather(self._converse_or_fail(scene, speaker) for speaker in speakers)
        conversations = [one for one in made if isinstance(one, Conversation)]
        failed = [
            {"index": speaker.index, "user_type": speaker.user_type, "message": one.message}
            for speaker, one in zip(speakers, made, strict=True)
            if isinstance(one, ItemError)
        ]
        if not conversations:
            raise ItemError(Kind.PERMANENT, f"no conversation could be finished; the first: {failed[0]['message']}")
        provenance = Provenance(
            generator=self.engine.generator,
            is_scripted=self.engine.engine == "scripted",
            engine_revision=self.engine.revision,
            compat=self.compat,
            settings={"llm": self.engine.generator, **meaning(self.config)},
            templates=templates.VERSIONS,
            answers=self.tally.to_row(),
            failed=failed,
        )
        return build_record(self.annotation, self.clips, knowledge, video_labels, conversations, provenance)

    async def _find_knowledge(self) -> Knowledge:
        if self.config.goal_method == "given":
            given = given_knowledge(self.annotation)
            if not given.goal:
                raise ItemError(Kind.PERMANENT, "generate.goal_method is 'given', but the source gives no goal")
            return given
        if self.config.goal_method == "match":
            return await self._match_task()
        prompt = prompts.goal_prompt(self.annotation, self.compat)
        request = self._request(prompt, "goal", num_samples=self.config.num_repeats)
        candidates = await ask_samples(self.ctx.llm, request, knowledge_of_answer, self.tally)
        if len(candidates) == 1:
            return candidates[0]
        prompt = prompts.consolidate_prompt(self.annotation, candidates)
        return await ask_validated(self.ctx.llm, self._request(prompt, "consolidate"), knowledge_of_answer, self.tally)

    async def _match_task(self) -> Knowledge:
        tasks = known_tasks(self.annotation)
        if not tasks:
            raise ItemError(Kind.PERMANENT, "generate.goal_method is 'match', but the source names no tasks")
        prompt = prompts.match_prompt(self.annotation, tasks, self.compat)
        request = self._request(prompt, "match", num_samples=self.config.num_repeats)
        votes = await ask_samples(self.ctx.llm, request, read_match, self.tally)
        return tasks[majority(votes)[0] - 1]

    async def _label_video(self, scene: Scene) -> dict[str, int]:
        request = self._request(prompts.label_prompt(scene), "label", num_samples=self.config.num_repeats)
        votes = await ask_samples(self.ctx.llm, request, read_label, self.tally)
        label, count = majority(votes)
        if label != 1 or count < self.config.num_repeats // 2:
            raise Skip("unsuitable", f"{self.key}: {count} of {len(votes)} votes for label {label}")
        return {str(vote): votes.count(vote) for vote in sorted(set(votes))}

    async def _converse_or_fail(self, scene: Scene, speaker: Speaker) -> Conversation | ItemError:
        # One conversation that no repair could save costs itself, not the others; the record names it.
        try:
            return await self._converse(scene, speaker)
        except ItemError as error:
            if error.kind is not Kind.PERMANENT:
                raise
            return error

    async def _converse(self, scene: Scene, speaker: Speaker) -> Conversation:
        turns: list[Turn] = []
        for number, clip in enumerate(self.clips):
            turns += await self._simulate_clip(scene, speaker, number, clip, turns)
        if not turns:
            raise ItemError(Kind.PERMANENT, "the conversation has no turn")
        end_s = self.clips[-1].end_s
        turns = adjust_times(turns, self.compat, end_s=end_s)
        if not self.compat:
            # Windows were checked one by one and before turns moved. Without room, a little late is accepted.
            reasons = check_turns(turns, Window(0.0, max(end_s, turns[-1].time_s), is_first=True))
            if reasons:
                raise ItemError(Kind.PERMANENT, f"the conversation does not hold as a whole ({reasons[0]})")
        turns = await _gather(self._add_progress(scene, speaker, turns, index) for index in range(len(turns)))
        return Conversation(speaker.user_type, make_user_id(speaker.user_type, speaker.index), tuple(turns))

    async def _simulate_clip(
        self, scene: Scene, speaker: Speaker, number: int, clip: Clip, history: list[Turn]
    ) -> list[Turn]:
        prompt = prompts.dialog_prompt(scene, clip, speaker, history, self.config.history_turns)
        raw = await ask_validated(
            self.ctx.llm,
            self._request(prompt, "dialog", speaker.index, number),
            partial(read_dialog, clip=clip, compat=self.compat, rejected=self.tally.rejected),
            self.tally,
        )
        prompt = prompts.refine_prompt(scene, clip, speaker, raw)
        return await ask_validated(
            self.ctx.llm,
            self._request(prompt, "refine", speaker.index, number),
            partial(read_refined, original=raw, clip=clip, compat=self.compat, rejected=self.tally.rejected),
            self.tally,
        )

    async def _add_progress(self, scene: Scene, speaker: Speaker, turns: list[Turn], index: int) -> Turn:
        turn = turns[index]
        if turn.is_user:
            return turn
        prompt = prompts.summary_prompt(scene, speaker, turns[: index + 1])
        request = self._request(prompt, "summary", speaker.index, index)
        summary = await ask_validated(self.ctx.llm, request, partial(read_summary, compat=self.compat), self.tally)
        return replace(turn, progress=render_progress(summary, turn, turns, self.compat))

    def _request(self, prompt: Prompt, *place: str | int, num_samples: int = 1) -> Request:
        return Request(
            kind=prompt.kind,
            template=prompt.template,
            messages=(Message("system", prompt.system), Message("user", prompt.user)),
            schema=prompt.schema,
            payload=prompt.payload,
            num_samples=num_samples,
            seed=seed_of(self.config.seed, self.key, *place) % 2**31,  # engines take 32-bit seeds
            max_tokens=self.config.max_tokens,
            temperature=self.config.temperature,
            top_p=self.config.top_p,
        )


async def _gather(coroutines: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """Run all at once; the first error ends the others before it is passed on."""
    tasks = [asyncio.ensure_future(coroutine) for coroutine in coroutines]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
