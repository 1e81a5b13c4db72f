"""split: which dialogs of a recording are kept, by score and by the side its recording was assigned to."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Literal

from mmassist.core.config import build
from mmassist.core.errors import ItemError, Kind, Skip
from mmassist.core.fingerprint import canonical_json
from mmassist.core.item import Item, ItemKind
from mmassist.core.stage import Context, Outputs, Section, Stage
from mmassist.core.stage_config import StageConfig
from mmassist.dialog.record import read_record
from mmassist.dialog.selection import Scored, Selection, select_eval, select_train


@dataclass(frozen=True, kw_only=True)
class SplitConfig(StageConfig):
    """Thresholds on the judge's score, and how recordings are assigned to train, val and test."""

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


class Split(Stage):
    """Member per item: ``selection.json``; the assignment of recordings to sides exists before any dialog does."""

    name: ClassVar[str] = "split"
    version: ClassVar[int] = 1
    kind: ClassVar[ItemKind] = ItemKind.DIALOG
    reads: ClassVar[tuple[str, ...]] = ("generate", "judge")
    sections: ClassVar[dict[str, Section]] = {"split": partial(build, SplitConfig)}

    @classmethod
    def folder(cls, configs: dict[str, Any]) -> str:
        return "splits"

    async def process(self, item: Item, ctx: Context) -> Outputs:
        """Select one recording's dialogs.

        Raises Skip when nothing reaches the threshold (``below_threshold``) or, for evaluation, when a type of user is
        without a good dialog (``missing_user_type``).
        """
        config: SplitConfig = self.configs["split"]
        side = ctx.side(item)
        record = read_record(ctx.read("generate", item.key).read("dialogs.json"))
        scores = json.loads(ctx.read("judge", item.key).read("scores.json"))
        scored = _match(record, scores)
        if side == "train":
            selection = select_train(scored, config.train_threshold, config.sampling_ratio, ctx.compat)
        else:
            selection = select_eval(scored, config.eval_threshold)
        _check(selection, scored, config.train_threshold if side == "train" else config.eval_threshold)
        row = _row(item.key, side, scores["judge"], record["inferred_goal"], selection)
        stats = {"kept": len(selection.kept), "dropped": len(selection.dropped), f"kept_{side}": len(selection.kept)}
        return Outputs(
            [("selection.json", canonical_json(row).encode())], {name: float(value) for name, value in stats.items()}
        )


def _match(record: Mapping[str, Any], scores: Mapping[str, Any]) -> list[Scored]:
    """Scores of a record's conversations; raises ItemError when they belong to another version of it."""
    ids = [(row["user_type"], row["user_id"]) for row in record["conversations"]]
    if ids != [(row["user_type"], row["user_id"]) for row in scores["scores"]]:
        raise ItemError(Kind.PERMANENT, "the scores are not those of these dialogs; run judge again")
    return [
        Scored(row["index"], row["user_type"], row["user_id"], float(row["final_score"])) for row in scores["scores"]
    ]


def _check(selection: Selection, scored: list[Scored], threshold: float) -> None:
    if selection.kept:
        return
    best = max((s.score for s in scored), default=0.0)
    if not any(s.score >= threshold for s in scored):
        raise Skip(
            "below_threshold", f"the best of {len(scored)} dialogs has {best:.2f} points, {threshold} are needed"
        )
    raise Skip("missing_user_type", f"no dialog of {threshold} points or more for {', '.join(selection.missing)}")


def _row(key: str, side: str, judge: str, goal: str, selection: Selection) -> dict[str, Any]:
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
        {"index": one.scored.index, "user_type": one.scored.user_type, "reason": one.reason, "score": one.scored.score}
        for one in selection.dropped
    ]
    return {"key": key, "side": side, "judge": judge, "inferred_goal": goal, "kept": kept, "dropped": dropped}
