"""Why a finished item is stale: which of the things that it was made from are others now."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

from launchers.jobs import Job
from launchers.workspace import SIDED, Workspace, inputs_digest, upstream_key
from mmassist.core.item import Item, ItemKind, Medium
from mmassist.core.stage import title_of
from mmassist.io.ledger import iter_rows_of

SIDES = ("train", "val", "test", "")
MAX_EARLIER = 8  # bytes of an item that an earlier stage made, the latest ones first


def describe_change(job: Job, item: Item, side: str, workspace: Workspace, before: str) -> str:
    """What of an item's inputs changed since their digest was ``before``, to stand behind its key in a message."""
    if not job.stage.reads:
        return f"by {_source_of(item)}"
    changed = find_changed(job, item, side, workspace, before)
    if changed:
        return " and ".join(changed)
    # The source's own part has no earlier digests that could be tried; without logs the others have none either.
    made = f"by what {' or '.join(map(title_of, job.stage.reads))} made of it"
    return f"by {_records_of(item)}, or {made}" if job.stage.reads_source else made


def find_changed(job: Job, item: Item, side: str, workspace: Workspace, before: str) -> list[str]:
    """The parts that have to be as they were for the digest to be ``before``; none where that cannot be found out.

    Earlier stages note the digest of everything that they finish, so what was read then can be tried.
    """
    now = workspace.parts(item)
    choices = [
        [now[read], *_earlier(job, item, read, now[read])] if read in job.upstream else [now[read]] for read in now
    ]
    sides = [side, *(other for other in SIDES if other != side)] if job.stage.name in SIDED else [side]
    for there, was in _by_number_of_changes(choices, sides):
        if inputs_digest(dict(zip(now, there, strict=True)), was, job.stage.name) == before:
            made_anew = [title_of(read) for read, old in zip(now, there, strict=True) if old != now[read]]
            found = [f"by what {' and '.join(made_anew)} made of it"] if made_anew else []
            return found + ([f"by its recording's side, {was} before and {side} now"] if was != side else [])
    return []


def _earlier(job: Job, item: Item, read: str, now: str | None) -> list[str]:
    """Digests of what an earlier stage made of the item at other times, the latest first."""
    rows = [row for _, row in iter_rows_of(job.upstream[read].done_log_dir, upstream_key(item, read))]
    rows.sort(key=lambda row: str(row.get("time", "")), reverse=True)
    digests = dict.fromkeys(str(row.get("digest", "")) for row in rows)
    return [digest for digest in digests if digest != now][:MAX_EARLIER]


def _by_number_of_changes(
    choices: Sequence[Sequence[str | None]], sides: Sequence[str]
) -> Iterator[tuple[tuple[str | None, ...], str]]:
    """Every choice of one digest per part and a side, those first that differ least from what is there now."""
    found = itertools.product(itertools.product(*choices), sides)
    now = tuple(digests[0] for digests in choices)
    return iter(
        sorted(found, key=lambda one: sum(a != b for a, b in zip(one[0], now, strict=True)) + (one[1] != sides[0]))
    )


def _source_of(item: Item) -> str:
    if item.kind is ItemKind.DIALOG:
        return _records_of(item)
    if item.medium is Medium.VIDEO:
        return f"path, size or geometry of {_files(item)}"
    return f"its list of files, or by which of them are there: {_files(item)}"


def _records_of(item: Item) -> str:
    return f"its records in {_files(item)}" if item.sources else "its records in the source"


def _files(item: Item) -> str:
    more = f" and {len(item.sources) - 1} more" if len(item.sources) > 1 else ""
    return f"{item.sources[0]}{more}"
