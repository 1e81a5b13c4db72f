"""judge: scores for every dialog of a recording, by the clock or by a language model."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import partial
from typing import Any, ClassVar, Literal

from mmassist.core.config import Why, build, nearest, transient
from mmassist.core.errors import ConfigError, ItemError, Kind
from mmassist.core.fingerprint import canonical_json
from mmassist.core.gather import gather
from mmassist.core.item import Item, ItemKind
from mmassist.core.rng import seed_of
from mmassist.core.stage import Context, Outputs, Section, Stage
from mmassist.core.stage_config import StageConfig
from mmassist.dialog import rubric
from mmassist.dialog.prompts import Prompt
from mmassist.dialog.rating import Rating, overall, read_rating, summarise
from mmassist.dialog.record import Conversation, list_conversations, read_record
from mmassist.dialog.rubric import DIALOG_CRITERIA, RECORD_CRITERIA, Criterion
from mmassist.dialog.score import timing_score
from mmassist.llm import build_llm_config
from mmassist.llm.ask import Tally, ask_samples
from mmassist.llm.config import EngineConfig
from mmassist.llm.protocol import Message, Request

_NAME = re.compile(r"[A-Za-z0-9_-]+")
ENGINE_SECTION = "judge_llm"  # where the engine's settings stand; those of the judge only refer to them


@dataclass(frozen=True, kw_only=True)
class TimingJudgeConfig(StageConfig):
    """Scores how turns lie on the annotation's times; nothing can be set."""

    kind: Literal["timing"] = transient("timing", why=Why.NAMED)
    name: Literal["timing"] = "timing"


@dataclass(frozen=True, kw_only=True)
class LlmJudgeConfig(StageConfig):
    """Ratings by a language model: which one, how many of each dialog, and how they are sampled."""

    kind: Literal["llm"] = "llm"
    name: str = "llm"
    num_samples: int = 3
    temperature: float = 0.5
    top_p: float = 0.95
    max_tokens: int = 2048
    seed: int = 42
    engine: EngineConfig

    def __post_init__(self) -> None:
        super().__post_init__()
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"name is {self.name!r}; it must consist of letters, digits, '_' and '-'")
        if self.name == "timing":
            raise ValueError("name is 'timing', whose folder is the other judge's; choose another one")
        for name in ("num_samples", "max_tokens"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)!r}; it must be above 0")
        if self.temperature < 0 or not 0 < self.top_p <= 1:
            raise ValueError("temperature must not be negative, and top_p must lie above 0 and not above 1")


JUDGES: dict[str, type[StageConfig]] = {"timing": TimingJudgeConfig, "llm": LlmJudgeConfig}


def build_judge_config(values: Mapping[str, Any], section: str) -> StageConfig:
    """Make the config dataclass of the judge that ``values["kind"]`` names.

    Raises ConfigError naming the key for an unknown or missing kind, and for a setting that this judge does not have.
    """
    kind = values.get("kind")
    if kind is None:
        raise ConfigError(f"'{section}.kind' is not set; choose one of {', '.join(sorted(JUDGES))}")
    if kind not in JUDGES:
        raise ConfigError(f"'{section}.kind' is {kind!r}.{nearest(str(kind), JUDGES)}")
    for key in sorted(values.keys() - _names(kind)):
        owners = [other for other in JUDGES if key in _names(other)]
        if owners:
            raise ConfigError(f"'{section}.{key}' is no setting of {section}={kind}, but of {section}={owners[0]}")
    if kind != "llm":
        return build(JUDGES[kind], values, section)
    engine = values.get("engine")
    if not isinstance(engine, Mapping):
        raise ConfigError(f"'{section}.engine' is {engine!r}; choose the model that judges with {ENGINE_SECTION}=NAME")
    return build(LlmJudgeConfig, {**values, "engine": build_llm_config(engine, ENGINE_SECTION)}, section)


def _names(kind: str) -> set[str]:
    return {field.name for field in fields(JUDGES[kind])}


class Judge(Stage):
    """Member per item: ``scores.json`` with one row of scores per conversation, in the record's order."""

    name: ClassVar[str] = "judge"
    version: ClassVar[int] = 1
    kind: ClassVar[ItemKind] = ItemKind.DIALOG
    reads: ClassVar[tuple[str, ...]] = ("generate",)
    sections: ClassVar[dict[str, Section]] = {"judge": build_judge_config}

    @classmethod
    def folder(cls, configs: dict[str, Any]) -> str:
        return f"scores/{configs['judge'].name}"

    @property
    def engine(self) -> EngineConfig | None:
        config = self.configs["judge"]
        return config.engine if isinstance(config, LlmJudgeConfig) else None

    def check(self) -> None:
        if self.engine is not None:
            self.engine.check(ENGINE_SECTION)

    def revision(self) -> dict[str, Any]:
        if self.engine is None:
            return {}
        return {"llm": self.engine.revision, "templates": dict(rubric.VERSIONS)}

    async def process(self, item: Item, ctx: Context) -> Outputs:
        """Score one record.

        Raises ItemError when it is none; by the clock and under the reference's rules when it has no times; by a model
        when not a single conversation could be rated.
        """
        config = self.configs["judge"]
        record = read_record(ctx.read("generate", item.key).read("dialogs.json"))
        scores: dict[str, Any] = {"key": item.key, "judge": config.name, "compat": ctx.compat}
        if isinstance(config, LlmJudgeConfig):
            scores |= await Rater(config, record, item, ctx).run()
        else:
            scores["scores"] = _time_conversations(record, ctx.compat)
        return Outputs([("scores.json", canonical_json(scores).encode())], _count(scores))


