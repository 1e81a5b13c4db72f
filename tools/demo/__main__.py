"""``python -m tools.demo``: make the sample, run the six stages over it, say what came out."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.progress import track

from launchers.run import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_OK, EXIT_USER, main
from mmassist.core.errors import ConfigError
from tools.demo.sample import make_sample
from tools.demo.summary import iter_report, load_totals

REPOSITORY = Path(__file__).resolve().parents[2]
WORDS = (
    "stage=extract,generate,judge,split,encode,pack",
    "dataset=holoassist,wtag",
    "models=tiny",
    "hydra/launcher=local",
    "num_workers=2",
    "extract.task_weight=240",  # several shards even of so little, so that both workers have some
    "encode.task_weight=240",
    "on_stale=rebuild",  # after a change of code or sample the demonstration starts again
    "-m",
)


def run_demo(root: Path) -> int:
    """Run the demonstration below ``root``; returns an exit code as ``launchers.run`` does."""
    root.mkdir(parents=True, exist_ok=True)
    os.environ["DATA_ROOT_DIR"] = str(root)
    begin = time.monotonic()
    try:
        is_new = make_sample(root, track=_track)
    except ConfigError as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_USER
    print(f"sample: {'made' if is_new else 'is there'} in {_shown(root)}/datasets, invented tasks on numbered pictures")
    print(f"running: DATA_ROOT_DIR={_shown(root)} {_python()} -m launchers.run {' '.join(WORDS)}", flush=True)
    code = main(WORDS)
    if code not in (EXIT_OK, EXIT_FAILED):
        return code
    print("\n".join(iter_report(load_totals(WORDS), Path.cwd())))
    print(
        "\nDialogs are scripted and vision weights random (models=tiny): the form is the real one, the content is not."
        f"\nTook {time.monotonic() - begin:.0f} s. Next, samples of other settings from the same dialogs and frames:\n"
        f"  DATA_ROOT_DIR={_shown(root)} {_python()} -m launchers.run stage=pack dataset=holoassist,wtag models=tiny "
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


def _parse() -> Path:
    parser = argparse.ArgumentParser(prog="python -m tools.demo", description=__doc__)
    parser.add_argument("--root", type=Path, default=REPOSITORY / "demo_data", help="folder of the sample and outputs")
    root: Path = parser.parse_args().root
    return root.resolve()


if __name__ == "__main__":
    try:
        sys.exit(run_demo(_parse()))
    except KeyboardInterrupt:
        print("\nstopped; what is finished is kept, the same command goes on from here", file=sys.stderr)
        sys.exit(EXIT_INTERRUPTED)
