"""generate: an annotation to simulated task dialogs, refined, labelled, timed, with the progress after each turn."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeVar

from mmassist.core.annotation import Annotation
from mmassist.core.config import Why, build, meaning, transient
from mmassist.core.errors import ConfigError, ItemError, Kind, Skip, StageError
from mmassist.core.fingerprint import canonical_json
from mmassist.core.gather import gather
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
from mmassist.dialog.lines import line_parser
from mmassist.dialog.progress import render_progress
from mmassist.dialog.prompts import Prompt, Scene, Speaker, Style
from mmassist.dialog.promptset import PromptSet, load_prompt_set
from mmassist.dialog.record import Conversation, Provenance, build_record, make_user_id
from mmassist.dialog.schemas import Limits
from mmassist.dialog.timing import adjust_times
from mmassist.dialog.turn import Turn
from mmassist.dialog.usertype import parse_user_types
from mmassist.llm import build_llm_config
from mmassist.llm.ask import Tally, Validate, ask_samples
from mmassist.llm.config import EngineConfig
from mmassist.llm.protocol import Message, Request

T = TypeVar("T")

PROMPTS_KEY = "generate.prompts"
MIN_TURNS, MIN_TURN_CHARS = 10, 100  # below, not even short windows and sentences fit


@dataclass(frozen=True, kw_only=True)
class GenerateConfig(StageConfig):
    """Which dialogs are simulated, from what, and how answers are sampled; conf/stages/generate.yaml says more.

    ``prompts`` may move: the fingerprint holds what the file says.
    """

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
    prompts: str | None = transient(None, why=Why.PLACE)
    temperature: float = 0.5
    top_p: float = 0.95
    max_tokens: int = 8192
    max_turns: int = 120
    max_turn_chars: int = 1200
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
        if self.max_turns < MIN_TURNS or self.max_turn_chars < MIN_TURN_CHARS:
            raise ValueError(
                f"max_turns is {self.max_turns!r} and max_turn_chars {self.max_turn_chars!r}; they must be at least "
                f"{MIN_TURNS} and {MIN_TURN_CHARS}"
            )
        if self.prompts is not None and not Path(self.prompts).is_absolute():
            raise ValueError(f"prompts is {self.prompts!r}; it must be absolute, since jobs start in other folders")
        if self.temperature < 0 or not 0 < self.top_p <= 1:
            raise ValueError("temperature must not be negative, and top_p must lie above 0 and not above 1")

    @property
    def clip_rule(self) -> ClipRule:
        return ClipRule(self.clip_max_units, self.clip_counts, self.clip_before, self.clip_after)

    @property
    def limits(self) -> Limits:
        return Limits(self.max_turns, self.max_turn_chars)


class Generate(Stage):
    """Member per item: ``dialogs.json``, the record of ``mmassist.dialog.record``."""

    name: ClassVar[str] = "generate"
    version: ClassVar[int] = 2
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
        """Raise ConfigError: the model cannot be had, or the prompt set is no good."""
        self.configs["llm"].check()
        load_prompt_set(self.configs["generate"].prompts, PROMPTS_KEY)

    def revision(self) -> dict[str, Any]:
        """Raises ConfigError for a prompt set that cannot be used."""
        found = {"llm": self.configs["llm"].revision, "templates": dict(templates.VERSIONS)}
        return found | ({"prompts": self.texts.digest} if self.texts.digest else {})

    @cached_property
    def texts(self) -> PromptSet:
        """The wording of the prompts. Raises ConfigError."""
        return load_prompt_set(self.configs["generate"].prompts, PROMPTS_KEY)

    def setup(self, ctx: Context) -> None:
        """Raises StageError when the prompt set is not the one that the work was planned with."""
        path = self.configs["generate"].prompts
        if path is None:
            return
        try:
            is_planned = self.texts.digest == ctx.planned_revision.get("prompts")
        except ConfigError as error:
            raise StageError(str(error)) from error
        if not is_planned:
            raise StageError(
                f"'{PROMPTS_KEY}' is {path!r}, which has changed since this was planned; bring the texts back, or run "
                "the command again"
            )

    async def process(self, item: Item, ctx: Context) -> Outputs:
        """Simulate all dialogs of one annotation.

        Raises Skip for an annotation with too little in it (``no_steps``, ``low_coverage``, ``unsuitable``), ItemError
        when not a single conversation could be finished.
        """
        config: GenerateConfig = self.configs["generate"]
        annotation = ctx.adapter.load_annotation(item)
        _check_coverage(annotation, config.min_ann_ratio)
        style = Style("json" if self.configs["llm"].has_schemas else "lines", self.texts, config.limits)
        simulation = Simulation(config, self.configs["llm"], style, annotation, item, ctx)
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
            **_count_tokens(simulation.tally),
        }
        members = [("dialogs.json", canonical_json(record).encode())]
        counts = {name: float(value) for name, value in stats.items()}
        return Outputs(members, counts, list(annotation.drops))


def _count_tokens(tally: Tally) -> dict[str, int]:
    """For statistics only: how much of a prompt an engine had in its cache depends on what else it was doing."""
    return {
        "llm_prompt_tokens": tally.num_tokens("prompt_tokens"),
        "llm_cached_tokens": tally.num_tokens("cached_tokens"),
        "llm_completion_tokens": tally.num_tokens("completion_tokens"),
        "llm_summary_prompt_tokens": tally.num_tokens("prompt_tokens", ["summary"]),
        "llm_summary_cached_tokens": tally.num_tokens("cached_tokens", ["summary"]),
    }


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
        self,
        config: GenerateConfig,
        engine: EngineConfig,
        style: Style,
        annotation: Annotation,
        item: Item,
        ctx: Context,
    ) -> None:
        self.config, self.engine, self.style, self.annotation, self.ctx = config, engine, style, annotation, ctx
        self.key, self.compat = item.key, ctx.compat
        # The same questions would get the same answers, out of the item's journal.
        self.retry = ctx.num_verdicts(item)
        self.tally = Tally()
        self.clips = cut_clips(annotation, config.clip_rule, self.compat)

    async def run(self) -> dict[str, Any]:
        """The finished record. Raises ItemError when every conversation failed."""
        knowledge = await self._find_knowledge()
        scene = Scene(self.annotation, knowledge, self.config.guidance, self.compat, self.style)
        video_labels = await self._label_video(scene) if self.config.label_filter else {}
        speakers = [Speaker(index, name) for index, name in enumerate(parse_user_types(self.config.user_types))]
        made = await gather(self._converse_or_fail(scene, speaker) for speaker in speakers)
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
            is_scripted=self.engine.is_scripted,
            engine_revision=self.engine.revision,
            compat=self.compat,
            settings={"llm": self.engine.generator, **meaning(self.config), "prompts": self.style.texts.digest},
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
        prompt = prompts.goal_prompt(self.annotation, self.compat, self.style)
        candidates = await self._ask(prompt, knowledge_of_answer, "goal", num_samples=self.config.num_repeats)
        if len(candidates) == 1:
            return candidates[0]
        prompt = prompts.consolidate_prompt(self.annotation, candidates, self.compat, self.style)
        (merged,) = await self._ask(prompt, knowledge_of_answer, "consolidate")
        return merged

    async def _match_task(self) -> Knowledge:
        tasks = known_tasks(self.annotation)
        if not tasks:
            raise ItemError(Kind.PERMANENT, "generate.goal_method is 'match', but the source names no tasks")
        prompt = prompts.match_prompt(self.annotation, tasks, self.compat, self.style)
        votes = await self._ask(prompt, read_match, "match", num_samples=self.config.num_repeats)
        return tasks[majority(votes)[0] - 1]

    async def _label_video(self, scene: Scene) -> dict[str, int]:
        prompt = prompts.label_prompt(scene)
        votes = await self._ask(prompt, read_label, "label", num_samples=self.config.num_repeats)
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
        turns = await gather(self._add_progress(scene, speaker, turns, index) for index in range(len(turns)))
        return Conversation(speaker.user_type, make_user_id(speaker.user_type, speaker.index), tuple(turns))

    async def _simulate_clip(
        self, scene: Scene, speaker: Speaker, number: int, clip: Clip, history: list[Turn]
    ) -> list[Turn]:
        prompt = prompts.dialog_prompt(scene, clip, speaker, history, self.config.history_turns)
        counts = {"rejected": self.tally.rejected, "repaired": self.tally.repaired}
        read = partial(read_dialog, clip=clip, compat=self.compat, **counts)
        (raw,) = await self._ask(prompt, read, "dialog", speaker.index, number)
        prompt = prompts.refine_prompt(scene, clip, speaker, raw)
        edit = partial(read_refined, original=raw, clip=clip, compat=self.compat, **counts)
        (refined,) = await self._ask(prompt, edit, "refine", speaker.index, number)
        return refined

    async def _add_progress(self, scene: Scene, speaker: Speaker, turns: list[Turn], index: int) -> Turn:
        turn = turns[index]
        if turn.is_user:
            return turn
        prompt = prompts.summary_prompt(scene, speaker, turns[: index + 1])
        (summary,) = await self._ask(prompt, partial(read_summary, compat=self.compat), "summary", speaker.index, index)
        return replace(turn, progress=render_progress(summary, turn, turns, self.compat))

    async def _ask(self, prompt: Prompt, read: Validate[T], *place: str | int, num_samples: int = 1) -> list[T]:
        """The valid answers, one at least and of one sample exactly one; ``place`` is what the seed depends on."""
        is_read_by_lines = prompt.form == "lines" and prompt.shape is not None
        parse = line_parser(prompt, self.tally.rejected) if is_read_by_lines else None
        request = self._request(prompt, *place, num_samples=num_samples)
        return await ask_samples(self.ctx.llm, request, read, self.tally, prompt.shape, parse)

    def _request(self, prompt: Prompt, *place: str | int, num_samples: int) -> Request:
        again = (self.retry,) if self.retry else ()
        return Request(
            kind=prompt.kind,
            template=prompt.template,
            messages=(Message("system", prompt.system), Message("user", prompt.user)),
            schema=prompt.schema,
            payload=prompt.payload,
            num_samples=num_samples,
            seed=seed_of(self.config.seed, self.key, *place, *again) % 2**31,  # engines take 32-bit seeds
            max_tokens=self.config.max_tokens,
            temperature=self.config.temperature,
            top_p=self.config.top_p,
        )
