"""The command: ``python -m tools.status [RUN …] [dataset=NAME,…] [stage=NAME,…] [--watch [SECONDS]] [--json]``.

Reads files, ``squeue`` and ``sacct``; writes nothing. Exit code 0: all is well; 1: items failed or jobs ended badly;
2: a mistake in the command.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Sequence

from rich.console import Console
from rich.live import Live
from rich.text import Text

from launchers.collector import paused_collector
from launchers.ending import EXIT_OK
from mmassist.core.errors import ConfigError
from mmassist.io.layout import Layout
from tools.command import Grammar, Words, open_layout, read_words, run_command
from tools.console import make_console
from tools.records.unit import UNIT_KEYS
from tools.status.render import render_report
from tools.status.report import Choice, Report, make_report
from tools.status.row import report_row

WATCH_S = 5.0
GRAMMAR = Grammar(UNIT_KEYS, ("--json", "--watch"), {"--watch": f"a number of seconds, or none for {WATCH_S:g}"})
USAGE = """\
Say how every output folder and every started job stands.

  python -m tools.status                               all folders, each with the latest run that worked on it
  python -m tools.status RUN                           the folders of one run: its id or the beginning of it, or last
  python -m tools.status dataset=holoassist stage=extract,encode

  dataset=NAME, stage=NAME, unit=FOLDER                these folders alone; several values with commas
  --watch [SECONDS]   redraw every 5 seconds, or as many as said, until Ctrl-C
  --json              everything as one JSON document
  --root FOLDER       in place of DATA_ROOT_DIR
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    return run_command(_run, USAGE, arguments)


def _run(arguments: list[str]) -> int:
    words = read_words(arguments, GRAMMAR)
    layout, watch_s, is_json = open_layout(words, may_be_empty=True), _watch_s(words), "--json" in words.flags
    if is_json and watch_s is not None:
        raise ConfigError("--json and --watch are both given; use one of them")
    console = make_console()
    if watch_s is not None and console.is_terminal:
        return _watch(layout, words, watch_s, console)
    report = _look(layout, words)
    if is_json:
        print(json.dumps(report_row(report), indent=1))
        return report.exit_code
    console.print(render_report(report, console.width), soft_wrap=not console.is_terminal)
    if watch_s is not None:
        print("--watch needs a terminal; this was one look", file=sys.stderr)
    return report.exit_code


def _watch_s(words: Words) -> float | None:
    """Seconds from one look to the next, None for a single one. Raises ConfigError."""
    text = words.options.get("--watch")
    if text is None:
        return WATCH_S if "--watch" in words.flags else None
    if not text.replace(".", "", 1).isdigit() or not 0.2 <= float(text) <= 86400:
        raise ConfigError(f"--watch {text}: say a number of seconds from 0.2 to 86400, or none for {WATCH_S:g}")
    return float(text)


def _watch(layout: Layout, words: Words, seconds: float, console: Console) -> int:
    report: Report | None = None
    with contextlib.suppress(KeyboardInterrupt), Live(Text("looking …"), console=console, auto_refresh=False) as live:
        while True:
            report = _look(layout, words)
            live.update(render_report(report, console.width, max(5, console.height // 3)), refresh=True)
            time.sleep(seconds)
    return report.exit_code if report else EXIT_OK


@paused_collector()
def _look(layout: Layout, words: Words) -> Report:
    return make_report(layout, Choice(words.targets, words.filters))


if __name__ == "__main__":
    sys.exit(main())
