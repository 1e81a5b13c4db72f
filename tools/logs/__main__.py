"""The command: ``python -m tools.logs KEY|TASK|ELEMENT [dataset=…] [stage=…] [run=…] [--all] [--tail N]``.

Writes nothing. Exit code 0; 2: nothing of that name, or a mistake in the command.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Sequence

from mmassist.core.errors import ConfigError
from tools.logs.find import find_meanings
from tools.logs.words import open_layout, read_words

EXIT_OK, EXIT_UNREADABLE, EXIT_USER, EXIT_INTERRUPTED = 0, 1, 2, 130
DEFAULT_LINES = 40
MAX_LISTED = 20
USAGE = """\
Show the log and the traceback of an item, a task or an array element.

  python -m tools.logs R007-7July-DSLR                 an item: its attempts, the newest or failed one with its log
  python -m tools.logs R007-7July-DSLR stage=encode    where it stands in several folders: of this stage
  python -m tools.logs holoassist/frames/000003        a task: who did it, its items, its log
  python -m tools.logs 123_4                           an array element by its SLURM id
  python -m tools.logs encode-holoassist-features-tiny.00003    an element by its name in the run folder

  dataset=NAME, stage=NAME, unit=FOLDER, run=RUN (last: the newest)      leave out what does not fit
  --all       everything the word may mean, and all attempts
  --tail N    at most so many lines of each file (40)
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if not words or {"--help", "-h"} & set(words):
        print(USAGE)
        return EXIT_OK
    try:
        return _run(words)
    except ConfigError as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_USER
    except BrokenPipeError:  # ``| head`` has seen enough
        sys.stderr.close()
        return EXIT_OK
    except OSError as error:
        print(f"error: {error.strerror or error}: {error.filename or ''}".rstrip(": "), file=sys.stderr)
        return EXIT_UNREADABLE
    except KeyboardInterrupt:
        print("\nstopped", file=sys.stderr)
        return EXIT_INTERRUPTED


def _run(arguments: list[str]) -> int:
    words = read_words(arguments, ("dataset", "stage", "unit", "run"), ("--all",), ("--tail",))
    if len(words.targets) != 1:
        given = " and ".join(map(repr, words.targets)) or "nothing"
        raise ConfigError(f"{given} is asked for; give one item key, task or job id")
    layout = open_layout(words)
    num_lines = words.numbers.get("--tail", DEFAULT_LINES)
    everything = "--all" in words.flags
    meanings = find_meanings(layout, words.targets[0], words.filters)
    shown = meanings if everything else meanings[:1]
    for meaning in shown:
        print("\n".join(meaning.tell(num_lines, everything)))
    rest = meanings[len(shown) :]
    if rest:
        print(f"{len(rest)} more of that name; narrow with dataset=, stage=, unit=, run=, or say --all:")
        print("\n".join(f"  {meaning.line()}" for meaning in rest[:MAX_LISTED]))
        if len(rest) > MAX_LISTED:
            print(f"  … and {len(rest) - MAX_LISTED} more")
    return EXIT_OK


if __name__ == "__main__":
    with contextlib.suppress(AttributeError):
        sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    sys.exit(main())
