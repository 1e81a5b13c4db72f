"""The report as tables for a terminal, plain text elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich import box
from rich.console import Console, RenderableType
from rich.markup import escape
from rich.rule import Rule
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from tools.console import show
from tools.doctor.disk import Disk
from tools.doctor.needs import State
from tools.doctor.report import NUM_EXAMPLES, SourceReport, Verdict, count_reasons

COLOURS = {Verdict.READY: "green", Verdict.WARNINGS: "yellow", Verdict.NOT_READY: "red"}


def print_report(console: Console, reports: Sequence[SourceReport], disk: Disk) -> None:
    """Every source that is there or was asked for, the others in a line each, and the whole in a table."""
    shown = [report for report in reports if report.counts]
    for report in shown:
        for part in _iter_source(report):
            show(console, part)
    absent = [report for report in reports if not report.counts]
    if absent:
        console.print(Rule("not here", style="dim"))
        for report in absent:
            missing = f" (missing there: {', '.join(_missing(report))})" if report.is_there else ""
            text = f"{report.dataset}: would lie in {report.folder}{missing}; get it from {report.homepage}"
            show(console, Text(text))
    if shown:
        console.print(Rule("summary", style="bold"))
        console.print(_summary(shown))
        show(console, Text(_total(shown, disk)))


def _missing(report: SourceReport) -> list[str]:
    return [need.path for need in report.needs if need.is_required and not need.is_usable]


def _iter_source(report: SourceReport) -> Iterator[RenderableType]:
    yield Rule(escape(report.dataset), style="bold")
    yield Text(f"folder    {report.folder}\nhomepage  {report.homepage}\nlicence   {report.licence}")
    if report.needs:
        yield _layout_tree(report)
    yield from _iter_missing(report)
    if report.contents:
        yield Text("\n".join(_iter_contents(report)))
    if report.drops:
        yield _drop_table("records repaired or left out while listing", report.drops)
    if report.sides and report.sides.sides:
        yield _side_table(report)
        yield Text(_side_remark(report))
    yield from _iter_records(report)
    if report.disk:
        yield _disk_table(report)
    yield from _iter_verdict(report)


def _layout_tree(report: SourceReport) -> Tree:
    """The publisher's files as they must lie, each marked with its state."""
    top = Tree(Text(f"{report.folder}/"), guide_style="dim")
    folders: dict[str, Tree] = {"": top}
    for need in sorted(report.needs, key=lambda need: need.path):
        parent, _, name = need.path.rstrip("/").rpartition("/")
        state = "" if need.is_usable else f"  {'' if need.is_required else 'optional, '}{need.state}"
        colour = "green" if need.is_usable else "red" if need.is_required else "yellow"
        text = Text.assemble((name, colour), (f"  {need.what}", "dim"), (state.upper() if need.is_required else state))
        folders[need.path] = _branch(folders, parent).add(text)
    if report.picture_pattern:
        top.add(Text.assemble(report.picture_pattern, ("  videos or pictures", "dim")))
    return top


def _branch(folders: dict[str, Tree], path: str) -> Tree:
    if path not in folders:
        parent, _, name = path.rpartition("/")
        folders[path] = _branch(folders, parent).add(Text(f"{name}/"))
    return folders[path]


def _iter_missing(report: SourceReport) -> Iterator[Text]:
    for need in report.needs:
        if need.state is State.MISSING and report.is_there:
            kind = "required" if need.is_required else "optional"
            hint = f"\n    hint: {need.hint}" if need.hint else ""
            yield Text(f"{kind} and missing: {need.path}; get it from {need.page}{hint}")


def _iter_contents(report: SourceReport) -> Iterator[str]:
    contents, pictures = report.contents, report.pictures
    assert contents is not None
    splits = ", ".join(f"{number} {split}" for split, number in contents.dialogs_by_split.items())
    yield (
        f"listing   {contents.num_dialogs} {report.content} items ({splits}), {contents.num_recordings} recordings"
        + (f", {contents.num_participants} participants" if contents.num_participants else "")
    )
    media = ", ".join(f"{number} {medium}" for medium, number in contents.media_by_medium.items())
    unknown = f", {contents.num_unknown_length} of unknown length" if contents.num_unknown_length else ""
    hours = f"{contents.hours:.1f} hours{unknown}; {contents.annotated_hours:.1f} hours in items"
    yield f"media     {contents.num_media} items ({media}), {hours}"
    if pictures:
        about = "about " if pictures.is_estimate else ""
        counts = f"{pictures.num_there} of {pictures.num_files} files are there"
        yield f"pictures  {counts}, {about}{size(pictures.num_bytes)}"
        for what, paths in (("missing", pictures.missing), ("0 bytes", pictures.empty)):
            if paths:
                yield f"  {what} {len(paths)}: {some(paths)}"


