"""judge: scores for every dialog of a recording."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Literal

from mmassist.core.config import build
from mmassist.core.fingerprint import canonical_json
from mmassist.core.item import Item, ItemKind
from mmassist.core.stage import Context, Outputs, Section, Stage
from mmassist.core.stage_config import StageConfig
from mmassist.dialog.record import list_conversations, read_record
from mmassist.dialog.score import timing_score


@dataclass(frozen=True, kw_only=True)
class JudgeConfig(StageConfig):
    """Which judge scores; conf/judge/ has one entry for each."""

    name: Literal["timing"] = "timing"


class Judge(Stage):
    """Member per item: ``scores.json`` with one row of scores per conversation, in the record's order."""

    name: ClassVar[str] = "judge"
    version: ClassVar[int] = 1
    kind: ClassVar[ItemKind] = ItemKind.DIALOG
    reads: ClassVar[tuple[str, ...]] = ("generate",)
    sections: ClassVar[dict[str, Section]] = {"judge": partial(build, JudgeConfig)}

    @classmethod
    def folder(cls, configs: dict[str, Any]) -> str:
        return f"scores/{configs['judge'].name}"

    async def process(self, item: Item, ctx: Context) -> Outputs:
        """Score one record; raises ItemError when it is none, and under the reference's rules when it has no times."""
        record = read_record(ctx.read("generate", item.key).read("dialogs.json"))
        description = record["parsed_video_anns"]["all_step_descriptions"]
        rows = []
        for index, conversation in enumerate(list_conversations(record)):
            score = timing_score(description, conversation.turns, ctx.compat)
            who: dict[str, Any] = {"index": index, "user_type": conversation.user_type, "user_id": conversation.user_id}
            rows.append(who | score.to_row())
        scores = {"key": item.key, "judge": self.configs["judge"].name, "compat": ctx.compat, "scores": rows}
        stats = {"conversations": float(len(rows)), "score_sum": sum(row["final_score"] for row in rows)}
        return Outputs([("scores.json", canonical_json(scores).encode())], stats)
