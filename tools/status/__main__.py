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
from mmassist.core.errors import ConfigError
from tools.doctor.render import make_console
from tools.status.render import render_report
from tools.status.report import Report, make_report
from tools.status.row import report_row
from tools.status.words import Arguments, read_arguments

EXIT_OK, EXIT_BAD, EXIT_USER = 0, 1, 2
USAGE = """\
Say how every output folder and every started job stands.

  python -m tools.status                               all folders, each with the latest run that worked on it
  python -m tools.status RUN                           the folders of one run; the beginning of its name will do
  python -m tools.status dataset=holoassist stage=extract,encode

  --watch [SECONDS]   redraw every 5 seconds, or as many as said, until Ctrl-C
  --json              everything as one JSON document
  --root FOLDER       in place of DATA_ROOT_DIR
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if {"--help", "-h"} & set(words):
        print(USAGE)
        return EXIT_OK
    try:
        return _run(read_arguments(words))
    except ConfigError as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_USER
    except BrokenPipeError:
        sys.stdout = None  # type: ignore[assignment]  # nobody reads any more; Python would complain at its end
        return EXIT_BAD
    except OSError as error:
        print(f"error: {error.strerror or error}: {error.filename or ''}".rstrip(": "), file=sys.stderr)
        return EXIT_BAD


def _run(arguments: Arguments) -> int:
    console = make_console()
    if arguments.watch_s is not None and console.is_terminal:
        return _watch(arguments, arguments.watch_s, console)
    report = _look(arguments)
    if arguments.is_json:
        print(json.dumps(report_row(report), indent=1))
        return report.exit_code
    console.print(render_report(report), soft_wrap=not console.is_terminal)
    if arguments.watch_s is not None:
        print("--watch needs a terminal; this was one look", file=sys.stderr)
    return report.exit_code


def _watch(arguments: Arguments, seconds: float, console: Console) -> int:
    report: Report | None = None
    with contextlib.suppress(KeyboardInterrupt), Live(Text("looking …"), console=console, auto_refresh=False) as live:
        while True:
            report = _look(arguments)
            live.update(render_report(report, max(5, console.height // 3)), refresh=True)
            time.sleep(seconds)
    return report.exit_code if report else EXIT_OK


@paused_collector()
def _look(arguments: Arguments) -> Report:
    return make_report(arguments.layout, arguments.choice)


if __name__ == "__main__":
    with contextlib.suppress(AttributeError):
        sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    sys.exit(main())
