"""Sum up finished output folders from their task records."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from launchers.compose import compose_command
from launchers.jobs import resolve_jobs, select_applicable
from mmassist.core.outcome import Status
from mmassist.io.layout import UnitLayout
from mmassist.io.shard import load_records
from tools.demo.check import FPS, count_exact_frames

SIDES = ("train", "val", "test")


@dataclass
class Totals:
    """What the committed tasks of one output folder hold. ``by_side`` only where the stage keeps the sides apart."""

    stage: str
    dataset: str
    folder: Path
    statuses: Counter[str] = field(default_factory=Counter)
    stats: Counter[str] = field(default_factory=Counter)
    by_side: dict[str, Counter[str]] = field(default_factory=dict)
    num_shards: int = 0
    num_bytes: int = 0


def load_totals(words: Sequence[str]) -> list[Totals]:
    """Totals of the folders that the command ``words`` writes, in the order of the pipeline."""
    _, jobs = resolve_jobs(select_applicable(compose_command(words))[0])
    return [sum_records(job.stage.name, job.dataset, job.unit) for job in jobs]


def sum_records(stage: str, dataset: str, unit: UnitLayout) -> Totals:
    """Totals of one output folder."""
    totals = Totals(stage, dataset, unit.root)
    for task, record in load_records(unit).items():
        totals.statuses.update(row["status"] for row in record["outcomes"].values())
        totals.stats.update(record["stats"])
        side = task.partition("-")[0]
        if side in SIDES:
            totals.by_side.setdefault(side, Counter()).update(record["stats"])
        for name, entry in record["files"].items():
            totals.num_bytes += entry["size"]
            totals.num_shards += name == "shard"
    return totals


def iter_report(all_totals: Sequence[Totals], base: Path) -> Iterator[str]:
    """Yield what a reader wants to know after the demonstration; paths are shown relative to ``base``."""
    found = {(t.dataset, t.stage): t for t in all_totals}
    for dataset in dict.fromkeys(t.dataset for t in all_totals):
        frames, packed = found[dataset, "extract"], found[dataset, "pack"]
        yield f"\n{dataset}"
        yield (
            f"  videos   {frames.statuses[Status.DONE]}, {frames.stats['video_s']:.0f} s, "
            f"{frames.stats['frames']:.0f} frames at 2 per second"
            if not frames.stats["members"]
            else f"  groups   {frames.statuses[Status.DONE]} of {frames.stats['members']:.0f} pictures or clips, "
            f"{frames.stats['frames']:.0f} frames"
        )
        if dataset in FPS:
            num_exact, num_frames = count_exact_frames(dataset, UnitLayout(frames.folder))
            yield f"  checked  {num_exact} of {num_frames} frames show exactly the picture of their time"
        if (dataset, "generate") in found:
            dialogs = found[dataset, "generate"]
            yield f"  dialogs  {dialogs.stats['conversations']:.0f}, kept {_per_side(found[dataset, 'split'])}"
        else:
            yield f"  captions {packed.stats['captions']:.0f}"
        samples = ", ".join(f"{packed.by_side.get(s, Counter())['samples']:.0f} {s}" for s in SIDES)
        fill = packed.stats["tokens"] / max(1, packed.stats["capacity_tokens"])
        yield f"  samples  {samples}: {packed.stats['tokens']:.0f} tokens, filled to {fill:.0%} on average"
        yield "  where"
        for totals in (t for t in all_totals if t.dataset == dataset):
            shards = f"{totals.num_shards} shard{'' if totals.num_shards == 1 else 's'}"
            size = f"{shards}, {totals.num_bytes / 1e6:.2f} MB"
            yield f"    {totals.stage:<9}{_shown(totals.folder, base)}  ({size})"


def _per_side(totals: Totals) -> str:
    return ", ".join(f"{totals.stats[f'kept_{side}']:.0f} {side}" for side in SIDES)


def _shown(path: Path, base: Path) -> str:
    return str(path.relative_to(base)) if path.is_relative_to(base) else str(path)
