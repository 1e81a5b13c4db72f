"""The command: ``python -m tools.doctor [dataset=NAME[,NAME]] [key=value …] [--records] [--json FILE]``.

Says of every source what is there, what is missing and where to get it, and what the stages would make of it. Writes
nothing below DATA_ROOT_DIR. Exit code 0: everything looked at is ready, warnings allowed; 1: something is not; 2: a
mistake in the command.
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track

from launchers.ending import EXIT_FAILED, EXIT_OK
from mmassist.core.errors import ConfigError
from mmassist.core.item import Item
from mmassist.io.atomic import commit
from mmassist.io.layout import Layout
from tools.command import Grammar, read_words, run_command
from tools.console import make_console
from tools.doctor.disk import measure_disk
from tools.doctor.examine import Show, examine
from tools.doctor.render import print_report
from tools.doctor.report import SourceReport, Verdict, report_row
from tools.doctor.words import MULTIRUN, names_dataset, open_jobs

GRAMMAR = Grammar(
    None,
    ("--records", "--no-records", *MULTIRUN),
    {"--json": "a file; say --json report.json, or --json - for standard output"},
)
USAGE = """\
Look at the publishers' folders before any work.

  python -m tools.doctor                                     every source whose folder is there
  python -m tools.doctor dataset=holoassist,wtag             these sources, whether they are there or not
  python -m tools.doctor dataset=wtag models=tiny split.seed=7       settings as in launchers.run

  --records      load every annotation, however many there are; --no-records: none (default: below 5000 items)
  --json FILE    write the report with all records left out as JSON; --json - prints it in place of the tables
  --root FOLDER  in place of DATA_ROOT_DIR
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    return run_command(_run, USAGE, arguments)


def _run(arguments: list[str]) -> int:
    words = read_words(arguments, GRAMMAR)
    chosen = {"--records", "--no-records"} & words.flags
    if len(chosen) > 1:
        raise ConfigError("--records and --no-records are both given; use one of them")
    with_records = "--records" in chosen if chosen else None
    json_path = words.options.get("--json")
    layout, jobs = open_jobs(words.settings, "doctor")
    if json_path not in (None, "-"):
        _refuse_inside(Path(str(json_path)), layout)
    is_named = names_dataset(words.settings)
    show = _make_show(make_console(is_error=True))
    disk = measure_disk(layout)
    reports = [examine(layout, job, is_named, with_records, disk, show) for job in jobs]
    mark_shared(reports)
    exit_code = exit_code_of(reports)
    row = report_row(str(layout.data_root), reports, disk, exit_code)
    if json_path == "-":
        print(json.dumps(row, indent=1))
        return exit_code
    print_report(make_console(), reports, disk)
    if not any(report.counts for report in reports):
        print(f"none of the sources lies in {layout.datasets}; docs/sources/ says how each must be laid out")
    if json_path is not None:
        with commit(Path(json_path).absolute()) as file:
            file.write(json.dumps(row, indent=1).encode() + b"\n")
    return exit_code


def mark_shared(reports: Sequence[SourceReport]) -> None:
    """Several sources are read from one folder (Ego4D): there the files decide which of them are meant."""
    times = Counter(report.folder for report in reports)
    for report in reports:
        report.shares_folder = times[report.folder] > 1


def exit_code_of(reports: Sequence[SourceReport]) -> int:
    """1 when a source that counts is not ready, or when none counts."""
    counted = [report for report in reports if report.counts]
    is_bad = not counted or any(report.verdict is Verdict.NOT_READY for report in counted)
    return EXIT_FAILED if is_bad else EXIT_OK


def _refuse_inside(path: Path, layout: Layout) -> None:
    """Raise ConfigError for a report that would lie among the data, or nowhere."""
    if path.resolve().is_relative_to(layout.data_root):
        raise ConfigError(f"--json {path}: nothing is written below DATA_ROOT_DIR; name a file elsewhere")
    if not path.absolute().parent.is_dir():
        raise ConfigError(f"--json {path}: its folder does not exist")
    if path.exists() and not path.is_file():  # writing replaces the name: a device would become a file
        raise ConfigError(f"--json {path}: is {'a folder' if path.is_dir() else 'no plain file'}; say --json FILE or -")


def _make_show(console: Console) -> Show:
    if not console.is_terminal:
        return Show()

    @contextlib.contextmanager
    def doing(text: str) -> Iterator[Any]:
        with console.status(text):
            yield

    def track_items(text: str, items: Sequence[Item]) -> Iterable[Item]:
        return track(items, description=text, console=console, transient=True)

    return Show(doing, track_items)


if __name__ == "__main__":
    sys.exit(main())
