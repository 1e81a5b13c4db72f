"""The command: ``python -m tools.judge_report [dataset=NAME,…] [--examples N] [--json] [--root FOLDER]``.

Writes nothing. Exit code 0; 1: some scores could not be read; 2: there are none, or a mistake in the command.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from itertools import groupby
from typing import Any

from launchers.ending import EXIT_FAILED, EXIT_OK
from mmassist.core.errors import ConfigError
from mmassist.datasets.json_file import replace_surrogates
from mmassist.io.layout import Layout
from tools.command import Grammar, open_layout, read_words, run_command
from tools.console import make_console, show
from tools.judge_report.render import iter_parts
from tools.judge_report.report import SCHEMA_VERSION, source_row
from tools.judge_report.scores import load_scores
from tools.records.file import Reader
from tools.records.unit import choose_units, list_units

NUM_EXAMPLES = 1
GRAMMAR = Grammar(("dataset",), ("--json",), {"--examples": "a number; say --examples N"})
USAGE = f"""\
Say how the judges' scores are distributed, how far every two judges agree, and which dialogs are worst and best.

  python -m tools.judge_report                                all sources that have scores
  python -m tools.judge_report dataset=holoassist,wtag        these

  --examples N     worst and best dialogs per judge and type of user, and disagreements ({NUM_EXAMPLES}); 0 for none
  --json           everything as one JSON document, nothing shortened
  --root FOLDER    in place of DATA_ROOT_DIR
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    return run_command(_run, USAGE, arguments)


def _run(arguments: list[str]) -> int:
    words = read_words(arguments, GRAMMAR)
    if words.targets:
        raise ConfigError(f"{words.targets[0]!r} means nothing here; say dataset=NAME, or leave it out for all sources")
    layout = open_layout(words)
    report = make_report(layout, words.filters.get("dataset", ()), words.whole_number("--examples", NUM_EXAMPLES))
    if "--json" in words.flags:
        print(json.dumps(report, indent=1))
    else:
        console = make_console()
        for part in iter_parts(report):
            show(console, part)
    return EXIT_FAILED if report["problems"] else EXIT_OK


def make_report(layout: Layout, datasets: Sequence[str], num_examples: int) -> dict[str, Any]:
    """The whole report. Raises ConfigError for an unknown source, and when there are no scores at all."""
    reader = Reader()
    units = choose_units(list_units(layout, reader), {"dataset": datasets} if datasets else {})
    if not any(unit.stage == "judge" for unit in units):
        where = f"of {', '.join(datasets)}" if datasets else f"below {layout.processed}"
        raise ConfigError(f"there are no scores {where} yet; python -m launchers.run stage=judge dataset=… makes them")
    sources = []
    for dataset, group in groupby(units, key=lambda unit: unit.dataset):
        members = list(group)
        judges = [load_scores(unit, reader) for unit in members if unit.stage == "judge"]
        if judges:
            sources.append(source_row(dataset, judges, members, num_examples))
    row: dict[str, Any] = replace_surrogates(
        {
            "schema_version": SCHEMA_VERSION,
            "data_root": str(layout.data_root),
            "sources": sources,
            "problems": reader.problems,
        }
    )
    return row


if __name__ == "__main__":
    sys.exit(main())
