"""``python -m tools.demo``: make the sample, run all stages over it, say what came out."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.progress import track

from launchers.ending import EXIT_FAILED, EXIT_OK, end_command
from launchers.run import main
from mmassist.core.config import nearest
from mmassist.core.errors import StageError
from slurm.private.daemon import DaemonError
from tools.demo import cluster
from tools.demo.publication import list_publications
from tools.demo.sample import DATASETS, make_sources
from tools.demo.summary import iter_report, load_totals

REPOSITORY = Path(__file__).resolve().parents[2]
SETTINGS = (
    "models=tiny",
    "hydra/launcher=local",
    "num_workers=2",
    "extract.task_weight=240",  # several shards even of so little, so that both workers have some
    "encode.task_weight=240",
    "on_stale=rebuild",  # after a change of code or sample the demonstration starts again
    "-m",
)


def run_demo(
    root: Path,
    datasets: Sequence[str] = DATASETS,
    settings: Sequence[str] = SETTINGS,
    launch: Callable[[Sequence[str]], int] = main,
) -> int:
    """Run the demonstration below ``root``; returns an exit code as ``launchers.run`` does."""
    root.mkdir(parents=True, exist_ok=True)
    os.environ["DATA_ROOT_DIR"] = str(root)
    begin = time.monotonic()
    names = ",".join(datasets)
    words = ("stage=extract,generate,judge,split,encode,pack", f"dataset={names}", *settings)
    is_new = make_sources(root, datasets, track=_track)
    print(f"sample: {'made' if is_new else 'is there'} in {_shown(root)}/datasets, invented tasks on numbered pictures")
    print(f"running: DATA_ROOT_DIR={_shown(root)} {_python()} -m launchers.run {' '.join(words)}", flush=True)
    code = launch(words)
    if code not in (EXIT_OK, EXIT_FAILED):
        return code
    print("\n".join(iter_report(load_totals(words), Path.cwd())))
    print(
        "\nDialogs are scripted and vision weights random (models=tiny): the form is the real one, the content is not."
        f"\nTook {time.monotonic() - begin:.0f} s. Next, samples of other settings from the same dialogs and frames:\n"
        f"  DATA_ROOT_DIR={_shown(root)} {_python()} -m launchers.run stage=pack dataset={names} models=tiny "
        "hydra/launcher=basic setup=no_knowledge pack.image_tokens=1,5 -m"
    )
    return code


def _track(paths: list[Path]) -> Iterator[Path]:
    console = Console(stderr=True)
    if not console.is_terminal:
        print(f"making {len(paths)} videos", file=sys.stderr, flush=True)
        yield from paths
        return
    yield from track(paths, "making videos", console=console)


def _shown(path: Path) -> str:
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def _python() -> str:
    return _shown(Path(sys.executable)) if ".venv" in sys.executable else "python"


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tools.demo", description=__doc__)
    folder = REPOSITORY / "demo_data"
    parser.add_argument(
        "--root", type=Path, help=f"folder of the sample and outputs ({folder}, with --slurm its slurm/)"
    )
    choices = sorted({*DATASETS, *list_publications()})
    parser.add_argument("--dataset", default=",".join(DATASETS), help=f"sources, with commas: {', '.join(choices)}")
    parser.add_argument("--slurm", action="store_true", help="on a private SLURM, started and stopped for it")
    parser.add_argument("--keep", action="store_true", help="with --slurm: do not stop it at the end")
    arguments = parser.parse_args()
    if arguments.keep and not arguments.slurm:
        parser.error("--keep needs --slurm")
    arguments.root = (arguments.root or (folder / "slurm" if arguments.slurm else folder)).resolve()
    arguments.dataset = list(dict.fromkeys(arguments.dataset.split(",")))
    for name in arguments.dataset:
        if name not in choices:
            parser.error(f"--dataset {name}: there is no sample of it.{nearest(name, choices)}")
    return arguments


def _main() -> int:
    words = _parse()
    if not words.slurm:
        return run_demo(words.root, words.dataset)
    return run_demo(words.root, words.dataset, cluster.SETTINGS, partial(cluster.run_on_slurm, keep=words.keep))


if __name__ == "__main__":
    STOPPED = "stopped; what is finished is kept, the same command goes on from here"
    sys.exit(end_command(_main, STOPPED, (StageError, DaemonError)))
