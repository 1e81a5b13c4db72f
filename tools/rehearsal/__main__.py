"""The command: ``python -m tools.rehearsal [dataset=NAME,…] [setup=NAME,…] [--keep]``.

Exit code 0: both halves ended well, every planned disturbance was made, and the outputs agree. 1: something of that is
not so; 2: a mistake in the command; 130: interrupted.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shlex
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from launchers.compose import CONF_DIR
from launchers.ending import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_OK
from launchers.execute import terminate_as_interrupt
from launchers.run import main as launch
from mmassist.core.errors import ConfigError, StageError
from mmassist.datasets import list_datasets
from mmassist.io.layout import Layout
from slurm.private.daemon import DaemonError
from tools.command import ROOT, Grammar, check_values, read_words, run_command
from tools.console import make_console, show
from tools.demo.cluster import started
from tools.demo.sample import DATASETS, SMALL, make_sources
from tools.rehearsal import on_slurm
from tools.rehearsal.blows import BLOWS
from tools.rehearsal.compare import Rule, compare_roots
from tools.rehearsal.storm import Storm
from tools.rehearsal.table import render_disturbances, render_table
from tools.status.__main__ import main as show_status

FOLDER = Path(__file__).resolve().parents[2] / "demo_data" / "rehearsal"
SOURCES, LOCAL, SLURM = "sources", "local", "slurm"  # folders below the rehearsal's own; the last two are data roots
SETUPS = tuple(sorted(path.stem for path in (CONF_DIR / "setup").glob("*.yaml")))
SETTINGS = (
    "models=tiny",
    "judge=timing,llm",
    "split.filter='llm.correctness >= 2'",  # so that the selection reads both judges
    *(f"{stage}.task_weight=40" for stage in ("extract", "generate", "encode")),  # a task per video or two
)
HERE = ("hydra/launcher=local", "num_workers=2")
GRAMMAR = Grammar(("dataset", "setup"), ("--keep",))
USAGE = f"""\
Run all stages over all sources in small, once on this machine and once on a private SLURM under disturbances,
and compare what came out, byte for byte.

  python -m tools.rehearsal                            everything (make rehearsal)
  python -m tools.rehearsal dataset=wtag,llava setup=knowledge

  dataset=NAME, setup=NAME   these sources and setups alone; several values with commas
  --keep                     go on from the local half that an earlier rehearsal left; SLURM's is made anew always
  --root FOLDER              where to work ({FOLDER})
