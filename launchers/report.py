"""What the user reads at the end: one line per job, one per reason, and what to do next."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from launchers.execute import JobResult
from mmassist.core.outcome import Status
from mmassist.core.stage import title_of, words_of
from mmassist.datasets.assignment import SIDES
from mmassist.io.layout import Layout
from mmassist.io.ledger import iter_rows
from mmassist.io.shard import load_records
from mmassist.llm.meter import render_reports

MAX_EXAMPLES = 3


def iter_summary(layout: Layout, results: Sequence[JobResult]) -> Iterator[str]:
    """Yield the summary's lines."""
    for result in results:
        yield f"{result.job.stage.name:<9}{result.job.dataset:<18}{_state(result)}"
        for (status, reason), keys in sorted(result.reasons.items()):
            examples = ", ".join(keys[:MAX_EXAMPLES]) + (" …" if len(keys) > MAX_EXAMPLES else "")
            yield f"  {status} ({_short(reason)}) {len(keys)}: {examples}: {result.events[keys[0]]['message']}"
        if result.plan.gone:
            gone, more = result.plan.gone, " …" if len(result.plan.gone) > MAX_EXAMPLES else ""
            what = "left out now" if result.job.command.on_stale == "rebuild" else "on_stale=rebuild leaves them out"
            names = ", ".join(gone[:MAX_EXAMPLES]) + more
            yield f"  warning: {len(gone)} finished items are no longer in the source: {names}; {what}"
        if result.error:
            yield f"  stopped: {result.error}"
        if result.job.stage.name == "split" and not result.error:
            yield from _iter_empty_sides(result)
        yield from _iter_counts(result)
        yield from _iter_engine(result)
    failed = num_failed(results)
    if failed:
        yield f"{failed} items are failed: see ledger/ of their folder; retry=failed tries them again"
    waiting = sum(r.counts[Status.BLOCKED] for r in results)
    if waiting:
        stages = sorted({reason.split(" ")[0] for r in results for s, reason in r.reasons if s is Status.BLOCKED})
        broken = any("failed" in reason for r in results for s, reason in r.reasons if s is Status.BLOCKED)
        remedy = "mend what failed there and run it with retry=failed" if broken else "run it, then this again"
        yield f"{waiting} items wait for stage={','.join(stages)}: {remedy}"
    if results and not failed and not waiting and not any(r.plan.num_items or r.error for r in results):
        yield "all is done: nothing to do"


def _iter_counts(result: JobResult) -> Iterator[str]:
    """What the stage counted over all finished tasks of the folder: what came out, and what was cut or dropped."""
    total: Counter[str] = Counter()
    for record in load_records(result.job.unit).values():
        total.update({name: round(value) for name, value in record["stats"].items()})
    if total["capacity_tokens"]:
        fill = total["tokens"] / total["capacity_tokens"]
        yield f"  {total['samples']} samples, {total['tokens']} tokens, filled to {fill:.0%}"
    names = [name for name in sorted(total) if name.startswith("dropped_")] + ["failed_conversations", "partial_videos"]
    dropped = [f"{total[name]} {name.removeprefix('dropped_')}" for name in names if total[name]]
    if dropped:
        yield f"  left out or damaged: {', '.join(dropped)}"


def _iter_engine(result: JobResult) -> Iterator[str]:
    """What a language model did in this command."""
    rows = [row for path in sorted(result.job.unit.commit_log_dir.glob("*.jsonl")) for row in iter_rows(path)]
    made = [row for row in rows if "llm" in row and row["run_id"] == result.run_id]
    ends = [datetime.fromisoformat(row["time"]).timestamp() for row in made]
    if made:
        begin = min(end - row["llm"]["seconds"] for end, row in zip(ends, made, strict=True))
        yield f"  language model: {render_reports([row['llm'] for row in made], max(ends) - begin)}"


def _iter_empty_sides(result: JobResult) -> Iterator[str]:
    """Warn where training or evaluation would find nothing."""
    kept: Counter[str] = Counter()
    for record in load_records(result.job.unit).values():
        kept.update({side: int(record["stats"].get(f"kept_{side}", 0)) for side in SIDES})
    for side in SIDES:
        if kept.total() and not kept[side]:
            yield f"  warning: no dialog is selected for {side}; splits/audit.json shows who is on which side"


def num_failed(results: Sequence[JobResult]) -> int:
    """Items that stand as failed after the command, now or from before."""
    now = sum(r.counts[Status.FAILED] for r in results)
    return now + sum(r.plan.num_failed for r in results)


def num_unreached(results: Sequence[JobResult]) -> int:
    """Jobs that could do nothing because all their items wait for something."""
    return sum(1 for r in results if r.counts[Status.BLOCKED] and not r.counts[Status.DONE] and not r.plan.rest["done"])


def iter_submitted(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield what was sent to SLURM, one line per job that has something to do."""
    for row in rows:
        if row["elements"]:
            waits = f", after {', '.join(row['after'])}" if row["after"] else ""
            ids = ", ".join(row["job_ids"])
            yield f"{row['job']}: {row['items']} items in {row['elements']} elements, jobs {ids}{waits}"
    failed = sum(row["failed"] for row in rows)
    if failed:
        yield f"{failed} items are failed: see ledger/ of their folder; retry=failed tries them again"
    for row in rows:
        for read, number in sorted(row["held_back"].items()):
            remedy = f"run {words_of(read)} first or with it, with retry=failed for those that failed there"
            what = f"{number} more items wait for {title_of(read)}, which no job is about to make"
            yield f"{row['job']}: {what}: {remedy}"
    if not (failed or any(row["elements"] or row["held_back"] for row in rows)):
        yield "all is done: nothing to do"


def _state(result: JobResult) -> str:
    counts: Counter[str] = Counter()
    counts["done"] = result.plan.rest["done"] + result.counts[Status.DONE]
    for status in (Status.SKIPPED, Status.FAILED, Status.BLOCKED):
        before = sum(n for reason, n in result.plan.rest.items() if reason.startswith(str(status)))
        counts[str(status)] = before + result.counts[status]
    new = result.counts[Status.DONE]
    text = ", ".join(f"{number} {name}" for name, number in counts.items() if number or name == "done")
    return f"{text} ({new} now)" if result.plan.num_items else f"{text} (nothing to do)"


def _short(reason: str) -> str:
    return reason if len(reason) <= 40 else f"{reason[:39]}…"
