"""split: which dialogs of a recording are kept, by judges' scores and by the side its recording was assigned to."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import partial
from typing import Any, ClassVar, Literal

from mmassist.core.adapter import Content
from mmassist.core.config import build
from mmassist.core.errors import ConfigError, ItemError, Kind, Skip
from mmassist.core.fingerprint import canonical_json
from mmassist.core.item import Item, ItemKind
from mmassist.core.stage import Context, Outputs, Section, Stage, name_of, stage_of, words_of
from mmassist.core.stage_config import StageConfig
from mmassist.dialog.expression import ExpressionError, Filter, Name, Score, check_names, parse_filter, parse_score
from mmassist.dialog.judgement import FINAL, SPREAD, values_of
from mmassist.dialog.record import read_record
from mmassist.dialog.rubric import DIALOG_CRITERIA, RECORD_CRITERIA
from mmassist.dialog.score import TimingScore
from mmassist.dialog.selection import Scored, Selection, select_eval, select_train

_RATED = [criterion.name for criterion in (*DIALOG_CRITERIA, *RECORD_CRITERIA)]
# What each kind of judge gives, so that a misspelt name is found before there are scores.
VALUES: dict[str, tuple[str, ...]] = {
    "timing": tuple(field.name for field in fields(TimingScore)),
    "llm": (*_RATED, *(name + SPREAD for name in _RATED), "overall", FINAL),
}


@dataclass(frozen=True, kw_only=True)
class SplitConfig(StageConfig):
    """What dialogs are ranked and filtered by, and how recordings are assigned to train, val and test."""

    score: str = "timing"
    filter: str | None = None
    train_threshold: float = 3.0
    eval_threshold: float = 5.0
    sampling_ratio: float = 1.0
    official_eval: Literal["halve_val", "own_test"] = "halve_val"
    group_by: Literal["participant", "recording"] = "participant"
    keep_eval: float = 0.0
    seed: int = 42

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.sampling_ratio <= 0:
            raise ValueError(f"sampling_ratio is {self.sampling_ratio!r}; it must be above 0")
        if not 0 <= self.keep_eval <= 1:
            raise ValueError(f"keep_eval is {self.keep_eval!r}; it must lie between 0 and 1")
        self.parse()

    def parse(self) -> tuple[Score, Filter | None]:
        """Read the two expressions. Raises ConfigError naming key, text, the place in it and what is allowed."""
        key, text = "score", self.score
        try:
            score = parse_score(text)
            if self.filter is None:
                return score, None
            key, text = "filter", self.filter
            return score, parse_filter(text)
        except ExpressionError as error:
            raise ConfigError(f"split.{key} is {text!r}: {error}") from error


class Split(Stage):
    """Member per item: ``selection.json``; the assignment of recordings to sides exists before any dialog does.

    The names in the expressions say which judges are read.
    """

    name: ClassVar[str] = "split"
    place: ClassVar[int] = 40
    home: ClassVar[str] = "splits"
    version: ClassVar[int] = 1
    kind: ClassVar[ItemKind] = ItemKind.DIALOG
    reads: ClassVar[tuple[str, ...]] = ("generate", "judge@timing")
    sections: ClassVar[dict[str, Section]] = {"split": partial(build, SplitConfig)}
    contents: ClassVar[tuple[Content, ...]] = (Content.DIALOG,)
    reads_side: ClassVar[bool] = True

    def __init__(self, configs: dict[str, Any]):
        super().__init__(configs)
        self._config: SplitConfig = configs["split"]
        self._score, self._filter = self._config.parse()
        judges = {name.judge for names in self._names().values() for name in names}
        self.reads = ("generate", *(f"judge@{judge}" for judge in sorted(judges)))  # type: ignore[misc]

    def origin_of(self, read: str) -> str:
        """``split.filter``: the setting because of which ``read`` is read."""
        asked = (key for key, names in self._names().items() if name_of(read) in {name.judge for name in names})
        return next(asked, "")

    def check_reads(self, settings: Mapping[str, Mapping[str, Any]], compat: bool) -> None:
        if compat and (self._config.score, self._config.filter) != (SplitConfig.score, SplitConfig.filter):
            raise ConfigError(
                f"compat=reference knows no other score than split.score={SplitConfig.score} and no split.filter"
            )
        # Of the judge by the clock, the name alone is part of the settings.
        kinds = {
            name_of(read): one["judge"].get("kind", "timing")
            for read, one in settings.items()
            if stage_of(read) == "judge"
        }
        known = {judge: VALUES[kind] for judge, kind in kinds.items() if kind in VALUES}
        for key, names in self._names().items():
            try:
                check_names(names, known)
            except ExpressionError as error:
                raise ConfigError(f"{key} is {getattr(self._config, key.split('.')[1])!r}: {error}") from error

    async def process(self, item: Item, ctx: Context) -> Outputs:
        """Select one recording's dialogs.

        Raises Skip when nothing can be kept whatever the others are like (``below_threshold``, ``filtered_out``,
        ``not_scored``) or, for evaluation, when a type of user is without a good dialog (``missing_user_type``).
        """
        config, side = self._config, ctx.side(item)
        record = read_record(ctx.read("generate", item.key).read("dialogs.json"))
        scored = self._rate(item, record, ctx)
        if side == "train":
            selection = select_train(scored, config.train_threshold, config.sampling_ratio, ctx.compat)
        else:
            selection = select_eval(scored, config.eval_threshold)
        _check(selection, scored, config.train_threshold if side == "train" else config.eval_threshold)
        judges = ",".join(name_of(read) for read in self.reads if stage_of(read) == "judge")
        row = _row(item.key, side, judges, record["inferred_goal"], selection)
        stats = {"kept": len(selection.kept), "dropped": len(selection.dropped), f"kept_{side}": len(selection.kept)}
        reasons = Counter(one.reason for one in selection.dropped)
        stats |= {f"dropped_{reason}": reasons[reason] for reason in ("filtered_out", "not_scored") if reasons[reason]}
        return Outputs(
            [("selection.json", canonical_json(row).encode())], {name: float(value) for name, value in stats.items()}
        )

    def _names(self) -> dict[str, tuple[Name, ...]]:
        """The values that each setting asks for."""
        return {"split.score": self._score.names, "split.filter": self._filter.names if self._filter else ()}

    def _rate(self, item: Item, record: Mapping[str, Any], ctx: Context) -> list[Scored]:
        """Evaluate the expressions for every conversation of a record.

        Raises ItemError when a judge rated another version of the record, and for a value that it does not have.
        """
        ids = [(row["user_type"], row["user_id"]) for row in record["conversations"]]
        judged: list[dict[str, dict[str, float | None]]] = [{} for _ in ids]  # per conversation: judge -> its values
        for read in self.reads:
            if stage_of(read) != "judge":
                continue
            scores = json.loads(ctx.read(read, item.key).read("scores.json"))
            if ids != [(row["user_type"], row["user_id"]) for row in scores["scores"]]:
                raise ItemError(
                    Kind.PERMANENT,
                    f"the scores of {name_of(read)} are not those of these dialogs; run {words_of(read)} again",
                )
            for values, row in zip(judged, scores["scores"], strict=True):
                values[name_of(read)] = values_of(scores, row)
        return [self._scored(index, *ids[index], values) for index, values in enumerate(judged)]

    def _scored(
        self, index: int, user_type: str, user_id: str, values: Mapping[str, Mapping[str, float | None]]
    ) -> Scored:
        score = self._score.compute(values)
        is_wanted = self._filter is None or self._filter.holds(values)
        return Scored(index, user_type, user_id, math.nan if score is None else score, is_wanted)


def _check(selection: Selection, scored: list[Scored], threshold: float) -> None:
    if selection.kept:
        return
    wanted = [s for s in scored if s.is_wanted]
    if scored and not wanted:
        raise Skip("filtered_out", f"none of {len(scored)} dialogs satisfies split.filter")
    rated = [s.score for s in wanted if not math.isnan(s.score)]
    if wanted and not rated:
        raise Skip("not_scored", f"none of {len(wanted)} dialogs could be rated, split.score is null")
    best = max(rated, default=0.0)
    if not any(score >= threshold for score in rated):
        raise Skip(
            "below_threshold", f"the best of {len(wanted)} dialogs has {best:.2f} points, {threshold} are needed"
        )
    raise Skip("missing_user_type", f"no dialog of {threshold} points or more for {', '.join(selection.missing)}")


def _row(key: str, side: str, judges: str, goal: str, selection: Selection) -> dict[str, Any]:
    kept = [
        {
            "index": one.scored.index,
            "user_type": one.scored.user_type,
            "user_id": one.scored.user_id,
            "score": one.scored.score,
            "weight": one.weight,
        }
        for one in selection.kept
    ]
    dropped = [
        {
            "index": one.scored.index,
            "user_type": one.scored.user_type,
            "reason": one.reason,
            "score": None if math.isnan(one.scored.score) else one.scored.score,
        }
        for one in selection.dropped
    ]
    return {"key": key, "side": side, "judge": judges, "inferred_goal": goal, "kept": kept, "dropped": dropped}
