"""The command: ``python -m tools.why KEY|KEY/SAMPLE|SHARD.tar/KEY [dataset=…] [stage=…] [setup=…] [--check] [--json]``.

Writes nothing. Exit code 0; 2: nothing of that name, or a mistake in the command.
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Sequence

from mmassist.core.errors import ConfigError
from tools.logs.words import open_layout, read_words
from tools.why.render import iter_lines
from tools.why.target import find_start
from tools.why.trace import Trace

EXIT_OK, EXIT_UNREADABLE, EXIT_USER, EXIT_INTERRUPTED = 0, 1, 2, 130
USAGE = """\
Follow a packed sample, or any item, back to its source files: every stage with settings, code, models, run and attempt.

  python -m tools.why T1/talk_some_3-0000                    a sample, as in a shard's file names or a loader's __key__
  python -m tools.why T1                                     an item, from the latest stage that has it
  python -m tools.why T1 stage=encode                        from this stage
  python -m tools.why shards/train-000000.tar/T1             an item of a shard; its path may stand before

  dataset=NAME, stage=NAME, setup=NAME, unit=FOLDER          which folder to begin with
  --check     list the source again, and say whether the item changed since
  --json      print everything, nothing shortened, as JSON
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
    words = read_words(arguments, ("dataset", "stage", "setup", "unit"), ("--check", "--json"))
    if len(words.targets) != 1:
        given = " and ".join(map(repr, words.targets)) or "nothing"
        raise ConfigError(f"{given} is asked for; give one item key, sample or place in a shard")
    layout = open_layout(words)
    row = Trace(layout, find_start(layout, words.targets[0], words.filters), "--check" in words.flags).to_row()
    if "--json" in words.flags:
        print(json.dumps(row, indent=1))
    else:
        print("\n".join(iter_lines(row)))
    return EXIT_OK


if __name__ == "__main__":
    with contextlib.suppress(AttributeError):
        sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    sys.exit(main())
