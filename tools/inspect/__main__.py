"""The command: ``python -m tools.inspect dataset=NAME [key=KEY] [key=value …] [--json]``.

Shows one item as the stages see it, beside the publisher's records. Writes nothing. Exit code 0; 1: the item cannot be
read whole; 2: a mistake in the command.
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Sequence
from typing import Any

from launchers.compose import list_options
from launchers.ending import EXIT_FAILED, EXIT_OK
from mmassist.core.errors import ConfigError
from mmassist.core.item import Listing
from tools.command import Grammar, read_words, run_command
from tools.console import make_console
from tools.doctor.words import MULTIRUN, build_stages, names_dataset, open_jobs
from tools.inspect.look import SCHEMA_VERSION, Look, find_item, look_at_item
from tools.inspect.render import print_keys, print_look

GRAMMAR = Grammar(None, ("--json", *MULTIRUN))
USAGE = """\
Look at one item of a source as the stages see it, beside the publisher's records.

  python -m tools.inspect dataset=wtag                        the first keys
  python -m tools.inspect dataset=wtag key=T1                 one item; the key of a video lists the items it shows
  python -m tools.inspect dataset=wtag key=T1 compat=reference            as the reference reads it
  python -m tools.inspect dataset=wtag key=T1 generate.clip_max_units=3   settings as in launchers.run

  --json         print everything, nothing shortened, as JSON
  --root FOLDER  in place of DATA_ROOT_DIR
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    return run_command(_run, USAGE, arguments, needs_words=True)


def _run(arguments: list[str]) -> int:
    words = read_words(arguments, GRAMMAR)
    key, settings = _take_key(words.settings)
    if not names_dataset(settings):
        raise ConfigError(f"'dataset' is not given; say dataset=NAME with one of: {', '.join(list_options('dataset'))}")
    layout, jobs = open_jobs(settings, "inspect")
    if len(jobs) > 1:
        raise ConfigError(f"inspect looks at one source; choose one of {', '.join(job.dataset for job in jobs)}")
    (job,) = jobs
    build_stages(job)
    adapter = job.adapter(layout)
    console = make_console(is_error=True)
    with console.status(f"listing {job.dataset}") if console.is_terminal else contextlib.nullcontext():
        listing = adapter.list_items(job.which)
    if key is None:
        return _show_keys(job.dataset, listing, "--json" in words.flags)
    look = look_at_item(layout, job, adapter, listing, find_item(listing, key, job.dataset))
    return _show(look, "--json" in words.flags)


def _take_key(words: Sequence[str]) -> tuple[str | None, list[str]]:
    """The item's key, taken as it is written: ``8_33`` is no number. Raises ConfigError for several."""
    keys = [word.partition("=")[2].strip("'\"") for word in words if word.startswith("key=")]
    if len(keys) > 1 or "" in keys:
        raise ConfigError("say key=KEY once, or leave it out to see the first keys")
    return (keys[0] if keys else None), [word for word in words if not word.startswith("key=")]


def _show_keys(dataset: str, listing: Listing, is_json: bool) -> int:
    if not is_json:
        print_keys(make_console(), dataset, listing)
        return EXIT_OK
    row = {
        "schema_version": SCHEMA_VERSION,
        "kind": "keys",
        "dataset": dataset,
        "dialogs": [item.key for item in listing.dialogs],
        "media": [item.key for item in listing.media],
    }
    return _print_json(row)


def _show(look: Look, is_json: bool) -> int:
    if is_json:
        _print_json(look.to_row())
    else:
        print_look(make_console(), look)
    return EXIT_FAILED if look.errors else EXIT_OK


def _print_json(row: dict[str, Any]) -> int:
    print(json.dumps(row, indent=1))
    return EXIT_OK


if __name__ == "__main__":
    sys.exit(main())
