"""The report as tables and lines for a person."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import groupby

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from launchers.slurm.ends import End
from tools.status.job import JobState
from tools.status.report import BadEnd, Report, UnitReport, list_bad_ends

NUM_SHOWN = 8
COLUMNS = ("items", "done", "running", "waiting", "failed", "blocked", "skipped", "tasks", "items/s", "left", "GPU-h")
ALWAYS = ("items", "done", "waiting", "failed", "tasks")  # the others only where one of the folders has something
SPARED = ("elements", "GPU-h", "skipped", "items/s")  # left out in this order where the terminal is narrow
GAP = 2  # columns of the terminal between those of the table
ELEMENTS_WIDTH = 24  # longer ones are folded
COLOURS = {End.COMPLETED: "green", End.RUNNING: "cyan", End.PENDING: "", End.REQUEUED: "yellow", End.UNKNOWN: "yellow"}
URGENT, SOON, LATER = range(3)


def render_report(report: Report, width: int, max_lines: int | None = None) -> RenderableType:
    """Tables of at most ``width`` columns, then remarks, what went wrong first.

    ``max_lines`` cuts the remarks so that the tables stay on the screen.
    """
    if not report.units:
        return Group(Text(f"nothing to show below {report.data_root}"), *_iter_problems(report))
    lines = _list_remarks(report)
    if max_lines is not None and len(lines) > max_lines:
        lines = [*lines[:max_lines], Text(f"… {len(lines) - max_lines} more lines", style="dim")]
    return Group(*_iter_tables(report.units, width), *lines)


def _iter_tables(units: Sequence[UnitReport], width: int) -> Iterator[RenderableType]:
    for dataset, group in groupby(units, key=lambda report: report.unit.dataset):
        members = list(group)
        rows = [{"stage": _label(report), **_cells(report), "elements": _elements(report)} for report in members]
        names = [name for name in rows[0] if name in ("stage", *ALWAYS) or any(row[name].plain != "-" for row in rows)]
        for spared in SPARED:
            if _width(rows, names) > width and spared in names:
                names.remove(spared)
        table = Table(title=dataset, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
        table.padding = (0, GAP - 1, 0, 0)
        for name in names:
            table.add_column(name, justify="right" if name in COLUMNS else "left", overflow="fold")
        for row in rows:
            table.add_row(*(row[name] for name in names))
        yield table
        if "elements" not in names:
            yield from (Text.assemble(row["stage"], ": ", row["elements"]) for row in rows if row["elements"])


def _width(rows: Sequence[dict[str, Text]], names: Sequence[str]) -> int:
    widths = {name: max(len(name), *(row[name].cell_len for row in rows)) for name in names}
    if "elements" in widths:
        widths["elements"] = min(ELEMENTS_WIDTH, widths["elements"])
    return sum(widths.values()) + GAP * (len(names) - 1)


def _label(report: UnitReport) -> Text:
    folder = report.unit.folder.partition("/")[2]
    return Text.assemble(report.unit.stage, (f" {folder}" if folder else "", "dim"))


def _cells(report: UnitReport) -> dict[str, Text]:
    count = report.count
    kept = f" +{count.kept}" if count.kept else ""
    cells = [
        Text(str(count.total)),
        Text(f"{count.done}{kept}", style="green" if count.done == count.total else ""),
        Text(_or_dash(report.running)),
        Text(_or_dash(report.waiting)),
        Text(_or_dash(count.failed), style="red" if count.failed else ""),
        Text(_or_dash(count.blocked), style="yellow" if count.blocked else ""),
        Text(_or_dash(count.skipped)),
        Text(f"{count.committed}/{count.tasks}"),
        Text(f"{report.items_per_s:.2f}" if report.items_per_s else "-"),
        Text("-" if report.eta_s is None else duration(report.eta_s)),
        Text(f"{report.gpu_hours:.{1 if report.gpu_hours >= 1 else 3}f}" if report.gpu_hours else "-"),
    ]
    return dict(zip(COLUMNS, cells, strict=True))


def _elements(report: UnitReport) -> Text:
    parts: list[tuple[str, str]] = []
    if any(job.is_interrupted for job in report.jobs):
        parts.append(("submission interrupted", "red"))
    elif any(not job.row.is_submitted for job in report.jobs):
        parts.append(("being submitted", "cyan"))
    ends = report.ends
    parts += [(f"{ends[end]} {end}", COLOURS.get(end, "red")) for end in End if ends[end]]
    joined: list[str | tuple[str, str]] = []
    for part in parts:
        joined += [", ", part] if joined else [part]
    return Text.assemble(*joined)


def _list_remarks(report: Report) -> list[Text]:
    """Lines below the tables: first what somebody has to do something about."""
    blocks: list[tuple[int, list[Text]]] = []
    for unit in report.units:
        blocks += [block for job in unit.jobs for block in _iter_job(job)]
        blocks += _iter_reasons(unit)
    lines = [line for _, block in sorted(blocks, key=lambda block: block[0]) for line in block]
    bad = [job.row.run for unit in report.units for job in unit.jobs if job.is_bad and job.row.run.command]
    for run_id, command in dict.fromkeys((run.run_id, " ".join(run.command)) for run in bad):
        lines.append(Text(f"{run_id} was: {command}", style="dim"))
    return [*lines, *_iter_problems(report)]


def _iter_job(job: JobState) -> Iterator[tuple[int, list[Text]]]:
    row = job.row
    who = f"{row.run.run_id} {row.name}"
    if job.is_interrupted:
        text = "jobs without a receipt do nothing; give the command again"
        yield URGENT, [Text.assemble((f"{who}: the submission was interrupted; ", "red"), text)]
    for bad in list_bad_ends(job):
        yield URGENT, [Text.assemble((f"{who}: {describe(bad)}", "red"), f"; next: {bad.advice}")]
    waits = Counter(e.verdict.message for e in job.elements if e.verdict.end in (End.PENDING, End.REQUEUED))
    for reason, number in waits.most_common(NUM_SHOWN):
        if reason:
            yield LATER, [Text(f"{who}: {_many(number)} waiting: {reason}", style="dim")]
    notes = Counter(
        f"{e.verdict.message}" + (f" (last sign {e.verdict.as_of})" if e.verdict.as_of else "")
        for e in job.elements
        if e.verdict.end in (End.RUNNING, End.UNKNOWN) and e.verdict.message
    )
    for note, number in notes.most_common(NUM_SHOWN):
        yield LATER, [Text(f"{who}: {_many(number)}: {note}", style="dim")]


def _many(number: int) -> str:
    return "1 element" if number == 1 else f"{number} elements"


def describe(bad: BadEnd) -> str:
    """``2 elements (0, 3): time limit (SLURM: TIMEOUT) on n1, n4: message``."""
    slurm = f" (SLURM: {bad.slurm})" if bad.slurm else ""
    nodes = f" on {_some(bad.nodes)}" if bad.nodes else ""
    message = f": {bad.message}" if bad.message else ""
    as_of = f" (last sign {bad.as_of})" if bad.as_of else ""
    numbers = _some([str(number) for number in bad.elements])
    which = f"element {numbers}" if len(bad.elements) == 1 else f"{len(bad.elements)} elements ({numbers})"
    return f"{which}: {bad.end}{slurm}{nodes}{message}{as_of}"


def _iter_reasons(report: UnitReport) -> Iterator[tuple[int, list[Text]]]:
    styles = {"failed": (URGENT, "red"), "blocked": (SOON, "yellow")}
    for reason in report.count.reasons:
        rank, style = styles.get(reason.status, (LATER, "dim"))
        head = f"{report.unit.path}: {reason.count} {reason.status} ({reason.reason})"
        last = f", last {reason.item} at {reason.time}" if reason.time else f", such as {reason.item}"
        message = f": {reason.message}" if reason.message not in ("", reason.reason) else ""
        block = [Text.assemble((head, style), last, message)]
        if reason.status == "failed":
            block.append(Text(f"  python -m tools.logs {reason.item} unit={report.unit.path}", style="dim"))
        yield rank, block


def _iter_problems(report: Report) -> Iterator[Text]:
    if not report.is_queue_known:
        sources = "the files and the accounting" if report.is_accounting_known else "the files alone"
        yield Text(f"SLURM cannot be asked (no squeue, or no answer); shown from {sources}", style="yellow")
    for problem in report.problems:
        yield Text(f"note: {problem}", style="yellow")


def duration(seconds: float) -> str:
    """``45 s``, ``12 min``, ``3.5 h``, ``2.1 d``."""
    for limit, divisor, unit, digits in ((90, 1, "s", 0), (5400, 60, "min", 0), (172800, 3600, "h", 1)):
        if seconds < limit:
            return f"{seconds / divisor:.{digits}f} {unit}"
    return f"{seconds / 86400:.1f} d"


def _or_dash(number: int) -> str:
    return str(number) if number else "-"


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:NUM_SHOWN]) + (" …" if len(names) > NUM_SHOWN else "")