def _time_conversations(record: Mapping[str, Any], compat: bool) -> list[dict[str, Any]]:
    description = record["parsed_video_anns"]["all_step_descriptions"]
    return [
        _who(conversation, index) | timing_score(description, conversation.turns, compat).to_row()
        for index, conversation in enumerate(list_conversations(record))
    ]


def _who(conversation: Conversation, index: int) -> dict[str, Any]:
    return {"index": index, "user_type": conversation.user_type, "user_id": conversation.user_id}


def _count(scores: Mapping[str, Any]) -> dict[str, float]:
    points = [row["final_score"] for row in scores["scores"] if row["final_score"] is not None]
    stats = {"conversations": float(len(scores["scores"])), "score_sum": sum(points)}
    if "answers" in scores:
        answers = scores["answers"]
        stats |= {
            "unrated": float(len(scores["scores"]) - len(points)),
            "llm_requests": float(answers["num_requests"]),
            "llm_repairs": float(answers["num_repairs"]),
            "llm_rejected": float(sum(answers["rejected"].values())),
        }
    return stats


class Rater:
    """All requests about one record; its conversations and the record itself are rated at the same time."""

    def __init__(self, config: LlmJudgeConfig, record: Mapping[str, Any], item: Item, ctx: Context):
        self.config, self.record, self.key, self.ctx = config, record, item.key, ctx
        self.tally = Tally()
        # The same questions would get the same answers, out of the item's journal.
        self.retry = ctx.num_verdicts(item)

    async def run(self) -> dict[str, Any]:
        """What ``scores.json`` holds besides names. Raises ItemError when no conversation could be rated."""
        engine = self.config.engine
        conversations = list_conversations(self.record)
        of_record, *rows = await gather(
            [self._rate_record(), *(self._rate(one, index) for index, one in enumerate(conversations))]
        )
        if all(row["final_score"] is None for row in rows):
            first = rows[0]["reason"] if rows else "there is none"
            raise ItemError(Kind.PERMANENT, f"no conversation could be rated; the first: {first}")
        return {
            "engine": {
                "name": engine.name,
                "model": engine.generator,
                "revision": engine.revision,
                "is_scripted": engine.is_scripted,
            },
            "generator": self.record["generator"],
            "templates": dict(rubric.VERSIONS),
            "record": of_record,
            "scores": rows,
            "answers": self.tally.to_row(),
        }

    async def _rate_record(self) -> dict[str, Any]:
        prompt = rubric.goal_prompt(self.record, self.config.engine.has_schemas)
        return await self._ask(prompt, RECORD_CRITERIA, "rate_goal")

    async def _rate(self, conversation: Conversation, index: int) -> dict[str, Any]:
        prompt = rubric.dialog_prompt(self.record, conversation, index, self.config.engine.has_schemas)
        row = await self._ask(prompt, DIALOG_CRITERIA, "rate", index)
        points = overall(row, DIALOG_CRITERIA)
        return {**_who(conversation, index), **row, "overall": points, "final_score": points}

    async def _ask(self, prompt: Prompt, criteria: Sequence[Criterion], *place: str | int) -> dict[str, Any]:
        config = self.config
        again = (self.retry,) if self.retry else ()
        request = Request(
            kind=prompt.kind,
            template=prompt.template,
            messages=(Message("system", prompt.system), Message("user", prompt.user)),
            schema=prompt.schema,
            payload=prompt.payload,
            num_samples=config.num_samples,
            seed=seed_of(config.seed, self.key, *place, *again) % 2**31,  # engines take 32-bit seeds
            max_tokens=config.max_tokens,
            temperature=config.temperature,
            top_p=config.top_p,
        )
        read = partial(read_rating, criteria=criteria, has_schemas=config.engine.has_schemas)
        try:
            ratings: list[Rating] = await ask_samples(self.ctx.llm, request, read, self.tally)
        except ItemError as error:
            # What no repair could save costs this rating, not the others; the row says why.
            if error.kind is not Kind.PERMANENT:
                raise
            return summarise([], criteria, error.message)
        return summarise(ratings, criteria)
