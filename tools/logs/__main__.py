"""The command: ``python -m tools.logs KEY|TASK|ELEMENT [dataset=…] [stage=…] [run=…] [--all] [--tail N]``.

Writes nothing. Exit code 0; 2: nothing of that name, or a mistake in the command.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from launchers.ending import EXIT_OK
from tools.command import Grammar, open_layout, read_words, run_command
from tools.logs.find import find_meanings
from tools.records.unit import UNIT_KEYS

GRAMMAR = Grammar((*UNIT_KEYS, "run"), ("--all",), {"--tail": "a number of lines; say --tail N"})
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
  --root FOLDER    in place of DATA_ROOT_DIR
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    return run_command(_run, USAGE, arguments, needs_words=True)


def _run(arguments: list[str]) -> int:
    words = read_words(arguments, GRAMMAR)
    word = words.one_target("item key, task or job id")
    num_lines = words.whole_number("--tail", DEFAULT_LINES)
    everything = "--all" in words.flags
    meanings = find_meanings(open_layout(words), word, words)
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
    sys.exit(main())