def _drop_table(title: str, drops: Sequence[dict[str, str]]) -> Table:
    table = _table(f"{len(drops)} {title}", "reason", "records", f"first {NUM_EXAMPLES}")
    for reason, count, examples in count_reasons(drops):
        table.add_row(Text(reason), str(count), Text(", ".join(examples)))
    return table


def _side_table(report: SourceReport) -> Table:
    sides = report.sides
    assert sides is not None
    table = _table("sides", "side", "recordings", "participants", "dialogs", "moved")
    for row in sides.sides:
        numbers = (row[name] for name in ("num_recordings", "num_participants", "num_dialogs", "num_moved"))
        table.add_row(row["side"], *map(str, numbers))
    return table


def _side_remark(report: SourceReport) -> str:
    sides = report.sides
    assert sides is not None
    shared = f"; {sides.shared_participants} participants are on several sides" if sides.shared_participants else ""
    moved = "".join(f"; {number} moved: {reason}" for reason, number in sides.moved.items())
    return f"{sides.kept}{shared}{moved}".removeprefix("; ")


def _iter_records(report: SourceReport) -> Iterator[RenderableType]:
    records = report.records
    if records is None:
        if report.contents:
            yield Text("records   not looked at; --records does")
        return
    if report.content == "dialog":
        yield Text(
            f"records   {records.num_items} annotations: {records.num_steps} steps, {records.num_windows} generation "
            f"windows, {records.num_mistakes} recordings with mistakes"
        )
    else:
        yield Text(f"records   {records.num_items} items: {records.num_captions} captions")
    for what, keys in (
        ("skipped as no_steps", records.without_steps),
        ("skipped as low_coverage", records.low_coverage),
        ("without a goal", records.without_goal),
        ("without captions", records.without_captions),
        ("not readable", [row["item"] for row in records.failed]),
    ):
        if keys:
            yield Text(f"  {what} {len(keys)}: {some(keys)}")
    if records.drops:
        yield _drop_table("records repaired or left out in items", records.drops)


def _disk_table(report: SourceReport) -> Table:
    table = _table("disk, roughly", "stage", "pictures at hand", "all pictures", "there now", "still to write")
    for row in report.disk:
        table.add_row(row.stage, *map(size, (row.expected, row.expected_all, row.present, row.missing)))
    return table


def _iter_verdict(report: SourceReport) -> Iterator[Text]:
    for kind, lines, colour in (("problem", report.problems, "red"), ("warning", report.warnings, "yellow")):
        for line in lines:
            yield Text.assemble((f"{kind}: ", colour), line)
    verdict = report.verdict
    possible = [name for name, reason in report.possible.items() if not reason]
    rest = "" if len(possible) == len(report.possible) else f"; stages possible: {', '.join(possible) or 'none'}"
    yield Text.assemble((f"{report.dataset}: {verdict}", f"bold {COLOURS[verdict]}"), rest, "\n")


def _summary(reports: Sequence[SourceReport]) -> Table:
    table = _table("", "source", "items", "hours", "pictures", "drops", "still to write", "verdict")
    for report in reports:
        contents, pictures = report.contents, report.pictures
        table.add_row(
            report.dataset,
            str(contents.num_dialogs) if contents else "",
            f"{contents.hours:.1f}" if contents else "",
            f"{pictures.num_there}/{pictures.num_files}" if pictures else "",
            str(len(report.all_drops)) if contents else "",
            size(sum(row.missing for row in report.disk)) if report.disk else "",
            Text(str(report.verdict), style=COLOURS[report.verdict]),
        )
    return table


def _total(reports: Sequence[SourceReport], disk: Disk) -> str:
    needed = sum(row.missing for report in reports for row in report.disk)
    answer = "fits" if needed <= disk.free_bytes else "does not fit"
    return f"disk: about {size(needed)} still to write, {size(disk.free_bytes)} free: {answer}"


def size(num_bytes: float) -> str:
    """``12.3 GB``: decimal units, as disks are sold."""
    for unit in ("B", "kB", "MB", "GB"):
        if num_bytes < 1000:
            return f"{num_bytes:.0f} {unit}" if unit in ("B", "kB") else f"{num_bytes:.1f} {unit}"
        num_bytes /= 1000
    return f"{num_bytes:.1f} TB"


def some(names: Sequence[str]) -> str:
    """The first few names, and a mark where there are more."""
    return ", ".join(names[:NUM_EXAMPLES]) + (" …" if len(names) > NUM_EXAMPLES else "")


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title or None, title_justify="left", title_style="", box=box.SIMPLE_HEAD, pad_edge=False)
    for position, column in enumerate(columns):
        is_text = position in (0, len(columns) - 1)
        table.add_column(column, justify="left" if is_text else "right", overflow="fold")
    return table