"""


@dataclass
class Rehearsal:
    """One rehearsal below ``root``: its steps in order, what went wrong, and how long each step took."""

    root: Path
    datasets: Sequence[str]
    setups: Sequence[str]
    failures: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def layouts(self) -> tuple[Layout, Layout]:
        return Layout(self.root / LOCAL), Layout(self.root / SLURM)

    @property
    def words(self) -> tuple[str, ...]:
        names = (f"dataset={','.join(self.datasets)}", f"setup={','.join(self.setups)}")
        return ("stage=extract,generate,judge,split,encode,pack", *names, *SETTINGS, "-m")

    def run(self, keep: bool) -> int:
        """Take all steps; returns the exit code. Raises ConfigError and StageError."""
        begin = time.monotonic()
        with self._step("sources"):
            # Those with a stamp first: they are not written into a folder that somebody else has filled.
            make_sources(self.root / SOURCES, list(dict.fromkeys((*DATASETS, *self.datasets))), SMALL)
        for layout in self.layouts:
            if not (keep and layout.data_root.name == LOCAL):
                shutil.rmtree(layout.data_root, ignore_errors=True)
            layout.data_root.mkdir(exist_ok=True)
            if not layout.datasets.is_symlink():
                layout.datasets.symlink_to(Path("..") / SOURCES / layout.datasets.name)
        for name, half in ((LOCAL, self._run_here), (SLURM, self._run_on_slurm)):
            with self._step(name):
                code = half()
            if code != EXIT_OK:
                tell(f"failed: the half {name!r} ended with exit code {code}")
                return code
        with self._step("comparison"):
            self._compare()
        self.seconds["all"] = time.monotonic() - begin
        return self._conclude()

    @contextlib.contextmanager
    def _step(self, name: str) -> Iterator[None]:
        tell(f"step {name!r}")
        begin = time.monotonic()
        yield
        self.seconds[name] = time.monotonic() - begin

    def _run_here(self) -> int:
        return _give(self.layouts[0], (*self.words[:-1], *HERE, "-m"), launch)

    def _run_on_slurm(self) -> int:
        layout = self.layouts[1]
        words = (*self.words[:-1], *on_slurm.SETTINGS, "-m")
        storm = Storm(list(BLOWS), tell)
        cluster = on_slurm.make_cluster(self.root)
        cluster.down(purge=True)  # what a rehearsal that was killed has left
        with started(cluster):
            code = _give(layout, words, lambda said: self._note(on_slurm.run_on_slurm(cluster, layout, said, storm)))
            if code == EXIT_OK:
                tell("status, as python -m tools.status shows it")
                if show_status([ROOT, str(layout.data_root)]) != EXIT_OK:
                    self.failures.append("tools.status finds something wrong on SLURM's side")
        self.failures += storm.list_failures()
        show(make_console(), render_disturbances(storm.struck))
        return code

    def _note(self, result: tuple[int, list[str]]) -> int:
        code, failures = result
        self.failures += failures
        return code

    def _compare(self) -> None:
        result = compare_roots(*self.layouts)
        for rule in Rule:
            tell(f"compared {result.counts[rule]:5}: {rule}")
        if not result.counts[Rule.BYTES]:
            self.failures.append("there is nothing to compare")
        if result.differences:
            more = f" ({len(result.differences)} differences)" if len(result.differences) > 1 else ""
            self.failures.insert(0, f"the first differing file is {result.differences[0]}{more}")

    def _conclude(self) -> int:
        show(make_console(), render_table(*self.layouts))
        tell(", ".join(f"{name} {seconds:.0f} s" for name, seconds in self.seconds.items()))
        for failure in self.failures:
            tell(f"failed: {failure}")
        if not self.failures:
            tell("passed: both halves made the same")
        return EXIT_FAILED if self.failures else EXIT_OK


def _give(layout: Layout, words: Sequence[str], start: Callable[[Sequence[str]], int]) -> int:
    """Give a command over a data root; an interrupted one interrupts all."""
    os.environ["DATA_ROOT_DIR"] = str(layout.data_root)
    tell(f"DATA_ROOT_DIR={layout.data_root} python -m launchers.run {shlex.join(words)}")
    code = start(words)
    if code == EXIT_INTERRUPTED:
        raise KeyboardInterrupt
    return code


def tell(text: str) -> None:
    """A line of the rehearsal's own."""
    print(f"rehearsal: {text}", flush=True)


@contextlib.contextmanager
def _alone_in(root: Path) -> Iterator[None]:
    """Keep a second rehearsal off the folder, and ours off a folder of somebody else's. Raises ConfigError."""
    root.mkdir(parents=True, exist_ok=True)
    path = root / "lock"
    if not path.exists() and any(root.iterdir()):
        raise ConfigError(f"{ROOT} {root} holds other files; it must be empty, absent, or an earlier rehearsal's")
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConfigError(f"a rehearsal is at work in {root}; wait for it, or say {ROOT} FOLDER") from error
        yield


def _run(arguments: list[str]) -> int:
    words = read_words(arguments, GRAMMAR)
    if words.targets:
        raise ConfigError(f"{words.targets[0]!r} is none of the words that this command knows; see --help")
    datasets, setups = (
        words.filters.get(key, known) for key, known in (("dataset", list_datasets()), ("setup", SETUPS))
    )
    check_values("dataset", datasets, list_datasets())
    check_values("setup", setups, SETUPS)
    root = Path(words.options.get(ROOT, FOLDER)).expanduser().resolve()
    try:
        with terminate_as_interrupt(), _alone_in(root):
            return Rehearsal(root, datasets, setups).run("--keep" in words.flags)
    except DaemonError as error:
        raise StageError(str(error)) from error


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    stopped = "stopped, and its cluster with it; the next rehearsal starts anew"
    return run_command(_run, USAGE, arguments, stopped=stopped)


if __name__ == "__main__":
    sys.exit(main())
