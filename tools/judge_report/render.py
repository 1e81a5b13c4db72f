"""The report as tables and lines for a person."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich import box
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from tools.judge_report.report import ALL

BARS = " ▁▂▃▄▅▆▇█"
MAX_RATIONALE = 400  # characters; --json has all of them
MAX_LINE = 150  # of a turn
COLUMNS = ("n", "mean", "sd", "min", "q25", "median", "q75", "max", "spread")


def iter_parts(report: Mapping[str, Any]) -> Iterator[RenderableType]:
    """What is printed, in order."""
    for source in report["sources"]:
        for judge in source["judges"]:
            yield _head(source["dataset"], judge)
            if judge["conversations"]:
                yield _distributions(judge)
                yield from _examples(judge)
        for agreement in source["agreements"]:
            yield from _agreement(source["dataset"], agreement)
        if len(source["judges"]) == 1:
            yield Text(f"{source['dataset']}: one judge only, so there is nothing to compare\n", style="dim")
    for problem in report["problems"]:
        yield Text(f"note: {problem}", style="yellow")


def _head(dataset: str, judge: Mapping[str, Any]) -> Text:
    items, model = judge["items"], judge["engine"].get("model")
    parts = [f"{judge['conversations']} conversations of {items['scored']} items"]
    if items["scored"] < items["total"]:
        parts.append(f"unfinished: {items['total'] - items['scored']} of {items['total']} items have no scores")
    if model:
        parts.append(f"rated by {model}, written by {judge['generator'] or 'an unknown generator'}")
    return Text.assemble((f"{dataset}, judge {judge['judge']}", "bold"), f": {'; '.join(parts)}")


def _distributions(judge: Mapping[str, Any]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    has_spread = any(row["mean_spread"] is not None for row in judge["measures"])
    for name in ("measure", "users", *COLUMNS[: len(COLUMNS) if has_spread else -1]):
        table.add_column(name, justify="right" if name in COLUMNS else "left", no_wrap=True)
    table.add_column("from … to")
    for row in judge["measures"]:
        is_first = row["user_type"] in (ALL, "")
        missing = f" (-{row['missing']})" if row["missing"] else ""
        cells = [f"{row['count']}{missing}", _number(row["mean"]), _number(row["sd"])]
        cells += [_number(value) for value in row["quantiles"].values()]
        cells += [_number(row["mean_spread"])] if has_spread else []
        users = row["user_type"] or "items"
        table.add_row(row["measure"] if is_first else "", users, *cells, _bars(row))
    return table


def _bars(row: Mapping[str, Any]) -> str:
    histogram, quantiles = row["histogram"], row["quantiles"]
    if histogram is None:
        return "-"
    if histogram["edges"][0] < quantiles["min"] == quantiles["max"] < histogram["edges"][-1]:
        return f"{quantiles['min']:.3g} alone"
    counts, edges = histogram["counts"], histogram["edges"]
    most = max(counts)
    drawn = "".join(BARS[-(-count * (len(BARS) - 1) // most)] for count in counts)  # rounded up: one dialog shows
    return f"{edges[0]:.3g} |{drawn}| {edges[-1]:.3g}"


def _examples(judge: Mapping[str, Any]) -> Iterator[Text]:
    for example in judge["examples"]:
        title = f"{example['which']} of {example['user_type']}: {example['key']} {example['user_id']}"
        values = [f"{name} {_number(value)}" for name, value in example["values"].items()]
        yield Text.assemble((title, "bold"), f"  {', '.join(values)}")
        yield from _why("", example["rationale"])
        yield from _dialog(example)
    if judge["examples"]:
        yield Text("")


def _agreement(dataset: str, agreement: Mapping[str, Any]) -> Iterator[RenderableType]:
    a, b = agreement["judges"]
    yield Text.assemble((f"{dataset}, {a} and {b}", "bold"), f": {agreement['common']} conversations in common")
    if agreement["other_dialogs"]:
        yield Text(f"left out: {agreement['other_dialogs']} of the same name whose dialogs were made again in between")
    if not agreement["common"]:
        yield Text("")
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column(a)
    table.add_column(b)
    table.add_column("users")
    for name in ("n", "Spearman", "Pearson", "ordered alike"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in agreement["rows"]:
        names = row["measures"] if row["user_type"] == ALL else ("", "")
        alike = row["ordered_alike"]
        cells = [_number(row["spearman"]), _number(row["pearson"]), "-" if alike is None else f"{alike:.0%}"]
        table.add_row(*names, row["user_type"], str(row["count"]), *cells)
    yield table
    for row in agreement["disagreements"]:
        points = ", ".join(f"{name} {_number(score)}" for name, score in zip((a, b), row["scores"], strict=True))
        title = f"better for {row['better']}: {row['key']} {row['user_id']}"
        yield Text.assemble((title, "bold"), f"  {points}; {row['gap']:.0%} of all places apart")
        for name, rationale in zip((a, b), row["rationales"], strict=True):
            yield from _why(f"{name}: ", rationale)
        yield from _dialog(row)
    yield Text("")


def _why(name: str, rationale: str) -> Iterator[Text]:
    if rationale:
        yield Text(f"  {name}{_cut(rationale, MAX_RATIONALE)}", style="italic")


def _dialog(example: Mapping[str, Any]) -> Iterator[Text]:
    if example["remark"]:
        yield Text(f"  ({example['remark']})", style="dim")
    yield from (Text(f"  {_cut(line, MAX_LINE)}", style="dim") for line in example["dialog"])


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _cut(text: str, limit: int) -> str:
    text = " ".join(text.split())
    return text if len(text) <= limit else f"{text[: limit - 2]} …"
