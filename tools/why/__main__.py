"""The command: ``python -m tools.why KEY|KEY/SAMPLE|SHARD.tar/KEY [dataset=…] [stage=…] [setup=…] [--check] [--json]``.

Writes nothing. Exit code 0; 2: nothing of that name, or a mistake in the command.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence

from launchers.ending import EXIT_OK
from tools.command import Grammar, open_layout, read_words, run_command
from tools.records.unit import UNIT_KEYS
from tools.why.render import iter_lines
from tools.why.target import find_start
from tools.why.trace import Trace

GRAMMAR = Grammar((*UNIT_KEYS, "setup"), ("--check", "--json"))
USAGE = """\
Follow a packed sample, or any item, back to its source files: every stage with settings, code, models, run and attempt.

  python -m tools.why T1/talk_some_3-0000                    a sample, as in a shard's file names or a loader's __key__
  python -m tools.why T1                                     an item, from the latest stage that has it
  python -m tools.why T1 stage=encode                        from this stage
  python -m tools.why shards/train-000000.tar/T1             an item of a shard; its path may stand before

  dataset=NAME, stage=NAME, setup=NAME, unit=FOLDER          which folder to begin with
  --check     list the source again, and say whether the item changed since
  --json      print everything, nothing shortened, as JSON
  --root FOLDER    in place of DATA_ROOT_DIR
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    return run_command(_run, USAGE, arguments, needs_words=True)


def _run(arguments: list[str]) -> int:
    words = read_words(arguments, GRAMMAR)
    word, layout = words.one_target("item key, sample or place in a shard"), open_layout(words)
    row = Trace(layout, find_start(layout, word, words), "--check" in words.flags).to_row()
    if "--json" in words.flags:
        print(json.dumps(row, indent=1))
    else:
        print("\n".join(iter_lines(row)))
    return EXIT_OK


if __name__ == "__main__":
    sys.exit(main())
